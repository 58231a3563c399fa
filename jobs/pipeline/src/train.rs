//! The train job, from logged decisions to a verdict on a new model.
//!
//! ```text
//!  training set ──► fit (guards, search, parity, calibration, ladder) ──► trials ──► judge ──► register ──► live?
//!       │               │                                                    │
//!       │               └ a guard stops it, or no winner: failed, says why   └ no better than the ladder: not registered
//!       └ too little: skipped, and says what is missing
//! ```
//!
//! Every step leaves the tables consistent. A process that dies leaves at most a training set, trials, or a candidate
//! that was never judged; the next run builds its own and judges that.

use std::ops::ControlFlow;
use std::sync::Arc;

use lakeloop_domain::{
    AppliedBlueprint, JobRun, Micros, ModelRecord, ModelVersion, RunState, StrategyName, TrainingSetId,
};
use lakeloop_lake::job_runs::{self, Hold};
use lakeloop_lake::{blueprints, registry};
use tokio_util::sync::CancellationToken;

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::fit::{Fitted, Winner, Work, fit};
use crate::loss::metric_name;
use crate::progress::{Progress, Stage};
use crate::promote::{Verdict, carry_out, judge};
use crate::publish::{record_trials, register};
use crate::training_set::{Built, TrainingData, build, gap_in_words, missed_in_words};

/// How a job's work ended when it did not fail.
pub(crate) struct Done {
    /// Succeeded or skipped.
    pub state: RunState,
    /// What was done, in one sentence.
    pub detail: String,
    /// The training set that was built.
    pub training_set_id: Option<TrainingSetId>,
    /// The model that was registered.
    pub model: Option<ModelVersion>,
}

/// Trains a strategy as of a moment. `stop` ends it between two trials, and before anything is registered.
pub(crate) async fn train(
    ctx: &JobContext,
    run: &JobRun,
    strategy: &StrategyName,
    as_of: Micros,
    stop: &CancellationToken,
) -> Result<Done, PipelineError> {
    let applied = in_force(ctx, strategy).await?;
    let report = Reporter { ctx, strategy };
    report.stage(Stage::BuildingTrainingSet);
    let data = match build(ctx, &applied, run, as_of).await? {
        Built::Ready(data) => data,
        Built::TooLittle(missing) => {
            return Ok(Done {
                state: RunState::Skipped,
                detail: missing,
                training_set_id: None,
                model: None,
            });
        }
    };
    let live = registry::live(&ctx.lake)
        .await?
        .into_iter()
        .find(|model| model.strategy == *strategy);
    let fitted = fit_on_a_thread(ctx, &applied, &data, live, stop).await?;
    record_trials(&ctx.lake, &applied, &data.id, &fitted).await?;
    let winner = match (fitted.winner, fitted.search.winner) {
        (Some(winner), _) => winner,
        (None, Err(error)) => return Err(error.into()),
        (None, Ok(_)) => return Err(PipelineError::NoModelInBundle),
    };

    report.stage(Stage::Publishing);
    if stop.is_cancelled() {
        return Err(PipelineError::Stopped);
    }
    still_ours(ctx, run).await?;
    let verdict = judge(&winner.facts, applied.blueprint.training.must_beat());
    let quality = in_words(&applied, &data, &winner);
    if let Verdict::Refuse { reason } = &verdict {
        return Ok(Done {
            state: RunState::Succeeded,
            detail: format!("no model was registered: {reason}; {quality}"),
            training_set_id: Some(data.id.clone()),
            model: None,
        });
    }
    let model = register(ctx, &applied, &data, winner).await?;
    carry_out(&ctx.lake, &model, &verdict, ctx.now()).await?;
    let (stands, reason) = match &verdict {
        Verdict::GoLive { reason } => ("is live", reason),
        Verdict::Stay { reason } | Verdict::Refuse { reason } => ("stays a candidate", reason),
    };
    Ok(Done {
        state: RunState::Succeeded,
        detail: format!("model {} {stands}: {reason}; {quality}", model.version),
        training_set_id: Some(data.id.clone()),
        model: Some(model.version),
    })
}

pub(crate) async fn in_force(ctx: &JobContext, strategy: &StrategyName) -> Result<AppliedBlueprint, PipelineError> {
    let current = blueprints::current(&ctx.lake).await?;
    let names: Vec<String> = current
        .iter()
        .map(|applied| format!("`{}`", applied.blueprint.name))
        .collect();
    current
        .into_iter()
        .find(|applied| applied.blueprint.name == *strategy)
        .ok_or_else(|| {
            let applied = match names.as_slice() {
                [] => "none is; `lakeloop apply` applies the blueprints of a home".to_owned(),
                names => format!("applied are {}", names.join(", ")),
            };
            PipelineError::UnknownStrategy {
                strategy: strategy.clone(),
                applied,
            }
        })
}

/// Fits on a thread that may block: libxgboost's objects never leave it.
async fn fit_on_a_thread(
    ctx: &JobContext,
    applied: &AppliedBlueprint,
    data: &Arc<TrainingData>,
    live: Option<ModelRecord>,
    stop: &CancellationToken,
) -> Result<Fitted, PipelineError> {
    let (ctx, applied, data, stop) = (ctx.clone(), applied.clone(), Arc::clone(data), stop.clone());
    let fitting = move || {
        let report = Reporter {
            ctx: &ctx,
            strategy: &applied.blueprint.name,
        };
        let work = Work {
            applied: &applied,
            data: &data,
            live: live.as_ref(),
            seed: ctx.seed,
            max_threads: u32::try_from(ctx.settings.jobs.threads).unwrap_or(u32::MAX),
            clock: &ctx.clock,
        };
        fit(&work, |n_done, n_trials, best| {
            report.trials(n_done, n_trials, best);
            if stop.is_cancelled() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    };
    tokio::task::spawn_blocking(fitting)
        .await
        .map_err(PipelineError::BrokeOff)?
}

/// Moves the lease on, which fails when the run was taken over: a run that lost its lease registers nothing.
async fn still_ours(ctx: &JobContext, run: &JobRun) -> Result<(), PipelineError> {
    match job_runs::extend(&ctx.lake, run, ctx.now(), ctx.settings.jobs.lease).await? {
        Hold::Kept(_) => Ok(()),
        Hold::Lost(by) => Err(PipelineError::Lost { run: Box::new(by) }),
    }
}

/// How good the best model is, on what, and what the guards told.
fn in_words(applied: &AppliedBlueprint, data: &TrainingData, winner: &Winner) -> String {
    let metric = metric_name(&applied.blueprint.learning_target());
    let baseline = winner
        .baseline
        .map_or_else(String::new, |baseline| format!(" against {baseline:.4} of a constant"));
    let auc = winner.auc.map_or_else(String::new, |auc| format!(", AUC {auc:.4}"));
    let notes: String = winner.notes.iter().map(|note| format!("; note: {note}")).collect();
    format!(
        "{metric} {:.4}{baseline}{auc}; fitted on {} rows, validated on {} later ones, {}{}{notes}",
        winner.value,
        data.train().len(),
        data.validation().len(),
        gap_in_words(data.split.gap),
        missed_in_words(&data.missed),
    )
}

struct Reporter<'a> {
    ctx: &'a JobContext,
    strategy: &'a StrategyName,
}

impl Reporter<'_> {
    fn stage(&self, stage: Stage) {
        self.send(stage, 0, 0, None);
    }

    fn trials(&self, n_trials_done: u32, n_trials: u32, best: Option<f64>) {
        let stage = if n_trials_done < n_trials {
            Stage::Searching
        } else {
            Stage::Checking
        };
        self.send(stage, n_trials_done, n_trials, best);
    }

    fn send(&self, stage: Stage, n_trials_done: u32, n_trials: u32, best: Option<f64>) {
        self.ctx.report(Progress {
            strategy: self.strategy.clone(),
            stage,
            n_trials_done,
            n_trials,
            best,
        });
    }
}
