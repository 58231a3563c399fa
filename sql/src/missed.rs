//! Counts the reports that came too late, for each outcome that a strategy learns from.

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;
use lakeloop_domain::{Blueprint, Micros};

use crate::{Query, SqlError, instant};

/// How the reports of one outcome lie to its attribution window; `missed_outcomes.sql` defines each number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedOutcomes {
    /// The outcome's name.
    pub outcome: String,
    /// Decisions whose window has closed.
    pub n_decisions: u64,
    /// Reports in the window.
    pub n_outcomes: u64,
    /// Of these, received after the window had closed.
    pub n_late: u64,
    /// Reports of what happened after the window: they label nothing.
    pub n_missed: u64,
    /// Of these, within twice the window.
    pub n_missed_within_twice: u64,
    /// From a decision to the last report of it; `None` without any.
    pub longest_delay_us: Option<i64>,
}

/// For each outcome that a strategy learns from, in the order of the label's parts, what its window caught and missed.
pub async fn missed_outcomes(
    ctx: &SessionContext,
    blueprint: &Blueprint,
    as_of: Micros,
    window_start: Option<Micros>,
) -> Result<Vec<MissedOutcomes>, SqlError> {
    let mut found = Vec::new();
    for part in blueprint.label_parts() {
        let values = [
            ("strategy", ScalarValue::from(blueprint.name.as_str())),
            ("event", part.outcome.event.as_str().into()),
            ("window_us", ScalarValue::Int64(Some(part.outcome.window_us))),
            ("as_of", instant(as_of)),
            ("window_start", instant(window_start)),
        ];
        for batch in Query::MISSED_OUTCOMES.run(ctx, &values).await? {
            for row_idx in 0..batch.num_rows() {
                found.push(of_row(part.name, &batch, row_idx)?);
            }
        }
    }
    Ok(found)
}

fn of_row(outcome: &str, batch: &RecordBatch, row_idx: usize) -> Result<MissedOutcomes, SqlError> {
    let cell = |name: &str| -> Result<Option<i64>, SqlError> {
        let failed = "read what a window missed";
        let column = batch.schema_ref().index_of(name).map_err(SqlError::arrow(failed))?;
        let column = cast(batch.column(column), &DataType::Int64).map_err(SqlError::arrow(failed))?;
        let column = column.as_primitive::<Int64Type>();
        Ok(column.iter().nth(row_idx).flatten())
    };
    // Counts are never negative, and the query gives none as NULL.
    let count = |name: &str| Ok::<_, SqlError>(cell(name)?.unwrap_or_default().unsigned_abs());
    Ok(MissedOutcomes {
        outcome: outcome.to_owned(),
        n_decisions: count("n_decisions")?,
        n_outcomes: count("n_outcomes")?,
        n_late: count("n_late")?,
        n_missed: count("n_missed")?,
        n_missed_within_twice: count("n_missed_within_twice")?,
        longest_delay_us: cell("longest_delay_us")?,
    })
}
