//! Feature values as they are served, logged and trained on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What kind of value a feature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureType {
    /// A finite 64-bit number.
    Number,
    /// True or false; a model sees 1 or 0.
    Boolean,
    /// One of many texts without order.
    Category,
}

impl FeatureType {
    /// The word a blueprint uses for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Category => "category",
        }
    }
}

/// One value of a feature. Numbers are finite: NaN and infinities are refused at every door, and what is unknown is
/// `Missing`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FeatureValue {
    /// Nothing is known.
    Missing,
    /// A finite number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// The text of a category.
    Category(String),
}

impl FeatureValue {
    /// The value as a number: booleans are 1 and 0; `None` for categories and missing values.
    pub fn as_number(&self) -> Option<f64> {
        ValueRef::from(self).as_number()
    }

    /// True when the value may stand in a feature of this type; a missing value always may.
    pub fn fits(&self, feature_type: FeatureType) -> bool {
        ValueRef::from(self).fits(feature_type)
    }
}

/// A feature's value, borrowed from wherever it is kept: a request, a journal, a [`FeatureValue`]. It means the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// Nothing is known.
    Missing,
    /// A finite number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// The text of a category.
    Category(&'a str),
}

impl ValueRef<'_> {
    /// The value as a number: booleans are 1 and 0; `None` for categories and missing values.
    #[inline]
    pub fn as_number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Boolean(boolean) => Some(f64::from(u8::from(boolean))),
            Self::Missing | Self::Category(_) => None,
        }
    }

    /// True when the value may stand in a feature of this type; a missing value always may.
    #[inline]
    pub fn fits(self, feature_type: FeatureType) -> bool {
        matches!(
            (self, feature_type),
            (Self::Missing, _)
                | (Self::Number(_), FeatureType::Number)
                | (Self::Boolean(_), FeatureType::Boolean)
                | (Self::Category(_), FeatureType::Category)
        )
    }
}

impl<'a> From<&'a FeatureValue> for ValueRef<'a> {
    #[inline]
    fn from(value: &'a FeatureValue) -> Self {
        match value {
            FeatureValue::Missing => Self::Missing,
            FeatureValue::Number(number) => Self::Number(*number),
            FeatureValue::Boolean(boolean) => Self::Boolean(*boolean),
            FeatureValue::Category(text) => Self::Category(text),
        }
    }
}

impl From<ValueRef<'_>> for FeatureValue {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Missing => Self::Missing,
            ValueRef::Number(number) => Self::Number(number),
            ValueRef::Boolean(boolean) => Self::Boolean(boolean),
            ValueRef::Category(text) => Self::Category(text.to_owned()),
        }
    }
}

/// A value with the name and type of its feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedValue {
    /// The feature's name.
    pub name: Arc<str>,
    /// Its type: it decides in which of the table's two maps the value is kept, also when it is missing.
    pub feature_type: FeatureType,
    /// Its value.
    pub value: FeatureValue,
}

/// The features of one decision, in the blueprint's order: context first, then each feature view's columns.
pub type Features = Vec<NamedValue>;
