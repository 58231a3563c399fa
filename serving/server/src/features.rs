//! Owns the features that are read from the lake while a decision waits: the cache of entities and the lookup.
//!
//! A lookup is *as of* an instant: the row with the latest event time whose event time and `available_at` are both not
//! after it, and which is within the view's freshness. So a decision with an event time of the past sees what was known
//! then, and the served value is the one that training would join. Three places are asked in turn:
//!
//! 1. the cache, of what was found for an entity lately;
//! 2. the view's snapshot ([`snapshots`](crate::snapshots)), which holds the latest row of each entity: it answers where
//!    that row had happened and was available by the instant, and where the entity has none at all;
//! 3. the lake, which is asked for the entity's whole history: for instants of the past, for entities with rows that came
//!    after the snapshot, and for views without one.
//!
//! The first two answer at once, on the thread that asks. A load from the lake never holds a decision up for longer than
//! `load_timeout` and never fails it: what is absent, stale, late or broken becomes the column's declared value for
//! missing, and the answer and the record say so (no table version stands for the view). A load that came too late goes
//! on in the background and serves the next request. At most [`MAX_LOADS`] loads run at once; beyond that a lookup counts
//! as too late at once, so that an unreachable store cannot gather work without bound.
//!
//! What is cached is weighed by its bytes and looked up anew in time for the `refresh` setting: from the commit of a row
//! to the first decision that sees it pass at most so much and the time of a load, also where a snapshot answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use equivalent::Equivalent;
use futures::FutureExt as _;
use futures::future::{Shared, join_all};
use lakeloop_config::FeatureSettings;
use lakeloop_domain::{Blueprint, FeatureColumn, FeatureValue, FeatureViewName, Features, Micros, NamedValue};
use lakeloop_lake::Lake;
use lakeloop_sql::SqlError;
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::problem::Chain;
use crate::request;
use crate::snapshots::{Snapshots, Told};
use crate::telemetry::{Lookup, Telemetry};
use crate::traces::Step;

use known::{AsOf, Known};

mod known;

/// Loads from the lake that may run at once.
const MAX_LOADS: usize = 64;

/// A view that failed is not asked again for this long, so that a view without a table costs no load for each decision.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where the entity of a view comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entity {
    /// The decision's unit.
    Unit,
    /// The context field at this position.
    Context(usize),
}

/// One feature view as one strategy reads it.
pub(crate) struct View {
    name: FeatureViewName,
    entity: Entity,
    freshness_us: Option<i64>,
    columns: Vec<FeatureColumn>,
    key: ViewKey,
}

impl View {
    /// The views of a blueprint. An entity that is neither `unit` nor a context field is never found, so that all its
    /// features are missing; the blueprint's parser does not let that pass.
    pub(crate) fn of(blueprint: &Blueprint) -> Vec<Self> {
        let entity_of = |entity: &str| match entity {
            "unit" => Entity::Unit,
            name => Entity::Context(
                blueprint
                    .context
                    .iter()
                    .position(|field| *field.name == *name)
                    .unwrap_or(usize::MAX),
            ),
        };
        blueprint
            .features
            .iter()
            .map(|view| Self {
                name: view.name.clone(),
                entity: entity_of(&view.entity),
                freshness_us: view.freshness_us,
                columns: view.columns.clone(),
                key: ViewKey::of(&view.name, &view.columns),
            })
            .collect()
    }

    fn entity<'f>(&self, unit: Option<&'f str>, context: &'f [NamedValue]) -> Option<&'f str> {
        match self.entity {
            Entity::Unit => unit,
            Entity::Context(idx) => match &context.get(idx)?.value {
                FeatureValue::Category(entity) => Some(entity),
                _ => None,
            },
        }
    }

    fn entity_key(&self, entity: &str) -> EntityKey {
        EntityKey {
            view: self.key,
            entity: entity.into(),
        }
    }
}

/// Stands for a view and what is read of it, so that strategies which read the same share what is cached: half of a
/// SHA-256, which no two of them have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ViewKey(u128);

impl ViewKey {
    fn of(view: &FeatureViewName, columns: &[FeatureColumn]) -> Self {
        let mut hash = Sha256::new();
        hash.update(view.as_str());
        for column in columns {
            hash.update([0]);
            hash.update(column.name.as_bytes());
            hash.update([0]);
            hash.update(column.feature_type.as_str());
        }
        let hash: [u8; 32] = hash.finalize().into();
        Self(u128::from_le_bytes(std::array::from_fn(|idx| hash[idx])))
    }
}

/// What is cached under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct EntityKey {
    view: ViewKey,
    entity: Box<str>,
}

/// The same for a look in the cache, which makes no text of its own.
#[derive(Hash)]
struct EntityRef<'a> {
    view: ViewKey,
    entity: &'a str,
}

impl Equivalent<EntityKey> for EntityRef<'_> {
    fn equivalent(&self, key: &EntityKey) -> bool {
        self.view == key.view && *self.entity == *key.entity
    }
}

/// A load under way, for all who wait for it.
type Loading = Shared<oneshot::Receiver<Option<Arc<Known>>>>;

/// How long what was found may be served, such that nothing is older than the `refresh` setting.
pub(crate) struct Ages {
    /// A snapshot is used for so long after it was compared with its table.
    pub(crate) max_check_age: Duration,
    /// It is compared so often.
    pub(crate) check_interval: Duration,
    /// What was found stays in the cache for so long.
    cached: Duration,
}

impl Ages {
    /// Divides the time: a quarter for a snapshot between two comparisons, which are tried at `poll_interval` or sooner,
    /// and the rest for the cache.
    pub(crate) fn new(refresh: Duration, poll_interval: Duration) -> Self {
        Self {
            max_check_age: refresh / 4,
            check_interval: poll_interval.min(refresh / 8).max(Duration::from_millis(1)),
            cached: refresh - refresh / 4,
        }
    }
}

/// The views of the lake as decisions see them. Clones share the cache.
#[derive(Clone)]
pub(crate) struct FeatureStore {
    cache: Cache<EntityKey, Arc<Known>>,
    snapshots: Arc<Snapshots>,
    lake: Lake,
    load_timeout: Duration,
    loads: Arc<Mutex<HashMap<EntityKey, Loading>>>,
    /// Loads run here and not on the threads that answer requests.
    runtime: Handle,
    telemetry: Arc<Telemetry>,
    /// Views whose last load failed, and when: one cause is logged once.
    failing: Arc<Mutex<HashMap<FeatureViewName, Instant>>>,
}

/// What a view gave at once.
enum Found {
    /// What is known of the entity; `None` where there is no entity.
    Known(Option<Arc<Known>>),
    /// Nothing yet: it has to be loaded.
    Load,
}

impl FeatureStore {
    /// An empty cache over snapshots and a lake; loads run on `runtime`.
    pub(crate) fn new(
        lake: Lake,
        settings: &FeatureSettings,
        ages: &Ages,
        snapshots: Arc<Snapshots>,
        telemetry: Arc<Telemetry>,
        runtime: Handle,
    ) -> Self {
        let weigh = |key: &EntityKey, known: &Arc<Known>| {
            u32::try_from(size_of::<EntityKey>() + key.entity.len() + known.n_bytes()).unwrap_or(u32::MAX)
        };
        Self {
            cache: Cache::builder()
                .weigher(weigh)
                .max_capacity(settings.cache_bytes)
                .time_to_live(ages.cached)
                .build(),
            snapshots,
            lake,
            load_timeout: settings.load_timeout,
            loads: Arc::default(),
            runtime,
            telemetry,
            failing: Arc::default(),
        }
    }

    /// Adds the columns of all views to the context's features, in the blueprint's order; answers the table version of
    /// each view of which a row was used. Waits only where something has to be loaded.
    pub(crate) async fn extend(
        &self,
        views: &[View],
        unit: Option<&str>,
        as_of: Micros,
        features: &mut Features,
    ) -> Vec<(String, i64)> {
        let _looking = request::step(Step::Features);
        let find = |view: &View| self.find(view, view.entity(unit, features), as_of);
        let mut found: Vec<Found> = views.iter().map(find).collect();
        if found.iter().any(|found| matches!(found, Found::Load)) {
            let context: &Features = features;
            let loads = views.iter().zip(found).map(|(view, found)| async move {
                match found {
                    Found::Load => Found::Known(self.load(view, view.entity(unit, context)).await),
                    known => known,
                }
            });
            found = join_all(loads).await;
        }
        let mut versions = Vec::with_capacity(views.len());
        for (view, found) in views.iter().zip(&found) {
            let row = match found {
                Found::Known(Some(known)) => match known.as_of(as_of, view.freshness_us) {
                    AsOf::Row(version, row) => Some((version, row)),
                    AsOf::Nothing | AsOf::Untold => None,
                },
                Found::Known(None) | Found::Load => None,
            };
            if let Some((version, row)) = row {
                self.telemetry.feature_age(as_of.saturating_sub(row.event_time));
                versions.push((view.name.to_string(), version));
            }
            features.extend(view.columns.iter().enumerate().map(|(idx, column)| {
                let found = row.and_then(|(_, row)| row.values.get(idx));
                let usable = found.filter(|value| **value != FeatureValue::Missing && value.fits(column.feature_type));
                NamedValue {
                    name: column.name.clone(),
                    feature_type: column.feature_type,
                    value: usable.unwrap_or(&column.when_missing).clone(),
                }
            }));
        }
        versions
    }

    /// What the cache or the snapshot knows of an entity, if it is enough for the instant.
    fn find(&self, view: &View, entity: Option<&str>, as_of: Micros) -> Found {
        let Some(entity) = entity else {
            return Found::Known(None);
        };
        let tells = |known: &Known| !matches!(known.as_of(as_of, view.freshness_us), AsOf::Untold);
        let cached = self.cache.get(&EntityRef { view: view.key, entity });
        if let Some(known) = cached.filter(|known| tells(known)) {
            self.telemetry.lookup(Lookup::Hit);
            return Found::Known(Some(known));
        }
        match self.snapshots.tell(&view.name, &view.columns, entity, as_of) {
            Told::AskTheLake => Found::Load,
            Told::Latest(latest) => {
                self.telemetry.lookup(Lookup::Snapshot);
                let known = Arc::new(Known::Latest(latest));
                self.cache.insert(view.entity_key(entity), Arc::clone(&known));
                Found::Known(Some(known))
            }
        }
    }

    /// The history of an entity; `None` when there is no entity, or when it did not come in time.
    #[cold]
    async fn load(&self, view: &View, entity: Option<&str>) -> Option<Arc<Known>> {
        let (lookup, known) = match self.begin(view, entity?) {
            Err(lookup) => (lookup, None),
            Ok(loading) => match timeout(self.load_timeout, loading).await {
                Ok(Ok(Some(known))) => (Lookup::Miss, Some(known)),
                Ok(_) => (Lookup::Failed, None),
                Err(_) => (Lookup::TimedOut, None),
            },
        };
        self.telemetry.lookup(lookup);
        known
    }

    /// Begins the load of an entity's history, or joins the one under way.
    fn begin(&self, view: &View, entity: &str) -> Result<Loading, Lookup> {
        let has_failed = |at: &Instant| at.elapsed() < RETRY_AFTER;
        if self.failing().get(&view.name).is_some_and(has_failed) {
            return Err(Lookup::Failed);
        }
        let key = view.entity_key(entity);
        let mut loads = self.loads();
        if let Some(loading) = loads.get(&key) {
            return Ok(loading.clone());
        }
        if loads.len() >= MAX_LOADS {
            return Err(Lookup::TimedOut);
        }
        let (sender, receiver) = oneshot::channel();
        let loading = receiver.shared();
        loads.insert(key.clone(), loading.clone());
        // A runtime that is shutting down drops the task at once, which takes the load off the list.
        drop(loads);
        let underway = Underway {
            store: self.clone(),
            key,
        };
        let (name, columns) = (view.name.clone(), view.columns.clone());
        self.runtime.spawn(async move {
            let Underway { store, key } = &underway;
            let started = Instant::now();
            let read = lakeloop_sql::feature_history(&store.lake, &name, &key.entity, &columns).await;
            store.telemetry.feature_load(started.elapsed());
            store.log_change(&name, read.as_ref().err());
            let known = read.ok().map(|history| Arc::new(Known::History(history)));
            if let Some(known) = &known {
                store.cache.insert(key.clone(), Arc::clone(known));
            }
            // Nobody may be waiting any more.
            let _ = sender.send(known);
        });
        Ok(loading)
    }

    /// Logs when a view begins to fail and when it works again.
    fn log_change(&self, view: &FeatureViewName, error: Option<&SqlError>) {
        let mut failing = self.failing();
        match error {
            Some(error) => {
                if failing.insert(view.clone(), Instant::now()).is_some() {
                    return;
                }
                tracing::error!(%view, cause = %Chain(error), "a feature view cannot be read; its values are missing");
            }
            None if failing.remove(view).is_some() => tracing::info!(%view, "the feature view can be read again"),
            None => {}
        }
    }

    /// A panic elsewhere cannot leave the maps half changed, so a poisoned lock is as good as any.
    fn failing(&self) -> MutexGuard<'_, HashMap<FeatureViewName, Instant>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loads(&self) -> MutexGuard<'_, HashMap<EntityKey, Loading>> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A load that ends, well or not, with its task.
struct Underway {
    store: FeatureStore,
    key: EntityKey,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.store.loads().remove(&self.key);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod measured;
