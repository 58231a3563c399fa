//! Runs that die, that are held, that are stopped, and the schedule that starts them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use lakeloop_domain::{Choice, FeatureValue, JobKind, ModelStage, ModelVersion, RunState};
use lakeloop_lake::job_runs::{self, Claim};
use lakeloop_lake::registry::{self, NewModel};
use lakeloop_pipeline::{JobContext, PipelineError, Progress, RunEnd, Scheduler, Stage, run_job, scheduled_jobs};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use support::{Case, Home, MINUTE, START, apply, yes_no};

const COIN: &str = r#"
name = "coin"
description = "Heads?"
unit = "toss"
decision = { kind = "yes_no", default = false }
outcome = { event = "landed", aggregation = "last", type = "yes_no", window = "2m", absent = "exclude" }
context = { bias = "number" }
schedule = { minimum_rows = 100, trials = 2 }
"#;

fn toss(rng: &mut ChaCha8Rng) -> Case {
    let bias: f64 = rng.random();
    Case {
        values: vec![("bias", FeatureValue::Number(bias))],
        choice: Choice::Action("no".into()),
        outcome: yes_no(rng.random_bool(bias)),
    }
}

async fn states(home: &Home) -> Vec<String> {
    home.ask("SELECT state FROM latest_job_runs ORDER BY state").await
}

#[tokio::test]
async fn a_run_that_another_process_holds_is_left_to_it_until_its_lease_ends() {
    let home = Home::new(COIN, "").await;
    let closed = home.live_through(600, 1, toss).await;
    home.set_time(closed);
    let lease = Duration::from_secs(600);
    let claim = job_runs::claim(
        &home.lake,
        JobKind::Train,
        Some(home.strategy()),
        "other/7",
        closed,
        lease,
    )
    .await;
    let Claim::Started(other) = claim.unwrap() else {
        panic!("nobody held it")
    };

    let outcome = home.train(closed).await.unwrap();
    assert_eq!(
        outcome.end,
        RunEnd::Held {
            until: other.lease_until
        }
    );
    assert_eq!(outcome.run_id, other.run_id);
    let expected = format!(
        "other/7 is running it already, until 2026-01-05T10:12:00Z unless it goes on ({})",
        other.run_id
    );
    assert_eq!(outcome.detail, expected);

    // The other process dies without a word; a minute after its lease the job is free.
    let outcome = home.train(closed + 11 * MINUTE).await.unwrap();
    assert_eq!(outcome.end, RunEnd::Ran(RunState::Succeeded), "{}", outcome.detail);
    assert_eq!(states(&home).await, ["abandoned", "succeeded"]);
}

/// The trials wait at the clock until another process has taken the run over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_taken_over_meanwhile_registers_nothing() {
    let home = Home::new(COIN, "").await;
    let closed = home.live_through(600, 1, toss).await;
    let taken = Arc::new((Mutex::new(false), Condvar::new()));
    let (is_taken, n_calls) = (Arc::clone(&taken), AtomicUsize::new(0));
    // The first two calls are for the claim and the training set; trials come after.
    let clock = move || {
        if n_calls.fetch_add(1, Ordering::Relaxed) >= 2 {
            let guard = is_taken.0.lock().unwrap();
            drop(is_taken.1.wait_while(guard, |taken| !*taken).unwrap());
        }
        closed
    };
    let jobs = JobContext::new(home.lake.clone(), (*home.jobs.settings).clone(), Arc::new(clock));
    let mut progress = jobs.watch();
    let strategy = home.strategy().clone();
    let running = tokio::spawn(async move { run_job(&jobs, JobKind::Train, Some(&strategy), Some(closed)).await });
    let searching = |progress: &Option<Progress>| progress.as_ref().is_some_and(|p| p.stage == Stage::Searching);
    drop(progress.wait_for(searching).await.unwrap());

    let (later, lease) = (closed + 60 * MINUTE, Duration::from_secs(600));
    let claim = job_runs::claim(
        &home.lake,
        JobKind::Train,
        Some(home.strategy()),
        "other/7",
        later,
        lease,
    )
    .await;
    assert!(matches!(claim.unwrap(), Claim::Started(_)));
    *taken.0.lock().unwrap() = true;
    taken.1.notify_all();

    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, PipelineError::Lost { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("is abandoned by now (its lease ran out; taken over by"),
        "{error}"
    );
    assert!(registry::list(&home.lake, None).await.unwrap().is_empty());
    assert_eq!(states(&home).await, ["abandoned", "running"]);
}

#[tokio::test]
async fn a_crash_between_registering_and_going_live_leaves_a_registry_that_the_next_run_completes() {
    let home = Home::new(COIN, "").await;
    let closed = home.live_through(600, 1, toss).await;
    // A run in another home yields the model that the crashed run had just registered here.
    let twin = Home::new(COIN, "").await;
    twin.live_through(600, 1, toss).await;
    twin.train(closed).await.unwrap();
    let record = registry::list(&twin.lake, None).await.unwrap().pop().unwrap();
    let lease = Duration::from_secs(60);
    let claim = job_runs::claim(
        &home.lake,
        JobKind::Train,
        Some(home.strategy()),
        "dead/1",
        closed,
        lease,
    )
    .await;
    assert!(matches!(claim.unwrap(), Claim::Started(_)));
    let model = NewModel {
        strategy: record.strategy,
        target: record.target,
        action_is_feature: record.action_is_feature,
        encoding: record.encoding,
        calibration: record.calibration,
        prediction_interval: None,
        card: None,
        uncertainty: record.uncertainty,
        artifact: record.artifact,
        metrics: record.metrics,
        provenance: record.provenance,
    };
    registry::register(&home.lake, model, closed).await.unwrap();
    assert!(
        registry::live(&home.lake).await.unwrap().is_empty(),
        "the crash came before the move"
    );

    let outcome = home.train(closed + 2 * MINUTE).await.unwrap();
    assert_eq!(outcome.model, Some(ModelVersion(2)), "{}", outcome.detail);
    let models = registry::list(&home.lake, None).await.unwrap();
    let stages: Vec<ModelStage> = models.iter().map(|model| model.stage).collect();
    assert_eq!(stages, [ModelStage::Candidate, ModelStage::Live]);
    assert!(
        models[0].artifact == models[1].artifact,
        "both were made from the same tables with the same seed"
    );
    assert_eq!(states(&home).await, ["abandoned", "succeeded"]);
}

#[tokio::test]
async fn a_stopped_run_registers_nothing_and_says_so() {
    let home = Home::new(COIN, "").await;
    let closed = home.live_through(600, 1, toss).await;
    home.jobs.stop();
    let error = home.train(closed).await.unwrap_err();
    assert!(matches!(error, PipelineError::Stopped), "{error}");
    assert_eq!(
        home.ask("SELECT state, detail FROM latest_job_runs").await,
        ["failed|stopped before it was done"]
    );
    assert!(registry::list(&home.lake, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn compaction_merges_and_has_nothing_left_to_do() {
    let home = Home::new(COIN, "").await;
    for seed in 0..4 {
        home.live_through(20, seed, toss).await;
    }
    let outcome = run_job(&home.jobs, JobKind::Compact, None, None).await.unwrap();
    assert_eq!(outcome.end, RunEnd::Ran(RunState::Succeeded), "{}", outcome.detail);
    assert!(outcome.detail.contains("decisions"), "{}", outcome.detail);
    assert_eq!(home.ask("SELECT COUNT(*) FROM decisions").await, ["80"]);
}

#[tokio::test]
async fn the_schedule_is_listed_with_next_times_and_latest_runs() {
    let scheduled = COIN.replace("trials = 2", "trials = 2, train = \"0 3 * * *\"");
    let home = Home::new(
        &scheduled,
        "[jobs]\ncompact = \"0 30 4 * * *\"\nreplay = \"0 45 4 * * *\"\n",
    )
    .await;
    home.train(START).await.unwrap();
    let jobs = scheduled_jobs(&home.jobs).await.unwrap();
    let brief: Vec<_> = jobs
        .iter()
        .map(|job| {
            (
                job.job,
                job.cron.as_str(),
                job.next_at,
                job.last.as_ref().map(|run| run.state),
            )
        })
        .collect();
    assert_eq!(
        brief,
        [
            (JobKind::Compact, "0 30 4 * * *", Some(START + 270 * MINUTE), None),
            (JobKind::Replay, "0 45 4 * * *", Some(START + 285 * MINUTE), None),
            (
                JobKind::Train,
                "0 0 3 * * *",
                Some(START + 180 * MINUTE),
                Some(RunState::Skipped)
            ),
        ]
    );
}

/// Waits for the first report of progress of a scheduled run; the schedule is due every second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scheduler_picks_up_an_applied_schedule_and_stops_when_asked() {
    let home = Home::new(COIN, "[server]\nrefresh_interval = \"10ms\"\n").await;
    home.live_through(300, 1, toss).await;
    home.set_time(START + 500 * MINUTE);
    let mut progress = home.jobs.watch();
    let scheduler = Scheduler::start(home.jobs.clone()).await.unwrap();
    assert!(
        scheduler
            .jobs()
            .await
            .unwrap()
            .iter()
            .all(|job| job.job != JobKind::Train),
        "nothing to train is due"
    );

    apply(
        &home.lake,
        &COIN.replace("trials = 2", "trials = 2, train = \"* * * * * *\""),
    )
    .await;
    progress.changed().await.unwrap();
    scheduler.stop().await.unwrap();
    let runs = job_runs::latest(&home.lake).await.unwrap();
    let trainings: Vec<_> = runs.iter().filter(|run| run.job == JobKind::Train).collect();
    assert!(!trainings.is_empty());
    assert!(
        trainings.iter().all(|run| run.state != RunState::Running),
        "{trainings:?}"
    );
}
