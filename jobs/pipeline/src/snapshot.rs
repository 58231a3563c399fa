//! The snapshot job: builds the feature snapshots that this home's server looks up in.
//!
//! A snapshot changes nothing in the lake and is of use only where it lies, so a run is not claimed in `job_runs`: every
//! home builds its own, and a lock in the folder keeps two processes of one home apart. A view whose table got no rows
//! since its snapshot is left out.

use std::path::Path;

use lakeloop_domain::{FeatureViewName, JobKind, RunId, RunState};
use lakeloop_lake::{Changes, TableName, blueprints};
use lakeloop_snapshot::{
    Built, Column, FolderLock, Snapshot, SnapshotError, SnapshotWriter, Source, newest, remove_older,
};
use lakeloop_sql::{FeatureTable, FeatureTableRows};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::runner::{RunEnd, RunOutcome};

/// Rows that a build holds in memory; the others wait on the disk beside the snapshot.
const MAX_BUFFERED_BYTES: usize = 256 << 20;

/// Batches of rows that are read ahead of those that are written.
const READ_AHEAD: usize = 2;

/// Builds the snapshots of the views that blueprints in force read, or of one view; those that are needed.
///
/// Memory is bounded whatever the size of the view; the disk needs room for three times its latest rows while it works.
/// Ends when all are built; a failure of one ends the run, and what was built before stays.
pub async fn run_snapshot(ctx: &JobContext, view: Option<&FeatureViewName>) -> Result<RunOutcome, PipelineError> {
    let run_id = RunId::new(format!("{}-{}", JobKind::Snapshot.as_str(), Uuid::new_v4()))?;
    let ended = |end, detail| RunOutcome {
        run_id,
        job: JobKind::Snapshot,
        strategy: None,
        end,
        detail,
        training_set_id: None,
        model: None,
    };
    let root = &ctx.settings.features.snapshot_dir;
    let Some(_lock) = FolderLock::try_take(root)? else {
        let detail = format!("another process builds snapshots in {} already", root.display());
        return Ok(ended(RunEnd::Held { until: None }, detail));
    };
    let mut built = Vec::new();
    for view in views(ctx, view).await? {
        if ctx.stop.is_cancelled() {
            return Err(PipelineError::Stopped);
        }
        if !is_needed(ctx, root, &view).await? {
            continue;
        }
        let Some(snapshot) = build(ctx, root, &view).await? else {
            continue;
        };
        tracing::info!(
            job = JobKind::Snapshot.as_str(),
            %view,
            n_rows = snapshot.n_rows,
            n_entities = snapshot.n_entities,
            n_bytes = snapshot.n_bytes,
            "built a feature snapshot"
        );
        built.push(format!(
            "{view} ({} entities, {} bytes)",
            snapshot.n_entities, snapshot.n_bytes
        ));
    }
    Ok(match built.is_empty() {
        true => {
            let detail = "no feature view that is read has rows that its snapshot lacks";
            ended(RunEnd::Ran(RunState::Skipped), detail.to_owned())
        }
        false => ended(RunEnd::Ran(RunState::Succeeded), format!("built {}", built.join(", "))),
    })
}

/// The views to build, by name.
async fn views(ctx: &JobContext, asked: Option<&FeatureViewName>) -> Result<Vec<FeatureViewName>, PipelineError> {
    let tables = ctx.lake.feature_views().await?;
    if let Some(view) = asked {
        return match tables.contains(view) {
            true => Ok(vec![view.clone()]),
            false => Err(PipelineError::UnknownView {
                view: view.clone(),
                known: tables
                    .iter()
                    .map(|view| format!("`{view}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        };
    }
    let applied = blueprints::current(&ctx.lake).await?;
    let read = applied.iter().flat_map(|applied| &applied.blueprint.features);
    let mut views: Vec<FeatureViewName> = read.map(|view| view.name.clone()).collect();
    views.retain(|view| tables.contains(view));
    views.sort();
    views.dedup();
    Ok(views)
}

/// Whether a view has no snapshot that can be read, or rows came since.
async fn is_needed(ctx: &JobContext, root: &Path, view: &FeatureViewName) -> Result<bool, PipelineError> {
    let Some(stored) = newest(root, view)? else {
        return Ok(true);
    };
    let opened = blocking(move || Snapshot::open(&stored.path)).await;
    let Ok(snapshot) = opened else {
        return Ok(true);
    };
    let changes = ctx
        .lake
        .changes(&TableName::Features(view.clone()), snapshot.table_version())
        .await?;
    Ok(!matches!(changes, Changes::Appended(new) if new.paths.is_empty()))
}

/// Builds one; `None` when the view's table has gone meanwhile.
async fn build(ctx: &JobContext, root: &Path, view: &FeatureViewName) -> Result<Option<Built>, PipelineError> {
    let Some(mut table) = FeatureTable::open(&ctx.lake, view).await? else {
        return Ok(None);
    };
    let source = Source {
        view: view.clone(),
        table_version: table.table_version,
        built_at: ctx.now(),
    };
    let columns = table.columns.iter().map(|(name, feature_type)| Column {
        name: name.clone(),
        feature_type: *feature_type,
    });
    let writer = SnapshotWriter::new(root, source, columns.collect(), MAX_BUFFERED_BYTES)?;
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    // Rows are put in order, and written, on a thread of their own while the next are read.
    let taking = tokio::spawn(blocking(move || take_all(writer, receiver)));
    while let Some(rows) = table.next().await? {
        if ctx.stop.is_cancelled() {
            return Err(PipelineError::Stopped);
        }
        if sender.send(rows).await.is_err() {
            // The writer has given up, and says below why.
            break;
        }
    }
    drop(sender);
    let writer = taking.await.map_err(PipelineError::BrokeOff)??;
    let built = blocking(move || writer.finish()).await?;
    remove_older(root, view, table.table_version)?;
    Ok(Some(built))
}

/// Gives the writer all rows that come.
fn take_all(
    mut writer: SnapshotWriter,
    mut rows: mpsc::Receiver<FeatureTableRows>,
) -> Result<SnapshotWriter, SnapshotError> {
    while let Some(rows) = rows.blocking_recv() {
        let mut values = Vec::new();
        for row_idx in 0..rows.n_rows() {
            values.clear();
            values.extend(rows.values(row_idx));
            let (event_time, available_at) = (rows.event_time(row_idx), rows.available_at(row_idx));
            writer.push(rows.entity(row_idx), event_time, available_at, &values)?;
        }
    }
    Ok(writer)
}

/// Runs what waits for the disk where no other task waits with it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, PipelineError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(PipelineError::BrokeOff)??)
}
