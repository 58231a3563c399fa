//! How much each row of a training set counts, where the blueprint declares that rows do not all count the same.
//!
//! What was logged shows each action as often as the policy of that day chose it. A row that counts 1 / propensity stands
//! for all the times its action was not tried there, so that the weighted rows look as if every action had been tried on
//! every decision: in expectation Σ 1{a chosen} / p(a) · x = x (Horvitz and Thompson 1952). Fitting the reward with such
//! weights is importance-weighted regression (Bietti, Agarwal and Langford, "A contextual bandit bake-off", 2021). Clipping
//! at the declared maximum trades a little of that evenness for far less noise (Ionides, "Truncated importance sampling",
//! 2008): w = min(1 / p, clip).
//!
//! Weights are divided by their mean over the rows fitted on, so that parameters which bound the weight of a leaf mean the
//! same with weights as without. Metrics and gains are ratios, which no common factor changes.

use lakeloop_domain::Blueprint;

use crate::rows::TrainingRows;

/// The weight of each row, with mean 1 over the first `n_train`; `None` where all rows count the same.
pub(crate) fn row_weights(blueprint: &Blueprint, rows: &TrainingRows, n_train: usize) -> Option<Vec<f64>> {
    let declared = blueprint.rewards.row_weights.as_ref()?;
    let raw = (0..rows.len()).map(|row_idx| declared.of(rows.propensity(row_idx)));
    Some(normalised(raw.collect(), n_train))
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
    use lakeloop_domain::RowWeights;
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
        let weights = RowWeights::InversePropensity { clip: 100.0 };
        let (mut sums, mut plain) = ([0.0, 0.0], [0.0, 0.0]);
        for _ in 0..40_000 {
            let likes = rng.random_bool(0.5);
            let propensity: f64 = if likes { 0.5 } else { 0.05 };
            if rng.random_bool(propensity) {
                let reward = if likes { 1.0 } else { 0.0 };
                let weight = weights.of(propensity);
                sums = [sums[0] + weight * reward, sums[1] + weight];
                plain = [plain[0] + reward, plain[1] + 1.0];
            }
        }
        let (weighted, plain) = (sums[0] / sums[1], plain[0] / plain[1]);
        assert!((weighted - 0.5).abs() < 0.03, "{weighted}");
        assert!(plain > 0.85, "{plain}");
    }
}
