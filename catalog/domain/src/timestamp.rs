//! A time that callers send, and what a model sees of it.
//!
//! The time itself only grows: every row that comes after training lies beyond all thresholds that a tree knows, and what it
//! would learn of past times is when a row was made, which tells it what happened that week. So no model sees the
//! time. It sees what comes again, on the clock of the place where the text was written, and how long ago the time was
//! when the decision was made.

use chrono::{DateTime, Datelike as _};
use serde::{Deserialize, Serialize};

use crate::Micros;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// What a field's value says of a timestamp. The offset of local time is that of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampPart {
    /// The time itself, in microseconds since 1970 in UTC. It is logged, and no model sees it.
    Instant,
    /// The local time of day in hours, with its fraction: at least 0 and below 24.
    Hour,
    /// The local day of the week: 0 on Mondays, 6 on Sundays.
    Weekday,
    /// The local day of the month, from 1.
    Day,
    /// Seconds from the timestamp to the decision, with their fraction; below 0 when it lies ahead.
    Age,
}

/// A time with the offset of the clock that it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// Microseconds since 1970 in UTC.
    pub instant: Micros,
    /// Seconds that local time is ahead of UTC.
    pub offset_s: i32,
}

impl TimestampPart {
    /// All parts, in the order in which a blueprint's fields hold them.
    pub const ALL: [Self; 5] = [Self::Instant, Self::Hour, Self::Weekday, Self::Day, Self::Age];

    /// The name of the part of a field: `placed_at` itself, then `placed_at.hour` and the like, which no declared field can
    /// have.
    pub fn name(self, field: &str) -> String {
        match self {
            Self::Instant => field.to_owned(),
            Self::Hour => format!("{field}.hour"),
            Self::Weekday => format!("{field}.weekday"),
            Self::Day => format!("{field}.day"),
            Self::Age => format!("{field}.age"),
        }
    }
}

impl Timestamp {
    /// Reads an RFC 3339 text such as `2026-03-01T19:30:00+01:00`, from year 1 to 9999; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        (1..=9999).contains(&time.year()).then(|| Self {
            instant: time.timestamp_micros(),
            offset_s: time.offset().local_minus_utc(),
        })
    }

    /// One part, for a decision made at a time.
    ///
    /// ```
    /// use lakeloop_domain::{Timestamp, TimestampPart};
    ///
    /// let placed = Timestamp::parse("2026-03-01T19:30:00+01:00").unwrap();
    /// let decided_at = placed.instant + 90_000_000;
    /// let parts = TimestampPart::ALL.map(|part| placed.part(part, decided_at));
    /// assert_eq!(parts[1..], [19.5, 6.0, 1.0, 90.0]); // a Sunday
    /// ```
    pub fn part(self, part: TimestampPart, decided_at: Micros) -> f64 {
        let local = self.instant + i64::from(self.offset_s) * SECOND;
        match part {
            TimestampPart::Instant => self.instant as f64,
            TimestampPart::Hour => local.rem_euclid(DAY) as f64 / HOUR as f64,
            // 1970 began on a Thursday.
            TimestampPart::Weekday => (local.div_euclid(DAY) + 3).rem_euclid(7) as f64,
            TimestampPart::Day => DateTime::from_timestamp_micros(local).map_or(f64::NAN, |time| f64::from(time.day())),
            TimestampPart::Age => (decided_at - self.instant) as f64 / SECOND as f64,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::Timelike as _;

    use super::*;

    #[test]
    fn parts_are_those_of_the_clock_that_was_read() {
        for text in [
            "1969-12-31T23:59:59.5Z",
            "1970-01-01T00:00:00Z",
            "2024-02-29T00:30:00+14:00",
            "2026-11-29T23:15:00-09:30",
            "0001-01-02T03:04:05Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            let expected = DateTime::parse_from_rfc3339(text).unwrap();
            let found = Timestamp::parse(text).unwrap();
            let part = |part| found.part(part, 0);
            assert_eq!(
                part(TimestampPart::Instant),
                expected.timestamp_micros() as f64,
                "{text}"
            );
            let hours = f64::from(expected.num_seconds_from_midnight()) + f64::from(expected.nanosecond()) / 1e9;
            assert!((part(TimestampPart::Hour) - hours / 3_600.0).abs() < 1e-9, "{text}");
            let weekday = f64::from(expected.weekday().num_days_from_monday());
            assert_eq!(part(TimestampPart::Weekday), weekday, "{text}");
            assert_eq!(part(TimestampPart::Day), f64::from(expected.day()), "{text}");
            assert_eq!(
                part(TimestampPart::Age),
                -expected.timestamp_micros() as f64 / 1e6,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time_with_an_offset_is_refused() {
        for text in [
            "",
            "now",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-02-30T12:00:00Z",
            "0000-03-01T12:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
