//! Runs jobs when they are due: the cron expressions of the blueprints in force, the platform's compaction and replays,
//! and the feature snapshots of this home.
//!
//! Blueprints are looked at again whenever their table has a new version, so that an applied schedule counts without a
//! restart. In one process jobs run one after the other: a training uses all threads it may have. A job that is still
//! waiting or running when it is due again is not queued a second time. Several processes may run the same
//! schedule; the claim in `job_runs` lets one of them work, except on snapshots, which every home has its own of.
//!
//! The scheduler lives by the machine's clock, since cron expressions do; jobs write the context's clock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lakeloop_domain::{JobKind, JobRun, Micros, StrategyName};
use lakeloop_lake::{TableName, blueprints, job_runs};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_cron_scheduler::job::JobId;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::task::TaskTracker;

use crate::context::JobContext;
use crate::due::next_due;
use crate::error::PipelineError;
use crate::runner::{RunEnd, run_job};

/// One entry of the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledJob {
    /// What is run.
    pub job: JobKind,
    /// For which strategy; `None` for jobs of the whole lake.
    pub strategy: Option<StrategyName>,
    /// When: six fields, seconds first, in UTC.
    pub cron: String,
    /// The next time after the context's now; `None` when it never comes.
    pub next_at: Option<Micros>,
    /// The latest run, whoever started it; of snapshots none is kept.
    pub last: Option<JobRun>,
}

/// The schedule as the blueprints in force and the settings have it, ordered by job and strategy.
pub async fn scheduled_jobs(ctx: &JobContext) -> Result<Vec<ScheduledJob>, PipelineError> {
    let runs = job_runs::latest(&ctx.lake).await?;
    let entries = wanted(ctx).await?.into_iter().map(|(entry, cron)| {
        let last = runs
            .iter()
            .find(|run| (run.job, run.strategy.as_ref()) == (entry.job(), entry.strategy()));
        Ok(ScheduledJob {
            job: entry.job(),
            next_at: next_due(&cron, ctx.now())?,
            last: last.cloned(),
            strategy: entry.strategy().cloned(),
            cron,
        })
    });
    entries.collect()
}

/// What a schedule is about, in the order in which it is listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    /// Compaction of the whole lake.
    Compact,
    /// The replay of a sample.
    Replay,
    /// The moves of all ladders.
    Ladder,
    /// The feature snapshots of this home.
    Snapshot,
    /// The training of a strategy.
    Train(StrategyName),
}

impl Entry {
    fn job(&self) -> JobKind {
        match self {
            Self::Compact => JobKind::Compact,
            Self::Replay => JobKind::Replay,
            Self::Ladder => JobKind::Ladder,
            Self::Snapshot => JobKind::Snapshot,
            Self::Train(_) => JobKind::Train,
        }
    }

    fn strategy(&self) -> Option<&StrategyName> {
        match self {
            Self::Compact | Self::Replay | Self::Ladder | Self::Snapshot => None,
            Self::Train(strategy) => Some(strategy),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.strategy() {
            Some(strategy) => write!(f, "{} of `{strategy}`", self.job().as_str()),
            None => f.write_str(self.job().as_str()),
        }
    }
}

type Crons = BTreeMap<Entry, String>;

async fn wanted(ctx: &JobContext) -> Result<Crons, PipelineError> {
    let applied = blueprints::current(&ctx.lake).await?;
    let reads_views = applied.iter().any(|applied| !applied.blueprint.features.is_empty());
    let has_ladders = applied.iter().any(|applied| applied.blueprint.ladder.is_some());
    let trainings = applied.into_iter().filter_map(|applied| {
        let cron = applied.blueprint.schedule.train?;
        Some((Entry::Train(applied.blueprint.name), cron))
    });
    let jobs = &ctx.settings.jobs;
    // Where no feature view is read there is nothing to build, ever.
    let snapshot = ctx.settings.features.snapshot.as_ref().filter(|_| reads_views);
    let others = [
        (Entry::Compact, jobs.compact.as_ref()),
        (Entry::Replay, jobs.replay.as_ref()),
        (Entry::Ladder, jobs.ladder.as_ref().filter(|_| has_ladders)),
        (Entry::Snapshot, snapshot),
    ];
    let others = others
        .into_iter()
        .filter_map(|(entry, cron)| Some((entry, cron?.clone())));
    Ok(trainings.chain(others).collect())
}

/// What has to be removed and added to get from one schedule to another; an entry with another time is both.
fn changes(from: &Crons, to: &Crons) -> (Vec<Entry>, Crons) {
    let removed = from
        .iter()
        .filter(|(entry, cron)| to.get(entry) != Some(cron))
        .map(|(entry, _)| entry.clone());
    let added = to.iter().filter(|(entry, cron)| from.get(entry) != Some(cron));
    (
        removed.collect(),
        added.map(|(entry, cron)| (entry.clone(), cron.clone())).collect(),
    )
}

/// A running schedule. Dropping it does not end it; [`Scheduler::stop`] does.
pub struct Scheduler {
    ctx: JobContext,
    cron: JobScheduler,
    following: JoinHandle<()>,
    runs: TaskTracker,
}

impl Scheduler {
    /// Starts the schedule of the blueprints in force, and follows their changes every `server.refresh_interval`.
    pub async fn start(ctx: JobContext) -> Result<Self, PipelineError> {
        let ctx = JobContext {
            stop: ctx.stop.child_token(),
            ..ctx
        };
        let cron = JobScheduler::new().await.map_err(failed("set the scheduler up"))?;
        let runs = TaskTracker::new();
        let mut follower = Follower {
            ctx: ctx.clone(),
            cron: cron.clone(),
            runs: runs.clone(),
            turn: Arc::new(Mutex::new(())),
            scheduled: BTreeMap::new(),
            crons: Crons::new(),
            blueprints_version: None,
        };
        follower.catch_up().await?;
        cron.start().await.map_err(failed("start the scheduler"))?;
        let following = tokio::spawn(follower.follow());
        Ok(Self {
            ctx,
            cron,
            following,
            runs,
        })
    }

    /// The schedule, with next times and latest runs.
    pub async fn jobs(&self) -> Result<Vec<ScheduledJob>, PipelineError> {
        scheduled_jobs(&self.ctx).await
    }

    /// Ends the schedule: nothing new begins, a job under way ends at its next step, and its end is written down before
    /// this returns.
    pub async fn stop(mut self) -> Result<(), PipelineError> {
        self.ctx.stop();
        self.following.abort();
        let ended = self.cron.shutdown().await.map_err(failed("stop the scheduler"));
        self.runs.close();
        self.runs.wait().await;
        ended
    }
}

fn failed(doing: &'static str) -> impl FnOnce(JobSchedulerError) -> PipelineError {
    move |source| PipelineError::Scheduler { doing, source }
}

/// Keeps what is scheduled in step with the blueprints in force.
struct Follower {
    ctx: JobContext,
    cron: JobScheduler,
    runs: TaskTracker,
    /// Whoever holds it works; the others wait.
    turn: Arc<Mutex<()>>,
    scheduled: BTreeMap<Entry, JobId>,
    crons: Crons,
    blueprints_version: Option<i64>,
}

impl Follower {
    async fn follow(mut self) {
        loop {
            tokio::time::sleep(self.ctx.settings.server.refresh_interval).await;
            if let Err(error) = self.catch_up().await {
                tracing::warn!(%error, "the schedule could not be read again; the former one stays");
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), PipelineError> {
        let version = self.ctx.lake.version(&TableName::Blueprints).await?;
        if version.is_some() && version == self.blueprints_version {
            return Ok(());
        }
        let wanted = wanted(&self.ctx).await?;
        let (removed, added) = changes(&self.crons, &wanted);
        for entry in removed {
            if let Some(id) = self.scheduled.remove(&entry) {
                self.cron
                    .remove(&id)
                    .await
                    .map_err(failed("take a job off the schedule"))?;
            }
            self.crons.remove(&entry);
        }
        for (entry, cron) in added {
            match Job::new_async(cron.as_str(), self.tick_of(entry.clone())) {
                Ok(job) => {
                    let id = self.cron.add(job).await.map_err(failed("put a job on the schedule"))?;
                    tracing::info!(%entry, cron, "scheduled");
                    self.scheduled.insert(entry.clone(), id);
                }
                Err(error) => tracing::error!(%entry, cron, %error, "no schedule; the job runs only when asked"),
            }
            self.crons.insert(entry, cron);
        }
        self.blueprints_version = version;
        Ok(())
    }

    /// What happens when an entry is due.
    fn tick_of(
        &self,
        entry: Entry,
    ) -> impl FnMut(JobId, JobScheduler) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static
    {
        let (ctx, runs, turn) = (self.ctx.clone(), self.runs.clone(), Arc::clone(&self.turn));
        let pending = Arc::new(Mutex::new(()));
        move |_, _| {
            let (ctx, entry, turn) = (ctx.clone(), entry.clone(), Arc::clone(&turn));
            let pending = Arc::clone(&pending);
            Box::pin(runs.track_future(async move {
                let Ok(_pending) = pending.try_lock() else {
                    tracing::info!(%entry, "due again before it has ended; left out");
                    return;
                };
                let _turn = turn.lock().await;
                if !ctx.stop.is_cancelled() {
                    run_due(&ctx, &entry).await;
                }
            }))
        }
    }
}

async fn run_due(ctx: &JobContext, entry: &Entry) {
    match run_job(ctx, entry.job(), entry.strategy(), None).await {
        Ok(outcome) if matches!(outcome.end, RunEnd::Held { .. }) => {
            tracing::info!(%entry, detail = outcome.detail, "held by another process");
        }
        Ok(_) => {}
        Err(error) => tracing::error!(%entry, %error, "a scheduled job failed"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn crons(entries: &[(&str, &str)]) -> Crons {
        let entry = |name: &str| Entry::Train(StrategyName::new(name).unwrap());
        entries
            .iter()
            .map(|(name, cron)| (entry(name), (*cron).to_owned()))
            .collect()
    }

    #[test]
    fn a_changed_schedule_is_replaced_and_the_others_are_left_alone() {
        let from = crons(&[
            ("gone", "0 0 1 * * *"),
            ("moved", "0 0 2 * * *"),
            ("same", "0 0 3 * * *"),
        ]);
        let to = crons(&[
            ("moved", "0 30 2 * * *"),
            ("new", "0 0 4 * * *"),
            ("same", "0 0 3 * * *"),
        ]);
        let (removed, added) = changes(&from, &to);
        let names = |entries: Vec<Entry>| entries.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(removed), ["train of `gone`", "train of `moved`"]);
        assert_eq!(added, crons(&[("moved", "0 30 2 * * *"), ("new", "0 0 4 * * *")]));
        assert_eq!(changes(&to, &to), (Vec::new(), Crons::new()));
    }
}
