//! The train job, from logged decisions to a verdict on a new model.
//!
//! ```text
//!  training set ──► fit (guards, search, parity, calibration, ladder) ──► judge ──► register ──► live?
//!       │               │        └► trials, written as they end             │
//!       │               └ a guard stops it, or no winner: failed, says why  └ no better than the ladder: not registered
//!       └ too little: skipped, and says what is missing
//! ```
//!
//! Every step leaves the tables consistent. A process that dies leaves at most a training set with some of its trials, or a
//! candidate that was never judged. The next run goes on with a search that was broken off; otherwise it builds a training
//! set of its own.

use std::ops::ControlFlow;
use std::sync::Arc;

use lakeloop_domain::{
    AppliedBlueprint, JobRun, Micros, ModelRecord, ModelVersion, RunState, StrategyName, TrainingSetId,
};
use lakeloop_lake::job_runs::{self, Hold};
use lakeloop_lake::{blueprints, registry, trials};
use tokio_util::sync::CancellationToken;

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::fit::{Fitted, Follower, Start, Work, fit};
use crate::ledger::{Ledger, earlier_winners, read_back};
use crate::progress::{Progress, Stage};
use crate::promote::{Verdict, carry_out, judge};
use crate::publish::register;
use crate::resume::{BrokenOff, broken_off};
use crate::search::{Asked, SoFar};
use crate::training_set::{Built, TrainingData, build, gap_in_words, missed_in_words};
use crate::winner::Winner;

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
    let (data, written) = match broken_off(ctx, &applied).await? {
        Some(BrokenOff { data, trials }) => (data, trials),
        None => match build(ctx, &applied, run, as_of).await? {
            Built::Ready(data) => (data, Vec::new()),
            Built::TooLittle(missing) => {
                return Ok(Done {
                    state: RunState::Skipped,
                    detail: missing,
                    training_set_id: None,
                    model: None,
                });
            }
        },
    };
    let live = registry::live_of(&ctx.lake, strategy).await?;
    let start = Start {
        earlier_winners: earlier_winners(&ctx.lake, strategy).await?,
        ended_before: read_back(&written),
    };
    let ledger = Ledger::new(&ctx.lake, strategy, &data.id, &written);
    let fitted = fit_on_a_thread(ctx, &applied, &data, live, (start, ledger), stop).await?;
    let chosen = fitted.search.winner.as_ref().ok().map(|choice| choice.trial_idx);
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
    if let Some(trial_idx) = chosen {
        trials::mark_chosen(&ctx.lake, &data.id, trial_idx as u32).await?;
    }
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
    (start, mut ledger): (Start, Ledger),
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
            start,
        };
        let asked = || match (stop.is_cancelled(), ctx.is_asked_to_choose()) {
            (true, _) => Asked::Stop,
            (false, true) => Asked::ChooseNow,
            (false, false) => Asked::GoOn,
        };
        let so_far = |so_far: SoFar| {
            report.trials(so_far);
            if stop.is_cancelled() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let mut follower = Follower {
            ended: &mut |idx, trial, metric| ledger.take(idx, trial, metric),
            asked: &asked,
        };
        let fitted = fit(&work, so_far, &mut follower);
        // What has ended is written down even where the search has failed.
        ledger.write()?;
        fitted
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
    let metric = winner.metric.as_str();
    let baseline = winner
        .baseline
        .map_or_else(String::new, |baseline| format!(" against {baseline:.4} of a constant"));
    let auc = winner.auc.map_or_else(String::new, |auc| format!(", AUC {auc:.4}"));
    let notes: String = winner.notes.iter().map(|note| format!("; note: {note}")).collect();
    let also = if applied.blueprint.learning.fits_all_rows() {
        "; then fitted on all of them"
    } else {
        ""
    };
    format!(
        "{metric} {:.4}{baseline}{auc}; {}; fitted on {} rows, validated on {} later ones, {}{}{also}{notes}",
        winner.value,
        winner.chosen_because,
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
        self.send(stage, None);
    }

    fn trials(&self, so_far: SoFar) {
        let stage = if so_far.n_done < so_far.n_trials {
            Stage::Searching
        } else {
            Stage::Checking
        };
        self.send(stage, Some(so_far));
    }

    fn send(&self, stage: Stage, so_far: Option<SoFar>) {
        self.ctx.report(Progress {
            strategy: self.strategy.clone(),
            stage,
            n_trials_done: so_far.map_or(0, |so_far| so_far.n_done),
            n_trials: so_far.map_or(0, |so_far| so_far.n_trials),
            best: so_far.and_then(|so_far| so_far.best),
            seconds_left: so_far.and_then(|so_far| so_far.seconds_left),
        });
    }
}
