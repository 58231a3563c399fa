//! Scores rows of a training set with a model as it serves.

use std::ops::Range;

use lakeloop_decide::{Model, Scratch};
use lakeloop_domain::Features;

use crate::error::PipelineError;
use crate::matrix::{Matrix, encode};
use crate::rows::{FeatureLayout, TrainingRows};

/// Rows that are encoded and scored at a time: few enough to stay in the processor's cache.
const CHUNK_ROWS: usize = 1_024;

/// What a model is asked to score: features, and the action where that is one of its columns.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The features.
    pub features: Features,
    /// The action that was taken.
    pub action: Option<String>,
}

/// Scores of a range of rows, each with the action that was taken: `[n_rows, n_outputs]`.
pub(crate) fn score(
    model: &Model,
    layout: &FeatureLayout,
    rows: &TrainingRows,
    range: Range<usize>,
) -> Result<Vec<f64>, PipelineError> {
    let mut scratch = Scratch::new();
    let mut scores = Vec::new();
    for chunk in chunks(range) {
        let matrix = encode(layout, rows, chunk, model.encoder())?;
        scores.extend_from_slice(model.score_rows(matrix.values(), &mut scratch)?);
    }
    Ok(scores)
}

/// Scores of rows that a model's own encoder has encoded: `[n_rows, n_outputs]`.
pub(crate) fn score_encoded(model: &Model, rows: &Matrix) -> Result<Vec<f64>, PipelineError> {
    let mut scratch = Scratch::new();
    let mut scores = Vec::new();
    let n_columns = model.encoder().n_columns().max(1);
    for chunk in rows.values().chunks(CHUNK_ROWS * n_columns) {
        scores.extend_from_slice(model.score_rows(chunk, &mut scratch)?);
    }
    Ok(scores)
}

/// A range of rows as samples.
pub(crate) fn samples(layout: &FeatureLayout, rows: &TrainingRows, range: Range<usize>) -> Vec<Sample> {
    let sample = |row_idx| {
        let mut features = layout.blank();
        rows.read_features(row_idx, layout, &mut features);
        Sample {
            features,
            action: rows.action(row_idx).map(str::to_owned),
        }
    };
    range.map(sample).collect()
}

/// A range cut into pieces that fit the cache.
pub(crate) fn chunks(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range
        .step_by(CHUNK_ROWS)
        .map(move |from| from..(from + CHUNK_ROWS).min(end))
}
