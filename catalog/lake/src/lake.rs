//! The lake: a location with one Delta table for each name, opened once and shared by all who read and write it.
//!
//! A `Lake` is cheap to clone, and its clones share what they know of each table. Any number of lakes, in one process or
//! several, may be open on one location at the same time.

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use datafusion::object_store::path::Path;
use deltalake::kernel::StructType;
use deltalake::kernel::Version;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::logstore::LogStoreRef;
use deltalake::operations::create::CreateBuilder;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError, ensure_table_uri};
use futures::StreamExt as _;
use futures::future::try_join_all;
use tokio::sync::{OwnedMappedMutexGuard, OwnedMutexGuard};

use crate::log::{CHECKPOINT_INTERVAL, TableLog, commit_path, known_versions, location, make_durable};
use crate::{LakeError, TableName, damage, tables};

/// Sole use of one table's log in this process.
pub(crate) type LogGuard = OwnedMappedMutexGuard<Option<TableLog>, TableLog>;

type Slot = Arc<tokio::sync::Mutex<Option<TableLog>>>;

/// All tables of one location.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use lakeloop_domain::{OutcomeId, OutcomeRecord, OutcomeValue};
/// use lakeloop_lake::{Append, Lake, TableName, WriterSequence, rows};
///
/// let folder = tempfile::tempdir()?;
/// let lake = Lake::open(&folder.path().display().to_string(), Default::default()).await?;
/// let outcome = OutcomeRecord {
///     outcome_id: OutcomeId::new("o-1")?,
///     decision_id: None,
///     strategy: Some("menu".parse()?),
///     unit: Some("guest-7".parse()?),
///     candidate: None,
///     event: "eaten".to_owned(),
///     value: OutcomeValue::Number(1.0),
///     event_time: 1_704_067_200_000_000,
///     received_at: 1_704_067_200_000_000,
/// };
/// let batch = rows::outcomes_to_batch(&[outcome])?;
/// let writer = WriterSequence { app_id: "journal/outcomes".to_owned(), version: 1 };
/// let first = lake.append(&TableName::Outcomes, vec![batch.clone()], Some(writer.clone())).await?;
/// let again = lake.append(&TableName::Outcomes, vec![batch], Some(writer)).await?;
/// assert_eq!((first, again), (Append::Committed { version: 1 }, Append::AlreadyCommitted));
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Lake {
    shared: Arc<Shared>,
}

struct Shared {
    location: String,
    /// The location as a URL that ends with `/`.
    root: String,
    options: HashMap<String, String>,
    slots: Mutex<HashMap<TableName, Slot>>,
}

impl Lake {
    /// Opens the lake at a folder or an `s3://` URL, creating the folder and the tables that are absent.
    ///
    /// `options` are the store's (see the object_store crate: `AWS_ENDPOINT_URL`, …); a folder needs none. Several
    /// processes may open one location at once: each table is created by one of them. A location that holds
    /// anything else, and tables with other columns, are refused and left as they are; tables from before some of the
    /// columns get these. A lake may lie in a place that is
    /// read-only; tables that came with a later version are then absent.
    pub async fn open(location: &str, options: HashMap<String, String>) -> Result<Self, LakeError> {
        let root = root_url(location)?;
        let lake = Self {
            shared: Arc::new(Shared {
                location: location.to_owned(),
                root,
                options,
                slots: Mutex::default(),
            }),
        };
        lake.refuse_strangers().await?;
        try_join_all(TableName::ALL.iter().map(|table| lake.ensure(table))).await?;
        Ok(lake)
    }

    /// The location as it was given.
    pub fn location(&self) -> &str {
        &self.shared.location
    }

    /// The table at its newest version; `None` when it does not exist. Costs one look-up when nothing was committed
    /// since the last call, else the reading of the commits since.
    pub async fn table(&self, table: &TableName) -> Result<Option<DeltaTable>, LakeError> {
        let Some(mut log) = self.log(table).await? else {
            return Ok(None);
        };
        log.refresh().await?;
        Ok(Some(log.state().await?.clone()))
    }

    /// The table as it was at a version.
    ///
    /// Every version can be read for as long as its commit is in the log: at least 30 days (the table property
    /// `delta.logRetentionDuration`), and data files are never deleted.
    pub async fn table_at(&self, table: &TableName, version: i64) -> Result<DeltaTable, LakeError> {
        let handle = {
            let log = self.existing(table).await?;
            if log.handle().version() == Version::try_from(version).ok() {
                return Ok(log.handle().clone());
            }
            log.handle().clone()
        };
        let mut past = DeltaTable::new(handle.log_store());
        let Ok(asked) = Version::try_from(version) else {
            return Err(self.no_such_version(table, &handle, version).await);
        };
        match past.load_version(asked).await {
            Ok(()) => Ok(past),
            Err(source) => match self.no_such_version(table, &handle, version).await {
                LakeError::NoSuchVersion { oldest, newest, .. } if (oldest..=newest).contains(&version) => {
                    Err(damage::explain(table, &past, source).await)
                }
                error => Err(error),
            },
        }
    }

    /// The newest version; `None` when the table does not exist. One look-up when nothing was committed since the
    /// last call: cheap enough to ask every second.
    pub async fn version(&self, table: &TableName) -> Result<Option<i64>, LakeError> {
        let Some(mut log) = self.log(table).await? else {
            return Ok(None);
        };
        log.refresh().await?;
        Ok(Some(signed(log.tip())))
    }

    async fn no_such_version(&self, table: &TableName, handle: &DeltaTable, asked: i64) -> LakeError {
        match known_versions(handle).await {
            Ok(known) => LakeError::NoSuchVersion {
                table: table.clone(),
                asked,
                oldest: known.first().copied().map_or(0, signed),
                newest: known.last().copied().map_or(0, signed),
            },
            Err(source) => LakeError::storage("list the table's versions", location(handle), source),
        }
    }

    /// The table's log, for this caller alone; `None` when the table does not exist.
    pub(crate) async fn log(&self, table: &TableName) -> Result<Option<LogGuard>, LakeError> {
        let mut slot = self.slot(table).lock_owned().await;
        if slot.is_none() {
            let store = self.store(table)?;
            if exists(&store).await? {
                *slot = Some(load(table, store).await?);
            }
        }
        Ok(OwnedMutexGuard::try_map(slot, Option::as_mut).ok())
    }

    /// The log of a table that must exist.
    pub(crate) async fn existing(&self, table: &TableName) -> Result<LogGuard, LakeError> {
        let log = self.log(table).await?;
        log.ok_or_else(|| LakeError::NoSuchTable {
            table: table.clone(),
            location: self.location().to_owned(),
        })
    }

    /// A table that must exist, at its newest version.
    pub(crate) async fn newest(&self, table: &TableName) -> Result<DeltaTable, LakeError> {
        let mut log = self.existing(table).await?;
        log.refresh().await?;
        Ok(log.state().await?.clone())
    }

    /// Creates a table unless it exists; answers with its log either way.
    pub(crate) async fn create(&self, table: &TableName, schema: &SchemaRef) -> Result<LogGuard, LakeError> {
        if let Some(log) = self.log(table).await? {
            return Ok(log);
        }
        let store = self.store(table)?;
        refuse_files_without_log(&store).await?;
        create(table, schema, store).await?;
        self.existing(table).await
    }

    async fn ensure(&self, table: &TableName) -> Result<(), LakeError> {
        match tables::schema(table) {
            Some(schema) => {
                let laid_out = self.lay_out(table, &schema).await;
                // What cannot be written can still be read: the rows have null in the columns that are not there, and a table
                // that came later is absent.
                if matches!(laid_out, Err(LakeError::ReadOnly { .. })) && self.is_laid_out().await? {
                    return Ok(());
                }
                laid_out
            }
            None => Ok(()),
        }
    }

    async fn lay_out(&self, table: &TableName, schema: &SchemaRef) -> Result<(), LakeError> {
        self.create(table, schema).await?.add_columns().await
    }

    /// True when the oldest table is there: the place is a lake, of whatever version.
    async fn is_laid_out(&self) -> Result<bool, LakeError> {
        exists(&self.store(&TableName::Decisions)?).await
    }

    fn slot(&self, table: &TableName) -> Slot {
        // A panic while the map is locked cannot leave it half changed, so a poisoned lock is as good as new.
        let mut slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(table.clone()).or_default())
    }

    fn store(&self, table: &TableName) -> Result<LogStoreRef, LakeError> {
        self.store_at(&format!("{}{}/", self.shared.root, table.path()))
    }

    fn store_at(&self, url: &str) -> Result<LogStoreRef, LakeError> {
        let opened = ensure_table_uri(url)
            .and_then(DeltaTableBuilder::from_url)
            .and_then(|builder| {
                builder
                    .with_storage_options(self.shared.options.clone())
                    .build_storage()
            });
        opened.map_err(|source| LakeError::storage("reach the store", url, source))
    }

    /// The folders and files of the location whose names are not hidden.
    pub(crate) async fn entries(&self, folder: Option<&str>) -> Result<Vec<String>, LakeError> {
        let store = self.store_at(&self.shared.root)?.object_store(None);
        let prefix = folder.map(Path::from);
        let listed = store
            .list_with_delimiter(prefix.as_ref())
            .await
            .map_err(|source| LakeError::storage("list the folder", self.location(), source.into()))?;
        let names = listed
            .common_prefixes
            .iter()
            .chain(listed.objects.iter().map(|object| &object.location));
        Ok(names
            .filter_map(|path| path.filename())
            .filter(|name| !name.starts_with('.'))
            .map(str::to_owned)
            .collect())
    }

    /// A folder that is neither empty nor a lake is somebody else's.
    async fn refuse_strangers(&self) -> Result<(), LakeError> {
        let entries = self.entries(None).await?;
        let is_ours = |name: &String| TableName::ALL.iter().any(|table| table.path() == *name) || name == "features";
        match entries.first() {
            Some(stranger) if !entries.iter().any(is_ours) => Err(LakeError::NotALake {
                location: self.location().to_owned(),
                found: format!("it holds `{stranger}` and no table of lakeloop"),
            }),
            _ => Ok(()),
        }
    }
}

/// The location as a URL that ends with `/`; makes the folder where it is a path.
fn root_url(location: &str) -> Result<String, LakeError> {
    let not_a_lake = |found: String| LakeError::NotALake {
        location: location.to_owned(),
        found,
    };
    if location.trim().is_empty() {
        return Err(not_a_lake("the location is empty".to_owned()));
    }
    match location.split_once("://") {
        None => make_folder(FilePath::new(location))?,
        Some(("file" | "s3" | "s3a", _)) => {}
        Some((scheme, _)) => {
            return Err(not_a_lake(format!(
                "lakes live in folders and at s3:// URLs, not at {scheme}://"
            )));
        }
    }
    let url = ensure_table_uri(location).map_err(|source| not_a_lake(source.to_string()))?;
    Ok(format!("{}/", url.as_str().trim_end_matches('/')))
}

fn make_folder(folder: &FilePath) -> Result<(), LakeError> {
    let nearest: Option<PathBuf> = folder.ancestors().find(|part| part.exists()).map(FilePath::to_path_buf);
    if let Some(file) = nearest.filter(|part| !part.is_dir()) {
        return Err(LakeError::NotALake {
            location: folder.display().to_string(),
            found: format!("`{}` is a file", file.display()),
        });
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| LakeError::storage("create the lake's folder", folder.display().to_string(), error.into()))
}

async fn exists(store: &LogStoreRef) -> Result<bool, LakeError> {
    let found = store.is_delta_table_location().await;
    found.map_err(|source| {
        LakeError::storage(
            "look for a table",
            location(&DeltaTable::new(Arc::clone(store))),
            source,
        )
    })
}

async fn load(name: &TableName, store: LogStoreRef) -> Result<TableLog, LakeError> {
    let mut table = DeltaTable::new(store);
    match table.load().await {
        Ok(()) => TableLog::new(name.clone(), table),
        Err(source) => Err(damage::explain(name, &table, source).await),
    }
}

/// A folder of a table's name that has files but no log is not ours to fill.
async fn refuse_files_without_log(store: &LogStoreRef) -> Result<(), LakeError> {
    let mut files = store.object_store(None).list(None);
    while let Some(Ok(file)) = files.next().await {
        let is_log = file.location.prefix_matches(store.log_path());
        // Another process may have created the table, and filled it, since this one looked.
        if !is_log && !exists(store).await? {
            return Err(LakeError::NotALake {
                location: location(&DeltaTable::new(Arc::clone(store))),
                found: format!("it holds `{}` but no Delta log", file.location),
            });
        }
    }
    Ok(())
}

async fn create(name: &TableName, schema: &SchemaRef, store: LogStoreRef) -> Result<(), LakeError> {
    let handle = DeltaTable::new(Arc::clone(&store));
    let failed = |source: DeltaTableError| LakeError::storage("create the table", location(&handle), source);
    let columns: StructType = schema.as_ref().try_into_kernel().map_err(|source| LakeError::Arrow {
        table: name.clone(),
        source,
    })?;
    let created = CreateBuilder::new()
        .with_log_store(Arc::clone(&store))
        .with_table_name(name.to_string())
        .with_columns(columns.fields().cloned())
        .with_configuration([
            ("delta.checkpointInterval", Some(CHECKPOINT_INTERVAL.to_string())),
            ("delta.dataSkippingStatsColumns", Some(name.stats_columns().join(","))),
        ])
        // Whoever finds version 0 taken must not go on to write its own version 1.
        .with_commit_properties(CommitProperties::default().with_max_retries(0))
        .await;
    match created {
        Ok(_) => make_durable(&handle, &[commit_path(0)]).await.map_err(failed),
        // Another process was quicker: its table serves as well.
        Err(_) if exists(&store).await? => Ok(()),
        Err(source) => Err(failed(source)),
    }
}

/// Gives a log free after a commit, and then writes the checkpoint that is due.
pub(crate) async fn release(log: LogGuard) {
    let checkpoint = log.due_checkpoint();
    drop(log);
    if let Some(checkpoint) = checkpoint {
        checkpoint.write().await;
    }
}

/// A version as tables keep it.
pub(crate) fn signed(version: Version) -> i64 {
    i64::try_from(version).expect("a log of more than 2^63 commits cannot have been written")
}
