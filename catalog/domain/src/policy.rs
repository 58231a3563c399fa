//! Policies: the rules that turn scores into an action with a known propensity.

use serde::{Deserialize, Serialize};

/// How an action is chosen once there are scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Policy {
    /// For yes/no decisions: `yes` when the calibrated probability of the outcome is at least `at`. The score does not
    /// depend on the action, and the choice has propensity 1.
    Threshold {
        /// A probability, in [0, 1].
        at: f64,
    },
    /// The action with the highest score; the first declared one among equals. Propensity 1.
    Greedy,
    /// With probability `epsilon` an action drawn evenly from all, else the greedy one. The greedy action has
    /// propensity 1 − epsilon + epsilon / n, each other one epsilon / n.
    EpsilonGreedy {
        /// The share of decisions that explore, in [0, 1].
        epsilon: f64,
    },
}

impl Policy {
    /// The word a blueprint uses for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Threshold { .. } => "threshold",
            Self::Greedy => "greedy",
            Self::EpsilonGreedy { .. } => "epsilon_greedy",
        }
    }

    /// True when every action is scored with the action itself as a feature, as greedy and ε-greedy choices need.
    pub fn scores_each_action(&self) -> bool {
        !matches!(self, Self::Threshold { .. })
    }
}
