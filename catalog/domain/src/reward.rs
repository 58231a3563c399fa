//! What a strategy learns from besides its one outcome: further outcomes, the reward that weighs them, and row weights.

use serde::{Deserialize, Serialize};

use crate::OutcomeSpec;

/// An outcome beside the main one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedOutcome {
    /// Its name, which no other outcome of the blueprint has; that of the main outcome is its event.
    pub name: String,
    /// The event, and how its reports become one number.
    pub outcome: OutcomeSpec,
}

/// What one outcome adds to the reward.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RewardWeight {
    /// The outcome's name.
    pub outcome: String,
    /// What one unit of its label is worth; finite.
    pub weight: f64,
}

/// How much a row of a training set counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RowWeights {
    /// 1 / propensity, so that rows count as if every action had been tried equally often.
    InversePropensity {
        /// The largest weight, at least 1.
        clip: f64,
    },
    /// Of a ranking's yes/no outcomes: a yes counts the more the seldomer its position has one, so that rows count as if each
    /// candidate had stood first.
    Position {
        /// The largest weight, at least 1.
        clip: f64,
    },
}

/// 1 / propensity, at most `clip`; a propensity that is not above 0 gives the largest.
pub fn inverse_propensity(propensity: f64, clip: f64) -> f64 {
    if propensity > 0.0 {
        (1.0 / propensity).min(clip)
    } else {
        clip
    }
}

/// What is learned from besides the main outcome. Empty parts are not written, so that the versions of blueprints from
/// before there were any stay.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Rewards {
    /// Outcomes beside the main one, in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<NamedOutcome>,
    /// The reward, in the order of the outcomes' names; empty: the label is the main outcome's alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reward: Vec<RewardWeight>,
    /// How much rows count; `None`: all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_weights: Option<RowWeights>,
}

impl Rewards {
    /// True when nothing is declared but the main outcome.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// One addend of a label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelPart<'b> {
    /// The outcome's name.
    pub name: &'b str,
    /// The outcome.
    pub outcome: &'b OutcomeSpec,
    /// What one unit of its label adds.
    pub weight: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_choices_weigh_more_up_to_the_clip() {
        for (propensity, expected) in [(1.0, 1.0), (0.25, 4.0), (0.05, 20.0), (0.001, 20.0), (0.0, 20.0)] {
            assert_eq!(inverse_propensity(propensity, 20.0), expected);
        }
        assert_eq!(inverse_propensity(f64::NAN, 20.0), 20.0);
    }
}
