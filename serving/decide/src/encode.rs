//! Owns the one encoding: named feature values in, the f32 row that a model reads out.
//!
//! Serving and training both encode here, so a row that is trained on is the row that was served. The rules:
//!
//! | value | in a number or boolean column | in a category column |
//! |---|---|---|
//! | a number | the nearest f32; beyond the range of f32, the largest finite f32 of its sign | missing |
//! | a boolean | 1 or 0 | missing |
//! | a text | missing | its position in the vocabulary; missing when it is not there |
//! | missing, or no feature of the column's name | missing | missing |
//!
//! Missing is NaN, as XGBoost reads it. Numbers saturate because libxgboost refuses infinities. What types a caller may
//! send is checked at the doors, and [`crate::Bundle::new`] checks that a model's columns have the blueprint's types;
//! a value that still does not fit its column is treated as unknown.
//!
//! The reserved column `action` holds the action that is being scored. Learning the vocabulary is left to training.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use lakeloop_domain::{EncodedColumn, Encoding, FeatureType, NamedValue, ValueRef};

/// The name of the column that holds the action being scored. No feature may have it.
pub const ACTION_COLUMN: &str = "action";

/// The largest vocabulary of a column: every code up to here is an exact f32.
const MAX_VOCABULARY: usize = 1 << 24;

/// Why an encoding cannot be used. Nothing is encoded with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// A name would not say which column is meant.
    #[error("two columns are named `{column}`: a column's name must be its own")]
    RepeatedColumn {
        /// The name.
        column: String,
    },
    /// A text would have two codes.
    #[error("the vocabulary of column `{column}` holds `{category}` twice: each text has one code")]
    RepeatedCategory {
        /// The column.
        column: String,
        /// The text.
        category: String,
    },
    /// Only categories have a vocabulary.
    #[error("column `{column}` is a {found} and has a vocabulary: only categories have one", found = .feature_type.as_str())]
    UnusedVocabulary {
        /// The column.
        column: String,
        /// Its type.
        feature_type: FeatureType,
    },
    /// Codes beyond 2^24 are no exact f32.
    #[error("the vocabulary of column `{column}` has {found} texts: at most {MAX_VOCABULARY} have an exact code")]
    LargeVocabulary {
        /// The column.
        column: String,
        /// How many texts it has.
        found: usize,
    },
    /// Actions are texts.
    #[error("the column `{ACTION_COLUMN}` is a {found}: it must be a category", found = .feature_type.as_str())]
    ActionType {
        /// The type it has.
        feature_type: FeatureType,
    },
}

/// A row to encode into has another length than the encoding has columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the row holds {found} values, the encoding has {expected} columns")]
pub struct WidthError {
    /// The number of columns.
    pub expected: usize,
    /// The length of the row.
    pub found: usize,
}

/// An encoding made ready: each vocabulary is a hash map, each column knows where its feature usually stands.
#[derive(Debug, Clone)]
pub struct Encoder {
    columns: Vec<Column>,
    action_idx: Option<usize>,
}

#[derive(Debug, Clone)]
struct Column {
    name: Arc<str>,
    feature_type: FeatureType,
    codes: HashMap<String, f32>,
    /// Where the feature stands when features come in the expected order. Only a shortcut: the name decides.
    usual_idx: usize,
    /// True when the feature is one of the candidate that is scored.
    is_of_candidate: bool,
}

impl Encoder {
    /// Checks an encoding and makes it ready.
    pub fn new(encoding: &Encoding) -> Result<Self, EncodingError> {
        let mut names = HashSet::new();
        let mut columns = Vec::with_capacity(encoding.columns.len());
        for (column_idx, declared) in encoding.columns.iter().enumerate() {
            if !names.insert(declared.name.as_str()) {
                return Err(EncodingError::RepeatedColumn {
                    column: declared.name.clone(),
                });
            }
            columns.push(Column::new(declared, column_idx)?);
        }
        let action_idx = columns.iter().position(|column| &*column.name == ACTION_COLUMN);
        Ok(Self { columns, action_idx })
    }

    /// The number of columns: the width of a row.
    pub fn n_columns(&self) -> usize {
        self.columns.len()
    }

    /// The columns in the model's order: name and type.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = (&str, FeatureType)> {
        self.columns.iter().map(|column| (&*column.name, column.feature_type))
    }

    /// Which column holds the action, if one does.
    pub fn action_idx(&self) -> Option<usize> {
        self.action_idx
    }

    /// The code of an action: NaN (missing) when the vocabulary does not hold it or no column holds actions.
    pub fn action_code(&self, action: &str) -> f32 {
        self.action_idx
            .map_or(f32::NAN, |column_idx| self.columns[column_idx].code(action))
    }

    /// Writes one row: `out` is `[n_columns]` in column order, NaN where missing.
    ///
    /// Features are found by name and may come in any order; those that are no column are passed over. `action` fills
    /// the column `action`; `None` leaves it missing. Allocates nothing.
    ///
    /// ```
    /// use lakeloop_decide::encode::Encoder;
    /// use lakeloop_domain::{EncodedColumn, Encoding, FeatureType, FeatureValue, NamedValue};
    ///
    /// let column = |name: &str, feature_type, vocabulary: &[&str]| EncodedColumn {
    ///     name: name.into(),
    ///     feature_type,
    ///     vocabulary: vocabulary.iter().map(|text| text.to_string()).collect(),
    /// };
    /// let encoder = Encoder::new(&Encoding {
    ///     columns: vec![
    ///         column("age", FeatureType::Number, &[]),
    ///         column("city", FeatureType::Category, &["Oslo", "Lima"]),
    ///         column("action", FeatureType::Category, &["ramen", "tacos"]),
    ///     ],
    /// })?;
    /// let features = [NamedValue {
    ///     name: "city".into(),
    ///     feature_type: FeatureType::Category,
    ///     value: FeatureValue::Category("Lima".into()),
    /// }];
    /// let mut row = [0.0; 3];
    /// encoder.encode_into(&features, Some("ramen"), &mut row)?;
    /// assert!(row[0].is_nan());
    /// assert_eq!(row[1..], [1.0, 0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode_into(
        &self,
        features: &[NamedValue],
        action: Option<&str>,
        out: &mut [f32],
    ) -> Result<(), WidthError> {
        if out.len() != self.columns.len() {
            return Err(WidthError {
                expected: self.columns.len(),
                found: out.len(),
            });
        }
        self.fill(features, out);
        if let (Some(column_idx), Some(action)) = (self.action_idx, action) {
            out[column_idx] = self.columns[column_idx].code(action);
        }
        Ok(())
    }

    /// Writes the row without its action, which stays missing. `out` has the right width.
    pub(crate) fn fill(&self, features: &[NamedValue], out: &mut [f32]) {
        for (column, slot) in self.columns.iter().zip(out.iter_mut()) {
            *slot = column.value_in(features);
        }
        if let Some(column_idx) = self.action_idx {
            out[column_idx] = f32::NAN;
        }
    }

    /// Writes the same row as [`fill`](Self::fill) from values that stand in a known order: `positions[column_idx]` says
    /// where a column's value stands in `values`; `None` leaves the column missing. No name is compared.
    pub(crate) fn fill_at(&self, positions: &[Option<usize>], values: &[ValueRef<'_>], out: &mut [f32]) {
        for ((column, position), slot) in self.columns.iter().zip(positions).zip(out.iter_mut()) {
            *slot = position
                .and_then(|idx| values.get(idx))
                .map_or(f32::NAN, |value| column.encode(*value));
        }
    }

    /// Writes what all candidates of a decision share; their own columns are missing.
    pub(crate) fn fill_shared(&self, features: &[NamedValue], out: &mut [f32]) {
        for (column, slot) in self.columns.iter().zip(out.iter_mut()) {
            *slot = match column.is_of_candidate {
                true => f32::NAN,
                false => column.value_in(features),
            };
        }
    }

    /// Writes a candidate's columns into a row that holds the others, which stay as they are.
    pub(crate) fn fill_candidate(&self, features: &[NamedValue], out: &mut [f32]) {
        let columns = self.columns.iter().zip(out.iter_mut());
        for (column, slot) in columns.filter(|(column, _)| column.is_of_candidate) {
            *slot = column.value_in(features);
        }
    }

    /// The same from values that stand in a known order, as for [`fill_at`](Self::fill_at); `None` leaves a column as it is.
    pub(crate) fn fill_candidate_at(&self, positions: &[Option<usize>], values: &[ValueRef<'_>], out: &mut [f32]) {
        for ((column, position), slot) in self.columns.iter().zip(positions).zip(out.iter_mut()) {
            if let Some(value) = position.and_then(|idx| values.get(idx)) {
                *slot = column.encode(*value);
            }
        }
    }

    /// Tells which features come with each candidate, and in which order they usually do.
    pub(crate) fn expect_candidates<'a>(&mut self, names: impl Iterator<Item = &'a Arc<str>>) {
        self.expect(names, true);
    }

    /// Tells where features usually stand, so that finding one takes a comparison of pointers instead of a search.
    pub(crate) fn expect_order<'a>(&mut self, names: impl Iterator<Item = &'a Arc<str>>) {
        self.expect(names, false);
    }

    fn expect<'a>(&mut self, names: impl Iterator<Item = &'a Arc<str>>, is_of_candidate: bool) {
        for (feature_idx, name) in names.enumerate() {
            if let Some(column) = self.columns.iter_mut().find(|column| column.name == *name) {
                column.name = Arc::clone(name);
                column.usual_idx = feature_idx;
                column.is_of_candidate = is_of_candidate;
            }
        }
    }
}

impl Column {
    fn new(declared: &EncodedColumn, column_idx: usize) -> Result<Self, EncodingError> {
        let column = || declared.name.clone();
        let feature_type = declared.feature_type;
        if declared.name == ACTION_COLUMN && feature_type != FeatureType::Category {
            return Err(EncodingError::ActionType { feature_type });
        }
        if feature_type != FeatureType::Category && !declared.vocabulary.is_empty() {
            return Err(EncodingError::UnusedVocabulary {
                column: column(),
                feature_type,
            });
        }
        if declared.vocabulary.len() > MAX_VOCABULARY {
            return Err(EncodingError::LargeVocabulary {
                column: column(),
                found: declared.vocabulary.len(),
            });
        }
        let mut codes = HashMap::with_capacity(declared.vocabulary.len());
        for (code, category) in declared.vocabulary.iter().enumerate() {
            if codes.insert(category.clone(), code as f32).is_some() {
                return Err(EncodingError::RepeatedCategory {
                    column: column(),
                    category: category.clone(),
                });
            }
        }
        Ok(Self {
            name: declared.name.as_str().into(),
            feature_type,
            codes,
            usual_idx: column_idx,
            is_of_candidate: false,
        })
    }

    fn feature<'f>(&self, features: &'f [NamedValue]) -> Option<&'f NamedValue> {
        match features.get(self.usual_idx) {
            Some(feature) if Arc::ptr_eq(&feature.name, &self.name) || feature.name == self.name => Some(feature),
            _ => features.iter().find(|feature| feature.name == self.name),
        }
    }

    fn value_in(&self, features: &[NamedValue]) -> f32 {
        self.feature(features)
            .map_or(f32::NAN, |feature| self.encode(ValueRef::from(&feature.value)))
    }

    fn encode(&self, value: ValueRef<'_>) -> f32 {
        match (value, self.feature_type) {
            (ValueRef::Category(text), FeatureType::Category) => self.code(text),
            (_, FeatureType::Category) => f32::NAN,
            (value, _) => value.as_number().map_or(f32::NAN, nearest_f32),
        }
    }

    fn code(&self, text: &str) -> f32 {
        self.codes.get(text).copied().unwrap_or(f32::NAN)
    }
}

/// The nearest f32, kept finite: what lies beyond becomes the largest f32 of its sign. NaN stays NaN.
fn nearest_f32(number: f64) -> f32 {
    (number as f32).clamp(f32::MIN, f32::MAX)
}
