//! The forms in which a mapping says where a text, a number or an instant comes from.

use std::fmt::Write as _;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};

use super::ColumnIdx;
use super::document::{Node, Section, Walk};
use crate::instant;

/// Where a text comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TextForm {
    Column(ColumnIdx),
    /// The same for every row.
    Constant(String),
    /// The prefix, then the number of the row, from 1.
    Row {
        prefix: String,
    },
}

/// Where a number comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NumberForm {
    Column(ColumnIdx),
    Constant(f64),
}

/// Where an instant comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TimeForm {
    /// A text that names its own offset (RFC 3339), or a timestamp column in UTC.
    Instant(ColumnIdx),
    /// A text without offset (ISO 8601), or a timestamp column without zone.
    Clock { column: ColumnIdx, zone: Zone },
    /// A text in a form of its own; the zone is absent where the form holds an offset.
    Written {
        column: ColumnIdx,
        format: String,
        zone: Option<Zone>,
    },
    /// Year, month, day, and perhaps hour, minute, second, each a column.
    Parts { columns: Vec<ColumnIdx>, zone: Zone },
    /// A count since 1970-01-01T00:00:00Z.
    Count { column: ColumnIdx, unit: Unit },
}

/// A time zone of the IANA database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Zone(pub(crate) Tz);

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

/// What a count counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
}

const TIME_FORMS: &str = "a column of RFC 3339 texts or timestamps, { column = \"…\", time_zone = \"…\" }, \
                          { column = \"…\", format = \"%Y-%m-%d %H:%M:%S\", time_zone = \"…\" }, \
                          { column = \"…\", unit = \"s\" }, \
                          or { columns = [\"year\", \"month\", \"day\", \"hour\"], time_zone = \"…\" }";
const ZONE_EXPECTED: &str = "a time zone of the IANA database, such as \"America/New_York\" or \"UTC\"";

/// The texts that mean that there is no value.
pub(super) fn missing_texts(walk: &mut Walk<'_>, section: &mut Section<'_, '_>) -> Vec<String> {
    let default = ["", "NA", "NULL", "null"].map(str::to_owned).to_vec();
    let Some(node) = section.get("missing") else {
        return default;
    };
    let texts = node.value.get_ref().as_array().and_then(|items| {
        items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
    });
    texts.unwrap_or_else(|| {
        walk.report(
            node.offset(),
            &node.path,
            "write a list of texts, such as [\"\", \"NA\"]",
        );
        default
    })
}

/// A text that is written in the mapping itself.
pub(super) fn literal<'d>(walk: &mut Walk<'_>, node: &Node<'d, '_>, expected: &str) -> Option<&'d str> {
    let text = node.as_str();
    if text.is_none() {
        walk.report(node.offset(), &node.path, format!("not a text; write {expected}"));
    }
    text
}

/// The name of a column.
pub(super) fn column(walk: &mut Walk<'_>, node: &Node<'_, '_>) -> Option<ColumnIdx> {
    let name = literal(walk, node, "the name of a column of the file, in quotes")?;
    Some(walk.column(name, node))
}

/// A text from a column, or the same for every row; where `by_row`, also one that counts the rows.
pub(super) fn text_form(walk: &mut Walk<'_>, node: &Node<'_, '_>, by_row: ByRow) -> Option<TextForm> {
    let expected = match by_row {
        ByRow::Refused => "a column, or { value = \"…\" } for the same in every row",
        ByRow::Allowed => "a column, { value = \"…\" }, or { prefix = \"…\", row = true } to count the rows",
        ByRow::OrColumn => "a column, or { prefix = \"…\", row = true } to count the rows",
    };
    if node.as_str().is_some() {
        return column(walk, node).map(TextForm::Column);
    }
    let Some(mut section) = node.section() else {
        walk.report(node.offset(), &node.path, format!("write {expected}"));
        return None;
    };
    let value = if by_row == ByRow::OrColumn {
        None
    } else {
        section.get("value")
    };
    let (prefix, row) = match by_row {
        ByRow::Refused => (None, None),
        ByRow::Allowed | ByRow::OrColumn => (section.get("prefix"), section.get("row")),
    };
    section.refuse_others(walk);
    let counts = row
        .as_ref()
        .is_some_and(|row| row.value.get_ref().as_bool() == Some(true));
    match (value, prefix) {
        (Some(value), None) if row.is_none() => {
            let text = literal(walk, &value, "a text")?;
            if text.is_empty() {
                walk.report(value.offset(), &value.path, "it is empty; write a text");
            }
            Some(TextForm::Constant(text.to_owned()))
        }
        (None, Some(prefix)) if counts => {
            let prefix = literal(walk, &prefix, "a text that no other import uses")?.to_owned();
            Some(TextForm::Row { prefix })
        }
        _ => {
            walk.report(node.offset(), &node.path, format!("write {expected}"));
            None
        }
    }
}

/// Whether a text may be made of the number of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByRow {
    /// It may not.
    Refused,
    /// It may, or be the same in every row.
    Allowed,
    /// It may, but not be the same in every row.
    OrColumn,
}

/// A number from a column, or the same for every row.
pub(super) fn number_form(walk: &mut Walk<'_>, node: &Node<'_, '_>) -> Option<NumberForm> {
    if node.as_str().is_some() {
        return column(walk, node).map(NumberForm::Column);
    }
    let expected = "a column, or { value = 1.0 } for the same in every row";
    let Some(mut section) = node.section() else {
        walk.report(node.offset(), &node.path, format!("write {expected}"));
        return None;
    };
    let value = section.required(walk, "value", "a number");
    section.refuse_others(walk);
    let value = value?;
    let number = value.number();
    if number.is_none() {
        walk.report(value.offset(), &value.path, "not a number; write one such as 1.0");
    }
    number.map(NumberForm::Constant)
}

/// An instant.
pub(super) fn time_form(walk: &mut Walk<'_>, node: &Node<'_, '_>) -> Option<TimeForm> {
    if node.as_str().is_some() {
        return column(walk, node).map(TimeForm::Instant);
    }
    let Some(mut section) = node.section() else {
        walk.report(node.offset(), &node.path, format!("write {TIME_FORMS}"));
        return None;
    };
    let [columns, one, format, unit, zone] =
        ["columns", "column", "format", "unit", "time_zone"].map(|key| section.get(key));
    section.refuse_others(walk);
    let has_zone = zone.is_some();
    let zone = match &zone {
        Some(zone) => Some(time_zone(walk, zone)?),
        None => None,
    };
    match (columns, one, format, unit) {
        (Some(columns), None, None, None) => {
            let columns = part_columns(walk, &columns);
            if zone.is_none() {
                let message = format!("missing; a clock time needs {ZONE_EXPECTED}");
                walk.report(node.offset(), &format!("{}.time_zone", node.path), message);
            }
            Some(TimeForm::Parts {
                columns: columns?,
                zone: zone?,
            })
        }
        (None, Some(one), None, None) if has_zone => {
            let column = column(walk, &one)?;
            zone.map(|zone| TimeForm::Clock { column, zone })
        }
        (None, Some(one), None, None) => column(walk, &one).map(TimeForm::Instant),
        (None, Some(one), Some(format), None) => {
            let column = column(walk, &one);
            let format = clock_format(walk, &format, zone);
            Some(TimeForm::Written {
                column: column?,
                format: format?,
                zone,
            })
        }
        (None, Some(one), None, Some(unit)) if !has_zone => {
            let column = column(walk, &one);
            let unit = unit_word(walk, &unit);
            Some(TimeForm::Count {
                column: column?,
                unit: unit?,
            })
        }
        _ => {
            walk.report(
                node.offset(),
                &node.path,
                format!("these keys do not go together; write {TIME_FORMS}"),
            );
            None
        }
    }
}

fn part_columns(walk: &mut Walk<'_>, node: &Node<'_, '_>) -> Option<Vec<ColumnIdx>> {
    let names = node.value.get_ref().as_array().and_then(|items| {
        items
            .iter()
            .map(|item| item.get_ref().as_str())
            .collect::<Option<Vec<_>>>()
    });
    let Some(names) = names.filter(|names| (3..=6).contains(&names.len())) else {
        let message = "write three to six columns, in this order: year, month, day, hour, minute, second";
        walk.report(node.offset(), &node.path, message);
        return None;
    };
    Some(names.into_iter().map(|name| walk.column(name, node)).collect())
}

fn time_zone(walk: &mut Walk<'_>, node: &Node<'_, '_>) -> Option<Zone> {
    let name = literal(walk, node, ZONE_EXPECTED)?;
    let zone = name.parse::<Tz>().ok();
    if zone.is_none() {
        walk.report(
            node.offset(),
            &node.path,
            format!("\"{name}\" is no time zone; write {ZONE_EXPECTED}"),
        );
    }
    zone.map(Zone)
}

fn unit_word(walk: &mut Walk<'_>, node: &Node<'_, '_>) -> Option<Unit> {
    let unit = match node.as_str() {
        Some("s") => Some(Unit::Seconds),
        Some("ms") => Some(Unit::Milliseconds),
        Some("us") => Some(Unit::Microseconds),
        _ => None,
    };
    if unit.is_none() {
        walk.report(
            node.offset(),
            &node.path,
            "write \"s\", \"ms\" or \"us\": what is counted since 1970 in UTC",
        );
    }
    unit
}

/// A format that tells every part of a date, with a zone or an offset, and not both.
fn clock_format(walk: &mut Walk<'_>, node: &Node<'_, '_>, zone: Option<Zone>) -> Option<String> {
    let format = literal(walk, node, "a format such as \"%Y-%m-%d %H:%M:%S\"")?;
    let items: Vec<Item<'_>> = StrftimeItems::new(format).collect();
    // A format is sound when an instant that is written in it can be read again.
    let sample = DateTime::<Utc>::from_timestamp(1_500_000_000, 0)?;
    let mut written = String::new();
    let is_sound =
        !items.contains(&Item::Error) && write!(written, "{}", sample.format_with_items(items.iter())).is_ok();
    let has_offset = is_sound && instant::with_offset(&written, format).is_some();
    let message = match (has_offset, zone) {
        (true, None) => return Some(format.to_owned()),
        (true, Some(_)) => "the format holds an offset of its own; remove time_zone".to_owned(),
        (false, zone) if is_sound && instant::clock(&written, format).is_some() => match zone {
            Some(_) => return Some(format.to_owned()),
            None => format!("a clock time needs time_zone, {ZONE_EXPECTED}"),
        },
        _ => format!(
            "\"{format}\" does not tell a date and a time; write one such as \"%Y-%m-%d %H:%M:%S\" (the letters are strftime's)"
        ),
    };
    walk.report(node.offset(), &node.path, message);
    None
}
