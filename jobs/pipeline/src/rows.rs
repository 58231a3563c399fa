//! The rows of a training set as the query returned them, read row by row in the form in which features are served.
//!
//! The two maps of a row hold what was logged with the decision, bit for bit; reading turns them into the named values
//! that serving hands to the encoder, in the blueprint's order, so that training and serving share one encoding. What
//! a blueprint added after the decision and no feature view holds is missing.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, MapArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use lakeloop_domain::{Blueprint, FeatureType, FeatureValue, Features, Micros, NamedValue};
use lakeloop_sql::training_rows_schema;

/// The rows, in ascending order of (event_time, decision_id); those of one decision that ranked, its candidates, follow each
/// other.
pub(crate) struct TrainingRows {
    batch: RecordBatch,
    ids: StringArray,
    /// For each row the number of decisions before its own.
    decisions: Vec<usize>,
    /// For each row a number that stands for its unit.
    units: Vec<usize>,
    event_times: TimestampMicrosecondArray,
    actions: StringArray,
    propensities: Float64Array,
    labels: Float64Array,
    numeric: MapArray,
    categorical: MapArray,
}

/// Positions of the model's features, by name.
pub(crate) struct FeatureLayout {
    template: Features,
    positions: HashMap<Arc<str>, usize>,
}

impl FeatureLayout {
    /// The layout of a blueprint's features: context first, then each view's columns, then a candidate's.
    pub fn new(blueprint: &Blueprint) -> Self {
        let template: Features = blueprint
            .model_features()
            .map(|(name, feature_type)| NamedValue {
                name: Arc::clone(name),
                feature_type,
                value: FeatureValue::Missing,
            })
            .collect();
        let positions = template
            .iter()
            .enumerate()
            .map(|(idx, value)| (Arc::clone(&value.name), idx))
            .collect();
        Self { template, positions }
    }

    /// A row without values, to be filled by [`TrainingRows::read_features`].
    pub fn blank(&self) -> Features {
        self.template.clone()
    }

    fn position(&self, name: &str, wanted: impl Fn(FeatureType) -> bool) -> Option<usize> {
        let idx = *self.positions.get(name)?;
        wanted(self.template[idx].feature_type).then_some(idx)
    }
}

impl TrainingRows {
    /// Takes the batches of the training query, whose columns are [`training_rows_schema`].
    pub fn new(batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let batch = concat_batches(&training_rows_schema(), batches)?;
        let column = |name: &str| {
            let absent = || ArrowError::SchemaError(format!("the training query has no column `{name}`"));
            batch.column_by_name(name).ok_or_else(absent)
        };
        let ids = column("decision_id")?.as_string::<i32>().clone();
        let mut decisions = Vec::with_capacity(ids.len());
        for row_idx in 0..ids.len() {
            let is_new = row_idx > 0 && ids.value(row_idx) != ids.value(row_idx - 1);
            decisions.push(decisions.last().copied().unwrap_or(0) + usize::from(is_new));
        }
        let units = numbered(column("unit")?.as_string::<i32>());
        Ok(Self {
            ids,
            decisions,
            units,
            event_times: column("event_time")?.as_primitive::<TimestampMicrosecondType>().clone(),
            actions: column("action")?.as_string::<i32>().clone(),
            propensities: column("propensity")?.as_primitive::<Float64Type>().clone(),
            labels: column("label")?.as_primitive::<Float64Type>().clone(),
            numeric: column("numeric")?.as_map().clone(),
            categorical: column("categorical")?.as_map().clone(),
            batch,
        })
    }

    /// All columns, as the training_rows table has them but for the set's id and the split.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// The number of decisions that the rows stem from.
    pub fn n_decisions(&self) -> usize {
        self.decisions.last().map_or(0, |last| last + 1)
    }

    /// The id of each row's decision.
    pub fn decision_ids(&self) -> &StringArray {
        &self.ids
    }

    /// For each row which decision it stems from, as a number that only grows.
    pub fn decisions(&self) -> &[usize] {
        &self.decisions
    }

    /// For each row whose decision it stems from: rows of one unit have the same number, and no others have it.
    pub fn units(&self) -> &[usize] {
        &self.units
    }

    /// The same rows, with units of another making.
    #[cfg(test)]
    pub fn with_units(mut self, unit: impl Fn(usize) -> usize) -> Self {
        self.units = (0..self.len()).map(unit).collect();
        self
    }

    /// When each decision was made, in ascending order.
    pub fn event_times(&self) -> &[Micros] {
        self.event_times.values()
    }

    /// The action that was taken; `None` for numbers and rankings.
    pub fn action(&self, row_idx: usize) -> Option<&str> {
        self.actions.is_valid(row_idx).then(|| self.actions.value(row_idx))
    }

    /// The probability of what was chosen; for a candidate, that it stood at its position.
    pub fn propensity(&self, row_idx: usize) -> f64 {
        self.propensities.value(row_idx)
    }

    /// The label; for several classes the class's position among the blueprint's actions.
    pub fn label(&self, row_idx: usize) -> Option<f64> {
        self.labels.is_valid(row_idx).then(|| self.labels.value(row_idx))
    }

    /// Reads one row's features into `features`, which was made by [`FeatureLayout::blank`].
    pub fn read_features(&self, row_idx: usize, layout: &FeatureLayout, features: &mut Features) {
        for feature in features.iter_mut() {
            feature.value = FeatureValue::Missing;
        }
        let (names, values) = (self.numeric.keys().as_string::<i32>(), self.numeric.values());
        let values = values.as_primitive::<Float64Type>();
        for entry in entries(&self.numeric, row_idx).filter(|entry| values.is_valid(*entry)) {
            if let Some(idx) = layout.position(names.value(entry), |kind| kind != FeatureType::Category) {
                let value = values.value(entry);
                features[idx].value = match features[idx].feature_type {
                    FeatureType::Boolean => FeatureValue::Boolean(value != 0.0),
                    _ => FeatureValue::Number(value),
                };
            }
        }
        let (names, values) = (self.categorical.keys().as_string::<i32>(), self.categorical.values());
        let values = values.as_string::<i32>();
        for entry in entries(&self.categorical, row_idx).filter(|entry| values.is_valid(*entry)) {
            if let Some(idx) = layout.position(names.value(entry), |kind| kind == FeatureType::Category) {
                features[idx].value = FeatureValue::Category(values.value(entry).to_owned());
            }
        }
    }
}

/// Numbers texts in the order in which they first appear; what is null is like nothing else.
fn numbered(texts: &StringArray) -> Vec<usize> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut n_numbers = 0;
    let mut next = || {
        n_numbers += 1;
        n_numbers - 1
    };
    texts
        .iter()
        .map(|text| match text {
            Some(text) => *numbers.entry(text).or_insert_with(&mut next),
            None => next(),
        })
        .collect()
}

/// The positions of one row's entries in a map's flat keys and values.
fn entries(map: &MapArray, row_idx: usize) -> std::ops::Range<usize> {
    let offsets = map.value_offsets();
    // Offsets of a valid map array are never negative.
    offsets[row_idx] as usize..offsets[row_idx + 1] as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::{LATE, Row, applied, training_rows};

    #[test]
    fn features_come_back_as_they_were_served_whatever_the_map_they_are_kept_in() {
        let applied = applied(LATE);
        let served = vec![
            ("x", FeatureValue::Number(-0.0)),
            ("noise", FeatureValue::Missing),
            ("sunny", FeatureValue::Boolean(true)),
            ("city", FeatureValue::Category("Oslo".into())),
        ];
        let blank = ["x", "noise", "sunny", "city"]
            .map(|name| (name, FeatureValue::Missing))
            .to_vec();
        let mut left = vec![blank.clone(), served.clone()];
        let rows = training_rows(&applied, 2, 1, |_| Row {
            values: left.pop().unwrap_or_default(),
            action: Some("no".into()),
            label: 1.0,
        });
        let layout = FeatureLayout::new(&applied.blueprint);
        let mut features = layout.blank();
        for (row_idx, expected) in [served, blank].iter().enumerate() {
            rows.read_features(row_idx, &layout, &mut features);
            for (name, value) in expected {
                let found = features
                    .iter()
                    .find(|feature| &*feature.name == *name)
                    .map(|feature| &feature.value);
                assert_eq!(found, Some(value), "{name} of row {row_idx}");
            }
        }
        assert_eq!((rows.len(), rows.action(0), rows.label(1)), (2, Some("no"), Some(1.0)));
        assert_eq!(rows.event_times(), [0, 1]);
    }
}
