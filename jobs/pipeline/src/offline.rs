//! Fits rows that are in no lake, by the very code that `train` runs: for benchmarks, and for trying a blueprint on a file.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use lakeloop_domain::{AppliedBlueprint, Calibration, Encoding, LearningTarget, TrainingSetId};

use crate::context::Clock;
use crate::error::PipelineError;
use crate::fit::{Start, Work, fit_unfollowed};
use crate::rows::TrainingRows;
use crate::training_set::of_rows;

/// A model that was fitted on rows that are in no lake.
#[derive(Debug, Clone)]
pub struct OfflineFit {
    /// The model as libxgboost saved it.
    pub artifact: Vec<u8>,
    /// How its rows are made.
    pub encoding: Encoding,
    /// How its probabilities are calibrated.
    pub calibration: Calibration,
    /// What it predicts.
    pub target: LearningTarget,
    /// What it was fitted with, as the registry keeps it.
    pub parameters: String,
    /// The metric on the validation rows.
    pub value: f64,
    /// 99th percentile of scoring one row on the serving code, in microseconds.
    pub p99_us: f64,
    /// Trials that were run.
    pub n_trials: usize,
}

/// Searches for the best model of a blueprint on rows in the form of the training query, whose columns are
/// [`lakeloop_sql::training_rows_schema`]. Fails where `train` would fail or skip.
pub fn fit_rows(
    applied: &AppliedBlueprint,
    batches: &[RecordBatch],
    seed: u64,
    max_threads: u32,
) -> Result<OfflineFit, PipelineError> {
    let rows = TrainingRows::new(batches).map_err(PipelineError::TrainingRows)?;
    let data = of_rows(&applied.blueprint, TrainingSetId::new("offline")?, rows)?.map_err(PipelineError::TooLittle)?;
    let clock: Clock = Arc::new(|| 0);
    let work = Work {
        applied,
        data: &data,
        live: None,
        seed,
        max_threads,
        clock: &clock,
        start: Start::default(),
    };
    let fitted = fit_unfollowed(&work)?;
    let n_trials = fitted.search.trials.len();
    match (fitted.winner, fitted.search.winner) {
        (Some(winner), _) => Ok(OfflineFit {
            parameters: winner.parameters_to_json(),
            artifact: winner.artifact,
            encoding: winner.encoding,
            calibration: winner.calibration,
            target: winner.target,
            value: winner.value,
            p99_us: winner.latency.p99_us,
            n_trials,
        }),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(_)) => Err(PipelineError::NoModelInBundle),
    }
}
