//! Cron expressions: when a job runs, checked before any scheduler sees them.
//!
//! Five fields (minute, hour, day of month, month, day of week) or six (seconds first), in UTC. Each is `*`, a number,
//! a range `1-5`, a step `*/5` or `10-30/5`, or a list of these; months and days of the week also by their English
//! three-letter names. Deliberately refused: the letters `L`, `W`, `#` and `?`, and restricting the day of month and
//! the day of week at once, because schedulers read those differently.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::form::Form;

/// A cron expression with six fields, seconds first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cron(String);

impl Cron {
    /// Checks five or six fields.
    ///
    /// The error says which field is wrong and what may stand there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let written: Vec<String> = text.split_whitespace().map(str::to_ascii_uppercase).collect();
        let fields = match written.len() {
            5 => [vec!["0".to_owned()], written].concat(),
            6 => written,
            n_fields => return Err(format!("it needs five or six fields and has {n_fields}")),
        };
        let mut allowed = Vec::new();
        for (field, kind) in fields.iter().zip(&FIELDS) {
            allowed.push(kind.values(field)?);
        }
        let (any_day, any_weekday) = (fields[3] == "*", fields[5] == "*");
        if !any_day && !any_weekday {
            return Err("it restricts the day of month and the day of week at once; leave one of them *".into());
        }
        let some_day_comes = allowed[4]
            .iter()
            .any(|month| allowed[3].iter().any(|day| *day <= longest(*month)));
        if !some_day_comes {
            return Err("no month that it names has such a day".into());
        }
        Ok(Self(fields.join(" ")))
    }

    /// The six fields, one blank between each two.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Cron {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl JsonSchema for Cron {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cron".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Form::Cron.schema()
    }
}

/// What may stand in one of the fields.
struct FieldKind {
    name: &'static str,
    smallest: u8,
    largest: u8,
    /// Names of values, the first one for `smallest`.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [FieldKind; 6] = [
    field("second", 0, 59, &[]),
    field("minute", 0, 59, &[]),
    field("hour", 0, 23, &[]),
    field("day of month", 1, 31, &[]),
    field("month", 1, 12, &MONTHS),
    // Sunday is 0 and also 7.
    field("day of week", 0, 7, &WEEKDAYS),
];

const fn field(name: &'static str, smallest: u8, largest: u8, names: &'static [&'static str]) -> FieldKind {
    FieldKind {
        name,
        smallest,
        largest,
        names,
    }
}

/// The number of days of a month in the years in which it is longest.
fn longest(month: u8) -> u8 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl FieldKind {
    /// All values that the field's text allows.
    fn values(&self, text: &str) -> Result<BTreeSet<u8>, String> {
        let mut values = BTreeSet::new();
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(self.step(step, part)?)),
                None => (part, None),
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (self.smallest, self.largest),
                Some((from, to)) => (self.value(from, part)?, self.value(to, part)?),
                None if step.is_some() => return Err(self.wrong(part, "a step follows * or a range")),
                None => (self.value(range, part)?, self.value(range, part)?),
            };
            if from > to {
                return Err(self.wrong(part, "the range runs backwards"));
            }
            values.extend((from..=to).step_by(usize::from(step.unwrap_or(1))));
        }
        Ok(values)
    }

    fn value(&self, text: &str, part: &str) -> Result<u8, String> {
        if let Some(index) = self.names.iter().position(|name| *name == text) {
            return Ok(self.smallest + u8::try_from(index).unwrap_or(u8::MAX));
        }
        self.digits(text)
            .filter(|value| (self.smallest..=self.largest).contains(value))
            .ok_or_else(|| self.wrong(part, &format!("it takes {} to {}", self.smallest, self.largest)))
    }

    fn step(&self, text: &str, part: &str) -> Result<u8, String> {
        self.digits(text)
            .filter(|step| (1..=self.largest).contains(step))
            .ok_or_else(|| self.wrong(part, &format!("a step is a number from 1 to {}", self.largest)))
    }

    fn digits(&self, text: &str) -> Option<u8> {
        let all_digits = text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|_| all_digits)
    }

    fn wrong(&self, part: &str, why: &str) -> String {
        format!("`{part}` is no {}: {why}", self.name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_gain_seconds() {
        for (written, stored) in [
            ("*/5 * * * *", "0 */5 * * * *"),
            ("30 */5 * * * *", "30 */5 * * * *"),
            ("  0  3 * *  mon-fri ", "0 0 3 * * MON-FRI"),
            ("0 0 1,15 jan,jul *", "0 0 0 1,15 JAN,JUL *"),
            ("10-30/5 0 29 2 *", "0 10-30/5 0 29 2 *"),
            ("0 0 * * 7", "0 0 0 * * 7"),
        ] {
            assert_eq!(Cron::parse(written).unwrap().as_str(), stored);
        }
    }

    #[test]
    fn each_refusal_names_its_field() {
        for (written, expected) in [
            ("", "it needs five or six fields and has 0"),
            ("* * * *", "it needs five or six fields and has 4"),
            ("61 * * * *", "`61` is no minute: it takes 0 to 59"),
            ("* 24 * * *", "`24` is no hour: it takes 0 to 23"),
            ("* * 0 * *", "`0` is no day of month: it takes 1 to 31"),
            ("* * * 13 *", "`13` is no month: it takes 1 to 12"),
            ("* * * * 8", "`8` is no day of week: it takes 0 to 7"),
            ("* * L * *", "`L` is no day of month: it takes 1 to 31"),
            ("*/0 * * * *", "`*/0` is no minute: a step is a number from 1 to 59"),
            ("5/10 * * * *", "`5/10` is no minute: a step follows * or a range"),
            ("30-10 * * * *", "`30-10` is no minute: the range runs backwards"),
            ("1,,2 * * * *", "`` is no minute: it takes 0 to 59"),
            ("+5 * * * *", "`+5` is no minute: it takes 0 to 59"),
            ("0 0 31 2,4 *", "no month that it names has such a day"),
            (
                "0 0 1 * MON",
                "it restricts the day of month and the day of week at once; leave one of them *",
            ),
        ] {
            assert_eq!(Cron::parse(written).unwrap_err(), expected, "{written}");
        }
    }
}
