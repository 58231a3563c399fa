//! Finds rows that were written twice: a validation row whose unit, action and features are those of a row fitted on, and
//! whose label is too.
//!
//! That a unit comes back in the same situation is common, and then its label is another one now and then. Labels that
//! agree in nearly every such pair, more often than chance lets them, are the mark of a copy: what a model remembers of
//! the one row passes for what it predicts of the other.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lakeloop_domain::Blueprint;

use super::Findings;
use crate::matrix::Matrix;
use crate::search::Problem;
use crate::training_set::TrainingData;

/// Fewer repeated rows than this share of the validation rows do not move a metric.
const MIN_SHARE: f64 = 0.05;
/// Fewer than this many say little.
const MIN_ROWS: usize = 20;
/// Labels of copies agree at least as often as this …
const AGREEMENT: f64 = 0.99;
/// … where labels drawn by chance would agree in at most this share of the pairs.
const MOST_BY_CHANCE: f64 = 0.9;

pub(super) fn guard(blueprint: &Blueprint, data: &TrainingData, problem: &Problem<'_>, findings: &mut Findings) {
    let key = |rows: &Matrix, row_idx: usize, of_set: usize| key_of(data, rows, row_idx, of_set);
    // The label of each row fitted on; `None` where equal rows have different ones, which tell nothing about copies.
    let mut seen: HashMap<u64, Option<f64>> = HashMap::with_capacity(problem.train.labels.len());
    for (row_idx, label) in problem.train.labels.iter().enumerate() {
        let earlier = seen
            .entry(key(problem.train.rows, row_idx, row_idx))
            .or_insert(Some(*label));
        if *earlier != Some(*label) {
            *earlier = None;
        }
    }
    let from = data.validation().start;
    let (mut n_repeated, mut n_agreeing) = (0_usize, 0_usize);
    for (row_idx, label) in problem.validation.labels.iter().enumerate() {
        if let Some(Some(earlier)) = seen.get(&key(problem.validation.rows, row_idx, from + row_idx)) {
            n_repeated += 1;
            n_agreeing += usize::from(earlier == label);
        }
    }
    let n_rows = problem.validation.labels.len();
    let share = n_repeated as f64 / n_rows as f64;
    let agreement = n_agreeing as f64 / n_repeated.max(1) as f64;
    let are_copies = n_repeated >= MIN_ROWS
        && share >= MIN_SHARE
        && agreement >= AGREEMENT
        && agreement_by_chance(problem.train.labels) <= MOST_BY_CHANCE;
    if are_copies {
        let sentence = format!(
            "{n_repeated} of {n_rows} validation rows ({:.0} %) are copies of rows fitted on: the same unit and features, and in \
             {:.0} % of them the same label; a file was most likely imported twice under other decision ids",
            share * 100.0,
            agreement * 100.0
        );
        findings.stop(sentence, blueprint.training.allow_duplicates, "allow_duplicates = true");
    }
}

/// What a row is but for its time and label. Hashes of 64 bits: among a million rows two differing ones meet by chance once in
/// tens of millions of training sets.
fn key_of(data: &TrainingData, rows: &Matrix, row_idx: usize, of_set: usize) -> u64 {
    let n_columns = rows.values().len() / rows.n_rows().max(1);
    let mut hasher = DefaultHasher::new();
    data.rows.units()[of_set].hash(&mut hasher);
    data.rows.action(of_set).hash(&mut hasher);
    for value in &rows.values()[row_idx * n_columns..(row_idx + 1) * n_columns] {
        value.to_bits().hash(&mut hasher);
    }
    hasher.finish()
}

/// How often two labels drawn at random are equal.
fn agreement_by_chance(labels: &[f64]) -> f64 {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    labels
        .iter()
        .for_each(|label| *counts.entry(label.to_bits()).or_default() += 1);
    let n_rows = labels.len() as f64;
    counts.values().map(|count| (*count as f64 / n_rows).powi(2)).sum()
}
