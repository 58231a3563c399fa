//! Rows of the `trials` table.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::record_batch::RecordBatch;
use lakeloop_domain::{Micros, StrategyName, TrainingSetId};

use super::cells::{
    Cells, batch, flags, instants, optional_counts, optional_jsons, optional_numbers, optional_smalls, optional_texts,
    texts,
};
use crate::{LakeError, TableName};

/// One trial of a search: parameters that were tried, and how they did.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// For which strategy.
    pub strategy: StrategyName,
    /// On which training set.
    pub training_set_id: TrainingSetId,
    /// Counts the trials of one search: 0, 1, 2, …
    pub trial: u32,
    /// The parameters, as JSON.
    pub parameters: String,
    /// The metric that the search chose by.
    pub metric: String,
    /// Its value on the validation rows; `None` when the trial failed.
    pub value: Option<f64>,
    /// Boosting rounds kept.
    pub rounds: Option<u32>,
    /// Size of the saved model.
    pub artifact_bytes: Option<u64>,
    /// Processor time spent.
    pub cpu_seconds: Option<f64>,
    /// True for the best trial within the limits; it was registered if it beat what it had to.
    pub chosen: bool,
    /// When it began.
    pub started_at: Micros,
    /// Why it failed, when it did.
    pub error: Option<String>,
    /// The metric of each fold that was fitted; empty in rows of earlier versions.
    pub fold_values: Vec<f64>,
    /// The value at each rung at which it could have been stopped, lower being better, as JSON; `None` in rows of earlier
    /// versions.
    pub rungs: Option<String>,
    /// True for a trial that was fitted to its end rather than stopped at a rung; `None` in rows of earlier versions.
    pub is_complete: Option<bool>,
    /// Median time of scoring one row on the serving code, in microseconds.
    pub latency_p50_us: Option<f64>,
    /// 99th percentile of the same.
    pub latency_p99_us: Option<f64>,
    /// What reading its features costs a decision, as declared, in microseconds.
    pub feature_cost_us: Option<f64>,
}

/// The trials as rows.
pub fn trials_to_batch(trials: &[Trial]) -> Result<RecordBatch, LakeError> {
    let table = TableName::Trials;
    let each = || trials.iter();
    let fold_values = each().map(|trial| Some(trial.fold_values.as_slice()).filter(|values| !values.is_empty()));
    let fold_values = optional_jsons(&table, "fold_values", fold_values)?;
    let columns: Vec<ArrayRef> = vec![
        texts(each().map(|trial| trial.strategy.as_str())),
        texts(each().map(|trial| trial.training_set_id.as_str())),
        optional_smalls(&table, "trial", each().map(|trial| Some(trial.trial)))?,
        texts(each().map(|trial| trial.parameters.as_str())),
        texts(each().map(|trial| trial.metric.as_str())),
        optional_numbers(each().map(|trial| trial.value)),
        optional_smalls(&table, "rounds", each().map(|trial| trial.rounds))?,
        optional_counts(&table, "artifact_bytes", each().map(|trial| trial.artifact_bytes))?,
        optional_numbers(each().map(|trial| trial.cpu_seconds)),
        flags(each().map(|trial| trial.chosen)),
        instants(each().map(|trial| trial.started_at)),
        optional_texts(each().map(|trial| trial.error.as_deref())),
        optional_texts(fold_values.iter().map(Option::as_deref)),
        optional_texts(each().map(|trial| trial.rungs.as_deref())),
        Arc::new(each().map(|trial| trial.is_complete).collect::<BooleanArray>()),
        optional_numbers(each().map(|trial| trial.latency_p50_us)),
        optional_numbers(each().map(|trial| trial.latency_p99_us)),
        optional_numbers(each().map(|trial| trial.feature_cost_us)),
    ];
    batch(table, columns)
}

/// The rows as trials.
pub fn trials_from_batch(batch: &RecordBatch) -> Result<Vec<Trial>, LakeError> {
    Cells::new(TableName::Trials, batch)?.rows(|cells, row| {
        Ok(Trial {
            strategy: cells.parsed("strategy", row)?,
            training_set_id: cells.parsed("training_set_id", row)?,
            trial: cells.ordinal("trial", row)?,
            parameters: cells.text("parameters", row)?.to_owned(),
            metric: cells.text("metric", row)?.to_owned(),
            value: cells.optional_number("value", row)?,
            rounds: cells.optional_ordinal("rounds", row)?,
            artifact_bytes: cells.optional_unsigned("artifact_bytes", row)?,
            cpu_seconds: cells.optional_number("cpu_seconds", row)?,
            chosen: cells.flag("chosen", row)?,
            started_at: cells.instant("started_at", row)?,
            error: cells.optional_text("error", row)?.map(str::to_owned),
            fold_values: cells.optional_json("fold_values", row)?.unwrap_or_default(),
            rungs: cells.optional_text("rungs", row)?.map(str::to_owned),
            is_complete: cells.optional_flag("is_complete", row)?,
            latency_p50_us: cells.optional_number("latency_p50_us", row)?,
            latency_p99_us: cells.optional_number("latency_p99_us", row)?,
            feature_cost_us: cells.optional_number("feature_cost_us", row)?,
        })
    })
}
