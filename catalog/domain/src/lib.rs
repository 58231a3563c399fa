//! The nouns of lakeloop: what is declared, what is decided, what came of it, and what was learned.
//!
//! Pure types and the checks that make them valid; no files, no tables, no network, no clock. Every other room
//! speaks in these words, so this crate is also the glossary:
//!
//! - **strategy**: a named product decision that is made again and again; declared by a **blueprint**.
//! - **unit**: whom or what a decision is for (a user, a session, a query).
//! - **context**: what the caller sends about the moment of the decision.
//! - **feature**: one named value that a model sees: from the context, or looked up in the lake.
//! - **action**: what can be decided; **propensity**: the probability with which the policy chose the action taken.
//! - **candidate**: one of the things that come with a request to be put in order; a **ranking** is the order returned, and
//!   a **position** a place in it, counted from 0.
//! - **outcome**: an event that is reported later; the **label** is what the outcomes of one decision add up to
//!   within its **attribution window**. Of several outcomes the **reward** is the sum of their labels, each times its
//!   weight, and then that is the label.
//! - **policy**: the rule that turns scores into an action.
//! - **cap**: a limit to how often, how widely or at what cost something other than the default is chosen; an action that a
//!   cap forbids at some moment is **blocked** then.
//! - **ladder**: the steps by which a strategy begins without knowledge; an **apprentice** returns the action of the **rule** that
//!   its caller has already, and its **agreement** is how often the model would have chosen that action too.
//! - **model version**: one trained model in the registry, in a **stage**: candidate, live or retired.

mod ids;

mod feature;

mod blueprint;

mod policy;

mod timestamp;

mod gate;

mod training;

mod slots;

mod caps;

mod ladder;

mod ranking;

mod outcome;

mod learning;

mod reward;

mod decision;

mod model;

mod card;

mod job;

pub use blueprint::{
    AppliedBlueprint, Blueprint, ContextField, DecisionKind, FeatureColumn, FeatureView, ModelLimits, OutcomeSpec,
    Schedule,
};
pub use caps::{ActionUse, Amount, Caps, ResourceCap, UnitCap};
pub use card::{
    CardBaseline, CardCalibration, CardCost, CardData, CardFold, CardImportance, CardInterval, CardLift, CardMetric,
    CardReliability, CardSlice, ModelCard, PredictionInterval,
};
pub use decision::{Choice, Conditions, DecisionReason, DecisionRecord};
pub use feature::{FeatureType, FeatureValue, Features, NamedValue, ValueRef};
pub use gate::{Gate, OffPolicyGate};
pub use ids::{
    BlueprintVersion, CandidateId, DecisionId, EvaluationId, FeatureViewName, InvalidId, ModelVersion, OutcomeId,
    RunId, StrategyName, TrainingSetId, UnitId,
};
pub use job::{JobKind, JobRun, RunState};
pub use ladder::{
    ApprenticeStep, Around, ExplorationStep, Ladder, LadderCounts, LadderGate, LadderMove, LadderStep, ModelStep,
};
pub use learning::{FinalFit, LearningSpec, Monotone, Objective, QualityMetric, SearchParameter, SearchRange};
pub use model::{
    ActionBelief, Belief, Calibration, EncodedColumn, Encoding, LearningTarget, ModelMetrics, ModelRecord, ModelStage,
    Provenance, StageMove, Uncertainty,
};
pub use outcome::{AbsentLabel, Aggregation, OutcomeRecord, OutcomeType, OutcomeValue};
pub use policy::Policy;
pub use ranking::{Candidate, Position, Ranking};
pub use reward::{LabelPart, NamedOutcome, RewardWeight, Rewards, RowWeights, inverse_propensity};
pub use slots::{InvalidSlots, Slots};
pub use timestamp::{Timestamp, TimestampPart};
pub use training::{Baseline, TrainingRules};

/// Microseconds since 1970-01-01T00:00:00Z: how every instant is kept, in memory, in the journal and in the tables.
pub type Micros = i64;
