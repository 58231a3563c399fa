//! Rows of the `outcomes` table.

use arrow::record_batch::RecordBatch;
use lakeloop_domain::{DecisionId, OutcomeRecord, OutcomeValue, StrategyName, UnitId};

use super::cells::{Cells, batch, instants, optional_numbers, optional_texts, texts};
use crate::{LakeError, TableName};

/// The outcomes as rows.
pub fn outcomes_to_batch(outcomes: &[OutcomeRecord]) -> Result<RecordBatch, LakeError> {
    let each = || outcomes.iter();
    batch(
        TableName::Outcomes,
        vec![
            texts(each().map(|outcome| outcome.outcome_id.as_str())),
            optional_texts(each().map(|outcome| outcome.decision_id.as_ref().map(DecisionId::as_str))),
            optional_texts(each().map(|outcome| outcome.strategy.as_ref().map(StrategyName::as_str))),
            optional_texts(each().map(|outcome| outcome.unit.as_ref().map(UnitId::as_str))),
            texts(each().map(|outcome| outcome.event.as_str())),
            optional_numbers(each().map(|outcome| match outcome.value {
                OutcomeValue::Number(number) => Some(number),
                OutcomeValue::Category(_) => None,
            })),
            optional_texts(each().map(|outcome| match &outcome.value {
                OutcomeValue::Number(_) => None,
                OutcomeValue::Category(category) => Some(category.as_str()),
            })),
            instants(each().map(|outcome| outcome.event_time)),
            instants(each().map(|outcome| outcome.received_at)),
        ],
    )
}

/// The rows as outcomes.
pub fn outcomes_from_batch(batch: &RecordBatch) -> Result<Vec<OutcomeRecord>, LakeError> {
    Cells::new(TableName::Outcomes, batch)?.rows(|cells, row| {
        Ok(OutcomeRecord {
            outcome_id: cells.parsed("outcome_id", row)?,
            decision_id: cells.optional_parsed("decision_id", row)?,
            strategy: cells.optional_parsed("strategy", row)?,
            unit: cells.optional_parsed("unit", row)?,
            event: cells.text("event", row)?.to_owned(),
            value: match (
                cells.optional_number("value", row)?,
                cells.optional_text("category", row)?,
            ) {
                (Some(number), None) => OutcomeValue::Number(number),
                (None, Some(category)) => OutcomeValue::Category(category.to_owned()),
                _ => return Err(cells.value("value", "needs a value or a category, and not both")),
            },
            event_time: cells.instant("event_time", row)?,
            received_at: cells.instant("received_at", row)?,
        })
    })
}
