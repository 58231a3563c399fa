//! Learns how sure a model is of each action's expected label, which Thompson and UCB choose by.
//!
//! The scores of the validation rows, which the trees were not fitted on, stand against their labels; the rows fitted on
//! count for how well each action is known, but their labels do not. The mathematics is `lakeloop_stats::posterior`.

use std::collections::HashMap;
use std::ops::Range;

use lakeloop_domain::{ActionBelief, Belief, Blueprint, Uncertainty};
use lakeloop_stats::posterior::{Line, Scored, lines, rows_per_context};

use crate::rows::TrainingRows;

/// Rows with their labels and what a model scores them: those that it was fitted on, and those that it was not.
pub(crate) struct Seen<'a> {
    /// All rows.
    pub rows: &'a TrainingRows,
    /// One label a row.
    pub labels: &'a [f64],
    /// The positions of those fitted on.
    pub train: Range<usize>,
    /// The positions of the others.
    pub validation: Range<usize>,
    /// The scores of those fitted on.
    pub own_scores: &'a [f64],
    /// The scores of the others.
    pub validation_scores: &'a [f64],
}

/// How sure a model is, by its scores of the validation rows; `None` where it does not score each action, or has too little
/// to tell.
pub(crate) fn uncertainty(blueprint: &Blueprint, seen: &Seen<'_>) -> Option<Uncertainty> {
    if !blueprint.action_is_feature() {
        return None;
    }
    let actions = blueprint.actions();
    let positions: HashMap<&str, usize> = actions
        .iter()
        .enumerate()
        .map(|(idx, name)| (name.as_str(), idx))
        .collect();
    let action_of = |row_idx| {
        seen.rows
            .action(row_idx)
            .and_then(|action| positions.get(action).copied())
    };
    let mut n_fitted = vec![0_u64; actions.len()];
    for action_idx in seen.train.clone().filter_map(action_of) {
        n_fitted[action_idx] += 1;
    }
    let (own_scores, validation_scores) = (seen.own_scores, seen.validation_scores);
    let own_error = mean_square(own_scores, &seen.labels[seen.train.clone()]);
    let other_error = mean_square(validation_scores, &seen.labels[seen.validation.clone()]);
    let per_context = rows_per_context(own_error, other_error, own_scores.len(), actions.len());
    let rows: Vec<Scored> = seen
        .validation
        .clone()
        .zip(validation_scores)
        .filter_map(|(row_idx, score)| {
            Some(Scored {
                action_idx: action_of(row_idx)?,
                score: *score,
                label: seen.labels[row_idx],
            })
        })
        .collect();
    lines(&rows, &n_fitted, per_context).map(|lines| Uncertainty {
        center: lines.center,
        actions: actions
            .iter()
            .zip(&lines.of_each)
            .map(|(action, line)| ActionBelief {
                action: action.clone(),
                belief: belief(line),
            })
            .collect(),
        unseen: belief(&lines.unseen),
    })
}

fn belief(line: &Line) -> Belief {
    Belief {
        offset: line.offset,
        slope: line.slope,
        offset_variance: line.offset_variance,
        slope_variance: line.slope_variance,
        covariance: line.covariance,
    }
}

fn mean_square(scores: &[f64], labels: &[f64]) -> f64 {
    let squares = scores.iter().zip(labels).map(|(score, label)| (label - score).powi(2));
    squares.sum::<f64>() / scores.len().max(1) as f64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::fit::fit_unfollowed;
    use crate::simulated::{Row, applied, training_data, training_rows, work};
    use lakeloop_domain::FeatureValue;
    use rand::RngExt as _;

    const DISHES: &str = r#"
name = "menu"
description = "Which dish?"
unit = "guest"
decision = { kind = "choose", actions = ["often", "seldom", "never"], default = "often" }
outcome = { event = "ordered", aggregation = "any", window = "1us" }
schedule = { minimum_rows = 100, trials = 2 }
policy = { kind = "thompson" }
[context]
x = "number"
"#;

    #[test]
    fn an_action_of_fewer_rows_is_less_sure_and_one_of_none_as_sure_as_one_label() {
        let applied = applied(DISHES);
        let rows = training_rows(&applied, 2_000, 1, |rng| {
            let x: f64 = rng.random();
            let seldom = rng.random_bool(0.05);
            Row {
                values: vec![("x", FeatureValue::Number(x))],
                action: Some(if seldom { "seldom" } else { "often" }.into()),
                label: f64::from(u8::from(rng.random_bool(if seldom { 0.9 * x } else { 0.5 }))),
            }
        });
        let data = training_data(&applied, rows);
        let fitted = fit_unfollowed(&work(&applied, &data)).unwrap();
        let found = fitted.winner.unwrap().uncertainty.unwrap();
        let deviation = |action: &str| found.of(action).of_score(found.center, found.center).1;
        let (often, seldom, never) = (deviation("often"), deviation("seldom"), deviation("never"));
        assert!(often < seldom && seldom < never, "{often} {seldom} {never}");
        assert!((0.4..0.6).contains(&never), "about the deviation of one label: {never}");
        assert_eq!(never, deviation("not declared"));
    }
}
