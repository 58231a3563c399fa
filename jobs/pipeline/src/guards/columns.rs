//! Tells of columns that hold nothing, and of categories that are too many for a vocabulary.

use std::collections::HashSet;

use lakeloop_domain::{Blueprint, FeatureType, FeatureValue};

use super::Findings;
use super::leak::values_of;
use crate::matrix::MAX_VOCABULARY;
use crate::rows::FeatureLayout;
use crate::search::Problem;
use crate::training_set::TrainingData;

/// Names of columns in one sentence, at most.
const MAX_NAMED: usize = 5;

pub(super) fn guard(blueprint: &Blueprint, data: &TrainingData, problem: &Problem<'_>, findings: &mut Findings) {
    let n_train = data.train().len();
    let n_categories = count_categories(blueprint, data, problem);
    let mut empty = Vec::new();
    for (column_idx, column) in problem.encoding.columns.iter().enumerate() {
        let n_texts = n_categories.get(column_idx).copied().unwrap_or(0);
        let is_category = column.feature_type == FeatureType::Category;
        if is_category && n_texts > column.vocabulary.len() {
            let values = values_of(problem.train.rows, column_idx, 0, n_train);
            let n_known = values.iter().filter(|value| !value.is_nan()).count();
            findings.notes.push(format!(
                "`{}` has {n_texts} different values; the model knows the {} most frequent ones, {:.1} % of the rows, and \
                 takes all others for missing",
                column.name,
                column.vocabulary.len(),
                100.0 * n_known as f64 / n_train as f64
            ));
        } else if values_of(problem.train.rows, column_idx, 0, n_train)
            .iter()
            .all(|value| value.is_nan())
        {
            empty.push(format!("`{}`", column.name));
        }
    }
    if let Some(names) = listed(&empty) {
        let has = if empty.len() == 1 { "has" } else { "have" };
        findings
            .notes
            .push(format!("{names} {has} no value in any of the {n_train} rows fitted on"));
    }
}

/// How many different texts each column with a full vocabulary holds among the rows fitted on; 0 for the other columns.
fn count_categories(blueprint: &Blueprint, data: &TrainingData, problem: &Problem<'_>) -> Vec<usize> {
    let columns = &problem.encoding.columns;
    let is_full = |column_idx: usize| columns[column_idx].vocabulary.len() >= MAX_VOCABULARY;
    if !(0..columns.len()).any(is_full) {
        return Vec::new();
    }
    let layout = FeatureLayout::new(blueprint);
    let mut features = layout.blank();
    let mut texts: Vec<HashSet<String>> = vec![HashSet::new(); columns.len()];
    for row_idx in data.train() {
        data.rows.read_features(row_idx, &layout, &mut features);
        // The columns are the features, in their order, and perhaps the action.
        for (column_idx, feature) in features
            .iter_mut()
            .enumerate()
            .filter(|(column_idx, _)| is_full(*column_idx))
        {
            if let FeatureValue::Category(text) = std::mem::replace(&mut feature.value, FeatureValue::Missing) {
                texts[column_idx].insert(text);
            }
        }
    }
    texts.iter().map(HashSet::len).collect()
}

fn listed(names: &[String]) -> Option<String> {
    let shown = names
        .get(..names.len().min(MAX_NAMED))
        .filter(|shown| !shown.is_empty())?;
    let more = names.len() - shown.len();
    let more = if more > 0 {
        format!(" and {more} columns more")
    } else {
        String::new()
    };
    Some(format!("{}{more}", shown.join(", ")))
}
