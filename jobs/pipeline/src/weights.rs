//! How much each row of a training set counts, where the blueprint declares that rows do not all count the same.
//!
//! What was logged shows each action as often as the policy of that day chose it. A row that counts 1 / propensity stands
//! for all the times its action was not tried there, so that the weighted rows look as if every action had been tried on
//! every decision: in expectation Σ 1{a chosen} / p(a) · x = x (Horvitz and Thompson 1952). Fitting the reward with such
//! weights is importance-weighted regression (Bietti, Agarwal and Langford, "A contextual bandit bake-off", 2021). Clipping
//! at the declared maximum trades a little of that evenness for far less noise (Ionides, "Truncated importance sampling",
//! 2008): w = min(1 / p, clip).
//!
//! Of rankings, clicks also tell where people looked. With `position` a click at position k counts odds(1) / odds(k) times, where
//! odds(k) are those of a click on whatever stands there. In a logistic model a factor on the positives shifts the log odds by its
//! logarithm and does nothing else (the prior correction of case-control studies: Prentice and Pyke 1979, "Logistic disease
//! incidence models"), so that the model is fitted to log odds as if every candidate had stood first, given that positions
//! shift the log odds of all candidates alike. The odds of a position come from the rows fitted on, each counted
//! 1 / propensity, because otherwise the positions that good candidates are put at would have the credit for them.
//!
//! Weights are divided by their mean over the rows fitted on, so that parameters which bound the weight of a leaf mean the
//! same with weights as without. Metrics and gains are ratios, which no common factor changes.

use lakeloop_domain::{Blueprint, RowWeights, inverse_propensity};

use crate::rows::TrainingRows;

/// The weight of each row, with mean 1 over the first `n_train`; `None` where all rows count the same.
pub(crate) fn row_weights(blueprint: &Blueprint, rows: &TrainingRows, n_train: usize) -> Option<Vec<f64>> {
    let weights = match *blueprint.rewards.row_weights.as_ref()? {
        RowWeights::InversePropensity { clip } => propensity_weights(rows, clip),
        RowWeights::Position { clip } => position_weights(rows, n_train, clip),
    };
    Some(normalised(weights, n_train))
}

/// The same for a model that is to say what the log says, positions and all.
pub(crate) fn evaluation_weights(blueprint: &Blueprint, rows: &TrainingRows, n_train: usize) -> Option<Vec<f64>> {
    match blueprint.rewards.row_weights {
        Some(RowWeights::Position { .. }) => None,
        _ => row_weights(blueprint, rows, n_train),
    }
}

fn propensity_weights(rows: &TrainingRows, clip: f64) -> Vec<f64> {
    let weight = |row_idx| inverse_propensity(rows.propensity(row_idx), clip);
    (0..rows.len()).map(weight).collect()
}

fn position_weights(rows: &TrainingRows, n_train: usize, clip: f64) -> Vec<f64> {
    let positions = positions(rows.decisions());
    let is_yes = |row_idx: usize| rows.label(row_idx).is_some_and(|label| label != 0.0);
    let mut counts = vec![Counts::default(); positions.iter().max().map_or(0, |last| last + 1)];
    for row_idx in 0..n_train {
        let weight = 1.0 / rows.propensity(row_idx).max(f64::MIN_POSITIVE);
        counts[positions[row_idx]].add(is_yes(row_idx), weight);
    }
    let factors: Vec<f64> = counts
        .iter()
        .map(|count| (counts[0].odds() / count.odds()).min(clip))
        .collect();
    let weight = |row_idx| {
        if is_yes(row_idx) {
            factors[positions[row_idx]]
        } else {
            1.0
        }
    };
    (0..rows.len()).map(weight).collect()
}

/// Where each row stood, from 0: those of a decision are in the order in which they were returned.
fn positions(decisions: &[usize]) -> Vec<usize> {
    let mut first = 0;
    let position = |row_idx: usize| {
        if decisions[row_idx] != decisions[first] {
            first = row_idx;
        }
        row_idx - first
    };
    (0..decisions.len()).map(position).collect()
}

/// How much of a position's weight has a yes.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    yes: f64,
    no: f64,
    largest: f64,
}

impl Counts {
    fn add(&mut self, is_yes: bool, weight: f64) {
        *(if is_yes { &mut self.yes } else { &mut self.no }) += weight;
        self.largest = self.largest.max(weight);
    }

    /// The odds of a yes, with half of a row on either side so that none of them is 0.
    fn odds(self) -> f64 {
        let half = if self.largest > 0.0 { self.largest / 2.0 } else { 0.5 };
        (self.yes + half) / (self.no + half)
    }
}

fn normalised(mut weights: Vec<f64>, n_train: usize) -> Vec<f64> {
    let mean = weights[..n_train].iter().sum::<f64>() / n_train as f64;
    for weight in &mut weights {
        *weight /= mean;
    }
    weights
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::simulated::{LATE, applied, late, training_rows};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn rows_weigh_what_they_stand_for_and_one_on_average() {
        assert_eq!(normalised(vec![1.0, 3.0, 8.0], 2), [0.5, 1.5, 4.0]);
        let plain = applied(LATE);
        let rows = training_rows(&plain, 4, 1, late);
        assert_eq!(row_weights(&plain.blueprint, &rows, 3), None, "off unless declared");
        let declared = applied(&LATE.replace(
            "[context]",
            "training = { weights = \"inverse_propensity\" }\n[context]",
        ));
        assert_eq!(row_weights(&declared.blueprint, &rows, 3).unwrap(), [1.0; 4]);
    }

    /// Logged by a policy that shows the second action to one unit in ten, and more often where it does well.
    #[test]
    fn a_weighted_mean_is_that_of_even_trials_and_the_plain_one_is_not() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut sums, mut plain) = ([0.0, 0.0], [0.0, 0.0]);
        for _ in 0..40_000 {
            let likes = rng.random_bool(0.5);
            let propensity: f64 = if likes { 0.5 } else { 0.05 };
            if rng.random_bool(propensity) {
                let reward = if likes { 1.0 } else { 0.0 };
                let weight = inverse_propensity(propensity, 100.0);
                sums = [sums[0] + weight * reward, sums[1] + weight];
                plain = [plain[0] + reward, plain[1] + 1.0];
            }
        }
        let (weighted, plain) = (sums[0] / sums[1], plain[0] / plain[1]);
        assert!((weighted - 0.5).abs() < 0.03, "{weighted}");
        assert!(plain > 0.85, "{plain}");
    }

    #[test]
    fn rows_of_a_decision_stand_in_their_order() {
        assert_eq!(positions(&[0, 0, 0, 1, 2, 2]), [0, 1, 2, 0, 0, 1]);
        assert!(positions(&[]).is_empty());
    }
}
