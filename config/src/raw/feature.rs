//! The fields of the context and the columns of feature views, in their short and their long form.

use std::collections::BTreeMap;

use lakeloop_domain::{ContextField, FeatureType, TimestampPart};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::quantity::Period;

/// The type of a feature: `number`, `boolean`, or `category` (one of many texts without order).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawFeatureType {
    /// A finite number.
    Number,
    /// True or false.
    Boolean,
    /// One of many texts without order.
    Category,
}

impl From<RawFeatureType> for FeatureType {
    fn from(raw: RawFeatureType) -> Self {
        match raw {
            RawFeatureType::Number => Self::Number,
            RawFeatureType::Boolean => Self::Boolean,
            RawFeatureType::Category => Self::Category,
        }
    }
}

/// The type of a field that callers send: that of a feature, or `timestamp` (an RFC 3339 text, of which models see the hour,
/// the weekday, the day of the month and the age).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawFieldType {
    /// A finite number.
    Number,
    /// True or false.
    Boolean,
    /// One of many texts without order.
    Category,
    /// A time with its offset.
    Timestamp,
}

impl RawFieldType {
    /// The type of its values: those of a timestamp are numbers.
    fn feature_type(self) -> FeatureType {
        match self {
            Self::Number | Self::Timestamp => FeatureType::Number,
            Self::Boolean => FeatureType::Boolean,
            Self::Category => FeatureType::Category,
        }
    }
}

/// A field of the context: its type, or a table with more about it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawContextField {
    /// The type; a request without the field is refused.
    Short(RawFieldType),
    /// The type and more.
    Long(RawContextFieldTable),
}

/// A field of the context with more than its type.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawContextFieldTable {
    /// The field's type.
    #[serde(rename = "type")]
    pub field_type: RawFieldType,
    /// Whether a request may leave the field out: `refused` unless said otherwise.
    pub missing: Option<RawMissing>,
    /// false: the field is logged and can name an entity, but no model sees it.
    pub feature: Option<bool>,
}

/// Whether a request may leave a field out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawMissing {
    /// It may; the value is then missing, which models understand.
    Allowed,
    /// It may not; a request without the field is refused.
    Refused,
}

impl RawContextField {
    fn field_type(&self) -> RawFieldType {
        match self {
            Self::Short(field_type) => *field_type,
            Self::Long(table) => table.field_type,
        }
    }

    /// The fields of a blueprint that come of it: itself, or the parts of a timestamp, of which a model sees all but the time.
    pub fn fields(&self, name: &str) -> Vec<ContextField> {
        let field = |name: &str, is_feature, timestamp| ContextField {
            name: name.into(),
            feature_type: self.field_type().feature_type(),
            missing_allowed: self.missing_allowed(),
            is_feature,
            timestamp,
        };
        match (self.field_type(), self.is_feature()) {
            (RawFieldType::Timestamp, true) => {
                let parts = TimestampPart::ALL.iter();
                let of = |part: &TimestampPart| field(&part.name(name), *part != TimestampPart::Instant, Some(*part));
                parts.map(of).collect()
            }
            (RawFieldType::Timestamp, false) => vec![field(name, false, Some(TimestampPart::Instant))],
            (_, is_feature) => vec![field(name, is_feature, None)],
        }
    }

    /// True for a category.
    pub fn is_category(&self) -> bool {
        self.field_type() == RawFieldType::Category
    }

    /// The word for its type.
    pub fn type_word(&self) -> &'static str {
        match self.field_type() {
            RawFieldType::Timestamp => "timestamp",
            other => other.feature_type().as_str(),
        }
    }

    /// True when a request may leave the field out.
    pub fn missing_allowed(&self) -> bool {
        matches!(self, Self::Long(table) if table.missing == Some(RawMissing::Allowed))
    }

    /// True when models see the field.
    pub fn is_feature(&self) -> bool {
        !matches!(self, Self::Long(table) if table.feature == Some(false))
    }
}

/// Features that are read from the lake by entity, as of the time of the decision.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFeatureView {
    /// The field of the context that holds the entity: a category; or `unit` for the unit itself.
    #[schemars(schema_with = "crate::form::word")]
    pub entity: String,
    /// A value older than this counts as missing. Without it no value is too old.
    pub freshness: Option<Period>,
    /// What reading the view costs a decision. A search drops features whose gain does not pay for it.
    pub cost: Option<Period>,
    /// The columns to read. Each has a type, or a table with more about it.
    #[schemars(extend("minProperties" = 1, "propertyNames" = crate::form::Form::FeatureName.schema()))]
    pub columns: BTreeMap<String, RawFeatureColumn>,
    /// A query over the lake whose rows are the view.
    #[schemars(extend("x-built" = false))]
    pub sql: Option<String>,
    /// The query's column that says since when a row holds.
    #[schemars(extend("x-built" = false))]
    pub event_time: Option<String>,
}

/// A column of a feature view: its type, or a table with more about it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawFeatureColumn {
    /// The type; a value that is not there is missing, which models understand.
    Short(RawFeatureType),
    /// The type and more.
    Long(RawFeatureColumnTable),
}

/// A column of a feature view with more than its type.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFeatureColumnTable {
    /// The column's type.
    #[serde(rename = "type")]
    pub feature_type: RawFeatureType,
    /// What stands in where the entity, the row or the value is absent or too old.
    pub when_missing: Option<RawValue>,
}

/// The value of a feature.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawValue {
    /// Of a boolean.
    Boolean(bool),
    /// Of a number.
    Number(f64),
    /// Of a category.
    Category(String),
}

impl RawFeatureColumn {
    /// The column's type.
    pub fn feature_type(&self) -> FeatureType {
        match self {
            Self::Short(feature_type) => (*feature_type).into(),
            Self::Long(table) => table.feature_type.into(),
        }
    }

    /// What stands in for a missing value.
    pub fn when_missing(&self) -> Option<&RawValue> {
        match self {
            Self::Short(_) => None,
            Self::Long(table) => table.when_missing.as_ref(),
        }
    }
}
