//! Owns the feature snapshots that this server looks up in: which file is open for each view, and for which entities it
//! does not speak any more.
//!
//! A snapshot is of one version of its view's table. The watcher asks for the table's version again and again; when rows
//! came since, it reads whose they are, and lookups of these entities go to the lake until a newer snapshot is there. For
//! all others the snapshot is what the table would answer. So a lookup sees what was committed by the last check, and a
//! snapshot that was not checked for `max_check_age` is not used.
//!
//! A snapshot is put aside, and the lake answers alone, when more than [`MAX_CHANGED`] rows came since, when rows of the
//! table were replaced, and when the file is damaged. Each of these is logged once.
//!
//! ```text
//!   snapshot job ─► <dir>/<view>/<version>.snapshot ─► opened (checked whole, in the background) ─► in use
//!   table's version moved ─► entities of the new rows ─► asked of the lake
//! ```

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use lakeloop_domain::{FeatureColumn, FeatureViewName};
use lakeloop_lake::{Lake, TableName};
use lakeloop_snapshot::{Snapshot, SnapshotError, newest};
use lakeloop_sql::{ChangedEntities, FeatureRow, SqlError, changed_entities};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::problem::Chain;
use crate::state::Strategies;
use crate::telemetry::{SnapshotFigures, Telemetry};

/// Rows since a snapshot, each perhaps of another entity, that are kept track of: 16 MB at most.
const MAX_CHANGED: usize = 1_000_000;

/// The snapshots in use. Reading one takes no lock.
pub(crate) struct Snapshots {
    in_use: ArcSwap<HashMap<FeatureViewName, InUse>>,
    /// Entities are remembered by their hash; two that share one only share the way to the lake.
    hasher: RandomState,
    max_check_age: Duration,
}

#[derive(Clone)]
struct InUse {
    snapshot: Arc<Snapshot>,
    changed: Arc<HashSet<u64>>,
    checked_at: Instant,
    /// Set by the first lookup that finds contents contradicting themselves.
    is_damaged: Arc<AtomicBool>,
}

/// What a snapshot tells of an entity.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Latest {
    /// The version of the table.
    pub(crate) table_version: i64,
    /// The entity's latest row; `None` when it has none.
    pub(crate) row: Option<FeatureRow>,
}

/// Where to find what is known of an entity at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// Here.
    Latest(Latest),
    /// In the lake.
    AskTheLake,
}

impl Snapshots {
    /// None in use. One that was not checked for `max_check_age` will not be asked.
    pub(crate) fn new(max_check_age: Duration) -> Self {
        Self {
            in_use: ArcSwap::default(),
            hasher: RandomState::new(),
            max_check_age,
        }
    }

    /// Puts one in use, as if it had been compared with its table now.
    #[cfg(test)]
    pub(crate) fn put(&self, snapshot: Snapshot) {
        let view = snapshot.view().clone();
        let in_use = InUse {
            snapshot: Arc::new(snapshot),
            changed: Arc::default(),
            checked_at: Instant::now(),
            is_damaged: Arc::default(),
        };
        self.in_use.store(Arc::new(HashMap::from([(view, in_use)])));
    }

    /// What the view's snapshot tells of an entity at a moment. Never waits for anything but pages of the file.
    pub(crate) fn tell(&self, view: &FeatureViewName, columns: &[FeatureColumn], entity: &str, at: i64) -> Told {
        let in_use = self.in_use.load();
        let usable = in_use.get(view).filter(|in_use| {
            in_use.checked_at.elapsed() <= self.max_check_age && !in_use.is_damaged.load(Ordering::Relaxed)
        });
        let Some(in_use) = usable else {
            return Told::AskTheLake;
        };
        if !in_use.changed.is_empty() && in_use.changed.contains(&self.hasher.hash_one(entity)) {
            return Told::AskTheLake;
        }
        match in_use.latest(columns, entity, at) {
            Ok(told) => told,
            Err(error) => {
                if !in_use.is_damaged.swap(true, Ordering::Relaxed) {
                    tracing::error!(%view, cause = %Chain(&error), "a feature snapshot is not used any more");
                }
                Told::AskTheLake
            }
        }
    }
}

impl InUse {
    fn latest(&self, columns: &[FeatureColumn], entity: &str, at: i64) -> Result<Told, SnapshotError> {
        let snapshot = &self.snapshot;
        let table_version = snapshot.table_version();
        let Some(row) = snapshot.get(entity)? else {
            return Ok(Told::Latest(Latest {
                table_version,
                row: None,
            }));
        };
        if !row.counts_at(at) {
            return Ok(Told::AskTheLake);
        }
        let mut values = Vec::with_capacity(columns.len());
        for column in columns {
            // A column that came after the snapshot, or is of another type, is for the lake to judge.
            let Some(column_idx) = snapshot.column_idx(&column.name, column.feature_type) else {
                return Ok(Told::AskTheLake);
            };
            let value = row.value(column_idx);
            values.push(
                value
                    .ok_or_else(|| snapshot.damaged("a value lies outside of its row"))?
                    .into(),
            );
        }
        Ok(Told::Latest(Latest {
            table_version,
            row: Some(FeatureRow {
                event_time: row.event_time(),
                available_at: row.available_at(),
                values,
            }),
        }))
    }
}

/// Keeps the snapshots in use in step with the folder and the tables.
pub(crate) struct SnapshotWatcher {
    pub(crate) lake: Lake,
    /// The folder of all snapshots.
    pub(crate) dir: PathBuf,
    pub(crate) strategies: Arc<ArcSwap<Strategies>>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) clock: Clock,
}

/// What the watcher knows of one view.
#[derive(Default)]
struct Watched {
    open: Option<Open>,
    /// A file that cannot be opened, as it was when that was tried.
    refused: Option<(PathBuf, Option<SystemTime>)>,
    is_lake_away: bool,
}

impl Watched {
    fn usable(&self) -> Option<&Open> {
        let is_damaged = |open: &Open| open.in_use.is_damaged.load(Ordering::Relaxed);
        self.open.as_ref().filter(|open| !open.is_behind && !is_damaged(open))
    }
}

struct Open {
    in_use: InUse,
    /// The version of the table up to which the changed entities are known.
    through_version: i64,
    /// Rows came that are not kept track of.
    is_behind: bool,
}

impl SnapshotWatcher {
    /// Checks every `interval` until `stop` is cancelled.
    pub(crate) fn start(self, interval: Duration, stop: CancellationToken) {
        tokio::spawn(async move {
            let mut watched: HashMap<FeatureViewName, Watched> = HashMap::new();
            loop {
                self.check(&mut watched).await;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(interval) => {}
                }
            }
        });
    }

    async fn check(&self, watched: &mut HashMap<FeatureViewName, Watched>) {
        let views: HashSet<FeatureViewName> = {
            let strategies = self.strategies.load();
            let views = strategies.all().flat_map(|hosted| &hosted.plain().blueprint().features);
            views.map(|view| view.name.clone()).collect()
        };
        watched.retain(|view, _| {
            let is_read = views.contains(view);
            if !is_read {
                self.telemetry.snapshot(view, None);
            }
            is_read
        });
        let mut in_use = HashMap::new();
        for view in views {
            let known = watched.entry(view.clone()).or_default();
            self.open_newest(&view, known).await;
            self.catch_up(&view, known).await;
            if let Some(open) = known.usable() {
                in_use.insert(view, open.in_use.clone());
            }
        }
        self.snapshots.in_use.store(Arc::new(in_use));
        for (view, known) in watched.iter() {
            let figures = known.usable().map(|open| self.figures(open));
            self.telemetry.snapshot(view, figures);
        }
    }

    fn figures(&self, open: &Open) -> SnapshotFigures {
        let snapshot = &open.in_use.snapshot;
        SnapshotFigures {
            table_version: snapshot.table_version(),
            age_seconds: (self.clock)().saturating_sub(snapshot.built_at()) as f64 / 1e6,
            n_entities: snapshot.n_entities(),
            n_changed: open.in_use.changed.len(),
        }
    }

    /// Opens the newest file of a view, unless it is open or was refused.
    async fn open_newest(&self, view: &FeatureViewName, known: &mut Watched) {
        let stored = match newest(&self.dir, view) {
            Ok(Some(stored)) => stored,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%view, cause = %Chain(&error), "the folder of a view's snapshots cannot be listed");
                return;
            }
        };
        let is_open = known.open.as_ref().is_some_and(|open| {
            open.in_use.snapshot.table_version() >= stored.table_version
                && !open.in_use.is_damaged.load(Ordering::Relaxed)
        });
        let modified = std::fs::metadata(&stored.path).and_then(|file| file.modified()).ok();
        let tried = (stored.path.clone(), modified);
        if is_open || known.refused.as_ref() == Some(&tried) {
            return;
        }
        let started = Instant::now();
        // Reading the whole file once is work of seconds.
        let opened = tokio::task::spawn_blocking(move || Snapshot::open(&stored.path)).await;
        match opened {
            Ok(Ok(snapshot)) if snapshot.view() == view => {
                self.telemetry.snapshot_load(started.elapsed());
                tracing::info!(
                    %view,
                    table_version = snapshot.table_version(),
                    n_entities = snapshot.n_entities(),
                    "a feature snapshot is in use"
                );
                known.open = Some(Open {
                    through_version: snapshot.table_version(),
                    is_behind: false,
                    in_use: InUse {
                        snapshot: Arc::new(snapshot),
                        changed: Arc::default(),
                        checked_at: started,
                        is_damaged: Arc::default(),
                    },
                });
                // Should it be found damaged later, it is not opened once more.
                known.refused = Some(tried);
            }
            Ok(Ok(snapshot)) => {
                tracing::error!(%view, found = %snapshot.view(), "a feature snapshot is of another view");
                known.refused = Some(tried);
            }
            Ok(Err(error)) => {
                tracing::error!(%view, cause = %Chain(&error), "a feature snapshot cannot be opened");
                known.refused = Some(tried);
            }
            Err(error) => tracing::error!(%view, cause = %error, "the opening of a feature snapshot was interrupted"),
        }
    }

    /// Learns whose rows came since the last check.
    async fn catch_up(&self, view: &FeatureViewName, known: &mut Watched) {
        let Some(open) = known.open.as_mut().filter(|open| !open.is_behind) else {
            return;
        };
        let checked_at = Instant::now();
        match self.changed(view, open).await {
            Ok(()) => {
                open.in_use.checked_at = checked_at;
                known.is_lake_away = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut known.is_lake_away, true) {
                    tracing::warn!(%view, cause = %Chain(&error), "a feature snapshot cannot be compared with its table");
                }
            }
        }
    }

    async fn changed(&self, view: &FeatureViewName, open: &mut Open) -> Result<(), SqlError> {
        let version = self.lake.version(&TableName::Features(view.clone())).await?;
        if version == Some(open.through_version) {
            return Ok(());
        }
        let room = MAX_CHANGED - open.in_use.changed.len().min(MAX_CHANGED);
        match changed_entities(&self.lake, view, open.through_version, room).await? {
            ChangedEntities::Known {
                table_version,
                entities,
            } => {
                if !entities.is_empty() {
                    let mut changed = HashSet::clone(&open.in_use.changed);
                    changed.extend(entities.iter().map(|entity| self.snapshots.hasher.hash_one(entity)));
                    open.in_use.changed = Arc::new(changed);
                }
                open.through_version = table_version;
            }
            ChangedEntities::Unknown { because } => {
                tracing::info!(%view, because, "a feature snapshot is not used until there is a newer one");
                open.is_behind = true;
            }
        }
        Ok(())
    }
}
