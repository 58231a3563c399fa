//! A search that broke off: the next run goes on with it and comes to the model that it would have come to.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use lakeloop_domain::{Choice, JobKind, ModelRecord, RunState, TrainingSetId};
use lakeloop_lake::job_runs::{self, Claim};
use lakeloop_lake::rows::{training_sets_from_batch, training_sets_to_batch};
use lakeloop_lake::{Append, TableName, registry, trials};
use lakeloop_pipeline::RunEnd;
use lakeloop_sql::{Pins, session};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use support::{Case, Home, MINUTE, number, yes_no};

const CLICK: &str = r#"
name = "click"
unit = "visit"
decision = { kind = "yes_no", default = false }
outcome = { event = "clicked", aggregation = "last", type = "yes_no", window = "2m", absent = "exclude" }
schedule = { minimum_rows = 200, trials = 12 }
[context]
x = { type = "number", missing = "allowed" }
z = { type = "number", missing = "allowed" }
"#;

fn click(rng: &mut ChaCha8Rng) -> Case {
    let (x, z) = (number(rng), number(rng));
    // High in the middle, which no baseline can say: neither one split nor a line.
    let is_middling = (0.25..0.75).contains(&x.as_number().unwrap_or(0.1));
    let probability = if is_middling { 0.85 } else { 0.1 };
    Case {
        values: vec![("x", x), ("z", z)],
        choice: Choice::Action("no".into()),
        outcome: yes_no(rng.random_bool(probability)),
    }
}

async fn model(home: &Home) -> ModelRecord {
    let mut models = registry::list(&home.lake, None).await.unwrap();
    assert_eq!(models.len(), 1);
    models.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_run_goes_on_where_a_process_died_and_reaches_the_same_winner() {
    let whole = Home::new(CLICK, "").await;
    let closed = whole.live_through(1_200, 1, click).await;
    let outcome = whole.train(closed).await.unwrap();
    assert!(outcome.model.is_some(), "{}", outcome.detail);
    let expected = model(&whole).await;
    let id = expected.provenance.training_set_id.clone();
    let all = trials::of_set(&whole.lake, &id).await.unwrap();
    assert!(all.len() >= 12, "{} trials", all.len());

    // The same decisions in another home, where a process claims the job, builds the training set, writes five trials and
    // dies without a word.
    let broken = Home::new(CLICK, "").await;
    broken.live_through(1_200, 1, click).await;
    let lease = Duration::from_secs(60);
    let claimed = job_runs::claim(
        &broken.lake,
        JobKind::Train,
        Some(broken.strategy()),
        "other/7",
        closed,
        lease,
    )
    .await;
    let Claim::Started(run) = claimed.unwrap() else {
        panic!("the job is free")
    };
    let (tables, pins) = session(&whole.lake, &Pins::default()).await.unwrap();
    let batches = tables.table("training_sets").await.unwrap().collect().await.unwrap();
    let mut set = training_sets_from_batch(&batches[0]).unwrap().remove(0);
    drop(pins);
    set.training_set_id = TrainingSetId::new(run.run_id.as_str()).unwrap();
    set.blueprint_version = broken.applied.version.clone();
    set.built_at = closed;
    for (table, version) in &mut set.table_versions {
        *version = broken.lake.version(&table.parse().unwrap()).await.unwrap().unwrap();
    }
    let appended = broken
        .lake
        .append(
            &TableName::TrainingSets,
            vec![training_sets_to_batch(&[set.clone()]).unwrap()],
            None,
        )
        .await;
    assert!(matches!(appended, Ok(Append::Committed { .. })));
    let mut five = all[..5].to_vec();
    for trial in &mut five {
        trial.training_set_id = set.training_set_id.clone();
        trial.chosen = false;
    }
    trials::append(&broken.lake, &set.training_set_id, 0, &five)
        .await
        .unwrap();
    // What comes in meanwhile does not enter the search that goes on.
    let outcome = broken.train(closed + 2 * MINUTE).await.unwrap();
    assert_eq!(outcome.end, RunEnd::Ran(RunState::Succeeded), "{}", outcome.detail);

    let found = model(&broken).await;
    assert_eq!(found.provenance.training_set_id, set.training_set_id);
    assert!(found.artifact == expected.artifact, "another model was chosen");
    assert_eq!(found.provenance.parameters, expected.provenance.parameters);
    let again = trials::of_set(&broken.lake, &set.training_set_id).await.unwrap();
    assert_eq!(again.len(), all.len());
    assert_eq!(
        again[..5].iter().map(|trial| trial.value).collect::<Vec<_>>(),
        five.iter().map(|trial| trial.value).collect::<Vec<_>>()
    );
    assert_eq!(again.iter().filter(|trial| trial.chosen).count(), 1);

    // With its model registered, the search is over: the next run builds a training set of its own.
    let next = broken.train(closed + 3 * MINUTE).await.unwrap();
    assert_ne!(next.training_set_id, Some(set.training_set_id));
}
