//! `lakeloop jobs`: run one now, list them, or run the schedule alone.

use std::path::Path;

use anyhow::Context;
use lakeloop_domain::{FeatureViewName, JobKind, Micros, RunState, StrategyName};
use lakeloop_lake::{Lake, blueprints};
use lakeloop_pipeline::{JobContext, RunEnd, RunOutcome, Scheduler, run_job, run_snapshot, scheduled_jobs};
use serde_json::{Value, json};

use crate::arguments::{JobsArguments, JobsCommand};
use crate::output::Output;
use crate::progress::TrainingProgress;
use crate::stop::StopSignals;
use crate::{home, instant};

/// Carries out one of the three.
pub async fn run(home: &Path, args: &JobsArguments, output: &Output) -> anyhow::Result<()> {
    let (settings, lake) = home::open(home).await?;
    let log = settings.log.clone();
    let ctx = JobContext::new(lake.clone(), settings, home::system_clock());
    match &args.command {
        JobsCommand::Run {
            job,
            strategy,
            as_of,
            view,
        } => {
            let job = JobKind::parse(job).with_context(|| {
                let known: Vec<&str> = JobKind::ALL.iter().map(|kind| kind.as_str()).collect();
                format!("`{job}` is no job; write one of: {}", known.join(", "))
            })?;
            let as_of = as_of
                .as_deref()
                .map(|text| instant::parse("--as-of", text))
                .transpose()?;
            if let Some(view) = view {
                anyhow::ensure!(job == JobKind::Snapshot, "--view is for `snapshot`; leave it out");
                let outcome = run_snapshot(&ctx, Some(&FeatureViewName::new(view.as_str())?)).await?;
                return output.rows(&COLUMNS, &[row(&outcome)]);
            }
            run_now(&ctx, &lake, job, strategy.as_deref(), as_of, output).await
        }
        JobsCommand::List => list(&ctx, output).await,
        JobsCommand::Schedule => {
            home::log(&log)?;
            let mut stop = StopSignals::listen()?;
            let scheduler = Scheduler::start(ctx).await?;
            output.say("running the schedule; Ctrl-C stops")?;
            stop.next().await;
            Ok(scheduler.stop().await?)
        }
    }
}

/// Runs the job for the strategy, or for each that is applied, and prints how each run ended. Fails when one failed.
async fn run_now(
    ctx: &JobContext,
    lake: &Lake,
    job: JobKind,
    strategy: Option<&str>,
    as_of: Option<Micros>,
    output: &Output,
) -> anyhow::Result<()> {
    let strategies: Vec<Option<StrategyName>> = match (job, strategy) {
        (JobKind::Compact | JobKind::Replay | JobKind::Ladder | JobKind::Snapshot, Some(_)) => {
            anyhow::bail!("{} works on the whole lake; leave --strategy out", job.as_str())
        }
        (JobKind::Compact | JobKind::Replay | JobKind::Ladder | JobKind::Snapshot, None) => vec![None],
        (JobKind::Train, Some(name)) => vec![Some(StrategyName::new(name)?)],
        (JobKind::Train, None) => {
            let applied = blueprints::current(lake).await?;
            anyhow::ensure!(
                !applied.is_empty(),
                "no blueprint is applied yet; `lakeloop apply` applies blueprints/*.toml"
            );
            applied.into_iter().map(|row| Some(row.blueprint.name)).collect()
        }
    };
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    let (mut signals, mut n_asked) = (StopSignals::listen()?, 0_u32);
    for strategy in strategies {
        if n_asked > 0 {
            break;
        }
        let progress = TrainingProgress::watch(ctx);
        let running = run_job(ctx, job, strategy.as_ref(), as_of);
        tokio::pin!(running);
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                () = signals.next() => {
                    n_asked += 1;
                    if job == JobKind::Train && n_asked == 1 {
                        output.say("ending the search with the best model so far; once more stops without one")?;
                        ctx.choose_now();
                    } else {
                        ctx.stop();
                    }
                }
            }
        };
        progress.stop();
        match outcome {
            Ok(outcome) => {
                if outcome.end == RunEnd::Ran(RunState::Failed) {
                    failures.push(outcome.detail.clone());
                }
                rows.push(row(&outcome));
            }
            Err(error) => failures.push(format!("{:#}", anyhow::Error::from(error))),
        }
    }
    output.rows(&COLUMNS, &rows)?;
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// What is printed of a run.
const COLUMNS: [&str; 4] = ["job", "strategy", "end", "detail"];

fn row(outcome: &RunOutcome) -> Vec<Value> {
    let end = match outcome.end {
        RunEnd::Ran(state) => state.as_str(),
        RunEnd::Held { .. } => "held",
    };
    vec![
        json!(outcome.job.as_str()),
        json!(outcome.strategy),
        json!(end),
        json!(outcome.detail),
    ]
}

async fn list(ctx: &JobContext, output: &Output) -> anyhow::Result<()> {
    let rows: Vec<_> = scheduled_jobs(ctx)
        .await?
        .into_iter()
        .map(|job| {
            let last = job.last.as_ref();
            vec![
                json!(job.job.as_str()),
                json!(job.strategy),
                json!(job.cron),
                job.next_at.map_or(Value::Null, |at| json!(instant::text(at))),
                last.map_or(Value::Null, |run| json!(run.state.as_str())),
                last.map_or(Value::Null, |run| json!(instant::text(run.at))),
                last.map_or(Value::Null, |run| json!(run.detail)),
            ]
        })
        .collect();
    output.rows(&["job", "strategy", "cron", "next", "last", "at", "detail"], &rows)
}
