//! The section `[ladder]`.

use schemars::JsonSchema;
use serde::Deserialize;

/// How the strategy begins without knowledge: the default, then the caller's own rule, then exploration, then the model.
/// Apprentice and exploration may be left out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLadder {
    /// The step on which the rule that the caller has already decides: requests carry its action as `rule_action`, and that
    /// very action is returned, while models learn from it.
    pub apprentice: Option<RawApprentice>,
    /// The step on which actions are drawn now and then.
    pub exploration: Option<RawExploration>,
    /// When the policy decides by the model.
    pub model: RawModelStep,
}

/// The step on which the caller's rule decides.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawApprentice {
    /// It begins once so many decisions came with the rule's action.
    pub after: u64,
}

/// The step on which actions are drawn now and then.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawExploration {
    /// It begins once so many decisions of the step before have a label.
    pub after: u64,
    /// What is returned where nothing is drawn: the rule's action or the default. Without it the rule's where there is an
    /// apprentice.
    pub around: Option<RawAround>,
    /// The share of decisions whose action is drawn evenly from all; 0.1 unless said otherwise.
    #[serde(default)]
    #[schemars(schema_with = "crate::form::probability")]
    pub epsilon: Option<f64>,
}

/// What exploration goes out from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawAround {
    /// The rule's action; the default where a request has none.
    Rule,
    /// The default.
    Default,
}

/// When the policy decides by the model.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawModelStep {
    /// Once so many explored decisions have a label; without exploration, so many of the step before.
    pub after: u64,
}
