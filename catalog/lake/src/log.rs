//! One table's log as this process knows it, and the one way to add to it.
//!
//! # Policy: compare-and-swap on versions
//! Whoever changes a table reads its state at version v, judges, and commits exactly version v + 1. The store creates a
//! file only where there is none (a hard link on a local disk, `If-None-Match` on S3), so of all who try one version
//! one wins. Whoever loses reads what was committed meanwhile and judges again: a lost race is an answer
//! (`None` from [`TableLog::commit`]), and whether it ends the matter is for the caller to say.
//!
//! The conflict checker of delta-rs is not asked. It lets two compactions of the same files both commit, which doubles
//! rows: it ignores files that were removed without a change of data. The rule above needs no such cases.
//!
//! # Cost
//! A commit of this process moves the known version without reading anything, so appending to a table costs the
//! same however long its log and however many its files are. The state (the list of files) is brought up to date when
//! somebody asks for it, by reading the commits since. After every hundredth commit a checkpoint is written, so that
//! opening a table reads a hundred commits at most; whoever made that commit waits for it, nobody else does.

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::object_store::path::Path;
use deltalake::kernel::transaction::{CommitData, PROTOCOL, TransactionError};
use deltalake::kernel::{Action, Transaction, Version};
use deltalake::logstore::CommitOrBytes;
use deltalake::protocol::DeltaOperation;
use deltalake::{DeltaTable, DeltaTableError};
use futures::TryStreamExt as _;
use serde_json::Value;
use uuid::Uuid;

use crate::damage;
use crate::{LakeError, TableName};

/// After this many commits a checkpoint is written; tables are created with the same number as their property.
pub(crate) const CHECKPOINT_INTERVAL: u64 = 100;

/// How often a change is tried against a table that keeps changing. Every lost try is another's commit, so it takes a
/// hundred commits by others within one change to get there.
pub(crate) const MAX_ATTEMPTS: u32 = 100;

/// The next version's commit tells whether there is a newer state, unless another process cleaned it up, which takes as
/// long as the table's retention (30 days by default). A state that is older than this is loaded without asking.
const LOAD_AFTER: Duration = Duration::from_secs(3600);

/// What one commit adds to the log.
pub(crate) struct Change {
    pub actions: Vec<Action>,
    pub operation: DeltaOperation,
    /// True when the change holds whatever else was committed before it.
    pub is_blind_append: bool,
    pub transaction: Option<Transaction>,
}

/// One table's log: the state that was loaded last, and the newest version known.
pub(crate) struct TableLog {
    name: TableName,
    schema: SchemaRef,
    /// Loaded at some version up to `tip`; commits of this process need not load it again.
    table: DeltaTable,
    tip: Version,
    /// When the state was loaded last, by this machine's steady clock.
    loaded_at: Instant,
    /// Versions of application transactions as of `tip`; only those that were asked for or written.
    sequences: HashMap<String, Option<i64>>,
}

impl TableLog {
    /// Takes a loaded table, checking that it is the one that is meant.
    pub fn new(name: TableName, table: DeltaTable) -> Result<Self, LakeError> {
        let schema = check_is_ours(&name, &table)?;
        let tip = loaded_version(&name, &table)?;
        Ok(Self {
            name,
            schema,
            table,
            tip,
            loaded_at: Instant::now(),
            sequences: HashMap::new(),
        })
    }

    /// The table's name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The newest version known.
    pub fn tip(&self) -> Version {
        self.tip
    }

    /// The table's columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The table as it was loaded last: right for its store and its properties, perhaps behind in its files.
    pub fn handle(&self) -> &DeltaTable {
        &self.table
    }

    /// Learns of commits by others. Costs one look-up when there are none.
    pub async fn refresh(&mut self) -> Result<(), LakeError> {
        if self.loaded_at.elapsed() > LOAD_AFTER {
            return self.load(None).await;
        }
        let next = self.table.log_store().read_commit_entry(self.tip + 1).await;
        match next {
            Ok(None) => Ok(()),
            Ok(Some(_)) => self.load(None).await,
            Err(source) => Err(LakeError::storage(
                "look for new commits",
                location(&self.table),
                source,
            )),
        }
    }

    /// Learns of commits by others and by this process, whatever it knew.
    pub async fn refresh_all(&mut self) -> Result<(), LakeError> {
        self.load(None).await
    }

    /// The state at the newest known version.
    pub async fn state(&mut self) -> Result<&DeltaTable, LakeError> {
        if self.table.version() != Some(self.tip) {
            self.load(Some(self.tip)).await?;
        }
        Ok(&self.table)
    }

    async fn load(&mut self, version: Option<Version>) -> Result<(), LakeError> {
        if let Err(source) = self.table.update_incremental(version).await {
            return Err(damage::explain(&self.name, &self.table, source).await);
        }
        // Another process may have added columns.
        self.schema = check_is_ours(&self.name, &self.table)?;
        let loaded = loaded_version(&self.name, &self.table)?;
        self.loaded_at = Instant::now();
        if loaded != self.tip {
            self.tip = loaded;
            self.sequences.clear();
        }
        Ok(())
    }

    /// The last version that an application committed with its rows, as of the newest known version.
    pub async fn sequence(&mut self, app_id: &str) -> Result<Option<i64>, LakeError> {
        if let Some(known) = self.sequences.get(app_id) {
            return Ok(*known);
        }
        let table = self.state().await?;
        let log_store = table.log_store();
        let found = match table.snapshot() {
            Ok(state) => state.transaction_version(log_store.as_ref(), app_id).await,
            Err(source) => Err(source),
        };
        let found =
            found.map_err(|source| LakeError::storage("read the writers' sequences", location(&self.table), source))?;
        self.sequences.insert(app_id.to_owned(), found);
        Ok(found)
    }

    /// Commits the version after the newest known one; `None` when another took it first.
    pub async fn commit(&mut self, change: &Change) -> Result<Option<Version>, LakeError> {
        let failed = |table: &DeltaTable, source| LakeError::storage("commit", location(table), source);
        let log_store = self.table.log_store();
        let state = self.table.snapshot().map_err(|source| failed(&self.table, source))?;
        PROTOCOL
            .can_commit(state.snapshot(), &change.actions, &change.operation)
            .map_err(|source| failed(&self.table, source.into()))?;
        let bytes = CommitData::new(
            change.actions.clone(),
            change.operation.clone(),
            commit_metadata(change.is_blind_append),
            change.transaction.iter().cloned().collect(),
        )
        .get_bytes()
        .map_err(|source| failed(&self.table, source.into()))?;

        // Without its predecessor the new commit would be the log of a table that nobody can read.
        let tip = log_store
            .read_commit_entry(self.tip)
            .await
            .map_err(|source| failed(&self.table, source))?;
        if tip.is_none() {
            return Err(LakeError::Vanished {
                table: self.name.clone(),
                path: location(&self.table),
            });
        }
        let version = self.tip + 1;
        let written = log_store
            .write_commit_entry(version, CommitOrBytes::LogBytes(bytes.clone()), Uuid::new_v4())
            .await;
        if let Err(error) = written {
            // A store that repeats a request on its own may meet its own file: the commit is ours when it has our
            // bytes, which hold a number that is drawn once.
            let found = log_store.read_commit_entry(version).await;
            let is_ours = matches!(&found, Ok(Some(found)) if *found == bytes);
            match (is_ours, error) {
                (true, _) => {}
                (false, TransactionError::VersionAlreadyExists(_)) => return Ok(None),
                (false, error) => return Err(failed(&self.table, error.into())),
            }
        }
        self.tip = version;
        if let Some(transaction) = &change.transaction {
            self.sequences
                .insert(transaction.app_id.clone(), Some(transaction.version));
        }
        make_durable(&self.table, &[commit_path(version)])
            .await
            .map_err(|source| failed(&self.table, source))?;
        Ok(Some(version))
    }

    /// The checkpoint that the newest commit makes due.
    pub fn due_checkpoint(&self) -> Option<Checkpoint> {
        (self.tip + 1).is_multiple_of(CHECKPOINT_INTERVAL).then(|| Checkpoint {
            table: self.table.clone(),
            version: self.tip,
        })
    }
}

/// A checkpoint that is due. It is written from a state of its own, because bringing that up to date and writing it takes
/// some tenths of a second, in which nobody should wait for the table's log.
pub(crate) struct Checkpoint {
    table: DeltaTable,
    version: Version,
}

impl Checkpoint {
    /// Writes it. Readers need none to be right, so a failure is only logged.
    pub async fn write(mut self) {
        let written = match self.table.update_incremental(Some(self.version)).await {
            Ok(()) => deltalake::checkpoints::create_checkpoint(&self.table, None).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(table = %location(&self.table), version = self.version, %error, "no checkpoint was written; the next one is tried after {CHECKPOINT_INTERVAL} commits");
        }
    }
}

/// What is said of a commit beside its actions; the id makes every commit's bytes its own.
fn commit_metadata(is_blind_append: bool) -> HashMap<String, Value> {
    HashMap::from([
        (
            "clientVersion".to_owned(),
            Value::String(format!("lakeloop.{}", env!("CARGO_PKG_VERSION"))),
        ),
        ("commitId".to_owned(), Value::String(Uuid::new_v4().to_string())),
        ("isBlindAppend".to_owned(), Value::Bool(is_blind_append)),
    ])
}

/// Where a version's commit lies below the table.
pub(crate) fn commit_path(version: Version) -> String {
    format!("_delta_log/{version:020}.json")
}

/// The loaded version.
fn loaded_version(name: &TableName, table: &DeltaTable) -> Result<Version, LakeError> {
    table.version().ok_or_else(|| LakeError::Vanished {
        table: name.clone(),
        path: location(table),
    })
}

/// Refuses a table that is laid out otherwise than lakeloop lays it out; returns its columns, which may lack some that
/// were added later.
fn check_is_ours(name: &TableName, table: &DeltaTable) -> Result<SchemaRef, LakeError> {
    let differs = |difference: String| LakeError::SchemaDiffers {
        table: name.clone(),
        path: location(table),
        difference,
    };
    let state = table
        .snapshot()
        .map_err(|source| LakeError::storage("read the table's state", location(table), source))?;
    if !state.metadata().partition_columns().is_empty() {
        return Err(differs(format!(
            "it is partitioned by {}",
            state.metadata().partition_columns().join(", ")
        )));
    }
    let configuration = state.metadata().configuration();
    for (key, plain) in [
        ("delta.columnMapping.mode", "none"),
        ("delta.enableDeletionVectors", "false"),
    ] {
        if configuration.get(key).is_some_and(|value| value != plain) {
            return Err(differs(format!("its property {key} is set")));
        }
    }
    let found = state.snapshot().arrow_schema();
    let expected = match crate::tables::schema(name) {
        Some(fixed) => fixed
            .fields()
            .iter()
            .map(|field| field.as_ref().clone())
            .collect::<Vec<_>>(),
        None => crate::tables::FEATURE_VIEW_BASE.to_vec(),
    };
    for (idx, field) in expected.iter().enumerate() {
        match found.fields().get(idx) {
            None if name.added_later().contains(&field.name().as_str()) => break,
            None => return Err(differs(format!("column `{}` is absent", field.name()))),
            Some(there) if there.as_ref() != field => {
                let shown = |field: &arrow::datatypes::Field| {
                    let null = if field.is_nullable() { "" } else { " not null" };
                    format!("`{}` {}{null}", field.name(), field.data_type())
                };
                return Err(differs(format!(
                    "column {idx} is {}, expected {}",
                    shown(there),
                    shown(field)
                )));
            }
            Some(_) => {}
        }
    }
    let is_fixed = !matches!(name, TableName::Features(_));
    if let Some(extra) = found.fields().get(expected.len()).filter(|_| is_fixed) {
        return Err(differs(format!("column `{}` is one too many", extra.name())));
    }
    Ok(found)
}

/// Where a table lies, as a person writes it: a path where it is a local folder, else the URL.
pub(crate) fn location(table: &DeltaTable) -> String {
    local_root(table).map_or_else(|| table.table_url().to_string(), |root| root.display().to_string())
}

/// The folder of a table on this machine; `None` for one in an object store.
pub(crate) fn local_root(table: &DeltaTable) -> Option<PathBuf> {
    let url = table.table_url();
    if url.scheme() == "file" {
        url.to_file_path().ok()
    } else {
        None
    }
}

/// Makes files below a local table outlast a power failure; object stores do so before they answer.
pub(crate) async fn make_durable(table: &DeltaTable, files: &[String]) -> Result<(), DeltaTableError> {
    let Some(root) = local_root(table) else { return Ok(()) };
    let files: Vec<PathBuf> = files.iter().map(|file| root.join(file)).collect();
    let synced = tokio::task::spawn_blocking(move || files.iter().try_for_each(|file| sync_file(file))).await;
    match synced {
        Ok(result) => Ok(result?),
        Err(error) => Err(DeltaTableError::generic(error)),
    }
}

fn sync_file(file: &FilePath) -> std::io::Result<()> {
    std::fs::File::open(file)?.sync_all()?;
    // The file's name is part of its folder. Not every system opens a folder; those that do not need no such call.
    #[cfg(unix)]
    if let Some(folder) = file.parent() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The versions that the log still has commits of, ascending.
pub(crate) async fn known_versions(table: &DeltaTable) -> Result<Vec<Version>, DeltaTableError> {
    let store = table.log_store().object_store(None);
    let listed: Vec<_> = store.list(Some(&Path::from("_delta_log"))).try_collect().await?;
    let mut versions: Vec<Version> = listed
        .iter()
        .filter_map(|file| file.location.filename()?.strip_suffix(".json"))
        .filter_map(|digits| digits.parse().ok())
        .collect();
    versions.sort_unstable();
    Ok(versions)
}
