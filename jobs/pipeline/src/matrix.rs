//! Turns rows of a training set into the matrix that a model is fitted on, through the encoder that serves.
//!
//! Vocabularies are learned on the rows fitted on alone, so that validation rows meet unknown categories as often as
//! served ones will.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use lakeloop_decide::encode::{ACTION_COLUMN, Encoder, WidthError};
use lakeloop_domain::{Blueprint, EncodedColumn, Encoding, FeatureType, FeatureValue};

use crate::rows::{FeatureLayout, TrainingRows};

/// A category column knows this many texts, the most frequent ones; the others are encoded as missing. More would
/// make every tree's sets of categories, and so the model, larger for texts that were hardly seen.
pub(crate) const MAX_VOCABULARY: usize = 256;

/// Encoded rows, `[n_rows, n_columns]`, row-major; NaN where missing.
pub(crate) struct Matrix {
    values: Vec<f32>,
    n_rows: usize,
}

impl Matrix {
    /// Takes `n_rows` rows of equal length.
    pub fn new(values: Vec<f32>, n_rows: usize) -> Self {
        Self { values, n_rows }
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Some of the rows, in the order asked for.
    pub fn select(&self, rows: &[usize]) -> Self {
        let n_columns = self.values.len() / self.n_rows.max(1);
        let row = |row_idx: &usize| &self.values[row_idx * n_columns..(row_idx + 1) * n_columns];
        Self {
            values: rows.iter().flat_map(row).copied().collect(),
            n_rows: rows.len(),
        }
    }

    /// The same rows with some of the columns, by position.
    pub fn columns(&self, kept: &[usize]) -> Self {
        let n_columns = self.values.len() / self.n_rows.max(1);
        let rows = self.values.chunks_exact(n_columns.max(1));
        let values = rows.flat_map(|row| kept.iter().map(|idx| row[*idx])).collect();
        Self::new(values, self.n_rows)
    }

    /// Every so many-th of the rows, beginning with the first.
    pub fn every(&self, step: usize) -> Self {
        let n_columns = self.values.len() / self.n_rows.max(1);
        let rows = self.values.chunks_exact(n_columns.max(1)).step_by(step.max(1));
        Self::new(rows.flatten().copied().collect(), self.n_rows.div_ceil(step.max(1)))
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }
}

/// Learns how the blueprint's features are encoded: one column for each in the blueprint's order, then the action
/// where it is a feature.
pub(crate) fn learn_encoding(
    blueprint: &Blueprint,
    layout: &FeatureLayout,
    rows: &TrainingRows,
    fitted_on: Range<usize>,
) -> Result<Encoding, FreeText> {
    let mut features = layout.blank();
    let mut counts: Vec<HashMap<String, u64>> = vec![HashMap::new(); features.len()];
    for row_idx in fitted_on {
        rows.read_features(row_idx, layout, &mut features);
        for (feature, counts) in features.iter().zip(&mut counts) {
            if let FeatureValue::Category(text) = &feature.value {
                match counts.get_mut(text) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(text.clone(), 1)),
                }
            }
        }
    }
    for (feature, counts) in features.iter().zip(&counts) {
        refuse_free_text(&feature.name, counts)?;
    }
    let mut columns: Vec<EncodedColumn> = features
        .iter()
        .zip(counts)
        .map(|(feature, counts)| EncodedColumn {
            name: feature.name.to_string(),
            feature_type: feature.feature_type,
            vocabulary: most_frequent(counts),
        })
        .collect();
    if blueprint.action_is_feature() {
        columns.push(EncodedColumn {
            name: ACTION_COLUMN.to_owned(),
            feature_type: FeatureType::Category,
            vocabulary: blueprint.actions(),
        });
    }
    Ok(Encoding { columns })
}

/// Fewer texts than this may be a small sample of few categories.
const MANY_TEXTS: usize = 200;

/// A column of categories that holds prose: sentences of which hardly any comes twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{column}` holds free text, such as \"{example}\": hardly a text comes twice, so trees learn nothing of it; write \
     feature = false for it, or send what matters about it as a number or as one of few categories"
)]
pub struct FreeText {
    /// The column.
    pub column: String,
    /// The beginning of one of its texts.
    pub example: String,
}

/// Refuses a column in which more than half of the texts come once and have four words or more on average.
fn refuse_free_text(column: &str, counts: &HashMap<String, u64>) -> Result<(), FreeText> {
    let n_rows: u64 = counts.values().sum();
    if counts.len() < MANY_TEXTS || (counts.len() as u64) * 2 < n_rows {
        return Ok(());
    }
    let n_words: usize = counts.keys().map(|text| text.split_whitespace().count()).sum();
    if n_words < 4 * counts.len() {
        return Ok(());
    }
    let example = counts.keys().min().map(|text| text.chars().take(40).collect());
    Err(FreeText {
        column: column.to_owned(),
        example: example.unwrap_or_default(),
    })
}

/// The most frequent texts, by count and then by name.
fn most_frequent(counts: HashMap<String, u64>) -> Vec<String> {
    let mut counted: Vec<(Reverse<u64>, String)> =
        counts.into_iter().map(|(text, count)| (Reverse(count), text)).collect();
    counted.sort_unstable();
    counted.into_iter().take(MAX_VOCABULARY).map(|(_, text)| text).collect()
}

/// Encodes a range of rows, each with the action that was taken.
pub(crate) fn encode(
    layout: &FeatureLayout,
    rows: &TrainingRows,
    range: Range<usize>,
    encoder: &Encoder,
) -> Result<Matrix, WidthError> {
    let mut features = layout.blank();
    let n_columns = encoder.n_columns();
    let n_rows = range.len();
    let mut values = vec![f32::NAN; n_rows * n_columns];
    for (row_idx, encoded) in range.zip(values.chunks_exact_mut(n_columns.max(1))) {
        rows.read_features(row_idx, layout, &mut features);
        encoder.encode_into(&features, rows.action(row_idx), encoded)?;
    }
    Ok(Matrix::new(values, n_rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_text_is_refused_and_ids_and_categories_are_not() {
        let counts =
            |text: fn(usize) -> String| -> HashMap<String, u64> { (0..500).map(|idx| (text(idx), 1)).collect() };
        let prose = counts(|idx| format!("The parcel number {idx} came late, and was wet."));
        let refused = refuse_free_text("comment", &prose)
            .err()
            .map(|refused| refused.to_string());
        let expected = "`comment` holds free text, such as \"The parcel number 0 came late, and was w\": hardly a text";
        assert!(
            refused.as_ref().is_some_and(|refused| refused.starts_with(expected)),
            "{refused:?}"
        );
        assert_eq!(refuse_free_text("id", &counts(|idx| format!("user-{idx}"))), Ok(()));
        let sentences = ["it came late and wet", "it came on time and dry"];
        let few = sentences.map(|text| (text.to_owned(), 400));
        assert_eq!(refuse_free_text("state", &few.into()), Ok(()));
    }

    #[test]
    fn a_vocabulary_keeps_the_most_frequent_texts_and_orders_equals_by_name() {
        let counts = [("c", 2), ("b", 5), ("a", 2), ("d", 1)].map(|(text, count)| (text.to_owned(), count));
        assert_eq!(most_frequent(counts.into()), ["b", "a", "c", "d"]);
        let many = (0..300).map(|idx| (format!("{idx:03}"), 1));
        let kept = most_frequent(many.collect());
        assert_eq!((kept.len(), kept[0].as_str(), kept[255].as_str()), (256, "000", "255"));
    }
}
