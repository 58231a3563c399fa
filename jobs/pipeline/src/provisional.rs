//! Models that are not registered yet, as they would serve.

use std::time::Instant;

use lakeloop_decide::{Bundle, Model, ModelParts, TechniqueChoice};
use lakeloop_domain::{AppliedBlueprint, Calibration, Encoding, LearningTarget, ModelVersion};

use crate::error::PipelineError;
use crate::search::Problem;

/// A model as it was fitted, in the bundle that would serve it.
pub(crate) fn uncalibrated(
    problem: &Problem<'_>,
    encoding: &Encoding,
    artifact: &[u8],
) -> Result<Bundle, PipelineError> {
    let Problem { applied, target, .. } = problem;
    provisional(applied, target, encoding, &Calibration::Identity, artifact)
}

/// A model that is not registered yet, in the bundle that would serve it. Fails when the two do not fit.
pub(crate) fn provisional(
    applied: &AppliedBlueprint,
    target: &LearningTarget,
    encoding: &Encoding,
    calibration: &Calibration,
    artifact: &[u8],
) -> Result<Bundle, PipelineError> {
    let model = unregistered(applied, target, encoding, calibration, artifact)?;
    Ok(Bundle::new(applied.clone(), Some(model))?)
}

/// A model that is not registered yet, its techniques measured as a server does.
pub(crate) fn unregistered(
    applied: &AppliedBlueprint,
    target: &LearningTarget,
    encoding: &Encoding,
    calibration: &Calibration,
    artifact: &[u8],
) -> Result<Model, PipelineError> {
    let parts = ModelParts {
        strategy: &applied.blueprint.name,
        version: ModelVersion(0),
        target,
        action_is_feature: applied.blueprint.action_is_feature(),
        encoding,
        calibration,
        artifact,
    };
    let began = Instant::now();
    let mut clock = || began.elapsed().as_nanos() as u64;
    Ok(Model::from_parts_by(parts, TechniqueChoice::Measured(&mut clock))?)
}
