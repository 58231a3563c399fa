//! The compact job: merges the small files of every table.

use lakeloop_domain::{JobKind, RunState};
use lakeloop_lake::TableName;
use tokio_util::sync::CancellationToken;

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::train::Done;

/// Compacts every table, one after the other. `stop` ends it between two tables.
pub(crate) async fn compact(ctx: &JobContext, stop: &CancellationToken) -> Result<Done, PipelineError> {
    let views = ctx.lake.feature_views().await?.into_iter().map(TableName::Features);
    let (mut merged, mut n_files_removed, mut n_files_added) = (Vec::new(), 0, 0);
    for table in TableName::ALL.into_iter().chain(views) {
        if stop.is_cancelled() {
            return Err(PipelineError::Stopped);
        }
        let compaction = ctx.lake.compact(&table).await?;
        if compaction.version.is_some() {
            n_files_removed += compaction.n_files_removed;
            n_files_added += compaction.n_files_added;
            merged.push(table.to_string());
        }
    }
    tracing::info!(
        job = JobKind::Compact.as_str(),
        n_files_removed,
        n_files_added,
        "compacted"
    );
    if merged.is_empty() {
        return Ok(Done {
            state: RunState::Skipped,
            detail: "no table has small files to merge".to_owned(),
            training_set_id: None,
            model: None,
        });
    }
    Ok(Done {
        state: RunState::Succeeded,
        detail: format!(
            "merged {n_files_removed} files into {n_files_added} in {}",
            merged.join(", ")
        ),
        training_set_id: None,
        model: None,
    })
}
