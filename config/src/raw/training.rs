//! What a blueprint may say about training.

use schemars::JsonSchema;
use serde::Deserialize;

/// How the rows of a training set count.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTraining {
    /// How much each row counts: `inverse_propensity` counts a decision 1 / propensity times, as if every action had been
    /// tried equally often. Without it all rows count the same.
    pub weights: Option<RawRowWeights>,
    /// The largest weight, before all are brought to a mean of 1; 20 unless said otherwise. A lower one is less noisy and
    /// leaves more of the unevenness.
    #[schemars(range(min = 1))]
    pub clip: Option<f64>,
}

/// How much a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawRowWeights {
    /// 1 / propensity.
    InversePropensity,
}
