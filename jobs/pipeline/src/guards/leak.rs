//! Finds columns that know the label.
//!
//! A column is suspicious when it predicts the label almost without error and all alone, missing values counted as a
//! value: no feature of a decision worth making does. And it is suspicious when it is there for decisions with an outcome
//! and mostly absent for those without one: then it was most likely filled in together with the outcome.

use lakeloop_decide::encode::ACTION_COLUMN;
use lakeloop_domain::{Blueprint, EncodedColumn, FeatureType, LearningTarget};
use lakeloop_stats::Example;
use lakeloop_stats::metrics::auc;
use lakeloop_stats::single_column::{
    ColumnKind, accuracy_of_column, explained_variance, line_of_column, scores_of_column,
};

use super::Findings;
use crate::matrix::Matrix;
use crate::search::Problem;
use crate::training_set::TrainingData;

/// An AUC, a share of variance or an accuracy of this much of a single column is a leak. The best single columns of honest data
/// stay well below it (the departure delay of a flight, which is one, reaches 0.93 for its arrival).
const TOO_GOOD: f64 = 0.99;

/// The most frequent class may hold at most this share of the rows for an accuracy of [`TOO_GOOD`] to say anything.
const LARGEST_CLASS: f64 = 0.95;

/// Rows looked at on each side of the split: enough to tell 0.99 from 0.95, and cheap for thousands of columns.
const MAX_ROWS: usize = 20_000;

/// With fewer decisions without an outcome their share of filled values says little.
const MIN_WITHOUT_OUTCOME: u64 = 30;
/// A column that is filled for at least this share of the decisions with an outcome, …
const FILLED_WITH: f64 = 0.99;
/// … and for at most this share of those without one, knows that there is an outcome.
const FILLED_WITHOUT: f64 = 0.5;

pub(super) fn guard(blueprint: &Blueprint, data: &TrainingData, problem: &Problem<'_>, findings: &mut Findings) {
    for (column_idx, column) in problem.encoding.columns.iter().enumerate() {
        let sentence = filled_only_with_outcome(column, data).or_else(|| predicts_alone(problem, column_idx, column));
        if let Some(sentence) = sentence {
            let is_allowed = blueprint.training.allow_leak.iter().any(|name| **name == *column.name);
            findings.stop(sentence, is_allowed, &format!("allow_leak = [\"{}\"]", column.name));
        }
    }
}

fn filled_only_with_outcome(column: &EncodedColumn, data: &TrainingData) -> Option<String> {
    let fill = data
        .fill
        .as_ref()
        .filter(|fill| fill.n_without_outcome >= MIN_WITHOUT_OUTCOME)?;
    let (with, without) = fill.shares(&column.name)?;
    (with >= FILLED_WITH && without <= FILLED_WITHOUT).then(|| {
        format!(
            "`{}` is filled for {:.0} % of the decisions with an outcome but for {:.0} % of the {} without one, so it is most \
             likely known only after the fact: send it only when it is known at the decision, or leave it out of the features",
            column.name,
            with * 100.0,
            without * 100.0,
            fill.n_without_outcome
        )
    })
}

fn predicts_alone(problem: &Problem<'_>, column_idx: usize, column: &EncodedColumn) -> Option<String> {
    if column.name == ACTION_COLUMN {
        return None;
    }
    let kind = match column.feature_type {
        FeatureType::Category => ColumnKind::Category,
        FeatureType::Number | FeatureType::Boolean => ColumnKind::Number,
    };
    let n_train = problem.train.labels.len().min(MAX_ROWS);
    let n_validation = problem.validation.labels.len().min(MAX_ROWS);
    // The latest rows before the split, and the first ones after it.
    let from = problem.train.labels.len() - n_train;
    let fitted_on = values_of(problem.train.rows, column_idx, from, n_train);
    let labels = &problem.train.labels[from..];
    let asked = values_of(problem.validation.rows, column_idx, 0, n_validation);
    let truths = &problem.validation.labels[..n_validation];
    let (found, measure) = match problem.target {
        LearningTarget::Binary => {
            let scores = scores_of_column(kind, &fitted_on, labels, &asked)?;
            let rows: Vec<_> = scores
                .iter()
                .zip(truths)
                .map(|(score, label)| Example::new(*score, *label != 0.0))
                .collect();
            (auc(&rows)?, "an AUC of")
        }
        LearningTarget::MultiClass { classes } => {
            if largest_share(truths, classes.len()) > LARGEST_CLASS {
                return None;
            }
            (
                accuracy_of_column(kind, (&fitted_on, labels), (&asked, truths))?,
                "an accuracy of",
            )
        }
        _ => {
            let by_bins = scores_of_column(kind, &fitted_on, labels, &asked);
            // Codes of categories have no order that a line could follow.
            let by_line = if kind == ColumnKind::Number {
                line_of_column(&fitted_on, labels, &asked)
            } else {
                None
            };
            let explained = [by_bins, by_line].into_iter().flatten();
            let best = explained
                .filter_map(|scores| explained_variance(&scores, truths))
                .max_by(f64::total_cmp);
            (best?, "a share of the label's variance of")
        }
    };
    (found >= TOO_GOOD).then(|| {
        format!(
            "`{}` alone predicts the label with {measure} {found:.3} on {n_validation} later rows, so it most likely holds the \
             label or something known only after it: leave it out of the features",
            column.name
        )
    })
}

fn largest_share(labels: &[f64], n_classes: usize) -> f64 {
    let mut counts = vec![0_usize; n_classes];
    labels.iter().for_each(|label| counts[*label as usize] += 1);
    counts.into_iter().max().unwrap_or(0) as f64 / labels.len().max(1) as f64
}

/// One column of some rows.
pub(crate) fn values_of(rows: &Matrix, column_idx: usize, from: usize, n_rows: usize) -> Vec<f32> {
    let n_columns = rows.values().len() / rows.n_rows().max(1);
    (from..from + n_rows)
        .map(|row_idx| rows.values()[row_idx * n_columns + column_idx])
        .collect()
}
