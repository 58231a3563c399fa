//! Looks for slices of the validation rows on which a model is worse than on the others.
//!
//! A slice is one category, one fifth of a number, or the rows without a value. It is told when its mean loss is above
//! that of all other rows by more than noise, after Holm's correction for every slice that was looked at. A larger loss may
//! also mean that the slice itself is harder to predict; either way the model is of less use there.

use lakeloop_domain::{CardImportance, CardSlice, EncodedColumn, FeatureType};
use lakeloop_stats::clustered::clustered_mean;
use lakeloop_stats::looks::{holm, upper_tail};

use super::Evidence;
use crate::guards::values_of;
use crate::loss::metric;

/// With fewer rows a slice says little.
const MIN_ROWS: usize = 50;
/// Columns that are looked at: the most important ones.
const MAX_COLUMNS: usize = 50;
/// Categories of a column that are looked at: the most frequent ones.
const MAX_CATEGORIES: usize = 20;
/// Parts that numbers are cut into.
const N_PARTS: usize = 5;
/// What a corrected p-value has to be below.
const SIGNIFICANCE: f64 = 0.05;
/// Slices that are told.
const MAX_TOLD: usize = 20;

/// The weak slices, the surest first, and how many slices were looked at.
pub(super) fn weak_slices(evidence: &Evidence<'_>, importance: &[CardImportance]) -> (Vec<CardSlice>, usize) {
    let problem = evidence.problem;
    let target = problem.target;
    let losses = evidence.served_losses;
    let mut slices = Vec::new();
    for important in importance.iter().take(MAX_COLUMNS) {
        let found = problem
            .encoding
            .columns
            .iter()
            .position(|column| column.name == important.column);
        let Some(column_idx) = found else { continue };
        let values = values_of(problem.validation.rows, column_idx, 0, problem.validation.rows.n_rows());
        for (words, rows) in cut(&problem.encoding.columns[column_idx], &values) {
            slices.extend(compare(losses, evidence.clusters, &rows).map(|p_value| {
                let within = |is_within: bool| -> Vec<f64> {
                    let kept = losses.iter().zip(&rows).filter(|(_, row)| **row == is_within);
                    kept.map(|(loss, _)| *loss).collect()
                };
                CardSlice {
                    column: important.column.clone(),
                    values: words,
                    n_rows: rows.iter().filter(|row| **row).count(),
                    value: metric(target, &within(true), None).unwrap_or(f64::NAN),
                    elsewhere: metric(target, &within(false), None).unwrap_or(f64::NAN),
                    p_value,
                }
            }));
        }
    }
    let n_slices = slices.len();
    let corrected = holm(&slices.iter().map(|slice| slice.p_value).collect::<Vec<f64>>());
    slices
        .iter_mut()
        .zip(corrected)
        .for_each(|(slice, p_value)| slice.p_value = p_value);
    slices.retain(|slice| slice.p_value < SIGNIFICANCE);
    slices.sort_by(|a, b| a.p_value.total_cmp(&b.p_value));
    slices.truncate(MAX_TOLD);
    (slices, n_slices)
}

/// The slices of one column: words, and which rows are in.
fn cut(column: &EncodedColumn, values: &[f32]) -> Vec<(String, Vec<bool>)> {
    let rows = |is_in: &dyn Fn(f32) -> bool| values.iter().map(|value| is_in(*value)).collect::<Vec<bool>>();
    let mut slices = match column.feature_type {
        FeatureType::Category => {
            let known = column.vocabulary.iter().enumerate().take(MAX_CATEGORIES);
            known
                .map(|(code, text)| (text.clone(), rows(&|value| value == code as f32)))
                .collect()
        }
        FeatureType::Boolean => vec![
            ("false".to_owned(), rows(&|value| value == 0.0)),
            ("true".to_owned(), rows(&|value| value == 1.0)),
        ],
        FeatureType::Number => {
            let edges = edges(values);
            let parts = edges.windows(2).enumerate().map(|(part, ends)| {
                let (low, high, is_last) = (ends[0], ends[1], part + 2 == edges.len());
                let is_in = move |value: f32| value >= low && (value < high || (is_last && value <= high));
                let end = if is_last { "" } else { "below " };
                (format!("{low} to {end}{high}"), rows(&is_in))
            });
            parts.collect::<Vec<_>>()
        }
    };
    slices.push(("(missing)".to_owned(), rows(&|value: f32| value.is_nan())));
    slices
}

/// The ends of parts of about equal numbers of rows, strictly ascending.
fn edges(values: &[f32]) -> Vec<f32> {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f32::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return Vec::new();
    };
    let mut edges: Vec<f32> = (0..=N_PARTS).map(|part| sorted[part * last / N_PARTS]).collect();
    edges.dedup();
    edges
}

/// The one-sided p-value of "its mean loss is no larger than elsewhere"; `None` with too few rows on either side.
fn compare(losses: &[f64], clusters: &[usize], rows: &[bool]) -> Option<f64> {
    let side = |is_within: bool| {
        let kept: Vec<(f64, usize)> = (0..losses.len())
            .filter(|row_idx| rows[*row_idx] == is_within)
            .map(|row_idx| (losses[row_idx], clusters[row_idx]))
            .collect();
        let (losses, clusters): (Vec<f64>, Vec<usize>) = kept.into_iter().unzip();
        (losses.len() >= MIN_ROWS).then(|| clustered_mean(&losses, &clusters, None))?
    };
    let (within, elsewhere) = (side(true)?, side(false)?);
    let error = (within.standard_error.powi(2) + elsewhere.standard_error.powi(2)).sqrt();
    (error > 0.0).then(|| upper_tail((within.mean - elsewhere.mean) / error))
}
