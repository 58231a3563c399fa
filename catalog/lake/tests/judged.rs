//! Claims of jobs and applications of blueprints: of any number at once, one wins and the others see it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use lakeloop_domain::*;
use lakeloop_lake::blueprints::{self, Applied};
use lakeloop_lake::job_runs::{self, Claim, Hold};
use lakeloop_lake::{LakeError, TableName};
use support::{START, blueprint, open, strategy};
use tempfile::tempdir;

const LEASE: Duration = Duration::from_secs(60);
const LEASE_US: i64 = 60_000_000;

fn version(digit: u32) -> BlueprintVersion {
    BlueprintVersion::new(format!("{digit:016x}")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blueprint_is_in_force_until_another_is_applied() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let apply = async |digit, now| {
        blueprints::apply(
            &lake,
            blueprint("menu", "v"),
            version(digit),
            &format!("text {digit}"),
            now,
        )
        .await
        .unwrap()
    };
    let Applied::New(first) = apply(1, START).await else {
        panic!("the first application is new")
    };
    assert_eq!((first.sequence, first.applied_at), (1, START));
    assert_eq!(apply(1, START + 1).await, Applied::Unchanged(first.clone()));
    assert!(matches!(apply(2, START + 2).await, Applied::New(second) if second.sequence == 2));
    assert!(
        matches!(apply(1, START + 3).await, Applied::New(third) if third.sequence == 3),
        "a rollback is an application"
    );

    let other = blueprints::apply(&lake, blueprint("a-first", ""), version(9), "", START)
        .await
        .unwrap();
    let Applied::New(other) = other else {
        panic!("{other:?}")
    };
    let current = blueprints::current(&lake).await.unwrap();
    assert_eq!(current[0], other);
    assert_eq!(
        (
            current[1].version.clone(),
            current[1].sequence,
            current[1].source.as_str()
        ),
        (version(1), 3, "text 1")
    );
    assert_eq!(current[1].blueprint, blueprint("menu", "v"));
    let _ = lake.compact(&TableName::Blueprints).await.unwrap();
    let history = blueprints::history(&open(folder.path()).await, &strategy("menu"))
        .await
        .unwrap();
    assert_eq!(
        history
            .iter()
            .map(|applied| applied.version.clone())
            .collect::<Vec<_>>(),
        [version(1), version(2), version(1)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_at_once_come_one_after_the_other() {
    let folder = tempdir().unwrap();
    open(folder.path()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let folder = folder.path().to_owned();
        tasks.spawn(async move {
            let lake = open(&folder).await;
            let _ = blueprints::apply(&lake, blueprint("menu", ""), version(task), "", START)
                .await
                .unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let history = blueprints::history(&open(folder.path()).await, &strategy("menu"))
        .await
        .unwrap();
    assert_eq!(
        history.iter().map(|applied| applied.sequence).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_claims_one_starts() {
    let folder = tempdir().unwrap();
    open(folder.path()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let folder = folder.path().to_owned();
        tasks.spawn(async move {
            let lake = open(&folder).await;
            let menu = strategy("menu");
            job_runs::claim(
                &lake,
                JobKind::Train,
                Some(&menu),
                &format!("host:{task}"),
                START,
                LEASE,
            )
            .await
            .unwrap()
        });
    }
    let (mut started, mut held) = (Vec::new(), Vec::new());
    while let Some(claim) = tasks.join_next().await {
        match claim.unwrap() {
            Claim::Started(run) => started.push(run),
            Claim::Held(run) => held.push(run),
        }
    }
    assert_eq!(started.len(), 1);
    assert_eq!(held, vec![started[0].clone(); 7]);
    assert_eq!(job_runs::latest(&open(folder.path()).await).await.unwrap(), started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_held_until_its_run_ends_or_its_lease_does() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let menu = strategy("menu");
    let claim = async |now| {
        job_runs::claim(&lake, JobKind::Train, Some(&menu), "a:1", now, LEASE)
            .await
            .unwrap()
    };
    let Claim::Started(first) = claim(START).await else {
        panic!("nobody holds the job")
    };
    assert_eq!(
        claim(START + LEASE_US).await,
        Claim::Held(first.clone()),
        "a lease includes its last instant"
    );
    let other = job_runs::claim(&lake, JobKind::Train, Some(&strategy("price")), "a:1", START, LEASE)
        .await
        .unwrap();
    assert!(
        matches!(other, Claim::Started(_)),
        "strategies do not hold each other up"
    );
    let whole = job_runs::claim(&lake, JobKind::Train, None, "a:1", START, LEASE)
        .await
        .unwrap();
    assert!(
        matches!(whole, Claim::Started(_)),
        "nor do they hold up the whole lake's job"
    );

    let Hold::Kept(longer) = job_runs::extend(&lake, &first, START + 1, LEASE).await.unwrap() else {
        panic!("the run is alive")
    };
    assert_eq!(longer.lease_until, Some(START + 1 + LEASE_US));
    assert_eq!(claim(START + 1 + LEASE_US).await, Claim::Held(longer.clone()));

    // Its process died: the next claim takes over and says so.
    let late = START + 2 + LEASE_US;
    let Claim::Started(second) = claim(late).await else {
        panic!("the lease has run out")
    };
    let runs = job_runs::latest(&lake).await.unwrap();
    let dead = runs.iter().find(|run| run.run_id == first.run_id).unwrap();
    assert_eq!((dead.state, dead.at), (RunState::Abandoned, late));
    assert!(dead.detail.contains(second.run_id.as_str()), "{}", dead.detail);
    // Should it not have died after all, it learns that it lost.
    assert_eq!(
        job_runs::extend(&lake, &first, late, LEASE).await.unwrap(),
        Hold::Lost(dead.clone())
    );
    let finished = job_runs::finish(&lake, &first, RunState::Succeeded, "late", late)
        .await
        .unwrap();
    assert_eq!(finished, Hold::Lost(dead.clone()));

    // Ended in the very instant it was claimed in, also after the order of rows is gone.
    let finish = async || {
        job_runs::finish(&lake, &second, RunState::Succeeded, "model 1", late)
            .await
            .unwrap()
    };
    let Hold::Kept(ended) = finish().await else {
        panic!("the run is alive")
    };
    assert_eq!(
        (ended.state, ended.lease_until, ended.detail.as_str()),
        (RunState::Succeeded, None, "model 1")
    );
    assert_eq!(
        finish().await,
        Hold::Kept(ended.clone()),
        "ending it again changes nothing"
    );
    let _ = lake.compact(&TableName::JobRuns).await.unwrap();
    assert!(job_runs::latest(&lake).await.unwrap().contains(&ended));
    assert!(matches!(claim(late).await, Claim::Started(_)));

    let stranger = JobRun {
        run_id: RunId::new("no-such-run").unwrap(),
        ..first
    };
    let error = job_runs::extend(&lake, &stranger, late, LEASE).await.unwrap_err();
    assert!(matches!(error, LakeError::NoSuchRun { .. }), "{error}");
}
