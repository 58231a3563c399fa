//! Rows of the `outcomes` table.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::record_batch::RecordBatch;
use lakeloop_domain::{CandidateId, DecisionId, Micros, OutcomeRecord, OutcomeValue, StrategyName, UnitId};

use super::cells::{Cells, batch};
use crate::{LakeError, TableName};

/// One outcome as a row takes it, borrowed from wherever it is kept; the fields are those of
/// [`OutcomeRecord`](lakeloop_domain::OutcomeRecord).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutcomeRow<'a> {
    /// Names the outcome.
    pub outcome_id: &'a str,
    /// The decision that it belongs to, when the report named one.
    pub decision_id: Option<&'a str>,
    /// The strategy, where the report named a unit.
    pub strategy: Option<&'a str>,
    /// The unit, when the report named one.
    pub unit: Option<&'a str>,
    /// The candidate, when the report named one.
    pub candidate: Option<&'a str>,
    /// The name of the event.
    pub event: &'a str,
    /// What the event carries.
    pub value: RowValue<'a>,
    /// When it happened.
    pub event_time: Micros,
    /// When lakeloop was told.
    pub received_at: Micros,
}

/// What an outcome carries, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RowValue<'a> {
    /// A number.
    Number(f64),
    /// A category.
    Category(&'a str),
}

/// Rows of `outcomes`, put together column by column while they come.
pub struct OutcomeRows {
    n_rows: usize,
    outcome_ids: StringBuilder,
    decision_ids: StringBuilder,
    strategies: StringBuilder,
    units: StringBuilder,
    events: StringBuilder,
    numbers: Float64Builder,
    categories: StringBuilder,
    event_times: TimestampMicrosecondBuilder,
    received: TimestampMicrosecondBuilder,
    candidates: StringBuilder,
}

impl Default for OutcomeRows {
    fn default() -> Self {
        Self::new()
    }
}

impl OutcomeRows {
    /// No rows yet.
    pub fn new() -> Self {
        let instants = || TimestampMicrosecondBuilder::new().with_timezone("UTC");
        Self {
            n_rows: 0,
            outcome_ids: StringBuilder::new(),
            decision_ids: StringBuilder::new(),
            strategies: StringBuilder::new(),
            units: StringBuilder::new(),
            events: StringBuilder::new(),
            numbers: Float64Builder::new(),
            categories: StringBuilder::new(),
            event_times: instants(),
            received: instants(),
            candidates: StringBuilder::new(),
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.n_rows
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Adds one row.
    // Inlined for the same reason as `DecisionRows::push`.
    #[inline]
    pub fn push(&mut self, row: &OutcomeRow<'_>) {
        let (number, category) = match row.value {
            RowValue::Number(number) => (Some(number), None),
            RowValue::Category(category) => (None, Some(category)),
        };
        self.outcome_ids.append_value(row.outcome_id);
        self.decision_ids.append_option(row.decision_id);
        self.strategies.append_option(row.strategy);
        self.units.append_option(row.unit);
        self.events.append_value(row.event);
        self.numbers.append_option(number);
        self.categories.append_option(category);
        self.event_times.append_value(row.event_time);
        self.received.append_value(row.received_at);
        self.candidates.append_option(row.candidate);
        self.n_rows += 1;
    }

    /// The rows as a batch.
    pub fn finish(mut self) -> Result<RecordBatch, LakeError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.outcome_ids.finish()),
            Arc::new(self.decision_ids.finish()),
            Arc::new(self.strategies.finish()),
            Arc::new(self.units.finish()),
            Arc::new(self.events.finish()),
            Arc::new(self.numbers.finish()),
            Arc::new(self.categories.finish()),
            Arc::new(self.event_times.finish()),
            Arc::new(self.received.finish()),
            Arc::new(self.candidates.finish()),
        ];
        batch(TableName::Outcomes, columns)
    }
}

/// The outcomes as rows.
pub fn outcomes_to_batch(outcomes: &[OutcomeRecord]) -> Result<RecordBatch, LakeError> {
    let mut rows = OutcomeRows::new();
    for outcome in outcomes {
        rows.push(&OutcomeRow {
            outcome_id: outcome.outcome_id.as_str(),
            decision_id: outcome.decision_id.as_ref().map(DecisionId::as_str),
            strategy: outcome.strategy.as_ref().map(StrategyName::as_str),
            unit: outcome.unit.as_ref().map(UnitId::as_str),
            candidate: outcome.candidate.as_ref().map(CandidateId::as_str),
            event: &outcome.event,
            value: match &outcome.value {
                OutcomeValue::Number(number) => RowValue::Number(*number),
                OutcomeValue::Category(category) => RowValue::Category(category),
            },
            event_time: outcome.event_time,
            received_at: outcome.received_at,
        });
    }
    rows.finish()
}

/// The rows as outcomes.
pub fn outcomes_from_batch(batch: &RecordBatch) -> Result<Vec<OutcomeRecord>, LakeError> {
    Cells::new(TableName::Outcomes, batch)?.rows(|cells, row| {
        Ok(OutcomeRecord {
            outcome_id: cells.parsed("outcome_id", row)?,
            decision_id: cells.optional_parsed("decision_id", row)?,
            strategy: cells.optional_parsed("strategy", row)?,
            unit: cells.optional_parsed("unit", row)?,
            candidate: cells.optional_parsed("candidate", row)?,
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
