//! One entity of a feature view through time: what serving keeps in its cache and looks up in as of a decision's time.

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use lakeloop_domain::{FeatureColumn, FeatureValue, FeatureViewName, Micros};
use lakeloop_lake::{Lake, TableName};

use crate::feature_rows::{FEATURE_ROWS, FeatureValues, feature_rows};
use crate::session::{empty_session, read_only_provider};
use crate::{Query, SqlError};

/// What the lake holds about one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureHistory {
    /// The version of the view's table that was read.
    pub table_version: i64,
    /// The rows, ordered by event time, then by the time they became available, then by their values: of two rows that
    /// are known at a moment, the later one counts.
    pub rows: Vec<FeatureRow>,
}

/// One row of a feature view.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureRow {
    /// Since when the values hold.
    pub event_time: Micros,
    /// Since when they could be read.
    pub available_at: Micros,
    /// The values, in the order of the columns asked for.
    pub values: Vec<FeatureValue>,
}

impl FeatureHistory {
    /// The row that was known at a moment: the latest of those that had happened and were available by then; `None` when
    /// there is none, or when its event time is more than `freshness_us` ago.
    pub fn as_of(&self, at: Micros, freshness_us: Option<i64>) -> Option<&FeatureRow> {
        let happened = self.rows.partition_point(|row| row.event_time <= at);
        let known = self.rows[..happened].iter().rfind(|row| row.is_known_at(at))?;
        known.is_fresh_at(at, freshness_us).then_some(known)
    }
}

impl FeatureRow {
    /// True when the row had happened and was available by a moment.
    pub fn is_known_at(&self, at: Micros) -> bool {
        self.event_time <= at && self.available_at <= at
    }

    /// True when its event time is at most `freshness_us` before a moment.
    pub fn is_fresh_at(&self, at: Micros, freshness_us: Option<i64>) -> bool {
        freshness_us.is_none_or(|freshness_us| at.saturating_sub(self.event_time) <= freshness_us)
    }
}

/// Reads all rows of an entity from a view's table at its newest version. An entity that the view does not know has no
/// rows; a view without a table, or a column that it does not have in the declared type, is an error.
///
/// Costs one look-up for the version and the reading of those files of the table that may hold the entity: milliseconds,
/// so callers keep the answer.
pub async fn feature_history(
    lake: &Lake,
    view: &FeatureViewName,
    entity: &str,
    columns: &[FeatureColumn],
) -> Result<FeatureHistory, SqlError> {
    let name = TableName::Features(view.clone());
    let table = lake
        .table(&name)
        .await?
        .ok_or_else(|| SqlError::NoFeatureView { view: view.clone() })?;
    let version = table.version().expect("a table that was read has a version");
    let table_version = i64::try_from(version).expect("a table has fewer than 2^63 versions");
    let ctx = empty_session().map_err(SqlError::session)?;
    let provider = read_only_provider(&table).await.map_err(SqlError::session)?;
    ctx.register_table("view_table", provider).map_err(SqlError::session)?;
    let rows = feature_rows(&ctx, "view_table".into(), view, columns).await?;
    ctx.register_table(FEATURE_ROWS, rows.into_view())
        .map_err(SqlError::session)?;
    let batches = Query::FEATURE_HISTORY.run(&ctx, &[("entity", entity.into())]).await?;
    let mut rows = Vec::new();
    for batch in &batches {
        read_rows(batch, columns, &mut rows)?;
    }
    Ok(FeatureHistory { table_version, rows })
}

fn read_rows(batch: &RecordBatch, columns: &[FeatureColumn], rows: &mut Vec<FeatureRow>) -> Result<(), SqlError> {
    let event_time = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    let available_at = batch.column(1).as_primitive::<TimestampMicrosecondType>();
    let values = FeatureValues::new(batch.column(2).as_struct(), columns)?;
    rows.extend((0..batch.num_rows()).map(|row_idx| {
        FeatureRow {
            event_time: event_time.value(row_idx),
            available_at: available_at.value(row_idx),
            values: (0..columns.len())
                .map(|column_idx| values.value(column_idx, row_idx))
                .collect(),
        }
    }));
    Ok(())
}
