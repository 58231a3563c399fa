//! Finds a search that broke off, so that it can go on where it was.
//!
//! ```text
//!  training set written ─► trials … ✗ process died          the run is marked abandoned by the next claim
//!                             └─► the next run reads rows and trials back, and goes on
//! ```
//!
//! Taken up is the strategy's latest training set, when the run that built it was abandoned, the blueprint is still the
//! same, no model was made from it, its rows are still there, and it is not older than a day: what is older is better
//! built anew.

use std::sync::Arc;

use lakeloop_domain::{AppliedBlueprint, RunState};
use lakeloop_lake::rows::{TrainingSet, Trial};
use lakeloop_lake::{job_runs, registry, trials};

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::training_set::{self, TrainingData};

/// A training set older than this is not taken up again, in microseconds.
const OLDEST_US: i64 = 24 * 3_600 * 1_000_000;

/// A search that broke off.
pub(crate) struct BrokenOff {
    /// Its rows.
    pub data: Arc<TrainingData>,
    /// Its trials that had ended.
    pub trials: Vec<Trial>,
}

/// The search of a strategy that broke off, if one did.
pub(crate) async fn broken_off(
    ctx: &JobContext,
    applied: &AppliedBlueprint,
) -> Result<Option<BrokenOff>, PipelineError> {
    let strategy = &applied.blueprint.name;
    let Some(set) = training_set::latest(&ctx.lake, strategy).await? else {
        return Ok(None);
    };
    let is_recent = ctx.now().saturating_sub(set.built_at) <= OLDEST_US;
    if set.blueprint_version != applied.version || !is_recent || !was_abandoned(ctx, &set).await? {
        return Ok(None);
    }
    let models = registry::list(&ctx.lake, Some(strategy)).await?;
    if models
        .iter()
        .any(|model| model.provenance.training_set_id == set.training_set_id)
    {
        return Ok(None);
    }
    let Some(data) = training_set::read_back(&ctx.lake, &applied.blueprint, &set).await? else {
        return Ok(None);
    };
    let trials = trials::of_set(&ctx.lake, &set.training_set_id).await?;
    tracing::info!(
        strategy = %strategy, training_set_id = %set.training_set_id, n_trials = trials.len(),
        "going on with a search that broke off"
    );
    Ok(Some(BrokenOff {
        data: Arc::new(data),
        trials,
    }))
}

/// A training set bears the name of the run that built it.
async fn was_abandoned(ctx: &JobContext, set: &TrainingSet) -> Result<bool, PipelineError> {
    let runs = job_runs::latest(&ctx.lake).await?;
    let built_by = runs
        .iter()
        .find(|run| run.run_id.as_str() == set.training_set_id.as_str());
    Ok(built_by.is_some_and(|run| run.state == RunState::Abandoned))
}
