//! A valid blueprint: one product decision, declared.
//!
//! These are the checked types; the TOML form, its errors and its JSON Schema live in `lakeloop-config`. What can be
//! declared but is not built yet never gets this far.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    AbsentLabel, Aggregation, BlueprintVersion, Caps, FeatureType, FeatureValue, FeatureViewName, Gate, LabelPart,
    Ladder, LearningSpec, LearningTarget, Micros, OutcomeType, Policy, Rewards, StrategyName, TimestampPart,
    TrainingRules,
};

/// What is decided, with the default that is returned while nothing is learned or when anything fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DecisionKind {
    /// Yes or no.
    YesNo {
        /// True for `yes`.
        default: bool,
    },
    /// One of several actions.
    Choose {
        /// At least two different ones, in declared order.
        actions: Vec<String>,
        /// One of them.
        default: String,
    },
    /// A number.
    Number {
        /// Finite.
        default: f64,
    },
    /// An order of the candidates that come with a request. There is no default: while nothing is learned or when
    /// anything fails, they stay in the request's order.
    Rank {
        /// At most this many candidates are returned, at least 1; `None`: all.
        at_most: Option<u32>,
    },
}

/// One field of the context, or of a candidate: what callers send, or a part of a timestamp that they send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContextField {
    /// Its name: the JSON key, and the name of the feature.
    pub name: Arc<str>,
    /// Its type.
    pub feature_type: FeatureType,
    /// False: a request without it is refused.
    pub missing_allowed: bool,
    /// False: the field is logged and can serve as an entity, but no model sees it.
    pub is_feature: bool,
    /// What the value says of a timestamp; `None` for all other fields. The fields of one timestamp stand one after the
    /// other, in the order of [`TimestampPart::ALL`], of which callers send the first. Not written when there is none, so that
    /// older versions stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<TimestampPart>,
}

impl ContextField {
    /// True for what callers send; the other parts of a timestamp are taken from what they sent.
    #[inline]
    pub fn is_sent(&self) -> bool {
        matches!(self.timestamp, None | Some(TimestampPart::Instant))
    }

    /// True for a field that callers send as a text with a time.
    #[inline]
    pub fn is_timestamp(&self) -> bool {
        self.timestamp == Some(TimestampPart::Instant)
    }

    /// The word a blueprint uses for the type of what is sent.
    pub fn type_word(&self) -> &'static str {
        match self.is_timestamp() {
            true => "timestamp",
            false => self.feature_type.as_str(),
        }
    }
}

/// One column of a feature view that the model sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureColumn {
    /// The column's name in the view, and the name of the feature.
    pub name: Arc<str>,
    /// Its type.
    pub feature_type: FeatureType,
    /// What stands in when the entity, the row or the value is absent or stale. Missing unless declared.
    pub when_missing: FeatureValue,
}

/// Features that are read from the lake by entity, as of the decision's event time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureView {
    /// The view's name; its table is `features.<name>`.
    pub name: FeatureViewName,
    /// The context field that holds the entity (`unit` stands for the unit itself).
    pub entity: Arc<str>,
    /// A value older than this at the decision's time counts as missing; `None`: never too old.
    pub freshness_us: Option<i64>,
    /// What to read.
    pub columns: Vec<FeatureColumn>,
    /// What reading the view costs a decision, in microseconds, for a search that weighs what each feature is worth; not
    /// written when not declared, so that older versions stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_us: Option<f64>,
}

/// The outcome that the strategy learns from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutcomeSpec {
    /// The event's name.
    pub event: String,
    /// What the label is.
    pub outcome_type: OutcomeType,
    /// How outcomes become one label.
    pub aggregation: Aggregation,
    /// Outcomes count when they happen in [decision, decision + window].
    pub window_us: i64,
    /// The label without outcomes.
    pub absent: AbsentLabel,
}

/// What a model may cost.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelLimits {
    /// 99th percentile of scoring one row, in microseconds.
    pub max_latency_us: Option<f64>,
    /// Size of the saved model, compressed as the registry keeps it.
    pub max_bytes: Option<u64>,
}

/// When and on what to train.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When to train: a cron expression of six fields (seconds first), in UTC. `None`: only when asked.
    pub train: Option<String>,
    /// Train on decisions of this long a time before the latest closed window; `None`: on all.
    pub window_us: Option<i64>,
    /// Fewer labelled rows than this: the run is skipped and says so.
    pub minimum_rows: u64,
    /// The number of trials of the search.
    pub trials: u32,
}

/// One product decision, declared and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blueprint {
    /// The strategy's name.
    pub name: StrategyName,
    /// What it is for, in words.
    pub description: String,
    /// What is decided.
    pub decision: DecisionKind,
    /// What a unit is, in words (`user`, `flight`).
    pub unit: String,
    /// What callers send.
    pub context: Vec<ContextField>,
    /// What callers send about each candidate; empty unless the decision ranks. Not written when empty, so that the
    /// versions of blueprints from before there were candidates stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<ContextField>,
    /// What is read from the lake.
    pub features: Vec<FeatureView>,
    /// What is learned from; beside other outcomes, the main one.
    pub outcome: OutcomeSpec,
    /// Other outcomes, the reward, and row weights.
    #[serde(default, skip_serializing_if = "Rewards::is_plain")]
    pub rewards: Rewards,
    /// What a model may cost.
    pub limits: ModelLimits,
    /// How a model is learned, where that is not left open; not written when it is, so that older versions stay.
    #[serde(default, skip_serializing_if = "LearningSpec::is_empty")]
    pub learning: LearningSpec,
    /// How scores become a choice.
    pub policy: Policy,
    /// How often something other than the default may be chosen; `None`: as often as the policy does. Not written when
    /// absent, so that the versions of blueprints from before there were caps stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caps: Option<Caps>,
    /// How the strategy begins without knowledge; `None`: by its policy from the first decision on. Not written when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ladder: Option<Ladder>,
    /// When to train.
    pub schedule: Schedule,
    /// What it must show before it is put in force. Not written when nothing is declared, so that the versions of
    /// blueprints from before there were gates stay.
    #[serde(default, skip_serializing_if = "Gate::is_empty")]
    pub gate: Gate,
    /// What training lets pass, and what a model must beat. Not written when nothing is declared, so that the versions of
    /// blueprints from before it could be stay.
    #[serde(default, skip_serializing_if = "TrainingRules::is_default")]
    pub training: TrainingRules,
}

/// The word for the action of a yes/no decision.
fn yes_no_word(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// The fields that models see, with their types.
fn seen_by_models(fields: &[ContextField]) -> impl Iterator<Item = (&Arc<str>, FeatureType)> {
    let seen = fields.iter().filter(|field| field.is_feature);
    seen.map(|field| (&field.name, field.feature_type))
}

impl Blueprint {
    /// The version: a hash of everything that is declared, in canonical form. Comments, order of tables and spacing of
    /// the file do not matter.
    ///
    /// `canonical` is the canonical text of this blueprint; the caller that owns the text form provides it.
    pub fn version_of(canonical: &str) -> BlueprintVersion {
        let digest = Sha256::digest(canonical.as_bytes());
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        BlueprintVersion::new(hex).expect("sixteen hexadecimal digits are a blueprint version")
    }

    /// The actions in declared order: the words of a choice, `no` and `yes`, or nothing for numbers and rankings.
    pub fn actions(&self) -> Vec<String> {
        match &self.decision {
            DecisionKind::YesNo { .. } => vec![yes_no_word(false).into(), yes_no_word(true).into()],
            DecisionKind::Choose { actions, .. } => actions.clone(),
            DecisionKind::Number { .. } | DecisionKind::Rank { .. } => Vec::new(),
        }
    }

    /// The default action's word; `None` for numbers and rankings.
    pub fn default_action(&self) -> Option<&str> {
        match &self.decision {
            DecisionKind::YesNo { default } => Some(yes_no_word(*default)),
            DecisionKind::Choose { default, .. } => Some(default),
            DecisionKind::Number { .. } | DecisionKind::Rank { .. } => None,
        }
    }

    /// True when the decision puts candidates in order.
    pub fn ranks(&self) -> bool {
        matches!(self.decision, DecisionKind::Rank { .. })
    }

    /// The outcome of a name: the main one by its event, another one by its own name.
    pub fn outcome_named(&self, name: &str) -> Option<&OutcomeSpec> {
        let other = self.rewards.outcomes.iter().find(|other| other.name == name);
        match other {
            Some(other) => Some(&other.outcome),
            None => (self.outcome.event == name).then_some(&self.outcome),
        }
    }

    /// What a label is the sum of: each weighed outcome of the reward, or the main outcome alone.
    pub fn label_parts(&self) -> Vec<LabelPart<'_>> {
        if self.rewards.reward.is_empty() {
            return vec![LabelPart {
                name: &self.outcome.event,
                outcome: &self.outcome,
                weight: 1.0,
            }];
        }
        let weighed = self.rewards.reward.iter().filter_map(|weighed| {
            Some(LabelPart {
                name: &weighed.outcome,
                outcome: self.outcome_named(&weighed.outcome)?,
                weight: weighed.weight,
            })
        });
        weighed.collect()
    }

    /// How long after a decision its label is known: the longest window of the label's parts, in microseconds.
    pub fn label_window_us(&self) -> i64 {
        let windows = self.label_parts().into_iter().map(|part| part.outcome.window_us);
        windows.max().unwrap_or(self.outcome.window_us)
    }

    /// What a label is. A reward is a number, whatever the types of its outcomes.
    pub fn label_type(&self) -> OutcomeType {
        if self.rewards.reward.is_empty() {
            self.outcome.outcome_type
        } else {
            OutcomeType::Number
        }
    }

    /// What a model of this strategy predicts, as far as the blueprint says; for rankings, of each candidate alone. Which
    /// loss a number is learned by may be chosen from the labels (see [`LearningTarget::answers`]).
    pub fn learning_target(&self) -> LearningTarget {
        match self.label_type() {
            OutcomeType::YesNo => LearningTarget::Binary,
            OutcomeType::Number => match self.learning.quantile {
                Some(quantile) => LearningTarget::Quantile { quantile },
                None => LearningTarget::Regression,
            },
            OutcomeType::Category => LearningTarget::MultiClass {
                classes: self.actions(),
            },
        }
    }

    /// True when a model of this strategy scores each action, with the action as one of its columns: for choices whose
    /// outcome depends on the action taken.
    pub fn action_is_feature(&self) -> bool {
        self.policy.scores_each_action()
            && matches!(self.decision, DecisionKind::YesNo { .. } | DecisionKind::Choose { .. })
            && self.label_type() != OutcomeType::Category
    }

    /// The features that a model sees, in order, with their types: of the context, of the lake, and of the candidate
    /// that is scored; without the action.
    pub fn model_features(&self) -> impl Iterator<Item = (&Arc<str>, FeatureType)> {
        let views = self.features.iter().flat_map(|view| &view.columns);
        seen_by_models(&self.context)
            .chain(views.map(|column| (&column.name, column.feature_type)))
            .chain(seen_by_models(&self.candidates))
    }
}

/// A blueprint that was applied: one row of the `blueprints` table. The latest row of a strategy is in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppliedBlueprint {
    /// The checked blueprint.
    pub blueprint: Blueprint,
    /// Its version.
    pub version: BlueprintVersion,
    /// Counts the applications of this strategy: 1, 2, 3, …
    pub sequence: u32,
    /// The text that was applied, as its author wrote it.
    pub source: String,
    /// When.
    pub applied_at: Micros,
}
