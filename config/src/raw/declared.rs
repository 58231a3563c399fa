//! The sections that the schema declares and this version refuses, because what they ask for is not built yet.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::RawPolicy;
use crate::quantity::Period;

/// A metric that must not get worse.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGuardrail {
    /// The outcome that it watches.
    #[schemars(schema_with = "crate::form::word")]
    pub outcome: String,
    /// Which way is better.
    pub better: RawBetter,
    /// The relative worsening that is still accepted.
    pub margin: f64,
}

/// Which way of a metric is better.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawBetter {
    /// Higher.
    Higher,
    /// Lower.
    Lower,
}

/// A randomised experiment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawExperiment {
    /// What is randomised: the unit, unless a field of the context is named.
    pub unit: Option<String>,
    /// The cells, by name.
    pub cells: BTreeMap<String, RawCell>,
    /// The outcomes that the readout compares.
    pub metrics: Vec<String>,
}

/// One cell of an experiment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCell {
    /// Its share of the units.
    #[schemars(schema_with = "crate::form::probability")]
    pub share: f64,
    /// The policy of the cell, where it differs.
    pub policy: Option<RawPolicy>,
}

/// Policy parameters that are tuned for a product metric.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTuning {
    /// The outcome that tuning serves.
    #[schemars(schema_with = "crate::form::word")]
    pub metric: String,
    /// The parameters, each with its range.
    pub parameters: BTreeMap<String, RawRange>,
}

/// A range that is searched.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRange {
    /// The smallest value.
    pub minimum: f64,
    /// The largest value.
    pub maximum: f64,
}

/// How a new model comes into traffic.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRollout {
    /// How long it scores without deciding.
    pub shadow: Option<Period>,
    /// The share of decisions that it makes next.
    #[serde(default)]
    #[schemars(schema_with = "crate::form::probability")]
    pub canary: Option<f64>,
    /// The rules that stop it.
    #[serde(default)]
    pub stop: Vec<RawStopRule>,
}

/// A rule that stops a rollout.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStopRule {
    /// The outcome or guardrail that it watches.
    #[schemars(schema_with = "crate::form::word")]
    pub metric: String,
    /// The relative worsening at which it stops.
    pub worse_by: f64,
}
