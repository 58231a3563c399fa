//! Runs one job: claims it, works while the lease is moved on, and writes down how it ended.
//!
//! ```text
//!   claim ──► held by another: says by whom and until when
//!     │
//!     └─► work ──► finish: succeeded, skipped or failed, with one sentence
//!          ▲ │
//!          └─┘ the lease is moved on at each third of it; when that finds the run taken over, the work is stopped
//! ```
//!
//! A process that dies leaves its run running; whoever claims the job after the lease has passed marks it abandoned and
//! begins anew.

use chrono::{DateTime, SecondsFormat};
use lakeloop_domain::{JobKind, JobRun, Micros, ModelVersion, RunId, RunState, StrategyName, TrainingSetId};
use lakeloop_lake::job_runs::{self, Claim, Hold};

use crate::climb::climb;
use crate::compact::compact;
use crate::context::JobContext;
use crate::error::PipelineError;
use crate::replay::replay_last_day;
use crate::snapshot::run_snapshot;
use crate::train::{Done, train};

/// How a call to run a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// It ran, and ended in this state.
    Ran(RunState),
    /// Another run holds the job, until this instant unless it goes on.
    Held {
        /// When the other's lease ends.
        until: Option<Micros>,
    },
}

/// What came of a call to run a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutcome {
    /// The run; the one that holds the job, where it is held.
    pub run_id: RunId,
    /// What it does.
    pub job: JobKind,
    /// For which strategy; `None` for jobs of the whole lake.
    pub strategy: Option<StrategyName>,
    /// How it ended.
    pub end: RunEnd,
    /// What was done, what is missing, or who holds the job: one sentence.
    pub detail: String,
    /// The training set that was built.
    pub training_set_id: Option<TrainingSetId>,
    /// The model that was registered.
    pub model: Option<ModelVersion>,
}

/// Runs a job now, as of an instant (`None`: now): a training set holds only decisions whose window had closed by then.
///
/// Ends when the job has ended. A failure of the work is written down as the run's end and returned.
pub async fn run_job(
    ctx: &JobContext,
    job: JobKind,
    strategy: Option<&StrategyName>,
    as_of: Option<Micros>,
) -> Result<RunOutcome, PipelineError> {
    let strategy = match job {
        JobKind::Train => Some(strategy.ok_or(PipelineError::NoStrategy)?),
        JobKind::Compact | JobKind::Replay | JobKind::Ladder => None,
        JobKind::Snapshot => return run_snapshot(ctx, None).await,
    };
    let lease = ctx.settings.jobs.lease;
    match job_runs::claim(&ctx.lake, job, strategy, &ctx.runner, ctx.now(), lease).await? {
        Claim::Held(by) => Ok(held(by)),
        Claim::Started(run) => {
            tracing::info!(job = job.as_str(), run_id = %run.run_id, strategy = strategy.map(StrategyName::as_str), "started");
            let worked = work_under_lease(ctx, &run, as_of.unwrap_or(run.at)).await;
            finish(ctx, run, worked).await
        }
    }
}

fn held(by: JobRun) -> RunOutcome {
    let until = by.lease_until.and_then(DateTime::from_timestamp_micros);
    let until = until.map_or_else(String::new, |at| {
        format!(", until {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
    });
    RunOutcome {
        detail: format!(
            "{} is running it already{until} unless it goes on ({})",
            by.runner, by.run_id
        ),
        end: RunEnd::Held { until: by.lease_until },
        run_id: by.run_id,
        job: by.job,
        strategy: by.strategy,
        training_set_id: None,
        model: None,
    }
}

/// Works, and moves the lease on meanwhile.
async fn work_under_lease(ctx: &JobContext, run: &JobRun, as_of: Micros) -> Result<Done, PipelineError> {
    let stop = ctx.stop.child_token();
    let working = async {
        match (run.job, &run.strategy) {
            (JobKind::Train, Some(strategy)) => train(ctx, run, strategy, as_of, &stop).await,
            (JobKind::Train, None) => Err(PipelineError::NoStrategy),
            (JobKind::Compact, _) => compact(ctx, &stop).await,
            (JobKind::Replay, _) => replay_last_day(ctx, as_of, &stop).await,
            (JobKind::Ladder, _) => climb(ctx, run, as_of, &stop).await,
            // Not claimed, so there is no lease to work under.
            (JobKind::Snapshot, _) => Err(PipelineError::Stopped),
        }
    };
    let lost = async {
        let by = keep_lease(ctx, run).await;
        stop.cancel();
        by
    };
    tokio::pin!(working);
    tokio::select! {
        worked = &mut working => worked,
        by = lost => {
            // Blocking work cannot be dropped half way; it ends at its next step.
            let _ = working.await;
            Err(PipelineError::Lost { run: Box::new(by) })
        }
    }
}

/// Moves the lease on at each third of it, until the run is found ended by somebody else; returns what ended it.
async fn keep_lease(ctx: &JobContext, run: &JobRun) -> JobRun {
    let lease = ctx.settings.jobs.lease;
    loop {
        tokio::time::sleep(lease / 3).await;
        match job_runs::extend(&ctx.lake, run, ctx.now(), lease).await {
            Ok(Hold::Kept(_)) => {}
            Ok(Hold::Lost(by)) => return by,
            // The lease lasts for two more tries.
            Err(error) => tracing::warn!(run_id = %run.run_id, %error, "the lease could not be moved on"),
        }
    }
}

/// Writes down how a run ended.
async fn finish(
    ctx: &JobContext,
    run: JobRun,
    worked: Result<Done, PipelineError>,
) -> Result<RunOutcome, PipelineError> {
    if let Err(PipelineError::Lost { .. }) = &worked {
        return Err(worked.err().unwrap_or(PipelineError::Stopped));
    }
    let (state, detail) = match &worked {
        Ok(done) => (done.state, done.detail.clone()),
        Err(error) => (RunState::Failed, error.to_string()),
    };
    tracing::info!(job = run.job.as_str(), run_id = %run.run_id, state = state.as_str(), detail, "ended");
    let hold = job_runs::finish(&ctx.lake, &run, state, &detail, ctx.now()).await;
    let done = worked?;
    match hold? {
        Hold::Lost(by) => Err(PipelineError::Lost { run: Box::new(by) }),
        Hold::Kept(_) => Ok(RunOutcome {
            run_id: run.run_id,
            job: run.job,
            strategy: run.strategy,
            end: RunEnd::Ran(state),
            detail,
            training_set_id: done.training_set_id,
            model: done.model,
        }),
    }
}
