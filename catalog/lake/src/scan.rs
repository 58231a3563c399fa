//! Reads rows of one table at one version, for the modules of this crate; queries of others live in `lakeloop-sql`.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionConfig;
use deltalake::DeltaTable;
use deltalake::kernel::LogicalFileView;
use futures::TryStreamExt as _;

use crate::conform::{Extra, conform};
use crate::log::location;
use crate::{LakeError, TableName, tables};

/// The rows that a filter keeps, with the table's columns.
pub(crate) async fn rows(
    name: &TableName,
    table: &DeltaTable,
    filter: Option<Expr>,
) -> Result<Vec<RecordBatch>, LakeError> {
    let schema = columns_of(name, table)?;
    collect(name, filtered(name, table, filter).await?, &schema).await
}

/// The rows of some files of the table, by their URLs or their paths below it.
pub(crate) async fn rows_of_files(
    name: &TableName,
    table: &DeltaTable,
    paths: Vec<String>,
) -> Result<Vec<RecordBatch>, LakeError> {
    let failed = |source| LakeError::read(name, source);
    let provider = table.table_provider().with_file_paths(paths).await.map_err(failed)?;
    let frame = session().read_table(provider).map_err(failed)?;
    collect(name, frame, &columns_of(name, table)?).await
}

async fn filtered(name: &TableName, table: &DeltaTable, filter: Option<Expr>) -> Result<DataFrame, LakeError> {
    let failed = |source| LakeError::read(name, source);
    let provider = table.table_provider().await.map_err(failed)?;
    let frame = session().read_table(provider).map_err(failed)?;
    match filter {
        Some(filter) => frame.filter(filter).map_err(failed),
        None => Ok(frame),
    }
}

async fn collect(name: &TableName, frame: DataFrame, schema: &SchemaRef) -> Result<Vec<RecordBatch>, LakeError> {
    let batches = frame.collect().await.map_err(|source| LakeError::read(name, source))?;
    batches
        .iter()
        .map(|batch| conform(name, schema, batch, Extra::Ignore))
        .collect()
}

/// A session that reads files one after the other: what is read here is small, and shares the machine with serving.
fn session() -> SessionContext {
    SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1))
}

/// The table's columns, as declared where they are fixed and as found where they are not.
pub(crate) fn columns_of(name: &TableName, table: &DeltaTable) -> Result<SchemaRef, LakeError> {
    if let Some(fixed) = tables::schema(name) {
        return Ok(fixed);
    }
    let state = table
        .snapshot()
        .map_err(|source| LakeError::storage("read the columns", location(table), source))?;
    Ok(state.snapshot().arrow_schema())
}

/// The data files of the table at the version that was read, with their statistics.
pub(crate) async fn file_views(table: &DeltaTable) -> Result<Vec<LogicalFileView>, LakeError> {
    let failed = |source| LakeError::storage("list the data files", location(table), source);
    let log_store = table.log_store();
    let snapshot = table.snapshot().map_err(failed)?.snapshot();
    let views = snapshot.file_views(log_store.as_ref(), None);
    views.try_collect().await.map_err(failed)
}
