//! The TOML form of a blueprint, as types: what a file may say, before anything is checked against anything else.
//!
//! The JSON Schema is derived from these types, and files are checked against that schema, so the two cannot differ.
//! Every section is optional here, because the rules look at the sections that are sound while others are not; what
//! must be written is marked `required` for the schema. What stands in [`declared`] is part of the form and of the
//! schema, but refused where it is written, because it is not built yet.

use std::collections::BTreeMap;

use lakeloop_domain::{Aggregation, OutcomeType, StrategyName};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::cron::Cron;
use crate::quantity::{ByteSize, Period};

mod caps;

mod feature;

mod learning;

mod reward;

mod ladder;

mod training;

pub mod declared;

pub use caps::{RawCaps, RawResourceCap, RawUnitCap};
pub use feature::{
    RawContextField, RawContextFieldTable, RawFeatureColumn, RawFeatureColumnTable, RawFeatureType, RawFeatureView,
    RawFieldType, RawMissing, RawValue,
};
pub use ladder::{RawApprentice, RawAround, RawExploration, RawLadder, RawModelStep};
pub use learning::{RawFinalFit, RawMonotone, RawObjective, RawQualityMetric, RawSearchRange, RawSearchSpace};
pub use reward::RawReward;
pub use training::{RawBaseline, RawRowWeights, RawTraining};

/// A blueprint: one product decision, declared.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBlueprint {
    /// The strategy's name, as requests give it: a-z, 0-9, `_` and `-`, beginning with a letter.
    #[schemars(required, schema_with = "crate::form::strategy_name")]
    pub name: Option<StrategyName>,
    /// What the decision is for, in words.
    pub description: Option<String>,
    /// What the `unit` of a request identifies, in a word: user, session, flight.
    #[schemars(required, schema_with = "crate::form::word")]
    pub unit: Option<String>,
    /// What is decided, with the default that is returned while nothing is learned and when anything fails.
    #[schemars(required)]
    pub decision: Option<RawDecision>,
    /// What callers send about the moment of the decision. Each field has a type, or a table with more about it.
    #[serde(default)]
    #[schemars(extend("propertyNames" = crate::form::Form::FeatureName.schema()))]
    pub context: BTreeMap<String, RawContextField>,
    /// Features that are read from the lake: one table for each feature view.
    #[serde(default)]
    #[schemars(extend("propertyNames" = crate::form::Form::FeatureViewName.schema()))]
    pub features: BTreeMap<String, RawFeatureView>,
    /// The event that is learned from.
    #[schemars(required)]
    pub outcome: Option<RawOutcome>,
    /// What a model may cost.
    pub model: Option<RawModel>,
    /// How scores become a choice. Without it: `threshold` at 0.5 for a yes/no decision with a yes/no outcome,
    /// `greedy` for numbers, else `epsilon_greedy` with epsilon 0.1.
    pub policy: Option<RawPolicy>,
    /// When and on what to train.
    pub schedule: Option<RawSchedule>,
    /// What the blueprint must show before `lakeloop apply` puts it in force. Without it whatever is valid is applied.
    pub gate: Option<RawGate>,
    /// What callers send about each candidate of a ranking, in the form of `context`.
    #[schemars(extend("propertyNames" = crate::form::Form::FeatureName.schema()))]
    pub candidates: Option<BTreeMap<String, RawContextField>>,
    /// Outcomes besides that of `outcome`, each in its form, for the reward.
    #[serde(default)]
    #[schemars(extend("propertyNames" = crate::form::Form::Word.schema()))]
    pub outcomes: BTreeMap<String, RawOutcome>,
    /// How several outcomes become the one number that is learned: a weight for each. Without it the label is that of
    /// `outcome` alone.
    pub reward: Option<RawReward>,
    /// How the rows of a training set count.
    pub training: Option<RawTraining>,
    /// Metrics that must not get worse.
    #[schemars(extend("x-built" = false))]
    pub guardrails: Option<BTreeMap<String, declared::RawGuardrail>>,
    /// Limits to how often, how widely and at what cost something other than the default is chosen.
    pub caps: Option<RawCaps>,
    /// How the strategy begins without knowledge. Without it the policy decides from the first decision on.
    pub ladder: Option<RawLadder>,
    /// Weights of several objectives that one policy serves.
    #[schemars(extend("x-built" = false))]
    pub objectives: Option<BTreeMap<String, f64>>,
    /// A randomised experiment between variants of the strategy.
    #[schemars(extend("x-built" = false))]
    pub experiment: Option<declared::RawExperiment>,
    /// Policy parameters that are tuned for a product metric.
    #[schemars(extend("x-built" = false))]
    pub tuning: Option<declared::RawTuning>,
    /// How a new model comes into traffic, and what stops it.
    #[schemars(extend("x-built" = false))]
    pub rollout: Option<declared::RawRollout>,
}

/// What is decided.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RawDecision {
    /// Yes or no.
    YesNo {
        /// The answer while nothing is learned and when anything fails.
        default: bool,
    },
    /// One of several actions.
    Choose {
        /// The actions, at least two, each once. Equal scores go to the one that stands first.
        #[schemars(schema_with = "crate::form::actions")]
        actions: Vec<String>,
        /// The action while nothing is learned and when anything fails.
        #[schemars(schema_with = "crate::form::word")]
        default: String,
    },
    /// A number: the expected outcome, or a quantile of it.
    Number {
        /// The number while nothing is learned and when anything fails.
        default: f64,
        /// Predict this quantile of the outcome, such as 0.9, rather than its mean.
        quantile: Option<f64>,
    },
    /// An order of candidates that come with the request. While nothing is learned and when anything fails, it is the
    /// request's own.
    Rank {
        /// At most this many candidates are returned. Without it all are.
        #[schemars(range(min = 1))]
        at_most: Option<u32>,
    },
}

/// The event that is learned from, and how its reports become one label for each decision.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOutcome {
    /// The name of the event, as reports give it.
    #[schemars(schema_with = "crate::form::word")]
    pub event: String,
    /// What the label is: `yes_no`, `number`, or `category` (one of the decision's actions). Without it `yes_no` for
    /// the aggregation `any` and `number` for the others.
    #[serde(rename = "type")]
    pub outcome_type: Option<RawOutcomeType>,
    /// How the reports of one decision become one label: `any` is yes where there is a report with a value other than
    /// 0; `first` and `last` go by the time of the event.
    pub aggregation: RawAggregation,
    /// Reports count that happen within this time after the decision. A decision is learned from once it has passed.
    pub window: Period,
    /// The label where nothing was reported: a number, or `exclude` to leave the decision out of training. Without
    /// it 0 for `any`, `sum` and `count`, and `exclude` for the others.
    pub absent: Option<RawAbsent>,
}

/// What the label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawOutcomeType {
    /// Yes where the aggregated value is not 0.
    YesNo,
    /// The aggregated value.
    Number,
    /// One of the actions of the decision.
    Category,
}

impl From<RawOutcomeType> for OutcomeType {
    fn from(raw: RawOutcomeType) -> Self {
        match raw {
            RawOutcomeType::YesNo => Self::YesNo,
            RawOutcomeType::Number => Self::Number,
            RawOutcomeType::Category => Self::Category,
        }
    }
}

/// How the reports of one decision become one label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawAggregation {
    /// Yes where there is a report with a value other than 0.
    Any,
    /// The sum of the values.
    Sum,
    /// The mean of the values.
    Mean,
    /// The number of reports.
    Count,
    /// The value of the earliest event.
    First,
    /// The value of the latest event.
    Last,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
}

impl From<RawAggregation> for Aggregation {
    fn from(raw: RawAggregation) -> Self {
        match raw {
            RawAggregation::Any => Self::Any,
            RawAggregation::Sum => Self::Sum,
            RawAggregation::Mean => Self::Mean,
            RawAggregation::Count => Self::Count,
            RawAggregation::First => Self::First,
            RawAggregation::Last => Self::Last,
            RawAggregation::Min => Self::Min,
            RawAggregation::Max => Self::Max,
        }
    }
}

/// The label where nothing was reported.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawAbsent {
    /// This number.
    Label(f64),
    /// None.
    Word(RawAbsentWord),
}

/// The word for leaving a decision out of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawAbsentWord {
    /// The decision is left out of training.
    Exclude,
}

/// What a model may cost. A model over a limit is not registered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawModel {
    /// The longest that scoring one row may take, as the 99th percentile of the code that serves.
    pub max_latency: Option<Period>,
    /// The largest that the saved model may be.
    pub max_size: Option<ByteSize>,
    /// The loss that is minimised. Without it, it is chosen from the labels, and the run says why. Numbers:
    /// `squared_error`, `absolute_error`, `tweedie` (amounts of at least 0, many of them 0), `gamma` (amounts above 0);
    /// rankings: `ndcg`.
    pub objective: Option<RawObjective>,
    /// The metric that the search chooses by: `auc` or `log_loss` for yes/no outcomes, `rmse` or `mae` for numbers,
    /// `multi_log_loss` for categories. Without it the objective's own.
    pub metric: Option<RawQualityMetric>,
    /// Features whose effect on the score may only go one way: numbers or booleans.
    #[serde(default)]
    #[schemars(extend("propertyNames" = crate::form::Form::FeatureName.schema()))]
    pub monotone: BTreeMap<String, RawMonotone>,
    /// Parameters of XGBoost with ranges that take the place of the search's own.
    pub search_space: Option<RawSearchSpace>,
    /// Which rows the registered model is fitted on: `train_rows` (unless said otherwise), so that its metrics are its own;
    /// or `all_rows`: once more with what validated best, the latest rows included.
    pub final_fit: Option<RawFinalFit>,
    /// Folds, forward in time, that each trial is judged by: 1 (unless said otherwise) to 4. The latest rows are the last fold;
    /// the metric is the mean over folds. More folds take longer, and choose better where few rows are recent. Not for
    /// rankings.
    #[schemars(range(min = 1, max = 4))]
    pub folds: Option<u32>,
    /// The longest that search, fit and checks may take together; the best model so far is kept. With it, there are
    /// up to 1000 trials unless `schedule.trials` says otherwise.
    pub budget: Option<Period>,
}

/// How scores become a choice.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RawPolicy {
    /// For yes/no decisions with a yes/no outcome: yes when its probability is at least `at`.
    Threshold {
        /// The probability; 0.5 unless said otherwise.
        #[serde(default)]
        #[schemars(schema_with = "crate::form::probability")]
        at: Option<f64>,
    },
    /// Always the action with the highest score.
    Greedy {},
    /// Mostly the action with the highest score, now and then one drawn evenly from all, to learn about them.
    EpsilonGreedy {
        /// The share of decisions that are drawn; 0.1 unless said otherwise.
        #[serde(default)]
        #[schemars(schema_with = "crate::form::probability")]
        epsilon: Option<f64>,
    },
    /// ε-greedy with a share that falls with the number of labelled decisions that the live model has learned from: in
    /// proportion to the cube root of one over it.
    EpsilonDecreasing {
        /// The share of decisions that are drawn while nothing is learned; 0.3 unless said otherwise.
        #[serde(default)]
        #[schemars(schema_with = "crate::form::probability")]
        epsilon: Option<f64>,
        /// The number of labelled decisions after which the share has halved; 1000 unless said otherwise.
        #[schemars(range(min = 1))]
        halved_after: Option<u64>,
        /// The share falls no further than this; 0.01 unless said otherwise.
        #[serde(default)]
        #[schemars(schema_with = "crate::form::probability")]
        minimum: Option<f64>,
    },
    /// One of the k actions with the highest scores, drawn evenly.
    TopK {
        /// How many.
        #[schemars(range(min = 1))]
        k: u32,
    },
    /// Actions drawn in proportion to exp(score / temperature).
    Softmax {
        /// In the unit of scores: a probability for yes/no outcomes, else that of the outcome. Higher draws more evenly.
        #[schemars(schema_with = "crate::form::positive")]
        temperature: f64,
    },
    /// Actions drawn by the probability that each has the highest expected outcome, by what the model knows of it.
    Thompson {
        /// The share of decisions that are drawn evenly from all instead; 0 unless said otherwise.
        #[serde(default)]
        #[schemars(schema_with = "crate::form::probability")]
        epsilon: Option<f64>,
    },
    /// The action with the highest upper confidence bound.
    Ucb {
        /// How many standard deviations above the expected outcome the bound lies.
        #[schemars(range(min = 0))]
        width: f64,
        /// The share of decisions that are drawn evenly from all instead; 0 unless said otherwise, which makes every
        /// choice certain: other policies can then not be valued from its log.
        #[serde(default)]
        #[schemars(schema_with = "crate::form::probability")]
        epsilon: Option<f64>,
    },
    /// For rankings: the best candidates in order, but for some positions, whose candidates are drawn evenly from the rest.
    Slots {
        /// Those positions, counted from 1, each once.
        #[schemars(schema_with = "crate::form::slots")]
        exploration_slots: Vec<u32>,
    },
}

/// When and on what to train.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSchedule {
    /// When to train: minute, hour, day of month, month, day of week, in UTC; six fields begin with the second.
    /// Without it training runs only when asked for.
    pub train: Option<Cron>,
    /// Train on the decisions of this long a time. Without it on all.
    pub window: Option<Period>,
    /// With fewer labelled decisions than this, training waits; 200 unless said otherwise.
    #[schemars(range(min = 1))]
    pub minimum_rows: Option<u64>,
    /// How many models the search tries; 8 unless said otherwise, and
    /// without `model.budget`.
    #[schemars(range(min = 1, max = 1000))]
    pub trials: Option<u32>,
    /// When to write readouts, in the form of `train`.
    #[schemars(extend("x-built" = false))]
    pub readout: Option<Cron>,
}

/// What a blueprint must show before it is put in force.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGate {
    /// On logged decisions it must be worth no less than what was logged, within a margin.
    pub off_policy: Option<RawOffPolicyGate>,
}

/// How much worse than what was logged a blueprint may be, and how sure that must be.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOffPolicyGate {
    /// The loss that is accepted, in units of the label for each decision: 0.01 of a yes/no label is one yes in a hundred
    /// decisions.
    #[schemars(range(min = 0.0))]
    pub margin: f64,
    /// The confidence of the interval that must lie above the loss; 0.95 unless said otherwise.
    #[schemars(range(min = 0.5, max = 0.999))]
    pub confidence: Option<f64>,
}
