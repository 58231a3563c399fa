//! Quantities with their unit: lengths of time and sizes, as files write them.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::form::Form;

/// No length of time in a file may exceed this, so that an instant plus a length always fits 64 bits of microseconds.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// A length of time such as `30m`, `36h` or `90d`: at least a microsecond, at most a hundred years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Period(Duration);

impl Period {
    /// As a duration.
    pub fn duration(self) -> Duration {
        self.0
    }

    /// In whole microseconds.
    pub fn as_micros(self) -> i64 {
        i64::try_from(self.0.as_micros()).expect("a hundred years of microseconds fit an i64")
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = humantime::parse_duration(text.trim()).map_err(|error| error.to_string())?;
        if duration < Duration::from_micros(1) {
            return Err("it is shorter than a microsecond".into());
        }
        if duration > LONGEST {
            return Err("it is longer than a hundred years".into());
        }
        Ok(Self(duration))
    }
}

/// A size such as `64MiB`: a whole number of bytes, more than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ByteSize(u64);

impl ByteSize {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

/// Longer units first, so that `MiB` is not taken for `B`.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(word, bytes)| text.strip_suffix(word).map(|number| (number.trim_end(), *bytes)))
            .ok_or("it has no unit: B, KiB, MiB, GiB, TiB, kB, MB, GB or TB")?;
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("`{number}` is no whole number"));
        }
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        match bytes {
            None => Err("it is too large".into()),
            Some(0) => Err("it is nothing at all".into()),
            Some(bytes) => Ok(Self(bytes)),
        }
    }
}

macro_rules! from_text {
    ($name:ident, $form:expr) => {
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $form.schema()
            }
        }
    };
}

from_text!(Period, Form::Period);
from_text!(ByteSize, Form::Size);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn periods() {
        for (text, micros) in [
            ("50us", 50),
            ("5ms", 5_000),
            ("30m", 1_800_000_000),
            ("1h 30min", 5_400_000_000),
        ] {
            assert_eq!(text.parse::<Period>().unwrap().as_micros(), micros);
        }
        assert_eq!("0".parse::<Period>().unwrap_err(), "it is shorter than a microsecond");
        assert_eq!(
            "999ns".parse::<Period>().unwrap_err(),
            "it is shorter than a microsecond"
        );
        assert_eq!(
            "101y".parse::<Period>().unwrap_err(),
            "it is longer than a hundred years"
        );
        assert!("5".parse::<Period>().unwrap_err().starts_with("time unit needed"));
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1B", 1),
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("2kB", 2_000),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes);
        }
        for (text, expected) in [
            ("64", "it has no unit: B, KiB, MiB, GiB, TiB, kB, MB, GB or TB"),
            ("1.5GiB", "`1.5` is no whole number"),
            ("MiB", "`` is no whole number"),
            ("0B", "it is nothing at all"),
            ("99999999TiB", "it is too large"),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap_err(), expected);
        }
    }
}
