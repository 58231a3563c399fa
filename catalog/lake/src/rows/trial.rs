//! Rows of the `trials` table.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use lakeloop_domain::{Micros, StrategyName, TrainingSetId};

use super::cells::{Cells, batch, flags, instants, optional_numbers, optional_smalls, optional_texts, texts, value};
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
}

/// The trials as rows.
pub fn trials_to_batch(trials: &[Trial]) -> Result<RecordBatch, LakeError> {
    let table = TableName::Trials;
    let each = || trials.iter();
    let bytes = each()
        .map(|trial| {
            let signed = trial.artifact_bytes.map(i64::try_from).transpose();
            signed.map_err(|error| value(&table, "artifact_bytes", &error.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let columns: Vec<ArrayRef> = vec![
        texts(each().map(|trial| trial.strategy.as_str())),
        texts(each().map(|trial| trial.training_set_id.as_str())),
        optional_smalls(&table, "trial", each().map(|trial| Some(trial.trial)))?,
        texts(each().map(|trial| trial.parameters.as_str())),
        texts(each().map(|trial| trial.metric.as_str())),
        optional_numbers(each().map(|trial| trial.value)),
        optional_smalls(&table, "rounds", each().map(|trial| trial.rounds))?,
        Arc::new(Int64Array::from(bytes)),
        optional_numbers(each().map(|trial| trial.cpu_seconds)),
        flags(each().map(|trial| trial.chosen)),
        instants(each().map(|trial| trial.started_at)),
        optional_texts(each().map(|trial| trial.error.as_deref())),
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
            rounds: cells
                .optional_small("rounds", row)?
                .map(|_| cells.ordinal("rounds", row))
                .transpose()?,
            artifact_bytes: cells
                .optional_count("artifact_bytes", row)?
                .map(|_| cells.unsigned("artifact_bytes", row))
                .transpose()?,
            cpu_seconds: cells.optional_number("cpu_seconds", row)?,
            chosen: cells.flag("chosen", row)?,
            started_at: cells.instant("started_at", row)?,
            error: cells.optional_text("error", row)?.map(str::to_owned),
        })
    })
}
