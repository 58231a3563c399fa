//! Owns the checking of a request's context: JSON values become the blueprint's context features, in its order.
//!
//! Nothing is guessed. A value of another type, a key that the blueprint does not declare, a key given twice and a
//! required key left out are all refused by name; only fields that the blueprint lets be missing may be absent or null.
//! A whole number is a number; a number is no boolean and no category, so that what training sees is what was meant.

use lakeloop_domain::{ContextField, FeatureType, FeatureValue, Features, NamedValue};

use crate::json::{Json, Object};
use crate::nearest::nearest;
use crate::problem::Problem;
use crate::wire::words;

/// The context as features, in the order of `declared`, with room for `n_more`. `path` names a key for messages.
pub(crate) fn features(
    declared: &[ContextField],
    given: Object<'_>,
    n_more: usize,
    path: &dyn Fn(&str) -> String,
) -> Result<Features, Problem> {
    let mut features: Features = Vec::with_capacity(declared.len() + n_more);
    features.extend(declared.iter().map(|field| NamedValue {
        name: field.name.clone(),
        feature_type: field.feature_type,
        value: FeatureValue::Missing,
    }));
    let mut is_given = vec![false; declared.len()];
    for (position, (key, json)) in given.into_iter().enumerate() {
        // Callers tend to send fields in the declared order, which saves the search.
        let in_order = declared.get(position).is_some_and(|field| *field.name == *key);
        let idx = match in_order {
            true => position,
            false => declared
                .iter()
                .position(|field| *field.name == *key)
                .ok_or_else(|| unknown(declared, &key, path))?,
        };
        if std::mem::replace(&mut is_given[idx], true) {
            let detail = format!("`{key}` is given twice; give it once");
            return Err(Problem::invalid(path(&key), detail));
        }
        features[idx].value = value(&declared[idx], json, path)?;
    }
    let missing = declared
        .iter()
        .zip(&features)
        .find(|(field, feature)| !field.missing_allowed && feature.value == FeatureValue::Missing);
    match missing {
        None => Ok(features),
        Some((field, _)) => {
            let expected = words_for(field.feature_type);
            let detail = format!(
                "`{}` is missing; send {expected}, or declare `missing = \"allowed\"` in the blueprint",
                field.name
            );
            Err(Problem::invalid(path(&field.name), detail))
        }
    }
}

fn value(field: &ContextField, json: Json<'_>, path: &dyn Fn(&str) -> String) -> Result<FeatureValue, Problem> {
    Ok(match (field.feature_type, json) {
        (_, Json::Null) => FeatureValue::Missing,
        (FeatureType::Number, Json::Integer(number)) => FeatureValue::Number(number as f64),
        (FeatureType::Number, Json::Number(number)) => FeatureValue::Number(number),
        (FeatureType::Boolean, Json::Bool(boolean)) => FeatureValue::Boolean(boolean),
        (FeatureType::Category, Json::Text(text)) => FeatureValue::Category(text.into_owned()),
        (feature_type, other) => {
            let expected = words_for(feature_type);
            let detail = format!("`{}` is {}; expected {expected}", field.name, other.describe());
            return Err(Problem::invalid(path(&field.name), detail));
        }
    })
}

fn words_for(feature_type: FeatureType) -> &'static str {
    match feature_type {
        FeatureType::Number => "a number",
        FeatureType::Boolean => "true or false",
        FeatureType::Category => "a text",
    }
}

fn unknown(declared: &[ContextField], key: &str, path: &dyn Fn(&str) -> String) -> Problem {
    let shown: String = key.chars().take(80).collect();
    let known = || declared.iter().map(|field| field.name.as_ref());
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
    use super::*;

    fn field(name: &str, feature_type: FeatureType, missing_allowed: bool) -> ContextField {
        ContextField {
            name: name.into(),
            feature_type,
            missing_allowed,
            is_feature: true,
        }
    }

    fn check(context: &str) -> Result<Vec<FeatureValue>, (String, String)> {
        let declared = [
            field("age", FeatureType::Number, false),
            field("city", FeatureType::Category, true),
            field("vegetarian", FeatureType::Boolean, true),
        ];
        let Json::Object(given) = Json::parse(context.as_bytes()).unwrap() else {
            unreachable!("the cases are objects")
        };
        match features(&declared, given, 0, &|name| format!("context.{name}")) {
            Ok(features) => {
                let names: Vec<&str> = features.iter().map(|feature| feature.name.as_ref()).collect();
                assert_eq!(names, ["age", "city", "vegetarian"], "declared order");
                Ok(features.into_iter().map(|feature| feature.value).collect())
            }
            Err(Problem::Invalid { field, detail }) => Err((field, detail)),
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
