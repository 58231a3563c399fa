//! The values of one row, as a mapping asks for them; what does not fit is a bad row that says where and why.

use lakeloop_domain::{FeatureType, FeatureValue, Micros, Timestamp};

use crate::BadRow;
use crate::instant;
use crate::mapping::{ColumnIdx, Mapping, NumberForm, TextForm, TimeForm, Unit};
use crate::rows::Cell;

const FINITE: &str = "a finite number";
const BOOLEAN: &str = "true or false, yes or no, 1 or 0";
const RFC_3339: &str = "an RFC 3339 time with its offset, such as 2017-01-01T05:00:00Z";

/// One row with the mapping that reads it.
#[derive(Clone, Copy)]
pub(crate) struct Values<'r> {
    pub(crate) mapping: &'r Mapping,
    pub(crate) line: u64,
    pub(crate) number: u64,
    pub(crate) cells: &'r [Cell],
}

impl<'r> Values<'r> {
    /// A text; `None` where there is no value. Numbers become texts as people write them: 14, not 14.0.
    pub(crate) fn text(self, column: ColumnIdx) -> Result<Option<String>, BadRow> {
        let Some(cell) = self.cell(column) else { return Ok(None) };
        match text_of(cell) {
            Some(text) => Ok(Some(text)),
            None => Err(self.bad(column, "a text")),
        }
    }

    /// A finite number; `None` where there is no value. Booleans are 1 and 0.
    pub(crate) fn number(self, column: ColumnIdx) -> Result<Option<f64>, BadRow> {
        let Some(cell) = self.cell(column) else { return Ok(None) };
        let number = match cell {
            Cell::Number(number) => Some(*number),
            // Whole numbers beyond 2^53 are rounded, as every table of doubles does.
            Cell::Integer(integer) => Some(*integer as f64),
            Cell::Boolean(boolean) => Some(f64::from(u8::from(*boolean))),
            Cell::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.bad(column, FINITE)),
        }
    }

    /// True or false; `None` where there is no value.
    pub(crate) fn boolean(self, column: ColumnIdx) -> Result<Option<bool>, BadRow> {
        let Some(cell) = self.cell(column) else { return Ok(None) };
        match boolean_of(cell) {
            Some(boolean) => Ok(Some(boolean)),
            None => Err(self.bad(column, BOOLEAN)),
        }
    }

    /// A time with its offset, which is that of UTC for columns of instants; `None` where there is no value.
    pub(crate) fn timestamp(self, column: ColumnIdx) -> Result<Option<Timestamp>, BadRow> {
        let Some(cell) = self.cell(column) else { return Ok(None) };
        let timestamp = match cell {
            Cell::Text(text) => Timestamp::parse(text.trim()),
            Cell::Instant(at) => instant::readable(*at).map(|instant| Timestamp { instant, offset_s: 0 }),
            _ => None,
        };
        timestamp.map(Some).ok_or_else(|| self.bad(column, RFC_3339))
    }

    /// A feature of a type.
    pub(crate) fn feature(self, column: ColumnIdx, feature_type: FeatureType) -> Result<FeatureValue, BadRow> {
        let value = match feature_type {
            FeatureType::Number => self.number(column)?.map(FeatureValue::Number),
            FeatureType::Boolean => self.boolean(column)?.map(FeatureValue::Boolean),
            FeatureType::Category => self.text(column)?.map(FeatureValue::Category),
        };
        Ok(value.unwrap_or(FeatureValue::Missing))
    }

    /// A text that must be there.
    pub(crate) fn required_text(self, form: &TextForm, expected: &str) -> Result<String, BadRow> {
        match form {
            TextForm::Column(column) => self.text(*column)?.ok_or_else(|| self.bad(*column, expected)),
            TextForm::Constant(text) => Ok(text.clone()),
            TextForm::Row { prefix } => Ok(format!("{prefix}{}", self.number)),
        }
    }

    /// A number that must be there.
    pub(crate) fn required_number(self, form: NumberForm) -> Result<f64, BadRow> {
        match form {
            NumberForm::Column(column) => self.number(column)?.ok_or_else(|| self.bad(column, FINITE)),
            NumberForm::Constant(number) => Ok(number),
        }
    }

    /// An instant, which must be there.
    pub(crate) fn instant(self, form: &TimeForm) -> Result<Micros, BadRow> {
        match form {
            TimeForm::Instant(column) => {
                let at = self.cell(*column).and_then(|cell| match cell {
                    Cell::Text(text) => instant::rfc_3339(text.trim()),
                    Cell::Instant(at) => instant::readable(*at),
                    _ => None,
                });
                at.ok_or_else(|| self.bad(*column, self.instant_expected(*column)))
            }
            TimeForm::Clock { column, zone } => {
                let clock = self.cell(*column).and_then(|cell| match cell {
                    Cell::Text(text) => instant::iso_clock(text.trim()),
                    Cell::Clock(clock) => Some(*clock),
                    _ => None,
                });
                let clock =
                    clock.ok_or_else(|| self.bad(*column, "a time without offset, such as 2017-01-01 05:00:00"))?;
                instant::in_zone(clock, *zone).ok_or_else(|| self.bad(*column, &existing(zone.0.name())))
            }
            TimeForm::Written { column, format, zone } => {
                let text = match self.cell(*column) {
                    Some(Cell::Text(text)) => text.trim().to_owned(),
                    // A number such as 20170101 can be a date.
                    Some(cell @ Cell::Integer(_)) => text_of(cell).unwrap_or_default(),
                    _ => return Err(self.bad(*column, &format!("a time in the form {format}"))),
                };
                let unfit = || self.bad(*column, &format!("a time in the form {format}"));
                match zone {
                    None => instant::with_offset(&text, format).ok_or_else(unfit),
                    Some(zone) => {
                        let clock = instant::clock(&text, format).ok_or_else(unfit)?;
                        instant::in_zone(clock, *zone).ok_or_else(|| self.bad(*column, &existing(zone.0.name())))
                    }
                }
            }
            TimeForm::Parts { columns, zone } => {
                let parts = columns
                    .iter()
                    .map(|column| self.whole(*column))
                    .collect::<Result<Vec<_>, _>>()?;
                let clock = instant::clock_of_parts(&parts)
                    .ok_or_else(|| self.bad_parts(columns, &parts, "a date and time"))?;
                instant::in_zone(clock, *zone).ok_or_else(|| self.bad_parts(columns, &parts, &existing(zone.0.name())))
            }
            TimeForm::Count { column, unit } => {
                let at = self.cell(*column).and_then(|cell| match cell {
                    Cell::Integer(count) => instant::of_whole_count(*count, *unit),
                    Cell::Number(count) => instant::of_count(*count, *unit),
                    Cell::Text(text) => match text.trim().parse() {
                        Ok(count) => instant::of_whole_count(count, *unit),
                        Err(_) => instant::of_count(text.trim().parse().ok()?, *unit),
                    },
                    _ => None,
                });
                at.ok_or_else(|| {
                    self.bad(
                        *column,
                        &format!("a count of {} since 1970, before the year 10000", unit_words(*unit)),
                    )
                })
            }
        }
    }

    /// A bad row by this column.
    pub(crate) fn bad(self, column: ColumnIdx, expected: &str) -> BadRow {
        self.bad_row(&self.mapping.columns[column.0].name, self.shown(column), expected)
    }

    pub(crate) fn bad_row(self, column: &str, found: String, expected: &str) -> BadRow {
        BadRow {
            line: self.line,
            column: column.to_owned(),
            found,
            expected: expected.to_owned(),
        }
    }

    /// What stands in a column, for messages.
    pub(crate) fn shown(self, column: ColumnIdx) -> String {
        match self.cell(column) {
            None => "no value".to_owned(),
            Some(Cell::Text(text)) => quoted(text),
            Some(Cell::Unfit(what)) => (*what).to_owned(),
            Some(Cell::Clock(clock)) => format!("{clock} without a time zone"),
            Some(cell) => text_of(cell).unwrap_or_default(),
        }
    }

    /// The cell, unless it says that there is no value.
    fn cell(self, column: ColumnIdx) -> Option<&'r Cell> {
        let means_missing = |text: &str| self.mapping.missing.iter().any(|missing| missing == text);
        let cell = &self.cells[column.0];
        let is_missing = match cell {
            Cell::Absent => true,
            Cell::Text(text) => means_missing(text.trim()),
            Cell::Number(number) => number.is_nan() && means_missing("NaN"),
            _ => false,
        };
        (!is_missing).then_some(cell)
    }

    /// A whole number, which may be written as 2017.0.
    fn whole(self, column: ColumnIdx) -> Result<i64, BadRow> {
        let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 1e9).then_some(number as i64);
        let value = self.cell(column).and_then(|cell| match cell {
            Cell::Integer(integer) => Some(*integer),
            Cell::Number(number) => whole(*number),
            Cell::Text(text) => whole(text.trim().parse().ok()?),
            _ => None,
        });
        value.ok_or_else(|| self.bad(column, "a whole number"))
    }

    fn bad_parts(self, columns: &[ColumnIdx], parts: &[i64], expected: &str) -> BadRow {
        let names: Vec<&str> = columns
            .iter()
            .map(|column| self.mapping.columns[column.0].name.as_str())
            .collect();
        let parts: Vec<String> = parts.iter().map(i64::to_string).collect();
        self.bad_row(&names.join(","), parts.join(","), expected)
    }

    fn instant_expected(self, column: ColumnIdx) -> &'static str {
        match self.cell(column) {
            Some(Cell::Clock(_)) => {
                "a timestamp in UTC; give the mapping { column = …, time_zone = … } for this column"
            }
            Some(Cell::Integer(_) | Cell::Number(_)) => {
                "a timestamp or an RFC 3339 time; give the mapping { column = …, unit = \"s\" } for this column"
            }
            _ => RFC_3339,
        }
    }
}

fn existing(zone: &str) -> String {
    format!("a time that exists in {zone}; clocks there were put forward over this one")
}

fn unit_words(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "seconds",
        Unit::Milliseconds => "milliseconds",
        Unit::Microseconds => "microseconds",
    }
}

fn text_of(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Text(text) => Some(text.clone()),
        Cell::Integer(integer) => Some(integer.to_string()),
        // Rust writes a whole double without a fraction.
        Cell::Number(number) => Some(number.to_string()),
        Cell::Boolean(boolean) => Some(boolean.to_string()),
        Cell::Instant(at) => chrono::DateTime::from_timestamp_micros(*at).map(|at| at.to_rfc3339()),
        Cell::Clock(clock) => Some(clock.to_string()),
        Cell::Absent | Cell::Unfit(_) => None,
    }
}

fn boolean_of(cell: &Cell) -> Option<bool> {
    match cell {
        Cell::Boolean(boolean) => Some(*boolean),
        Cell::Integer(0) => Some(false),
        Cell::Integer(1) => Some(true),
        Cell::Number(number) if *number == 0.0 => Some(false),
        Cell::Number(number) if *number == 1.0 => Some(true),
        Cell::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" | "1.0" => Some(true),
            "false" | "no" | "0" | "0.0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A text in quotes, on one line and not too long.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let shown: String = text.chars().take(LONGEST).collect();
    let dots = if text.chars().count() > LONGEST { "…" } else { "" };
    format!("{:?}{dots}", shown)
}
