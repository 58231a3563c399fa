//! Registers the winner of a search, with everything that says what it is and what it was made from.

use lakeloop_domain::{AppliedBlueprint, ModelMetrics, ModelRecord, Provenance, TrainingSetId};
use lakeloop_lake::registry::{self, NewModel};
use lakeloop_lake::rows::{self, trials_to_batch};
use lakeloop_lake::{Lake, TableName};

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::fit::{Fitted, Winner};
use crate::loss::metric_name;
use crate::training_set::{TrainingData, append_once};

/// Writes every trial of a search, also of one without a winner.
pub(crate) async fn record_trials(
    lake: &Lake,
    applied: &AppliedBlueprint,
    training_set_id: &TrainingSetId,
    fitted: &Fitted,
) -> Result<(), PipelineError> {
    let target = applied.blueprint.learning_target();
    let chosen = fitted.search.winner.as_ref().ok();
    let trials: Vec<rows::Trial> = fitted
        .search
        .trials
        .iter()
        .enumerate()
        .map(|(idx, trial)| {
            let model = trial.fitted.as_ref().ok();
            rows::Trial {
                strategy: applied.blueprint.name.clone(),
                training_set_id: training_set_id.clone(),
                trial: idx as u32,
                parameters: trial.parameters.to_json(),
                metric: metric_name(&target).to_owned(),
                value: model.map(|model| model.value),
                rounds: model.map(|model| model.fit.n_rounds),
                artifact_bytes: model.map(|model| model.fit.artifact.len() as u64),
                cpu_seconds: model.map(|model| model.fit.cpu_seconds),
                chosen: chosen == Some(&idx),
                started_at: trial.started_at,
                error: trial.fitted.as_ref().err().or(trial.over_limit.as_ref()).cloned(),
            }
        })
        .collect();
    append_once(
        lake,
        &TableName::Trials,
        training_set_id,
        vec![trials_to_batch(&trials)?],
    )
    .await
}

/// Registers the winner as a candidate.
pub(crate) async fn register(
    ctx: &JobContext,
    applied: &AppliedBlueprint,
    data: &TrainingData,
    winner: Winner,
) -> Result<ModelRecord, PipelineError> {
    let blueprint = &applied.blueprint;
    let target = blueprint.learning_target();
    let model = NewModel {
        strategy: blueprint.name.clone(),
        action_is_feature: blueprint.action_is_feature(),
        encoding: winner.encoding,
        calibration: winner.calibration,
        prediction_interval: winner.interval,
        card: Some(Box::new(winner.card)),
        metrics: ModelMetrics {
            metric: metric_name(&target).to_owned(),
            value: winner.value,
            baseline: winner.baseline,
            n_train_rows: data.train().len() as u64,
            n_validation_rows: data.validation().len() as u64,
            artifact_bytes: winner.artifact.len() as u64,
            latency_p50_us: winner.latency.p50_us,
            latency_p99_us: winner.latency.p99_us,
            parity_max_abs: winner.parity_max_abs,
        },
        provenance: Provenance {
            blueprint_version: applied.version.clone(),
            training_set_id: data.id.clone(),
            table_versions: data.table_versions.clone(),
            parameters: winner.parameters.to_json(),
            seed: ctx.seed,
        },
        target,
        artifact: winner.artifact,
    };
    Ok(registry::register(&ctx.lake, model, ctx.now()).await?)
}
