//! Rows of the `training_sets` table.

use arrow::record_batch::RecordBatch;
use lakeloop_domain::{BlueprintVersion, Micros, StrategyName, TrainingSetId};

use super::cells::{Cells, batch, counts, instants, optional_counts, optional_instants, optional_numbers, texts};
use super::features;
use crate::{LakeError, TableName};

/// One training set that was built: from what, until when, and how large.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSet {
    /// Names it; its rows are in `training_rows`.
    pub training_set_id: TrainingSetId,
    /// For which strategy.
    pub strategy: StrategyName,
    /// By which version of its blueprint.
    pub blueprint_version: BlueprintVersion,
    /// When it was built.
    pub built_at: Micros,
    /// Only decisions whose attribution window had closed by then are in it.
    pub as_of: Micros,
    /// Only decisions from then on are in it; `None`: all.
    pub window_start: Option<Micros>,
    /// The versions of the tables it was read from: (table, version).
    pub table_versions: Vec<(String, i64)>,
    /// Rows in all.
    pub n_rows: u64,
    /// Rows to fit on.
    pub n_train_rows: u64,
    /// Rows to validate on.
    pub n_validation_rows: u64,
    /// Rows before this instant are fitted on, the others validated on; `None` for a set that was not split.
    pub split_at: Option<Micros>,
    /// The mean label; `None` without rows, and for labels that are categories.
    pub label_mean: Option<f64>,
    /// Reports in their attribution windows that were received after these had closed; `None` for sets from before they
    /// were counted. Of reports that name their decision, as all counts of late ones.
    pub n_late_outcomes: Option<u64>,
    /// Reports of what happened after the window: they label nothing.
    pub n_missed_outcomes: Option<u64>,
}

/// The training sets as rows.
pub fn training_sets_to_batch(sets: &[TrainingSet]) -> Result<RecordBatch, LakeError> {
    let table = TableName::TrainingSets;
    let each = || sets.iter();
    let columns = vec![
        texts(each().map(|set| set.training_set_id.as_str())),
        texts(each().map(|set| set.strategy.as_str())),
        texts(each().map(|set| set.blueprint_version.as_str())),
        instants(each().map(|set| set.built_at)),
        instants(each().map(|set| set.as_of)),
        optional_instants(each().map(|set| set.window_start)),
        features::numbers_by_name(&table, each().map(|set| set.table_versions.as_slice()))?,
        counts(&table, "n_rows", each().map(|set| set.n_rows))?,
        counts(&table, "n_train_rows", each().map(|set| set.n_train_rows))?,
        counts(&table, "n_validation_rows", each().map(|set| set.n_validation_rows))?,
        optional_instants(each().map(|set| set.split_at)),
        optional_numbers(each().map(|set| set.label_mean)),
        optional_counts(&table, "n_late_outcomes", each().map(|set| set.n_late_outcomes))?,
        optional_counts(&table, "n_missed_outcomes", each().map(|set| set.n_missed_outcomes))?,
    ];
    batch(table, columns)
}

/// The rows as training sets.
pub fn training_sets_from_batch(batch: &RecordBatch) -> Result<Vec<TrainingSet>, LakeError> {
    Cells::new(TableName::TrainingSets, batch)?.rows(|cells, row| {
        Ok(TrainingSet {
            training_set_id: cells.parsed("training_set_id", row)?,
            strategy: cells.parsed("strategy", row)?,
            blueprint_version: cells.parsed("blueprint_version", row)?,
            built_at: cells.instant("built_at", row)?,
            as_of: cells.instant("as_of", row)?,
            window_start: cells.optional_instant("window_start", row)?,
            table_versions: cells.numbers_by_name("table_versions", row)?,
            n_rows: cells.unsigned("n_rows", row)?,
            n_train_rows: cells.unsigned("n_train_rows", row)?,
            n_validation_rows: cells.unsigned("n_validation_rows", row)?,
            split_at: cells.optional_instant("split_at", row)?,
            label_mean: cells.optional_number("label_mean", row)?,
            n_late_outcomes: cells.optional_unsigned("n_late_outcomes", row)?,
            n_missed_outcomes: cells.optional_unsigned("n_missed_outcomes", row)?,
        })
    })
}
