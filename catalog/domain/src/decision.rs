//! A decision, with all that is needed to make it again.

use serde::{Deserialize, Serialize};

use crate::{
    BlueprintVersion, DecisionId, Features, LadderStep, Micros, ModelVersion, Policy, Ranking, StrategyName, UnitId,
};

/// Why the action is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionReason {
    /// No model is live: the declared default, or, where the policy explores, a drawn action.
    NoModel,
    /// The policy's best choice by the model's scores.
    Exploit,
    /// The policy drew an action to learn from it.
    Explore,
    /// The model failed on this input; the declared default was returned and the cause logged.
    Fallback,
    /// The decision was made elsewhere and imported.
    Imported,
    /// A cap blocked the action that the policy chose; the declared default was returned.
    Capped,
    /// The caller's rule decided.
    Apprentice,
    /// The ladder's first step, or a rule that had no action to give: the declared default.
    Default,
}

impl DecisionReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::NoModel,
        Self::Exploit,
        Self::Explore,
        Self::Fallback,
        Self::Imported,
        Self::Capped,
        Self::Apprentice,
        Self::Default,
    ];

    /// The word that tables and answers use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoModel => "no_model",
            Self::Exploit => "exploit",
            Self::Explore => "explore",
            Self::Fallback => "fallback",
            Self::Imported => "imported",
            Self::Capped => "capped",
            Self::Apprentice => "apprentice",
            Self::Default => "default",
        }
    }

    /// The reason that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Choice {
    /// One of the declared actions; `yes` or `no` for yes/no decisions.
    Action(String),
    /// A number, for decisions that estimate a value.
    Number(f64),
    /// An order of the candidates that came with the request.
    Ranking(Ranking),
}

/// What a decision depended on besides its features and versions: the state of its strategy at that moment. All of it is
/// absent for strategies without caps and without a ladder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Conditions {
    /// The actions that a cap blocked, in declared order.
    pub blocked: Vec<String>,
    /// Where the strategy stood on its ladder; `None` without one.
    pub step: Option<LadderStep>,
    /// The action of the caller's rule, where the request had it.
    pub rule_action: Option<String>,
    /// Where a rule or exploration decided and a model was live: the action that is best by the model's scores.
    pub model_action: Option<String>,
}

/// One decision as the journal and the `decisions` table keep it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Names the decision.
    pub decision_id: DecisionId,
    /// Which strategy decided.
    pub strategy: StrategyName,
    /// By which version of its blueprint.
    pub blueprint_version: BlueprintVersion,
    /// By which model; `None` while nothing is learned, and for imported decisions.
    pub model_version: Option<ModelVersion>,
    /// For whom.
    pub unit: UnitId,
    /// When the decision was made, in the world's time: the server's clock, or the caller's where that is allowed.
    pub event_time: Micros,
    /// When the server received the request.
    pub received_at: Micros,
    /// The features as served: the very row that is trained on.
    pub features: Features,
    /// The version of each feature view's table that the features were read from: (view, table version).
    pub feature_versions: Vec<(String, i64)>,
    /// The actions that could be chosen, in declared order; empty for numbers and rankings.
    pub actions: Vec<String>,
    /// The scores: one for each action, one for each candidate in the request's order, or one only for threshold policies
    /// and numbers; empty without a model.
    pub scores: Vec<f64>,
    /// What was decided.
    pub choice: Choice,
    /// The probability with which the policy chose it, in (0, 1]; of a ranking, that of the whole order returned.
    pub propensity: f64,
    /// Why.
    pub reason: DecisionReason,
    /// The policy with its parameters of that moment; `None` for imported decisions.
    pub policy: Option<Policy>,
    /// The salt of the random draw: with the decision id it gives every draw again.
    pub salt: String,
    /// What else it depended on.
    pub conditions: Conditions,
}
