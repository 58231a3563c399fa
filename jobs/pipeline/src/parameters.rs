//! The parameters of a fit, and which of them a search tries.

use lakeloop_domain::LearningTarget;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// What one fit is made with; names and meanings are XGBoost's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameters {
    /// Splits from the root to a leaf, at most.
    pub max_depth: u32,
    /// Leaves of a tree, at most; 0 for as many as the depth allows.
    pub max_leaves: u32,
    /// Each tree's predictions are multiplied by this.
    pub eta: f64,
    /// The hessian that a leaf needs at least.
    pub min_child_weight: f64,
    /// The share of rows that each tree sees.
    pub subsample: f64,
    /// The share of columns that each tree sees.
    pub colsample_bytree: f64,
    /// L2 penalty on leaf values.
    pub lambda: f64,
    /// Categories up to this many are split one against the rest; more of them by sets.
    pub max_cat_to_onehot: u32,
}

impl Parameters {
    /// What does well on most tables, hence always the first trial.
    pub fn defaults(target: &LearningTarget) -> Self {
        // A leaf of a regression holds its row count as its hessian, one of a classification at most a quarter of it.
        let min_child_weight = if matches!(target, LearningTarget::Regression) {
            8.0
        } else {
            2.0
        };
        Self {
            max_depth: 5,
            max_leaves: 0,
            eta: 0.1,
            min_child_weight,
            subsample: 0.9,
            colsample_bytree: 0.9,
            lambda: 1.0,
            max_cat_to_onehot: 16,
        }
    }

    /// The parameters as one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of numbers always has a JSON form")
    }

    /// The settings as libxgboost takes them.
    pub(crate) fn settings(&self) -> [(&'static str, String); 8] {
        [
            ("max_depth", self.max_depth.to_string()),
            ("max_leaves", self.max_leaves.to_string()),
            ("eta", self.eta.to_string()),
            ("min_child_weight", self.min_child_weight.to_string()),
            ("subsample", self.subsample.to_string()),
            ("colsample_bytree", self.colsample_bytree.to_string()),
            ("lambda", self.lambda.to_string()),
            ("max_cat_to_onehot", self.max_cat_to_onehot.to_string()),
        ]
    }
}

/// The trials of a search: the defaults, then a Latin hypercube over the space (McKay, Beckman and Conover 1979): every
/// parameter's range is cut into as many strata as there are trials, and each stratum is tried once, so that few
/// trials still cover every range. The same seed and number give the same trials.
pub fn design(target: &LearningTarget, n_trials: u32, seed: u64) -> Vec<Parameters> {
    let mut trials = vec![Parameters::defaults(target)];
    let n_drawn = n_trials.saturating_sub(1) as usize;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut strata = || {
        let mut middles: Vec<f64> = (0..n_drawn)
            .map(|stratum| (stratum as f64 + 0.5) / n_drawn as f64)
            .collect();
        middles.shuffle(&mut rng);
        middles
    };
    let [depth, leaves, eta, weight, rows, columns, lambda, onehot] = std::array::from_fn(|_| strata());
    trials.extend((0..n_drawn).map(|trial| Parameters {
        max_depth: one_of(depth[trial], &[2, 3, 4, 5, 6, 7, 8]),
        max_leaves: one_of(leaves[trial], &[0, 0, 16, 64]),
        eta: log_between(eta[trial], 0.02, 0.3),
        min_child_weight: log_between(weight[trial], 1.0, 64.0),
        subsample: round_to_thousandths(0.5 + 0.5 * rows[trial]),
        colsample_bytree: round_to_thousandths(0.5 + 0.5 * columns[trial]),
        lambda: log_between(lambda[trial], 0.1, 30.0),
        max_cat_to_onehot: one_of(onehot[trial], &[4, 16, 64]),
    }));
    trials
}

/// The choice that lies at a share of the way through the choices.
fn one_of(share: f64, choices: &[u32]) -> u32 {
    let position = (share * choices.len() as f64) as usize;
    choices[position.min(choices.len() - 1)]
}

/// The value at a share of the way from `low` to `high`, evenly on a logarithmic scale.
fn log_between(share: f64, low: f64, high: f64) -> f64 {
    round_to_thousandths(low * (high / low).powf(share))
}

/// Short numbers read better in the trials table, and no fit depends on the fourth digit.
fn round_to_thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_trial_is_the_defaults_and_the_rest_covers_every_range() {
        let trials = design(&LearningTarget::Binary, 13, 7);
        assert_eq!(trials.len(), 13);
        assert_eq!(trials[0], Parameters::defaults(&LearningTarget::Binary));
        let drawn = &trials[1..];
        for depth in 2..=8 {
            assert!(
                drawn.iter().any(|trial| trial.max_depth == depth),
                "no trial of depth {depth}"
            );
        }
        for trial in drawn {
            assert!((0.02..=0.3).contains(&trial.eta), "{trial:?}");
            assert!((0.5..=1.0).contains(&trial.subsample), "{trial:?}");
            assert!((0.5..=1.0).contains(&trial.colsample_bytree), "{trial:?}");
            assert!((1.0..=64.0).contains(&trial.min_child_weight), "{trial:?}");
            assert!((0.1..=30.0).contains(&trial.lambda), "{trial:?}");
        }
        assert!(drawn.iter().any(|trial| trial.eta < 0.03) && drawn.iter().any(|trial| trial.eta > 0.2));
    }

    #[test]
    fn a_seed_fixes_the_trials() {
        let target = LearningTarget::Regression;
        assert_eq!(design(&target, 9, 3), design(&target, 9, 3));
        assert_ne!(design(&target, 9, 3), design(&target, 9, 4));
    }

    #[test]
    fn one_trial_or_none_is_the_defaults_alone() {
        assert_eq!(design(&LearningTarget::Binary, 1, 1).len(), 1);
        assert_eq!(design(&LearningTarget::Binary, 0, 1).len(), 1);
    }
}
