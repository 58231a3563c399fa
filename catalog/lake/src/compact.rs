//! Compaction: merges small files into larger ones in time order, while others append.
//!
//! The files of a table are put in the order of their earliest instant, and neighbours are merged up to
//! [`TARGET_BYTES`]; rows are sorted by the table's time column on the way. A file is rewritten only together with at
//! least as many bytes as its own (or when all is small), so a row is rewritten a handful of times in its life however
//! often compaction runs.
//!
//! Merging changes no row: the commit marks its files as no change of data, and is made only on a version at
//! which every merged file is still part of the table. Old versions stay readable: replaced files are not deleted. Log
//! entries older than the table's retention (30 days by default) are cleaned up here, and only here.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::execution::context::SessionContext;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::ident;
use datafusion::prelude::SessionConfig;
use deltalake::DeltaTable;
use deltalake::kernel::{Action, Add, LogicalFileView};
use deltalake::protocol::DeltaOperation;
use futures::StreamExt as _;

use crate::conform::{Extra, conform};
use crate::lake::{release, signed};
use crate::log::{Change, MAX_ATTEMPTS};
use crate::{Lake, LakeError, TableName, files, scan};

/// Files are merged up to this size: large enough that a table of years has few files, small enough to be rewritten
/// within seconds and memory that is bounded.
pub const TARGET_BYTES: u64 = 64 * 1024 * 1024;

/// What sorting may hold in memory; beyond it, it spills to temporary files.
const SORT_MEMORY_BYTES: usize = 256 * 1024 * 1024;

/// What compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compaction {
    /// The version of the last merge; `None` when there was nothing to merge.
    pub version: Option<i64>,
    /// Files that were merged away.
    pub n_files_removed: usize,
    /// Files that hold their rows now.
    pub n_files_added: usize,
    /// Bytes that were read and written again.
    pub n_bytes_rewritten: u64,
}

/// One file of a table, as its log describes it.
#[derive(Clone)]
struct DataFile {
    view: LogicalFileView,
    size: u64,
    starts_at: i64,
}

impl Lake {
    /// Merges the table's small files. Safe beside appenders and other compactions: rows are neither lost nor doubled.
    ///
    /// The `models` table is left alone: each model keeps a file of its own, so that a change of stage rewrites only
    /// the models that it touches.
    pub async fn compact(&self, table: &TableName) -> Result<Compaction, LakeError> {
        let mut done = Compaction::default();
        if *table == TableName::Models {
            return Ok(done);
        }
        let state = {
            let mut log = self.existing(table).await?;
            log.refresh().await?;
            log.state().await?.clone()
        };
        for group in plan(data_files(table, &state).await?, TARGET_BYTES) {
            let Some((version, n_added)) = self.merge(table, &state, &group).await? else {
                continue;
            };
            done.version = Some(version);
            done.n_files_removed += group.len();
            done.n_files_added += n_added;
            done.n_bytes_rewritten += group.iter().map(|file| file.size).sum::<u64>();
        }
        if let Err(error) = deltalake::checkpoints::cleanup_metadata(&state, None).await {
            tracing::warn!(table = %table, %error, "expired log entries could not be cleaned up; the next compaction tries again");
        }
        Ok(done)
    }

    /// Merges one group of files; `None` when another change removed one of them meanwhile.
    async fn merge(
        &self,
        table: &TableName,
        state: &DeltaTable,
        group: &[DataFile],
    ) -> Result<Option<(i64, usize)>, LakeError> {
        let mut adds = rewrite_sorted(table, state, group, SORT_MEMORY_BYTES).await?;
        adds.iter_mut().for_each(|add| add.data_change = false);
        let change = Change {
            actions: group
                .iter()
                .map(|file| Action::Remove(file.view.remove_action(false)))
                .chain(adds.iter().cloned().map(Action::Add))
                .collect(),
            operation: DeltaOperation::Optimize {
                predicate: None,
                target_size: TARGET_BYTES as i64,
            },
            is_blind_append: false,
            transaction: None,
        };
        let merged: HashSet<String> = group.iter().map(|file| file.view.path().into_owned()).collect();
        let committed = self.commit_merge(table, &change, &merged).await;
        if matches!(
            committed,
            Ok(None) | Err(LakeError::Contended { .. } | LakeError::SchemaDiffers { .. })
        ) {
            files::discard(table, state, adds.clone()).await;
        }
        Ok(committed?.map(|version| (version, adds.len())))
    }

    async fn commit_merge(
        &self,
        table: &TableName,
        change: &Change,
        merged: &HashSet<String>,
    ) -> Result<Option<i64>, LakeError> {
        for _ in 0..MAX_ATTEMPTS {
            // The lock is let go between tries, so that appenders of this process are not held up.
            let mut log = self.existing(table).await?;
            log.refresh().await?;
            let present = data_files(table, log.state().await?).await?;
            let n_present = present
                .iter()
                .filter(|file| merged.contains(file.view.path().as_ref()))
                .count();
            if n_present < merged.len() {
                return Ok(None);
            }
            if let Some(version) = log.commit(change).await? {
                release(log).await;
                return Ok(Some(signed(version)));
            }
        }
        Err(LakeError::Contended {
            table: table.clone(),
            attempts: MAX_ATTEMPTS,
        })
    }
}

/// Writes the rows of a group as one file, sorted by the table's time column.
async fn rewrite_sorted(
    name: &TableName,
    state: &DeltaTable,
    group: &[DataFile],
    memory_bytes: usize,
) -> Result<Vec<Add>, LakeError> {
    let failed = |source| LakeError::read(name, source);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(memory_bytes, 1.0)
        .build_arc()
        .map_err(failed)?;
    // Reading keeps its own small buffers; a reservation of an eighth is what merging spilled runs takes.
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .with_sort_spill_reservation_bytes(memory_bytes / 8);
    let session = SessionContext::new_with_config_rt(config, runtime);
    let paths = group.iter().map(|file| file.view.path().into_owned());
    let provider = state.table_provider().with_file_paths(paths).await.map_err(failed)?;
    let sorted = session
        .read_table(provider)
        .and_then(|frame| frame.sort(vec![ident(name.time_column()).sort(true, false)]))
        .map_err(failed)?;
    let schema = scan::columns_of(name, state)?;
    let rows = sorted.execute_stream().await.map_err(failed)?.map(|batch| {
        let batch = batch.map_err(|source| LakeError::read(name, source))?;
        conform(name, &schema, &batch, Extra::Ignore)
    });
    let adds = files::write(name, state, files::Effort::Small, files::Encode::Here, rows).await?;

    let n_before: Option<usize> = group.iter().map(|file| file.view.num_records()).sum();
    let n_after: Option<usize> = adds.iter().map(n_records).sum();
    if n_before.is_none() || n_before != n_after {
        files::discard(name, state, adds).await;
        let found = format!("merging files would turn {n_before:?} rows into {n_after:?}");
        return Err(LakeError::Value {
            table: name.clone(),
            column: name.time_column(),
            found,
        });
    }
    Ok(adds)
}

fn n_records(add: &Add) -> Option<usize> {
    let stats: serde_json::Value = serde_json::from_str(add.stats.as_deref()?).ok()?;
    usize::try_from(stats.get("numRecords")?.as_u64()?).ok()
}

/// The files of the table, each with its size and its earliest instant.
async fn data_files(name: &TableName, state: &DeltaTable) -> Result<Vec<DataFile>, LakeError> {
    let views = scan::file_views(state).await?;
    Ok(views
        .into_iter()
        .map(|view| DataFile {
            size: u64::try_from(view.size()).unwrap_or(0),
            starts_at: earliest(&view, name.time_column()).unwrap_or(view.modification_time().saturating_mul(1000)),
            view,
        })
        .collect())
}

/// The smallest value of a time column, from the file's statistics.
fn earliest(view: &LogicalFileView, column: &str) -> Option<i64> {
    let stats: serde_json::Value = serde_json::from_str(&view.stats()?).ok()?;
    let text = stats.get("minValues")?.get(column)?.as_str()?.to_owned();
    chrono::DateTime::parse_from_rfc3339(&text)
        .ok()
        .map(|instant| instant.timestamp_micros())
}

/// Which files to merge with which.
fn plan(mut files: Vec<DataFile>, target_bytes: u64) -> Vec<Vec<DataFile>> {
    files.sort_by(|a, b| (a.starts_at, a.view.path()).cmp(&(b.starts_at, b.view.path())));
    let sizes: Vec<u64> = files.iter().map(|file| file.size).collect();
    let files: Vec<Arc<DataFile>> = files.into_iter().map(Arc::new).collect();
    let groups = plan_sizes(&sizes, target_bytes);
    groups
        .into_iter()
        .map(|group| files[group].iter().map(|file| file.as_ref().clone()).collect())
        .collect()
}

/// Ranges of neighbours to merge, for files of these sizes in time order.
fn plan_sizes(sizes: &[u64], target_bytes: u64) -> Vec<std::ops::Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (idx, &size) in sizes.iter().enumerate() {
        if bytes + size > target_bytes {
            settle(sizes, start..idx, target_bytes, &mut groups);
            start = idx;
            bytes = 0;
        }
        bytes += size;
    }
    settle(sizes, start..sizes.len(), target_bytes, &mut groups);
    groups
}

/// Merges the range, unless one file outweighs the others together: then it stays, and each side is looked at alone.
/// What is small in all is merged anyway, so that tables of few rows come to one file.
fn settle(sizes: &[u64], range: std::ops::Range<usize>, target_bytes: u64, groups: &mut Vec<std::ops::Range<usize>>) {
    let Some(largest) = range.clone().max_by_key(|&idx| sizes[idx]).filter(|_| range.len() > 1) else {
        return;
    };
    let bytes: u64 = sizes[range.clone()].iter().sum();
    if bytes <= target_bytes / 16 || sizes[largest] <= bytes - sizes[largest] {
        groups.push(range);
    } else {
        settle(sizes, range.start..largest, target_bytes, groups);
        settle(sizes, largest + 1..range.end, target_bytes, groups);
    }
}

#[cfg(test)]
mod tests {
    use deltalake::datafile::DataFileReader as _;
    use deltalake::datafile::reader::ParquetFileReader;
    use lakeloop_domain::{DecisionId, FeatureType, FeatureValue, NamedValue, TrainingSetId};

    use super::*;
    use crate::rows::{Split, TrainingRow, training_rows_from_batch, training_rows_to_batch};
    use futures::TryStreamExt as _;

    #[test]
    fn neighbours_are_merged_up_to_the_target() {
        assert_eq!(plan_sizes(&[1, 1, 1, 1], 100), vec![0..4]);
        assert_eq!(plan_sizes(&[40, 40, 40], 100), vec![0..2]);
        assert!(plan_sizes(&[], 100).is_empty());
        assert!(plan_sizes(&[5], 100).is_empty());
        // A file at its size stays, and nothing is merged across it.
        assert_eq!(plan_sizes(&[1, 1, 200, 1, 1], 100), vec![0..2, 3..5]);
    }

    #[test]
    fn a_large_file_waits_for_its_equal() {
        assert_eq!(plan_sizes(&[32, 1, 1, 1], 100), vec![1..4]);
        assert_eq!(plan_sizes(&[32, 20, 10, 1, 1], 100), vec![0..5]);
        assert_eq!(
            plan_sizes(&[4, 1], 100),
            vec![0..2],
            "what is small in all does not wait"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[allow(clippy::unwrap_used)]
    async fn sorting_more_than_fits_in_memory_spills() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path().to_str().unwrap(), std::collections::HashMap::new())
            .await
            .unwrap();
        let table = TableName::TrainingRows;
        let row = |idx: i64| TrainingRow {
            training_set_id: TrainingSetId::new("set").unwrap(),
            decision_id: DecisionId::new(format!("d-{idx}")).unwrap(),
            unit: None,
            // Instants run backward, so that every row has to move.
            event_time: 1_000_000 - idx,
            split: Split::Train,
            action: None,
            candidate: None,
            propensity: 1.0,
            label: Some(idx as f64),
            label_category: None,
            features: (0..20)
                .map(|column| NamedValue {
                    name: format!("feature_{column}").into(),
                    feature_type: FeatureType::Category,
                    value: FeatureValue::Category(format!("value {} of {column}", idx % 97)),
                })
                .collect(),
        };
        let n_rows = 40_000;
        for part in 0..4 {
            let rows: Vec<_> = (part * n_rows / 4..(part + 1) * n_rows / 4).map(row).collect();
            let _ = lake
                .append(&table, vec![training_rows_to_batch(&rows).unwrap()], None)
                .await
                .unwrap();
        }
        let state = lake.newest(&table).await.unwrap();
        let group = data_files(&table, &state).await.unwrap();
        let adds = rewrite_sorted(&table, &state, &group, 24 * 1024 * 1024).await.unwrap();
        let store = state.log_store().object_store(None);
        let reader = ParquetFileReader::new(store);
        let batches: Vec<_> = reader
            .read_file(adds[0].path.as_str().into())
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        let rows: Vec<_> = batches
            .iter()
            .flat_map(|batch| training_rows_from_batch(batch).unwrap())
            .collect();
        assert_eq!(rows, (0..n_rows).rev().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn a_row_is_rewritten_a_handful_of_times() {
        // A thousand appends of one megabyte with a compaction after every tenth.
        let (mut sizes, mut rewritten) = (Vec::new(), 0);
        for append in 0..1000 {
            sizes.push(1_u64);
            if append % 10 == 9 {
                for group in plan_sizes(&sizes, 64).into_iter().rev() {
                    let merged = sizes.drain(group.clone()).sum::<u64>();
                    sizes.insert(group.start, merged);
                    rewritten += merged;
                }
            }
        }
        // At best sixteen: two files of more than half the target are not merged with each other.
        assert!(sizes.len() < 45, "{} files are left", sizes.len());
        assert!(
            rewritten < 5 * 1000,
            "each megabyte was rewritten {} times",
            rewritten / 1000
        );
    }
}
