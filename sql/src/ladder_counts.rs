//! What the ladder of a strategy asks the lake: how many decisions of which kind there are.

use std::collections::HashSet;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::prelude::SessionContext;
use lakeloop_domain::{Blueprint, LadderCounts, LadderStep, Micros};

use crate::training_rows::training_rows;
use crate::{Query, SqlError, instant};

/// Counts the decisions of a strategy up to `as_of` that its ladder asks about; each decision once.
///
/// A decision is labelled as for training: its window had closed by then, and its outcomes, or their absence, give a label.
/// Labels are only looked for where a gate beyond the first may be open. Takes time in proportion to the decisions made
/// before the model's step.
pub async fn ladder_counts(
    ctx: &SessionContext,
    blueprint: &Blueprint,
    as_of: Micros,
) -> Result<LadderCounts, SqlError> {
    let values = [("strategy", blueprint.name.as_str().into()), ("as_of", instant(as_of))];
    let rows = Query::LADDER_DECISIONS.run(ctx, &values).await?;
    let mut counts = LadderCounts::default();
    for batch in &rows {
        let has_rule = batch.column(2).as_boolean();
        counts.n_with_rule += has_rule.true_count() as u64;
    }
    let apprentice = blueprint.ladder.and_then(|ladder| ladder.apprentice);
    if apprentice.is_some_and(|step| counts.n_with_rule < step.after) {
        return Ok(counts);
    }
    let mut labelled = HashSet::new();
    for batch in training_rows(ctx, blueprint, as_of, None).await? {
        labelled.extend(texts(&batch, "decision_id")?.into_iter().flatten());
    }
    for batch in &rows {
        let is_explored = batch.column(3).as_boolean();
        let (ids, steps) = (texts(batch, "decision_id")?, texts(batch, "step")?);
        for (row_idx, (id, step)) in ids.into_iter().zip(steps).enumerate() {
            if !id.is_some_and(|id| labelled.contains(&id)) {
                continue;
            }
            match step.as_deref().and_then(LadderStep::parse) {
                Some(LadderStep::Default) => counts.n_labelled_default += 1,
                Some(LadderStep::Apprentice) => counts.n_labelled_apprentice += 1,
                Some(LadderStep::Exploration) if is_explored.value(row_idx) => counts.n_labelled_explored += 1,
                _ => {}
            }
        }
    }
    Ok(counts)
}

fn texts(batch: &RecordBatch, column: &str) -> Result<Vec<Option<String>>, SqlError> {
    let found = batch.schema_ref().index_of(column);
    let texts = found.and_then(|idx| cast(batch.column(idx), &DataType::Utf8));
    let texts = texts.map_err(SqlError::arrow("read the decisions of a ladder"))?;
    Ok(texts
        .as_string::<i32>()
        .iter()
        .map(|text| text.map(str::to_owned))
        .collect())
}
