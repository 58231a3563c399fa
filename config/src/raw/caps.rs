//! The section `[caps]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::quantity::Period;

/// Limits to how often, how widely and at what cost an action other than the default is chosen. An action that a cap blocks
/// at some moment is not chosen then: the default is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCaps {
    /// At most so many decisions other than the default for one unit.
    pub per_unit: Option<RawUnitCap>,
    /// At most this share of the decisions of every clock hour (UTC) other than the default.
    #[serde(default)]
    #[schemars(schema_with = "crate::form::probability")]
    pub traffic_share: Option<f64>,
    /// At most so much of each resource, by its name, that actions use.
    #[serde(default)]
    #[schemars(extend("propertyNames" = crate::form::Form::FeatureName.schema()))]
    pub resources: BTreeMap<String, RawResourceCap>,
}

/// How often one unit may get something other than the default.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawUnitCap {
    /// How often, at most.
    #[schemars(range(min = 1, max = 10000))]
    pub limit: u32,
    /// In how long a time, wherever it begins.
    pub every: Period,
}

/// The budget of a resource.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawResourceCap {
    /// How much of it, at most.
    pub limit: f64,
    /// In each clock period of this length: "1h" renews with the hour in UTC, "1d" with the day.
    pub every: Period,
    /// How much each action uses; actions that are not named use none. Without it every action but the default uses 1.
    #[serde(default)]
    #[schemars(extend("propertyNames" = crate::form::Form::Word.schema()))]
    pub uses: BTreeMap<String, f64>,
}
