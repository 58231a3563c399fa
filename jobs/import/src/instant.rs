//! Instants from what files say about time.
//!
//! Clock times become instants by the zone that the mapping names. When clocks go back, an hour occurs twice: its
//! earlier occurrence is taken. When they go forward, an hour does not exist: such a time is refused, because the
//! instant that was meant cannot be known.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _};
use lakeloop_domain::Micros;

use crate::mapping::{Unit, Zone};

/// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z: what every client of the tables can read.
const READABLE: std::ops::RangeInclusive<Micros> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// The instant of a text that holds an offset, in a strftime format.
pub(crate) fn with_offset(text: &str, format: &str) -> Option<Micros> {
    readable(DateTime::parse_from_str(text, format).ok()?.timestamp_micros())
}

/// The instant of an RFC 3339 text; a space may stand for the `T`.
pub(crate) fn rfc_3339(text: &str) -> Option<Micros> {
    readable(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
}

/// The clock time of a text without offset, in a strftime format; a date alone is its midnight.
pub(crate) fn clock(text: &str, format: &str) -> Option<NaiveDateTime> {
    let date = || NaiveDate::parse_from_str(text, format).ok();
    NaiveDateTime::parse_from_str(text, format)
        .ok()
        .or_else(|| Some(date()?.and_time(NaiveTime::MIN)))
}

/// The clock time of an ISO 8601 text without offset, with `T` or a space; a date alone is its midnight.
pub(crate) fn iso_clock(text: &str) -> Option<NaiveDateTime> {
    [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%d",
    ]
    .iter()
    .find_map(|format| clock(text, format))
}

/// The clock time of year, month, day and perhaps hour, minute, second.
pub(crate) fn clock_of_parts(parts: &[i64]) -> Option<NaiveDateTime> {
    let part = |idx: usize| u32::try_from(parts.get(idx).copied().unwrap_or(0)).ok();
    let year = i32::try_from(*parts.first()?).ok()?;
    NaiveDate::from_ymd_opt(year, part(1)?, part(2)?)?.and_hms_opt(part(3)?, part(4)?, part(5)?)
}

/// The instant of a clock time in a zone; `None` when the clocks there jump over it.
pub(crate) fn in_zone(clock: NaiveDateTime, zone: Zone) -> Option<Micros> {
    match zone.0.from_local_datetime(&clock) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => readable(at.timestamp_micros()),
        LocalResult::None => None,
    }
}

/// The instant of a whole count since 1970.
pub(crate) fn of_whole_count(count: i64, unit: Unit) -> Option<Micros> {
    readable(count.checked_mul(micros_in(unit))?)
}

/// The instant of a count with a fraction since 1970, to the nearest microsecond.
pub(crate) fn of_count(count: f64, unit: Unit) -> Option<Micros> {
    let micros = (count * micros_in(unit) as f64).round();
    // Within these bounds the conversion is exact; NaN is in no range.
    let fits = (*READABLE.start() as f64..=*READABLE.end() as f64).contains(&micros);
    fits.then_some(micros as Micros).and_then(readable)
}

fn micros_in(unit: Unit) -> i64 {
    match unit {
        Unit::Seconds => 1_000_000,
        Unit::Milliseconds => 1_000,
        Unit::Microseconds => 1,
    }
}

/// The instant, if it lies within the years 1 to 9999.
pub(crate) fn readable(at: Micros) -> Option<Micros> {
    READABLE.contains(&at).then_some(at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NEW_YORK: Zone = Zone(chrono_tz::America::New_York);

    fn utc(text: &str) -> Micros {
        rfc_3339(text).unwrap()
    }

    #[test]
    fn an_hour_that_occurs_twice_is_the_earlier_one() {
        // 2017-11-05: clocks went back from 02:00 EDT to 01:00 EST.
        for (clock, expected) in [
            ("2017-11-05 00:59:59", "2017-11-05T04:59:59Z"),
            ("2017-11-05 01:00:00", "2017-11-05T05:00:00Z"),
            ("2017-11-05 01:59:59", "2017-11-05T05:59:59Z"),
            ("2017-11-05 02:00:00", "2017-11-05T07:00:00Z"),
        ] {
            assert_eq!(
                in_zone(iso_clock(clock).unwrap(), NEW_YORK),
                Some(utc(expected)),
                "{clock}"
            );
        }
    }

    #[test]
    fn an_hour_that_does_not_exist_is_refused() {
        // 2017-03-12: clocks went forward from 02:00 EST to 03:00 EDT.
        for (clock, expected) in [
            ("2017-03-12 01:59:59.999999", Some("2017-03-12T06:59:59.999999Z")),
            ("2017-03-12 02:00:00", None),
            ("2017-03-12 02:59:59", None),
            ("2017-03-12 03:00:00", Some("2017-03-12T07:00:00Z")),
        ] {
            assert_eq!(
                in_zone(iso_clock(clock).unwrap(), NEW_YORK),
                expected.map(utc),
                "{clock}"
            );
        }
    }

    #[test]
    fn counts_and_parts() {
        assert_eq!(
            of_whole_count(1_500_000_000, Unit::Seconds),
            Some(utc("2017-07-14T02:40:00Z"))
        );
        assert_eq!(of_whole_count(i64::MAX, Unit::Seconds), None);
        assert_eq!(
            of_count(1_500_000_000.25, Unit::Seconds),
            Some(utc("2017-07-14T02:40:00.25Z"))
        );
        for outside in [f64::NAN, f64::INFINITY, 1e300, -1e300] {
            assert_eq!(of_count(outside, Unit::Milliseconds), None, "{outside}");
        }
        assert_eq!(clock_of_parts(&[2016, 2, 29]), iso_clock("2016-02-29"));
        assert_eq!(clock_of_parts(&[2017, 2, 29]), None);
        assert_eq!(clock_of_parts(&[2017, 1, 1, 24]), None);
        assert_eq!(clock_of_parts(&[2017, -1, 1]), None);
    }
}
