//! The words of messages that several checks share.

use serde_json::Value as Schema;
use toml::de::DeValue;

use crate::document::quoted;
use crate::expectation::{expectation, is_built};
use crate::form::Form;
use crate::nearest::nearest;

pub(crate) fn unfit_form(shown: &str, form: Form, why: Option<String>, expected: &str) -> String {
    match why {
        Some(why) => format!("{shown} is not {}: {why}; write {expected}", form.what()),
        None => format!("{shown} is not {}; write {expected}", form.what()),
    }
}

pub(crate) fn not_built(what: &str) -> String {
    format!("{what} is declared by the schema but not built yet in this version; remove it")
}

/// The message for a key that the table does not have, and the key that was meant.
pub(crate) fn unknown_key(schema: &Schema, name: &str, siblings: &[(&str, &Schema)]) -> (String, Option<String>) {
    let mut known: Vec<&str> = properties(schema)
        .filter(|(_, property)| is_built(property))
        .map(|(key, _)| key)
        .collect();
    known.sort_unstable();
    if let Some(meant) = nearest(name, known.iter().copied()) {
        return (format!("unknown key; did you mean {meant}?"), Some(meant.to_owned()));
    }
    let owner = siblings
        .iter()
        .find(|(_, branch)| is_built(branch) && properties(branch).any(|(key, _)| key == name));
    if let Some((kind, _)) = owner {
        return (format!("this key belongs to kind {}; remove it", quoted(kind)), None);
    }
    (format!("unknown key; the keys here are {}", known.join(", ")), None)
}

pub(crate) fn properties(schema: &Schema) -> impl Iterator<Item = (&str, &Schema)> {
    let object = schema.get("properties").and_then(Schema::as_object);
    object
        .into_iter()
        .flatten()
        .map(|(key, property)| (key.as_str(), property))
}

pub(crate) fn type_in_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The message for a required key that is not there.
pub(crate) fn missing(schema: &Schema) -> String {
    let expected = expectation(schema);
    match Form::of(schema) {
        Some(form) => format!("missing; write {}: {expected}", form.what()),
        None => format!("missing; write {expected}"),
    }
}
