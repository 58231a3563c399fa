//! Registers the winner of a search, with everything that says what it is and what it was made from.

use lakeloop_domain::{AppliedBlueprint, ModelMetrics, ModelRecord, Provenance};
use lakeloop_lake::artifact::packed;
use lakeloop_lake::registry::{self, NewModel};

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::training_set::TrainingData;
use crate::winner::Winner;

/// Registers the winner as a candidate.
pub(crate) async fn register(
    ctx: &JobContext,
    applied: &AppliedBlueprint,
    data: &TrainingData,
    winner: Winner,
) -> Result<ModelRecord, PipelineError> {
    let blueprint = &applied.blueprint;
    let parameters = winner.parameters_to_json();
    let model = NewModel {
        strategy: blueprint.name.clone(),
        action_is_feature: blueprint.action_is_feature(),
        encoding: winner.encoding,
        calibration: winner.calibration,
        prediction_interval: winner.interval,
        card: Some(Box::new(winner.card)),
        uncertainty: winner.uncertainty,
        metrics: ModelMetrics {
            metric: winner.metric.as_str().to_owned(),
            value: winner.value,
            baseline: winner.baseline,
            n_train_rows: data.train().len() as u64,
            n_validation_rows: data.validation().len() as u64,
            artifact_bytes: packed(&winner.artifact).len() as u64,
            latency_p50_us: winner.latency.p50_us,
            latency_p99_us: winner.latency.p99_us,
            parity_max_abs: winner.parity_max_abs,
        },
        provenance: Provenance {
            blueprint_version: applied.version.clone(),
            training_set_id: data.id.clone(),
            table_versions: data.table_versions.clone(),
            parameters,
            seed: ctx.seed,
        },
        target: winner.target,
        artifact: winner.artifact,
    };
    Ok(registry::register(&ctx.lake, model, ctx.now()).await?)
}
