//! Owns why a log cannot say what a policy is worth.

/// Why there is no estimate. The text says what was found, and what was asked for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// There is nothing to estimate from.
    #[error("no rows with weight")]
    NoRows,
    /// The target policy takes actions that the log cannot speak for.
    #[error(
        "{share:.4} of the target policy's choices are actions that the log has no support for (at most {at_most} allowed); the most of them, {worst_share:.4}, by action {action_idx} at position {position}"
    )]
    Unsupported {
        /// The share of the target policy's choices.
        share: f64,
        /// The share that was allowed.
        at_most: f64,
        /// The position of the action that has most of it, from 0.
        position: usize,
        /// That action.
        action_idx: usize,
        /// The share of the target policy's choices that goes to it without support.
        worst_share: f64,
    },
    /// The target policy gives probability 0 to every logged action.
    #[error("the target policy would have chosen none of the logged actions")]
    NoOverlap,
    /// A few rows carry the whole estimate.
    #[error(
        "the log is worth {found:.1} rows of the target policy (effective sample size, position {position}); at least {at_least} are needed"
    )]
    EffectiveRows {
        /// Kish's effective sample size.
        found: f64,
        /// What was asked for.
        at_least: f64,
        /// Of which position, from 0.
        position: usize,
    },
    /// The importance weights do not average 1.
    #[error(
        "the importance weights average {found:.4} (standard error {standard_error:.4}, position {position}) where 1 is expected: the target policy chooses where the log has no support, or logged propensities are wrong"
    )]
    MeanWeight {
        /// Their mean.
        found: f64,
        /// Its standard error.
        standard_error: f64,
        /// Of which position, from 0.
        position: usize,
    },
    /// The estimator compares with a model's expected rewards, and the log has none.
    #[error("{estimator} needs expected rewards of each action (`q_hat`), and the log has none")]
    NoPredictions {
        /// The estimator.
        estimator: &'static str,
    },
    /// A parameter of the estimator makes no sense.
    #[error("{estimator}: `{parameter}` is {found}; expected a number above 0")]
    Parameter {
        /// The estimator.
        estimator: &'static str,
        /// Its parameter.
        parameter: &'static str,
        /// What it is.
        found: f64,
    },
    /// The probabilities of a slate's slots are not those that the estimator weighs by.
    #[error("{estimator} weighs by {expected}, and the log has {found}")]
    Probabilities {
        /// The estimator.
        estimator: &'static str,
        /// What it needs.
        expected: &'static str,
        /// What the log has.
        found: &'static str,
    },
    /// All rows add the same: there is no spread to tell how sure the estimate is.
    #[error("all {n} rows or units that count add the same: how sure the estimate is cannot be told")]
    NoSpread {
        /// How many there are.
        n: usize,
    },
    /// What rows add is too skewed for so few of them.
    #[error(
        "rewards and weights are so skewed (skewness {skewness:.1}) that an interval needs {needed:.0} rows or units; there are {n}"
    )]
    Skewed {
        /// Of what rows or units add to the estimate.
        skewness: f64,
        /// How many rows or units would do.
        needed: f64,
        /// How many there are.
        n: usize,
    },
}
