//! Outcomes: what is reported after a decision, and how outcomes add up to a label.

use serde::{Deserialize, Serialize};

use crate::{CandidateId, DecisionId, Micros, OutcomeId, StrategyName, UnitId};

/// What an outcome event carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum OutcomeValue {
    /// A finite number; 1 when the report gave no value.
    Number(f64),
    /// A category, such as the option that the user picked.
    Category(String),
}

/// One reported outcome, as the journal and the `outcomes` table keep it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutcomeRecord {
    /// Two reports with one id are one outcome; the first one received counts.
    pub outcome_id: OutcomeId,
    /// The decision that the outcome belongs to, when the report named one.
    pub decision_id: Option<DecisionId>,
    /// The strategy, needed where the report names a unit instead of a decision.
    pub strategy: Option<StrategyName>,
    /// The unit, when the report named one instead of a decision.
    pub unit: Option<UnitId>,
    /// The candidate that the outcome is about, for strategies that rank, which need one.
    pub candidate: Option<CandidateId>,
    /// The name of the event, as the blueprint's outcome declares it.
    pub event: String,
    /// What the event carries.
    pub value: OutcomeValue,
    /// When it happened.
    pub event_time: Micros,
    /// When lakeloop was told.
    pub received_at: Micros,
}

/// What the label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeType {
    /// True or false: the aggregated value is 0 or not.
    YesNo,
    /// A number.
    Number,
    /// One of the decision's actions.
    Category,
}

impl OutcomeType {
    /// The word that blueprints and queries use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::YesNo => "yes_no",
            Self::Number => "number",
            Self::Category => "category",
        }
    }
}

/// How the outcomes of one decision within its attribution window become one label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// 1 when there is any outcome with a value other than 0.
    Any,
    /// The sum of the values.
    Sum,
    /// The mean of the values.
    Mean,
    /// The number of outcomes.
    Count,
    /// The value of the earliest outcome, by event time, then by outcome id.
    First,
    /// The value of the latest outcome, by event time, then by outcome id.
    Last,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
}

impl Aggregation {
    /// The word that blueprints and queries use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Count => "count",
            Self::First => "first",
            Self::Last => "last",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

/// The label of a decision whose window closed without an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum AbsentLabel {
    /// The decision is left out of training.
    Exclude,
    /// The label is this number.
    Value(f64),
}

impl AbsentLabel {
    /// The label; `None` where the decision has none.
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Exclude => None,
            Self::Value(label) => Some(label),
        }
    }
}
