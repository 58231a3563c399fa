//! What a blueprint may say about training.

use lakeloop_domain::Baseline;
use schemars::JsonSchema;
use serde::Deserialize;

/// How the rows of a training set count, what training lets pass that it would stop at otherwise, and what a model must beat.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTraining {
    /// How much each row counts: `inverse_propensity` counts a decision 1 / propensity times, as if every action had been
    /// tried equally often; `position`, of rankings, counts a yes the more the seldomer its position has one, as if each
    /// candidate had stood first. Without it all rows count the same.
    pub weights: Option<RawRowWeights>,
    /// The largest weight, before all are brought to a mean of 1; 20 unless said otherwise. A lower one is less noisy and
    /// leaves more of the unevenness.
    #[schemars(range(min = 1))]
    pub clip: Option<f64>,
    /// Features that are known in time although they look like a leak: each predicts the label almost alone, or is filled
    /// only where there is an outcome.
    pub allow_leak: Option<Vec<String>>,
    /// True: rows may repeat, with their labels, before and after the split; training stops otherwise.
    pub allow_duplicates: Option<bool>,
    /// True: labels may be distributed very differently before and after the split; training stops otherwise.
    pub allow_label_shift: Option<bool>,
    /// What a model must beat by more than noise to be registered; `constant` and `last_value` unless said otherwise.
    pub must_beat: Option<Vec<RawBaseline>>,
}

/// How much a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawRowWeights {
    /// 1 / propensity.
    InversePropensity,
    /// By how often positions have a yes.
    Position,
}

/// A prediction that needs no model, or hardly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawBaseline {
    /// One prediction for all.
    Constant,
    /// What the unit's last known label says.
    LastValue,
    /// One split of one column.
    Stump,
    /// A linear model of all columns.
    Linear,
}

impl From<RawBaseline> for Baseline {
    fn from(raw: RawBaseline) -> Self {
        match raw {
            RawBaseline::Constant => Self::Constant,
            RawBaseline::LastValue => Self::LastValue,
            RawBaseline::Stump => Self::Stump,
            RawBaseline::Linear => Self::Linear,
        }
    }
}
