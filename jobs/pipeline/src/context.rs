//! What every job is given: the lake, the settings, the clock, and where progress goes.

use std::sync::Arc;

use lakeloop_config::Settings;
use lakeloop_domain::Micros;
use lakeloop_lake::Lake;
use tokio_util::sync::CancellationToken;

use crate::progress::{Progress, ProgressSender};

/// Tells the current time. May be called from many threads at once.
pub type Clock = Arc<dyn Fn() -> Micros + Send + Sync>;

/// What every job is given. Cheap to clone.
#[derive(Clone)]
pub struct JobContext {
    /// The tables.
    pub lake: Lake,
    /// The settings of the home.
    pub settings: Arc<Settings>,
    /// What time it is: leases, and every instant that is written down.
    pub clock: Clock,
    /// Seed of searches.
    pub seed: u64,
    /// Who runs the jobs, as others read it in `job_runs`: `<machine>/<process id>` unless set.
    pub runner: String,
    pub(crate) stop: CancellationToken,
    pub(crate) choose: CancellationToken,
    pub(crate) progress: ProgressSender,
}

impl JobContext {
    /// A context that seeds searches as the settings say.
    pub fn new(lake: Lake, settings: Settings, clock: Clock) -> Self {
        let seed = settings.jobs.seed;
        Self {
            lake,
            settings: Arc::new(settings),
            clock,
            seed,
            runner: format!("{}/{}", machine(), std::process::id()),
            stop: CancellationToken::new(),
            choose: CancellationToken::new(),
            progress: ProgressSender::new(None),
        }
    }

    /// The same with another seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Watches the progress of the jobs that run with this context.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<Option<Progress>> {
        self.progress.subscribe()
    }

    /// Asks the jobs that run with this context, or a clone of it, to end at their next step.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Asks searches that run with this context, or a clone of it, to end and to go on with the best model so far.
    pub fn choose_now(&self) {
        self.choose.cancel();
    }

    pub(crate) fn is_asked_to_choose(&self) -> bool {
        self.choose.is_cancelled()
    }

    pub(crate) fn now(&self) -> Micros {
        (self.clock)()
    }

    pub(crate) fn report(&self, progress: Progress) {
        self.progress.send_replace(Some(progress));
    }
}

/// The machine's name, where the environment tells it.
fn machine() -> String {
    ["HOSTNAME", "COMPUTERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .or_else(|| {
            std::fs::read_to_string("/etc/hostname")
                .ok()
                .map(|name| name.trim().to_owned())
        })
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "local".to_owned())
}
