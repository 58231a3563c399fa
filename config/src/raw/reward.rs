//! The section that says what several outcomes are worth.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// How several outcomes become one number.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawReward {
    /// What one unit of each outcome's label is worth; below 0 what it costs. The outcome of the section `outcome` goes by
    /// the name of its event, the others by their own. The label is the sum over all that stand here; a decision of which
    /// one is missing and has `absent = "exclude"` is left out of training.
    #[schemars(extend("minProperties" = 1))]
    pub weights: BTreeMap<String, f64>,
}
