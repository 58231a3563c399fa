//! What runs on a schedule: training sets, the search for models, their checks, promotion, upkeep of the tables,
//! and the proof that logged decisions can be made again.
//!
//! One call, [`run_job`], claims a job, does it and writes down how it ended; a [`Scheduler`] makes that call when a
//! blueprint's schedule says so. Serving is not in here: this crate meets it only through the tables and the feature
//! snapshots, and through the same encoder and model that serve.
//!
//! ```text
//!   decisions, outcomes ─► training_set ─► fit ─► promote ─► publish ─► models
//!                                          │
//!             guards ─► search ─► xgb (libxgboost), latency, parity ─► out_of_fold, calibrate, ladder ─► card
//! ```

mod runner;

mod schedule;

mod due;

mod train;

mod training_set;

mod split;

mod folds;

mod fold_rows;

mod rows;

mod weights;

mod fit;

mod winner;

mod matrix;

mod target;

mod search;

mod workers;

mod trial;

mod provisional;

mod limits;

mod ledger;

mod race;

mod tpe;

mod parameters;

mod selection;

mod choice;

mod order;

mod xgb;

mod scoring;

mod loss;

mod latency;

mod parity;

mod calibrate;

mod coverage;

mod out_of_fold;

mod interval;

mod ladder;

mod guards;

mod card;

mod uncertainty;

mod offline;

mod front;

mod publish;

mod resume;

mod promote;

mod compact;

mod replay;

mod evaluate;

mod plan;

mod rollback;

mod climb;

mod snapshot;

mod context;

mod progress;

mod error;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod next_to_vw;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod simulated;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod held_out;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod later;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod timestamps;

pub use climb::{Standing, standings};
pub use context::{Clock, JobContext};
pub use due::{DueError, due_times};
pub use error::PipelineError;
pub use evaluate::{
    Candidate, DecidingModel, EvaluationOptions, EvaluationReport, EvaluationRows, Support, applied_strategies,
    blueprint_in_force, evaluate, words,
};
pub use front::{FrontPoint, pareto_front};
pub use loss::Gain;
pub use matrix::FreeText;
pub use offline::{OfflineFit, fit_rows};
pub use parity::{ParityError, TOLERANCE as PARITY_TOLERANCE};
pub use plan::{Change, FeaturePlan, GateVerdict, Gated, ModelPlan, Plan, gate, plan};
pub use progress::{Progress, ProgressSender, Stage};
pub use replay::{Difference, ReplayReport, replay_decisions};
pub use rollback::{BlueprintRollback, ModelRollback, rollback_blueprint, rollback_model};
pub use runner::{RunEnd, RunOutcome, run_job};
pub use schedule::{ScheduledJob, Scheduler, scheduled_jobs};
pub use search::SearchError;
pub use snapshot::run_snapshot;
pub use xgb::XgbError;
