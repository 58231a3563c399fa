//! Whether one TOML value fits one schema, by its type and its bounds.

use serde_json::Value as Schema;
use toml::de::DeValue;

use crate::expectation::Branches;

/// True for a schema of tables.
pub(crate) fn accepts_table(schema: &Schema) -> bool {
    schema.get("type").and_then(Schema::as_str) == Some("object")
        || schema
            .get("oneOf")
            .is_some_and(|_| matches!(Branches::of(schema), Branches::Tagged { .. }))
}

/// True when a value of this TOML type can fit the schema.
pub(crate) fn accepts(schema: &Schema, value: &DeValue<'_>) -> bool {
    match Branches::of(schema) {
        Branches::Words(_) => value.is_str(),
        Branches::Tagged { .. } => value.is_table(),
        Branches::Alternatives(branches) => branches.iter().any(|branch| accepts(branch, value)),
        Branches::None => match schema.get("type").and_then(Schema::as_str) {
            Some("object") => value.is_table(),
            Some("array") => value.is_array(),
            Some("boolean") => value.is_bool(),
            Some("string") => value.is_str(),
            Some("integer") => value.is_integer(),
            Some("number") => value.is_integer() || value.is_float(),
            _ => false,
        },
    }
}

/// A number as `f64`; `None` for other values and for whole numbers beyond 64 bits.
pub(crate) fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .map(|whole| whole as f64),
        DeValue::Float(float) => float.as_str().parse().ok(),
        _ => None,
    }
}

/// True when a number lies within the bounds of a schema.
pub(crate) fn within(schema: &Schema, value: f64) -> bool {
    let bound = |keyword| schema.get(keyword).and_then(Schema::as_f64);
    bound("minimum").is_none_or(|minimum| value >= minimum)
        && bound("exclusiveMinimum").is_none_or(|above| value > above)
        && bound("maximum").is_none_or(|maximum| value <= maximum)
}
