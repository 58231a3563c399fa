//! Why a job could not do its work.
//!
//! Too few rows, a model that is not good enough and a run that another process holds are answers of a job, not
//! errors.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use lakeloop_decide::encode::{EncodingError, WidthError};
use lakeloop_decide::{BundleError, ModelLoadError, ScoreError};
use lakeloop_domain::{FeatureViewName, InvalidId, JobRun, ModelVersion, StrategyName};
use lakeloop_lake::LakeError;
use lakeloop_snapshot::SnapshotError;
use lakeloop_sql::SqlError;

use crate::due::DueError;
use crate::matrix::FreeText;
use crate::parity::ParityError;
use crate::replay::Difference;
use crate::search::SearchError;
use crate::xgb::XgbError;

/// Why a job could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The lake refused or failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A query failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// No blueprint of this name is in force.
    #[error("no strategy `{strategy}` is applied; {applied}")]
    UnknownStrategy {
        /// What was asked for.
        strategy: StrategyName,
        /// What there is, in words.
        applied: String,
    },
    /// The job is about one strategy, and none was named.
    #[error("`train` is about one strategy; name it")]
    NoStrategy,
    /// No feature view of this name has a table.
    #[error("no feature view `{view}` has a table; there are: {known}")]
    UnknownView {
        /// What was asked for.
        view: FeatureViewName,
        /// What there is, in words.
        known: String,
    },
    /// A feature snapshot could not be built.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A row that was returned as labelled has no label of the blueprint's kind.
    #[error("row {row_idx} of the training query of `{strategy}` has no label of the blueprint's kind")]
    Label {
        /// Whose.
        strategy: StrategyName,
        /// Which.
        row_idx: usize,
    },
    /// The rows of a training set could not be put together.
    #[error("could not put the training rows together: {0}")]
    TrainingRows(#[source] ArrowError),
    /// The decisions without an outcome could not be counted.
    #[error("could not count how often features are filled: {0}")]
    Fill(#[source] DataFusionError),
    /// A logged decision cannot be used to value a policy.
    #[error("decision `{decision_id}` cannot be used: {source}")]
    LoggedDecision {
        /// Which.
        decision_id: String,
        /// What is wrong with it.
        source: lakeloop_stats::off_policy::LogError,
    },
    /// Models cannot be cross-fitted on so few units.
    #[error("{n_units} units are too few to fit models for {n_folds} folds")]
    TooFewToFit {
        /// How many units there are.
        n_units: usize,
        /// How many folds.
        n_folds: usize,
    },
    /// There is no earlier version to bring back, or not the one that was named.
    #[error("{what}")]
    NothingToRollBack {
        /// What there is instead.
        what: String,
    },
    /// No model of this version is registered.
    #[error("no model {version} of `{strategy}`; {}", model_versions(known))]
    UnknownModel {
        /// The strategy.
        strategy: StrategyName,
        /// What was asked for.
        version: ModelVersion,
        /// What there is.
        known: Vec<ModelVersion>,
    },
    /// Older training sets could not be listed.
    #[error("could not list older training sets: {0}")]
    OldRows(#[source] DataFusionError),
    /// The rows of older training sets could not be removed.
    #[error("could not remove the rows of older training sets: {0}")]
    ForgetRows(#[source] deltalake::DeltaTableError),
    /// An id cannot be used.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The model that is to be registered cannot be loaded.
    #[error(transparent)]
    ModelLoad(#[from] ModelLoadError),
    /// The model that is to be registered does not fit its blueprint.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A bundle that was made with a model has none.
    #[error("the bundle of the model that is to be checked holds no model")]
    NoModelInBundle,
    /// A model cannot score the validation rows.
    #[error("a model cannot score the validation rows: {0}")]
    Score(#[from] ScoreError),
    /// The learned encoding is not valid.
    #[error("the encoding that was learned is not valid: {0}")]
    Encoding(#[from] EncodingError),
    /// A row does not fit the encoding.
    #[error(transparent)]
    Width(#[from] WidthError),
    /// Rows that are in no lake cannot be fitted on.
    #[error("{0}")]
    TooLittle(String),
    /// A column holds what cannot be learned from.
    #[error(transparent)]
    FreeText(#[from] FreeText),
    /// libxgboost failed.
    #[error(transparent)]
    Xgb(#[from] XgbError),
    /// A guard stopped the run.
    #[error("nothing was fitted: {}", sentences.join("; and "))]
    Guards {
        /// Why, each with the column, its numbers and what to do.
        sentences: Vec<String>,
    },
    /// No trial gave a model that may be used.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The serving code and libxgboost disagree.
    #[error(transparent)]
    Parity(#[from] ParityError),
    /// Logged decisions could not be read.
    #[error("could not read logged decisions: {0}")]
    Decisions(#[source] DataFusionError),
    /// Logged decisions came out different when they were made again.
    #[error(
        "{n_differing} of {n_decisions} decisions came out different when they were made again; the first: {first}"
    )]
    Replay {
        /// How many.
        n_differing: u64,
        /// Of how many.
        n_decisions: u64,
        /// One of them.
        first: Box<Difference>,
    },
    /// A schedule cannot be read.
    #[error(transparent)]
    Due(#[from] DueError),
    /// The scheduler failed.
    #[error("could not {doing}: {source}")]
    Scheduler {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: tokio_cron_scheduler::JobSchedulerError,
    },
    /// The run was ended by somebody else, most likely because its lease had run out.
    #[error("run {} is {} by now ({}), so nothing more was written for it", run.run_id, run.state.as_str(), run.detail)]
    Lost {
        /// The row that ended it.
        run: Box<JobRun>,
    },
    /// The process is stopping.
    #[error("stopped before it was done")]
    Stopped,
    /// The work ended in a panic.
    #[error("the work broke off: {0}")]
    BrokeOff(#[source] tokio::task::JoinError),
}

fn model_versions(known: &[ModelVersion]) -> String {
    match known {
        [] => "none is registered".to_owned(),
        known => {
            let versions: Vec<String> = known.iter().map(ToString::to_string).collect();
            format!("registered are {}", versions.join(", "))
        }
    }
}
