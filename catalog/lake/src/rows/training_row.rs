//! Rows of the `training_rows` table.

use arrow::record_batch::RecordBatch;
use lakeloop_domain::{CandidateId, DecisionId, Features, Micros, TrainingSetId, UnitId};

use super::cells::{Cells, batch, instants, numbers, optional_numbers, optional_texts, texts};
use super::features;
use crate::{LakeError, TableName};

/// What a training row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// To fit on.
    Train,
    /// Neither: between the two in time, its window was still open at the split.
    Gap,
    /// To choose and judge by.
    Validation,
}

impl Split {
    /// The word that the table uses for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Gap => "gap",
            Self::Validation => "validation",
        }
    }

    /// The split that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Train, Self::Gap, Self::Validation]
            .into_iter()
            .find(|split| split.as_str() == word)
    }
}

/// One row of a training set: a decision's features with what came of it, or those of one candidate of a ranking.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRow {
    /// The set it belongs to.
    pub training_set_id: TrainingSetId,
    /// The decision it stems from.
    pub decision_id: DecisionId,
    /// Whom it was made for; `None` in rows from before it was kept.
    pub unit: Option<UnitId>,
    /// When that was made.
    pub event_time: Micros,
    /// What the row is for.
    pub split: Split,
    /// The action that was taken; `None` for numbers and rankings.
    pub action: Option<String>,
    /// The candidate of a ranking, which was returned.
    pub candidate: Option<CandidateId>,
    /// The probability with which the policy took the action, or put the candidate at its position.
    pub propensity: f64,
    /// The label, where it is a number or yes (1) and no (0).
    pub label: Option<f64>,
    /// The label, where it is a category.
    pub label_category: Option<String>,
    /// The features as served.
    pub features: Features,
}

/// The training rows as rows.
pub fn training_rows_to_batch(rows: &[TrainingRow]) -> Result<RecordBatch, LakeError> {
    let table = TableName::TrainingRows;
    let each = || rows.iter();
    let [numeric, categorical] = features::to_columns(&table, each().map(|row| &row.features))?;
    let columns = vec![
        texts(each().map(|row| row.training_set_id.as_str())),
        texts(each().map(|row| row.decision_id.as_str())),
        instants(each().map(|row| row.event_time)),
        texts(each().map(|row| row.split.as_str())),
        optional_texts(each().map(|row| row.action.as_deref())),
        numbers(each().map(|row| row.propensity)),
        optional_numbers(each().map(|row| row.label)),
        optional_texts(each().map(|row| row.label_category.as_deref())),
        numeric,
        categorical,
        optional_texts(each().map(|row| row.candidate.as_ref().map(CandidateId::as_str))),
        optional_texts(each().map(|row| row.unit.as_ref().map(UnitId::as_str))),
    ];
    batch(table, columns)
}

/// The rows as training rows. Features come back numbers first, then categories; booleans as the numbers 1 and 0.
pub fn training_rows_from_batch(batch: &RecordBatch) -> Result<Vec<TrainingRow>, LakeError> {
    Cells::new(TableName::TrainingRows, batch)?.rows(|cells, row| {
        Ok(TrainingRow {
            training_set_id: cells.parsed("training_set_id", row)?,
            decision_id: cells.parsed("decision_id", row)?,
            unit: cells.optional_parsed("unit", row)?,
            event_time: cells.instant("event_time", row)?,
            split: cells.word("split", row, Split::parse)?,
            action: cells.optional_text("action", row)?.map(str::to_owned),
            candidate: cells.optional_parsed("candidate", row)?,
            propensity: cells.number("propensity", row)?,
            label: cells.optional_number("label", row)?,
            label_category: cells.optional_text("label_category", row)?.map(str::to_owned),
            features: features::of_row(cells, row)?,
        })
    })
}
