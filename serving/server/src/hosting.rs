//! Owns the models that are in memory: which are, how one gets there when it is asked for, and which leave when there are
//! too many.
//!
//! ```text
//!              first request, or a warm strategy's new model
//!   in the lake ───────────────────────────────────────────► in memory
//!        ▲                                                       │
//!        └───────────────────────────────────────────────────────┘
//!               longest without a request, when the bytes exceed `server.model_memory`
//! ```
//!
//! A strategy is always in memory without its model, which is little. The first request of a strategy waits while its
//! model is read and prepared, on other threads, for `server.model_load_timeout` at most; when that is too short, the
//! decision is made without a model (its reason and its null model version say so) and the load goes on. Requests of other
//! strategies wait for nothing. At most [`MAX_LOADS`] models are loaded at once.
//!
//! A model that cannot be loaded is not tried again until the strategy's blueprint or live model changes; a lake that
//! could not be read is asked again after [`RETRY_AFTER`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use lakeloop_config::ServerSettings;
use lakeloop_decide::{Bundle, Model, TechniqueChoice};
use lakeloop_domain::{AppliedBlueprint, ModelVersion};
use lakeloop_lake::live_models::{self, LiveModel};
use lakeloop_lake::{Lake, LakeError};
use metrics::Counter;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::problem::Chain;
use crate::regime::Regime;
use crate::state::{Strategies, Strategy};
use crate::telemetry::{ModelLoad, Telemetry};

/// Models that are loaded at once: preparing one keeps a core busy, and requests are to have the others.
const MAX_LOADS: usize = 2;

/// A lake that could not be read is not asked for the same model again for this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A strategy in force, with or without its model in memory.
pub(crate) struct Hosted {
    /// Decides while there is no model.
    plain: Arc<Strategy>,
    /// The model that it is to decide with.
    live: Option<LiveModel>,
    resident: ArcSwapOption<Strategy>,
    /// The host's count of loads when the strategy was asked for last; 0: never.
    used: AtomicU64,
    standing: Mutex<Standing>,
    /// Whoever holds it loads.
    turn: tokio::sync::Mutex<()>,
    requests: OnceLock<Counter>,
}

/// Whether the model may be loaded.
#[derive(Debug, Clone, Copy)]
enum Standing {
    Loadable,
    /// It cannot decide for this blueprint.
    Refused,
    /// The lake could not be read.
    Failed(Instant),
}

/// Why a model is not in memory.
pub(crate) enum LoadTrouble {
    /// The lake could not be read.
    Lake(LakeError),
    /// The model and the blueprint cannot decide.
    Model(String),
}

impl Hosted {
    /// A strategy that was not asked for yet.
    pub(crate) fn new(plain: Arc<Strategy>, live: Option<LiveModel>) -> Self {
        Self {
            plain,
            live,
            resident: ArcSwapOption::empty(),
            used: AtomicU64::new(0),
            standing: Mutex::new(Standing::Loadable),
            turn: tokio::sync::Mutex::new(()),
            requests: OnceLock::new(),
        }
    }

    /// Takes over what is known of the use of the strategy that this one replaces.
    pub(crate) fn succeed(&self, old: &Self) {
        self.used.store(old.used.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Puts a model in memory that was loaded before anyone asked.
    pub(crate) fn preload(&self, strategy: Arc<Strategy>) {
        self.resident.store(Some(strategy));
    }

    /// Decides without a model for as long as this is in force.
    pub(crate) fn refuse(&self) {
        self.set_standing(Standing::Refused);
    }

    /// The strategy without its model: its blueprint and what was made of it.
    pub(crate) fn plain(&self) -> &Arc<Strategy> {
        &self.plain
    }

    /// True when the next request is likely to come: the strategy was asked for, and its model was not put out since.
    pub(crate) fn is_warm(&self) -> bool {
        self.used.load(Ordering::Relaxed) > 0 && (self.live.is_none() || self.is_in_memory())
    }

    /// True when its model is in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.resident.load().is_some()
    }

    /// The version of the model that it decides with, or will once it is loaded.
    pub(crate) fn model_version(&self) -> Option<ModelVersion> {
        match self.resident.load().as_ref() {
            Some(strategy) => strategy.bundle.model_version(),
            None if matches!(self.standing(), Standing::Refused) => None,
            None => self.live.as_ref().map(|live| live.version),
        }
    }

    /// What decides without waiting; `None` when the model should be loaded first.
    fn ready(&self) -> Option<Arc<Strategy>> {
        if self.live.is_none() {
            return Some(Arc::clone(&self.plain));
        }
        if let Some(strategy) = self.resident.load_full() {
            return Some(strategy);
        }
        match self.standing() {
            Standing::Loadable => None,
            Standing::Failed(at) if at.elapsed() >= RETRY_AFTER => None,
            Standing::Failed(_) | Standing::Refused => Some(Arc::clone(&self.plain)),
        }
    }

    fn standing(&self) -> Standing {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_standing(&self, standing: Standing) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

/// Loads models and puts them out. Clones are the same host.
#[derive(Clone)]
pub(crate) struct ModelHost {
    shared: Arc<Shared>,
}

struct Shared {
    lake: Lake,
    strategies: Arc<ArcSwap<Strategies>>,
    telemetry: Arc<Telemetry>,
    max_bytes: u64,
    load_timeout: Duration,
    /// Loads run here and not on the threads that answer requests.
    runtime: Handle,
    loads: Semaphore,
    /// Counts loads, from 1: the clock by which the longest unused is told.
    n_loads: AtomicU64,
}

impl ModelHost {
    /// Nothing is in memory yet; loads run on `runtime`.
    pub(crate) fn new(
        lake: Lake,
        strategies: Arc<ArcSwap<Strategies>>,
        settings: &ServerSettings,
        telemetry: Arc<Telemetry>,
        runtime: Handle,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                lake,
                strategies,
                telemetry,
                max_bytes: settings.model_memory_bytes,
                load_timeout: settings.model_load_timeout,
                runtime,
                loads: Semaphore::new(MAX_LOADS),
                n_loads: AtomicU64::new(1),
            }),
        }
    }

    /// What decides for a strategy now; `None` when [`ModelHost::loaded`] has to be waited for. Counts as a request.
    pub(crate) fn ready(&self, hosted: &Hosted) -> Option<Arc<Strategy>> {
        let shared = &self.shared;
        hosted
            .requests
            .get_or_init(|| {
                let blueprint = hosted.plain.blueprint();
                shared.telemetry.strategy(&blueprint.name, hosted.model_version())
            })
            .increment(1);
        let now = shared.n_loads.load(Ordering::Relaxed);
        // Nearly always the same number, so that threads do not take the line from each other.
        if hosted.used.load(Ordering::Relaxed) != now {
            hosted.used.store(now, Ordering::Relaxed);
        }
        hosted.ready()
    }

    /// Loads the model, or waits for whoever does; the strategy without a model when it takes too long or fails.
    pub(crate) async fn loaded(&self, hosted: &Arc<Hosted>) -> Arc<Strategy> {
        let (host, loading) = (self.clone(), Arc::clone(hosted));
        let load = self.shared.runtime.spawn(async move { host.load(&loading).await });
        if timeout(self.shared.load_timeout, load).await.is_err() {
            self.shared.telemetry.model_load(ModelLoad::TimedOut);
        }
        let resident = hosted.resident.load_full();
        resident.unwrap_or_else(|| Arc::clone(&hosted.plain))
    }

    async fn load(&self, hosted: &Hosted) {
        let _turn = hosted.turn.lock().await;
        let (Some(live), None) = (&hosted.live, hosted.ready()) else {
            return;
        };
        let telemetry = &self.shared.telemetry;
        match self.read(&hosted.plain, live).await {
            Ok(strategy) => {
                hosted.set_standing(Standing::Loadable);
                hosted.resident.store(Some(strategy));
                self.make_room(hosted);
            }
            Err(trouble) => {
                telemetry.model_load(ModelLoad::Failed);
                let (standing, cause) = match trouble {
                    LoadTrouble::Model(cause) => (Standing::Refused, cause),
                    LoadTrouble::Lake(error) => (Standing::Failed(Instant::now()), Chain(&error).to_string()),
                };
                let is_repeated = matches!(hosted.standing(), Standing::Failed(_));
                hosted.set_standing(standing);
                if !is_repeated {
                    let (strategy, model_version) = (&*hosted.plain.name, live.version.0);
                    tracing::error!(
                        strategy,
                        model_version,
                        cause,
                        "a model could not be loaded; the default decides"
                    );
                }
            }
        }
    }

    /// Reads a model and makes it decide for a strategy.
    pub(crate) async fn read(&self, plain: &Strategy, live: &LiveModel) -> Result<Arc<Strategy>, LoadTrouble> {
        // The semaphore is never closed, so there is always a permit to come.
        let _permit = self.shared.loads.acquire().await;
        let started = Instant::now();
        let record = live_models::load(&self.shared.lake, live).await;
        let record = record.map_err(LoadTrouble::Lake)?;
        let (applied, regime) = (plain.bundle.applied().clone(), plain.regime.clone());
        // Preparing an ensemble is work of milliseconds, which would hold up other tasks.
        let made = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let mut clock = || began.elapsed().as_nanos() as u64;
            let model = Model::from_record_by(&record, TechniqueChoice::Measured(&mut clock));
            let model = model.map_err(|error| Chain(&error).to_string())?;
            make(applied, Some(model), regime)
        });
        let made = made.await.unwrap_or_else(|error| Err(error.to_string()));
        let strategy = Arc::new(made.map_err(LoadTrouble::Model)?);
        self.shared.telemetry.model_loaded(started.elapsed());
        self.shared.n_loads.fetch_add(1, Ordering::Relaxed);
        Ok(strategy)
    }

    /// Puts the models out that were asked for longest ago, until the others fit. The one that was asked for just now
    /// stays, also when it alone is too large.
    pub(crate) fn make_room(&self, keep: &Hosted) {
        let strategies = self.shared.strategies.load();
        let mut resident: Vec<(u64, u64, &Hosted)> = strategies
            .all()
            .filter_map(|hosted| {
                let n_bytes = hosted.resident.load().as_ref()?.n_model_bytes();
                Some((hosted.used.load(Ordering::Relaxed), n_bytes, &**hosted))
            })
            .collect();
        let mut n_bytes: u64 = resident.iter().map(|(_, n_bytes, _)| n_bytes).sum();
        let mut n_models = resident.len();
        if n_bytes > self.shared.max_bytes {
            resident.sort_unstable_by_key(|(used, _, _)| *used);
            for (_, model_bytes, hosted) in resident {
                if n_bytes <= self.shared.max_bytes {
                    break;
                }
                if !std::ptr::eq(hosted, keep) {
                    hosted.resident.store(None);
                    n_bytes -= model_bytes;
                    n_models -= 1;
                    self.shared.telemetry.model_evicted();
                }
            }
        }
        self.shared.telemetry.models_in_memory(n_models, n_bytes);
    }
}

/// A strategy of a blueprint and a model that fits it; else why not.
pub(crate) fn make(applied: AppliedBlueprint, model: Option<Model>, regime: Regime) -> Result<Strategy, String> {
    let bundle = Bundle::new(applied, model).map_err(|error| Chain(&error).to_string())?;
    Strategy::new(bundle, regime).map_err(|error| Chain(&error).to_string())
}
