//! Owns the checking of a request's context: JSON values become the blueprint's context features, in its order.
//!
//! Nothing is guessed. A value of another type, a key that the blueprint does not declare, a key given twice and a
//! required key left out are all refused by name; only fields that the blueprint lets be missing may be absent or null.
//! A whole number is a number; a number is no boolean and no category, so that what training sees is what was meant. A
//! timestamp is a text, and becomes its parts as of the time of the decision.

use std::sync::atomic::{AtomicUsize, Ordering};

use lakeloop_domain::{ContextField, FeatureType, Features, Micros, NamedValue, Timestamp, ValueRef};

use crate::fields::words;
use crate::json::{Json, Object};
use crate::nearest::nearest;
use crate::problem::Problem;
use crate::scan::{Scalar, Scanner};

/// The context as one value for each field of `declared`, in its order, for a decision at a time. `path` names a key for
/// messages.
pub(crate) fn values<'r>(
    declared: &[ContextField],
    places: &Places,
    given: &'r Object<'_>,
    decided_at: Micros,
    path: &dyn Fn(&str) -> String,
) -> Result<Vec<ValueRef<'r>>, Problem> {
    let mut context = Context::new(declared, places);
    for (key, json) in given {
        let idx = context.find(key).ok_or_else(|| unknown(declared, key, path))?;
        if context.give(idx).is_none() {
            let detail = format!("`{key}` is given twice; give it once");
            return Err(Problem::invalid(path(key), detail));
        }
        match value(&declared[idx], json, path)? {
            Given::Value(value) => context.values[idx] = value,
            Given::Timestamp(timestamp) => context.take_apart(idx, timestamp, decided_at),
        }
    }
    context.whole().map_err(|field| {
        let expected = words_for(field);
        let detail = format!(
            "`{}` is missing; send {expected}, or declare `missing = \"allowed\"` in the blueprint",
            field.name
        );
        Problem::invalid(path(&field.name), detail)
    })
}

/// The same from a body that is scanned, with the scanner before the context; `None` where [`values`] must judge.
pub(crate) fn scan<'b>(
    declared: &[ContextField],
    places: &Places,
    decided_at: Micros,
    scanner: &mut Scanner<'b>,
) -> Option<Vec<ValueRef<'b>>> {
    let mut context = Context::new(declared, places);
    scanner.object(|scanner, key| {
        let idx = context.find(key)?;
        context.give(idx)?;
        let field = &declared[idx];
        context.values[idx] = match (field.feature_type, scanner.scalar()?) {
            (_, Scalar::Null) => ValueRef::Missing,
            (_, Scalar::Text(text)) if field.is_timestamp() => {
                context.take_apart(idx, Timestamp::parse(text)?, decided_at);
                return Some(());
            }
            (FeatureType::Number, Scalar::Number(number)) if !field.is_timestamp() => ValueRef::Number(number),
            (FeatureType::Boolean, Scalar::Bool(boolean)) => ValueRef::Boolean(boolean),
            (FeatureType::Category, Scalar::Text(text)) => ValueRef::Category(text),
            _ => return None,
        };
        Some(())
    })?;
    context.whole().ok()
}

/// The values of a context that is not there; `None` where one is required.
pub(crate) fn absent(declared: &[ContextField]) -> Option<Vec<ValueRef<'static>>> {
    Context::new(declared, &Places::default()).whole().ok()
}

/// Values with the names and types of their fields, with room for `n_more`.
pub(crate) fn named(declared: &[ContextField], values: &[ValueRef<'_>], n_more: usize) -> Features {
    let mut features = Features::with_capacity(declared.len() + n_more);
    features.extend(declared.iter().zip(values).map(|(field, value)| NamedValue {
        name: field.name.clone(),
        feature_type: field.feature_type,
        value: (*value).into(),
    }));
    features
}

/// Where each key of a context stood among the declared fields last time. Callers write their keys in one order, so the
/// next request is likely to have each at the same place; whether it has, the name decides.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// For each position of a key, the position of its field.
    fields: Box<[AtomicUsize]>,
}

impl Places {
    /// Supposes the declared order at first.
    pub(crate) fn new(declared: &[ContextField]) -> Self {
        Self {
            fields: (0..declared.len()).map(AtomicUsize::new).collect(),
        }
    }
}

/// A context that is being read.
struct Context<'d, 'v> {
    declared: &'d [ContextField],
    places: &'d Places,
    n_keys: usize,
    values: Vec<ValueRef<'v>>,
    is_given: Vec<bool>,
}

impl<'d, 'v> Context<'d, 'v> {
    fn new(declared: &'d [ContextField], places: &'d Places) -> Self {
        Self {
            declared,
            places,
            n_keys: 0,
            values: vec![ValueRef::Missing; declared.len()],
            is_given: vec![false; declared.len()],
        }
    }

    /// The position of the next key's field.
    #[inline]
    fn find(&mut self, name: &str) -> Option<usize> {
        let place = self.places.fields.get(self.n_keys);
        self.n_keys += 1;
        let usual = place.map(|place| place.load(Ordering::Relaxed));
        let is_it = |field: &ContextField| *field.name == *name && field.is_sent();
        if let Some(idx) = usual
            && self.declared.get(idx).is_some_and(is_it)
        {
            return Some(idx);
        }
        let idx = self.declared.iter().position(is_it)?;
        if let Some(place) = place {
            place.store(idx, Ordering::Relaxed);
        }
        Some(idx)
    }

    /// Notes that a field is given; `None` when it was before.
    #[inline]
    fn give(&mut self, idx: usize) -> Option<()> {
        (!std::mem::replace(&mut self.is_given[idx], true)).then_some(())
    }

    /// Sets the fields of a timestamp, the first of which stands at a position.
    fn take_apart(&mut self, idx: usize, timestamp: Timestamp, decided_at: Micros) {
        let fields = self.declared[idx..].iter().zip(&mut self.values[idx..]);
        for (field_idx, (field, value)) in fields.enumerate() {
            match field.timestamp {
                // The first one of a timestamp is sent, so the next that is sent is of another.
                Some(part) if field_idx == 0 || !field.is_sent() => {
                    *value = ValueRef::Number(timestamp.part(part, decided_at));
                }
                _ => break,
            }
        }
    }

    /// The values; or the first field that may not be missing and is.
    fn whole(self) -> Result<Vec<ValueRef<'v>>, &'d ContextField> {
        let mut each = self.declared.iter().zip(&self.values);
        match each.find(|(field, value)| !field.missing_allowed && **value == ValueRef::Missing) {
            None => Ok(self.values),
            Some((field, _)) => Err(field),
        }
    }
}

/// What a key holds.
enum Given<'r> {
    Value(ValueRef<'r>),
    Timestamp(Timestamp),
}

fn value<'r>(field: &ContextField, json: &'r Json<'_>, path: &dyn Fn(&str) -> String) -> Result<Given<'r>, Problem> {
    let refused = |found: &str| {
        let detail = format!("`{}` is {found}; expected {}", field.name, words_for(field));
        Problem::invalid(path(&field.name), detail)
    };
    if field.is_timestamp() && !matches!(json, Json::Null) {
        let timestamp = match json {
            Json::Text(text) => Timestamp::parse(text),
            _ => None,
        };
        return timestamp.map(Given::Timestamp).ok_or_else(|| refused(&json.describe()));
    }
    Ok(Given::Value(match (field.feature_type, json) {
        (_, Json::Null) => ValueRef::Missing,
        (FeatureType::Number, Json::Integer(number)) => ValueRef::Number(*number as f64),
        (FeatureType::Number, Json::Number(number)) => ValueRef::Number(*number),
        (FeatureType::Boolean, Json::Bool(boolean)) => ValueRef::Boolean(*boolean),
        (FeatureType::Category, Json::Text(text)) => ValueRef::Category(text),
        (_, other) => return Err(refused(&other.describe())),
    }))
}

fn words_for(field: &ContextField) -> &'static str {
    if field.is_timestamp() {
        return "an RFC 3339 text with its offset, such as \"2026-03-01T19:30:00+01:00\"";
    }
    match field.feature_type {
        FeatureType::Number => "a number",
        FeatureType::Boolean => "true or false",
        FeatureType::Category => "a text",
    }
}

fn unknown(declared: &[ContextField], key: &str, path: &dyn Fn(&str) -> String) -> Problem {
    let shown: String = key.chars().take(80).collect();
    let sent = declared.iter().filter(|field| field.is_sent());
    let known = || sent.clone().map(|field| field.name.as_ref());
    let detail = match nearest(key, known()) {
        Some(name) => format!("`{shown}` is not a context field of the blueprint; did you mean `{name}`?"),
        None if declared.is_empty() => format!("`{shown}` is not known; the blueprint declares no context"),
        None => format!(
            "`{shown}` is not a context field of the blueprint; declared are {}",
            words(known())
        ),
    };
    Problem::invalid(path(&shown), detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use lakeloop_domain::{FeatureValue, TimestampPart};

    use super::*;

    /// 2026-03-01T12:00:00Z.
    const DECIDED_AT: Micros = 1_772_366_400_000_000;

    fn field(name: &str, feature_type: FeatureType, missing_allowed: bool) -> ContextField {
        ContextField {
            name: name.into(),
            feature_type,
            missing_allowed,
            is_feature: true,
            timestamp: None,
        }
    }

    fn check(context: &str) -> Result<Vec<FeatureValue>, (String, String)> {
        let declared = [
            field("age", FeatureType::Number, false),
            field("city", FeatureType::Category, true),
            field("vegetarian", FeatureType::Boolean, true),
        ];
        check_against(&declared, context)
    }

    fn check_against(declared: &[ContextField], context: &str) -> Result<Vec<FeatureValue>, (String, String)> {
        let Json::Object(given) = Json::parse(context.as_bytes()).unwrap() else {
            unreachable!("the cases are objects")
        };
        let mut scanner = Scanner::new(context.as_bytes()).unwrap();
        let places = Places::new(declared);
        let scanned = scan(declared, &places, DECIDED_AT, &mut scanner);
        match values(declared, &places, &given, DECIDED_AT, &|name| format!("context.{name}")) {
            Ok(values) => {
                assert_eq!(scanned.as_ref(), Some(&values), "{context}");
                let features = named(declared, &values, 0);
                let names = features.iter().map(|feature| &feature.name);
                assert!(names.eq(declared.iter().map(|field| &field.name)), "declared order");
                Ok(features.into_iter().map(|feature| feature.value).collect())
            }
            Err(Problem::Invalid { field, detail }) => {
                assert_eq!(scanned, None, "{context}");
                Err((field, detail))
            }
            Err(other) => unreachable!("{other}"),
        }
    }

    #[test]
    fn values_take_the_declared_order() {
        let expected = vec![
            FeatureValue::Number(41.0),
            FeatureValue::Category("pune".into()),
            FeatureValue::Boolean(false),
        ];
        assert_eq!(
            check(r#"{"vegetarian":false,"age":41,"city":"pune"}"#).unwrap(),
            expected
        );
        assert_eq!(
            check(r#"{"age":41.0,"city":"pune","vegetarian":false}"#).unwrap(),
            expected
        );
    }

    #[test]
    fn a_timestamp_becomes_its_parts() {
        let parts = |name: &str, missing_allowed| {
            TimestampPart::ALL.map(|part| ContextField {
                timestamp: Some(part),
                is_feature: part != TimestampPart::Instant,
                ..field(&part.name(name), FeatureType::Number, missing_allowed)
            })
        };
        // The first one is only logged, so that the second follows at once.
        let declared = [
            &parts("born", true)[..1],
            &parts("placed", true),
            &[field("size", FeatureType::Number, false)],
        ];
        let declared = declared.concat();
        let numbers = |numbers: [f64; 5]| numbers.map(FeatureValue::Number).to_vec();
        let missing = |n| vec![FeatureValue::Missing; n];
        let placed = numbers([1_772_364_600_000_000.0, 12.5, 6.0, 1.0, 1_800.0]);
        let size = vec![FeatureValue::Number(3.0)];
        let placed_only = r#"{"placed":"2026-03-01T12:30:00+01:00","size":3}"#;
        let found = check_against(&declared, placed_only).unwrap();
        assert_eq!(found, [missing(1), placed.clone(), size.clone()].concat());
        let born = r#"{"size":3,"born":"1970-01-01T00:00:01Z","placed":null}"#;
        let born_at = vec![FeatureValue::Number(1e6)];
        let found = check_against(&declared, born).unwrap();
        assert_eq!(found, [born_at.clone(), missing(5), size.clone()].concat());
        let both = r#"{"born":"1970-01-01T00:00:01Z","size":3,"placed":"2026-03-01T12:30:00+01:00"}"#;
        assert_eq!(
            check_against(&declared, both).unwrap(),
            [born_at, placed, size].concat()
        );

        let expected = "expected an RFC 3339 text with its offset, such as \"2026-03-01T19:30:00+01:00\"";
        for (context, name, detail) in [
            (
                r#"{"placed":7}"#,
                "placed",
                format!("`placed` is the number 7; {expected}"),
            ),
            (
                r#"{"placed":"noon"}"#,
                "placed",
                format!("`placed` is the text \"noon\"; {expected}"),
            ),
            (
                r#"{"placed.hour":7}"#,
                "placed.hour",
                "`placed.hour` is not a context field of the blueprint; declared are `born`, `placed`, `size`"
                    .to_owned(),
            ),
        ] {
            assert_eq!(
                check_against(&declared, context),
                Err((format!("context.{name}"), detail)),
                "{context}"
            );
        }
        let required = parts("placed", false);
        let refused = check_against(&required, "{}").unwrap_err();
        assert!(
            refused.1.starts_with("`placed` is missing; send an RFC 3339 text"),
            "{refused:?}"
        );
    }

    #[test]
    fn what_may_be_missing_may_be_absent_or_null() {
        let expected = vec![FeatureValue::Number(-1.5), FeatureValue::Missing, FeatureValue::Missing];
        assert_eq!(check(r#"{"age":-1.5,"city":null}"#).unwrap(), expected);
    }

    #[test]
    fn refusals_name_the_field_and_what_to_write() {
        for (context, field, detail) in [
            (
                r#"{"age":"41"}"#,
                "context.age",
                "`age` is the text \"41\"; expected a number",
            ),
            (
                r#"{"age":true}"#,
                "context.age",
                "`age` is the boolean true; expected a number",
            ),
            (
                r#"{"age":1,"city":7}"#,
                "context.city",
                "`city` is the number 7; expected a text",
            ),
            (
                r#"{"age":1,"vegetarian":1}"#,
                "context.vegetarian",
                "`vegetarian` is the number 1; expected true or false",
            ),
            (r#"{"age":[1]}"#, "context.age", "`age` is a list; expected a number"),
            (
                r#"{"age":1,"ctiy":"x"}"#,
                "context.ctiy",
                "`ctiy` is not a context field of the blueprint; declared are `age`, `city`, `vegetarian`",
            ),
            (
                r#"{"age":1,"vegetaran":true}"#,
                "context.vegetaran",
                "`vegetaran` is not a context field of the blueprint; did you mean `vegetarian`?",
            ),
            (
                r#"{}"#,
                "context.age",
                "`age` is missing; send a number, or declare `missing = \"allowed\"` in the blueprint",
            ),
            (
                r#"{"age":null}"#,
                "context.age",
                "`age` is missing; send a number, or declare `missing = \"allowed\"` in the blueprint",
            ),
            (
                r#"{"age":1,"age":2}"#,
                "context.age",
                "`age` is given twice; give it once",
            ),
        ] {
            assert_eq!(check(context), Err((field.into(), detail.into())), "{context}");
        }
    }
}
