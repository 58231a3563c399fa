//! Owns the features that are read from the lake while a decision waits: the cache of entity histories and the lookup.
//!
//! What is cached is an entity's whole history in one view, not its latest row. A lookup is *as of* an instant: the row
//! with the latest event time whose event time and `available_at` are both not after it, and which is within the view's
//! freshness. So a decision with an event time of the past sees what was known then, and the served value is the one
//! that training would join.
//!
//! A lookup never holds a decision up for longer than `load_timeout` and never fails it: what is absent, stale, late or
//! broken becomes the column's declared value for missing, and the answer and the record say so (no table version stands
//! for the view). A load that came too late goes on in the background and serves the next request. At most
//! [`MAX_LOADS`] loads run at once; beyond that a lookup counts as too late at once, so that an unreachable store cannot
//! gather work without bound.
//!
//! Histories are weighed by their bytes and loaded anew once they are older than the `refresh` setting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use lakeloop_config::FeatureSettings;
use lakeloop_domain::{Blueprint, FeatureColumn, FeatureValue, FeatureViewName, Features, Micros, NamedValue};
use lakeloop_lake::Lake;
use lakeloop_sql::{FeatureHistory, FeatureRow, SqlError};
use moka::future::Cache;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::problem::Chain;
use crate::telemetry::{Lookup, Telemetry};

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
    /// Begins the cache keys: the view and what is read of it, so that strategies which read the same share it.
    key: String,
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
            .map(|view| {
                let column = |column: &FeatureColumn| format!("{}:{}\0", column.name, column.feature_type.as_str());
                let columns: String = view.columns.iter().map(column).collect();
                Self {
                    name: view.name.clone(),
                    entity: entity_of(&view.entity),
                    freshness_us: view.freshness_us,
                    columns: view.columns.clone(),
                    key: format!("{}\0{columns}\0", view.name),
                }
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
}

/// What a history weighs in the cache.
fn n_bytes(history: &FeatureHistory) -> usize {
    let text = |value: &FeatureValue| match value {
        FeatureValue::Category(text) => text.len(),
        _ => 0,
    };
    let row = |row: &FeatureRow| {
        let texts: usize = row.values.iter().map(text).sum();
        size_of::<FeatureRow>() + size_of_val(row.values.as_slice()) + texts
    };
    size_of::<FeatureHistory>() + history.rows.iter().map(row).sum::<usize>()
}

/// The views of the lake as decisions see them. Clones share the cache.
#[derive(Clone)]
pub(crate) struct FeatureStore {
    cache: Cache<String, Arc<FeatureHistory>>,
    lake: Lake,
    load_timeout: Duration,
    loads: Arc<Semaphore>,
    /// Loads run here and not on the threads that answer requests.
    runtime: Handle,
    telemetry: Arc<Telemetry>,
    /// Views whose last load failed, and when: one cause is logged once.
    failing: Arc<Mutex<HashMap<FeatureViewName, Instant>>>,
}

impl FeatureStore {
    /// An empty cache over a lake; loads run on `runtime`.
    pub(crate) fn new(lake: Lake, settings: &FeatureSettings, telemetry: Arc<Telemetry>, runtime: Handle) -> Self {
        let weigh = |key: &String, history: &Arc<FeatureHistory>| {
            u32::try_from(key.len() + n_bytes(history)).unwrap_or(u32::MAX)
        };
        Self {
            cache: Cache::builder()
                .weigher(weigh)
                .max_capacity(settings.cache_bytes)
                .time_to_live(settings.refresh)
                .build(),
            lake,
            load_timeout: settings.load_timeout,
            loads: Arc::new(Semaphore::new(MAX_LOADS)),
            runtime,
            telemetry,
            failing: Arc::default(),
        }
    }

    /// Adds the columns of all views to the context's features, in the blueprint's order; answers the table version of
    /// each view of which a row was used.
    pub(crate) async fn extend(
        &self,
        views: &[View],
        unit: Option<&str>,
        as_of: Micros,
        features: &mut Features,
    ) -> Vec<(String, i64)> {
        let histories = match views {
            [view] => vec![self.history(view, view.entity(unit, features)).await],
            views => join_all(views.iter().map(|view| self.history(view, view.entity(unit, features)))).await,
        };
        let mut versions = Vec::with_capacity(views.len());
        for (view, history) in views.iter().zip(&histories) {
            let row = history
                .as_deref()
                .and_then(|history| Some((history.table_version, history.as_of(as_of, view.freshness_us)?)));
            if let Some((version, row)) = row {
                let age_us = as_of.saturating_sub(row.event_time);
                self.telemetry.feature_age_seconds.record(age_us as f64 / 1e6);
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

    /// The history of an entity; `None` when there is no entity, or when it did not come in time.
    async fn history(&self, view: &View, entity: Option<&str>) -> Option<Arc<FeatureHistory>> {
        let entity = entity?;
        let key = format!("{}{entity}", view.key);
        if let Some(history) = self.cache.get(&key).await {
            self.telemetry.lookup(Lookup::Hit);
            return Some(history);
        }
        let (lookup, history) = self.load(view, entity, key).await;
        self.telemetry.lookup(lookup);
        history
    }

    async fn load(&self, view: &View, entity: &str, key: String) -> (Lookup, Option<Arc<FeatureHistory>>) {
        if self
            .failing()
            .get(&view.name)
            .is_some_and(|failed| failed.elapsed() < RETRY_AFTER)
        {
            return (Lookup::Failed, None);
        }
        let Ok(permit) = Arc::clone(&self.loads).try_acquire_owned() else {
            return (Lookup::TimedOut, None);
        };
        let store = self.clone();
        let name = view.name.clone();
        let entity = entity.to_owned();
        let columns = view.columns.clone();
        let load = self.runtime.spawn(async move {
            let read = store.read(&name, &entity, &columns);
            let loaded = store.cache.try_get_with(key, read).await;
            store.log_change(&name, loaded.as_ref().err().map(Arc::as_ref));
            drop(permit);
            loaded.ok()
        });
        match timeout(self.load_timeout, load).await {
            Ok(Ok(Some(history))) => (Lookup::Miss, Some(history)),
            Ok(_) => (Lookup::Failed, None),
            Err(_) => (Lookup::TimedOut, None),
        }
    }

    async fn read(
        &self,
        view: &FeatureViewName,
        entity: &str,
        columns: &[FeatureColumn],
    ) -> Result<Arc<FeatureHistory>, SqlError> {
        let history = lakeloop_sql::feature_history(&self.lake, view, entity, columns).await?;
        Ok(Arc::new(history))
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

    /// A panic elsewhere cannot leave the map half changed, so a poisoned lock is as good as any.
    fn failing(&self) -> MutexGuard<'_, HashMap<FeatureViewName, Instant>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
