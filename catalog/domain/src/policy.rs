//! Policies: the rules that turn scores into an action with a known propensity.

use serde::{Deserialize, Serialize};

use crate::Slots;

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
    /// ε-greedy with a share that falls as the live model has learned from more: see [`Policy::in_force`].
    EpsilonDecreasing {
        /// The share of decisions that explore while nothing is learned, in [0, 1].
        epsilon: f64,
        /// The labelled rows after which the share has halved; at least 1.
        halved_after: u64,
        /// It falls no further than this, in [0, epsilon].
        minimum: f64,
    },
    /// One of the k actions with the highest scores, drawn evenly; the first declared ones among equals.
    TopK {
        /// How many; at least 1, at most as many as there are actions.
        k: u32,
    },
    /// Each action with a probability in proportion to exp(score / temperature).
    Softmax {
        /// In the unit of scores; positive. Higher draws more evenly.
        temperature: f64,
    },
    /// Each action with the probability that its expected label is the highest, by what the model knows of it
    /// (Thompson 1933).
    Thompson {
        /// The share of decisions that are drawn evenly from all instead, in [0, 1], so that no action is impossible.
        #[serde(default, skip_serializing_if = "is_zero")]
        epsilon: f64,
    },
    /// The action with the highest upper confidence bound: expected label + width · its standard deviation.
    Ucb {
        /// How many standard deviations; at least 0.
        width: f64,
        /// The share of decisions that are drawn evenly from all instead, in [0, 1]. With 0 the choice is certain.
        #[serde(default, skip_serializing_if = "is_zero")]
        epsilon: f64,
    },
    /// For rankings: the best candidates in order, but for some positions, whose candidates are drawn evenly from the rest.
    Slots {
        /// Those positions.
        exploration_slots: Slots,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
fn is_zero(epsilon: &f64) -> bool {
    *epsilon == 0.0
}

impl Policy {
    /// The word a blueprint uses for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Threshold { .. } => "threshold",
            Self::Greedy => "greedy",
            Self::EpsilonGreedy { .. } => "epsilon_greedy",
            Self::EpsilonDecreasing { .. } => "epsilon_decreasing",
            Self::TopK { .. } => "top_k",
            Self::Softmax { .. } => "softmax",
            Self::Thompson { .. } => "thompson",
            Self::Ucb { .. } => "ucb",
            Self::Slots { .. } => "slots",
        }
    }

    /// True when every action is scored with the action itself as a feature, as all but thresholds need.
    pub fn scores_each_action(&self) -> bool {
        !matches!(self, Self::Threshold { .. })
    }

    /// True when it needs to know how sure the model is of each action's expected label.
    pub fn needs_uncertainty(&self) -> bool {
        matches!(self, Self::Thompson { .. } | Self::Ucb { .. })
    }

    /// The policy that decides while the live model has learned from so many labelled rows: ε-decreasing is an ε-greedy
    /// one with the share max(minimum, ε · (1 + 7 n / halved_after)^(−1/3)), the others are themselves.
    ///
    /// A share that falls with the cube root of what was learned balances what exploring costs, ε a decision, against
    /// what it teaches, an error of order (ε n)^(−1/2): over n decisions both add up to order n^(2/3). See Auer,
    /// Cesa-Bianchi, Fischer 2002 for ε-decreasing, and Langford, Zhang 2007 ("The epoch-greedy algorithm") for the rate.
    /// Where a training window bounds n, exploring never ends, as a world that changes needs.
    pub fn in_force(&self, n_learned: u64) -> Self {
        match *self {
            Self::EpsilonDecreasing {
                epsilon,
                halved_after,
                minimum,
            } => {
                // (1 + 7)^(−1/3) = 1/2.
                let growth = 1.0 + 7.0 * n_learned as f64 / halved_after.max(1) as f64;
                Self::EpsilonGreedy {
                    epsilon: (epsilon / growth.cbrt()).max(minimum),
                }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_falls_is_halved_when_it_says_so_and_stops_at_its_minimum() {
        let policy = Policy::EpsilonDecreasing {
            epsilon: 0.4,
            halved_after: 1_000,
            minimum: 0.05,
        };
        for (n_learned, expected) in [(0, 0.4), (1_000, 0.2), (9_000, 0.1), (10_000_000, 0.05)] {
            let Policy::EpsilonGreedy { epsilon } = policy.in_force(n_learned) else {
                unreachable!("ε-decreasing is ε-greedy at any moment")
            };
            assert!((epsilon - expected).abs() < 1e-3, "{n_learned}: {epsilon}");
        }
        assert_eq!(Policy::Greedy.in_force(5), Policy::Greedy);
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn texts_from_before_and_texts_of_today_read_back_as_themselves() {
        for (policy, text) in [
            (Policy::Greedy, r#"{"kind":"greedy"}"#),
            (
                Policy::EpsilonGreedy { epsilon: 0.1 },
                r#"{"kind":"epsilon_greedy","epsilon":0.1}"#,
            ),
            (Policy::TopK { k: 3 }, r#"{"kind":"top_k","k":3}"#),
            (Policy::Thompson { epsilon: 0.0 }, r#"{"kind":"thompson"}"#),
            (
                Policy::Thompson { epsilon: 0.5 },
                r#"{"kind":"thompson","epsilon":0.5}"#,
            ),
            (
                Policy::Ucb {
                    width: 2.0,
                    epsilon: 0.0,
                },
                r#"{"kind":"ucb","width":2.0}"#,
            ),
            (
                Policy::Slots {
                    exploration_slots: Slots::new([6, 3]).unwrap(),
                },
                r#"{"kind":"slots","exploration_slots":[3,6]}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&policy).unwrap(), text);
            assert_eq!(serde_json::from_str::<Policy>(text).unwrap(), policy);
        }
        assert!(serde_json::from_str::<Policy>(r#"{"kind":"slots","exploration_slots":[0]}"#).is_err());
        assert!(serde_json::from_str::<Policy>(r#"{"kind":"slots","exploration_slots":[2,2]}"#).is_err());
    }
}
