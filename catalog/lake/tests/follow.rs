//! Those who follow a table see what was committed since, and nothing twice.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;

use lakeloop_domain::*;
use lakeloop_lake::blueprints::{self, InForce};
use lakeloop_lake::live_models::{self, LiveModels};
use lakeloop_lake::registry::{self, NewModel};
use lakeloop_lake::{Changes, Lake, LakeError, TableName};
use support::{START, blueprint, decisions, open, strategy};
use tempfile::tempdir;

fn model(name: &str, artifact: &[u8]) -> NewModel {
    NewModel {
        strategy: strategy(name),
        target: LearningTarget::Regression,
        action_is_feature: false,
        encoding: Encoding::default(),
        calibration: Calibration::Identity,
        prediction_interval: None,
        card: None,
        uncertainty: None,
        artifact: artifact.to_vec(),
        metrics: ModelMetrics {
            metric: "rmse".to_owned(),
            value: 1.0,
            baseline: None,
            n_train_rows: 1,
            n_validation_rows: 1,
            artifact_bytes: artifact.len() as u64,
            latency_p50_us: 1.0,
            latency_p99_us: 1.0,
            parity_max_abs: 0.0,
        },
        provenance: Provenance {
            blueprint_version: BlueprintVersion::new("0123456789abcdef").unwrap(),
            training_set_id: TrainingSetId::new("t").unwrap(),
            table_versions: Vec::new(),
            parameters: "{}".to_owned(),
            seed: 1,
        },
    }
}

async fn move_to(lake: &Lake, name: &str, version: u32, to: ModelStage) {
    let wish = StageMove {
        strategy: strategy(name),
        version: ModelVersion(version),
        to,
        reason: "test".to_owned(),
    };
    let _ = registry::move_stage(lake, &wish, START).await.unwrap();
}

fn names(changed: &BTreeSet<StrategyName>) -> Vec<&str> {
    changed.iter().map(StrategyName::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_models_are_followed_through_every_move() {
    use ModelStage::{Live, Retired};
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let mut follower = LiveModels::default();
    assert!(follower.catch_up(&lake).await.unwrap().is_empty());

    for (name, artifact) in [("menu", "one"), ("menu", "two"), ("price", "three")] {
        registry::register(&lake, model(name, artifact.as_bytes()), START)
            .await
            .unwrap();
    }
    assert!(
        follower.catch_up(&lake).await.unwrap().is_empty(),
        "a candidate changes nothing"
    );

    let version = |follower: &LiveModels, name: &str| follower.get(&strategy(name)).map(|model| model.version.0);
    // What is moved, who has changed, and what is live then.
    for (moves, changed, live) in [
        (vec![("menu", 1, Live)], vec!["menu"], (Some(1), None)),
        (
            vec![("menu", 2, Live), ("price", 1, Live)],
            vec!["menu", "price"],
            (Some(2), Some(1)),
        ),
        (vec![("menu", 1, Live), ("menu", 2, Live)], vec![], (Some(2), Some(1))),
        (vec![("price", 1, Retired)], vec!["price"], (Some(2), None)),
        (
            vec![("menu", 1, Live), ("menu", 1, Retired)],
            vec!["menu"],
            (None, None),
        ),
        (vec![("menu", 2, Live)], vec!["menu"], (Some(2), None)),
    ] {
        for (name, version, to) in &moves {
            move_to(&lake, name, *version, *to).await;
        }
        assert_eq!(names(&follower.catch_up(&lake).await.unwrap()), changed, "{moves:?}");
        assert_eq!(
            (version(&follower, "menu"), version(&follower, "price")),
            live,
            "{moves:?}"
        );
        assert_eq!(follower.version(), lake.version(&TableName::Models).await.unwrap());
        assert!(follower.catch_up(&lake).await.unwrap().is_empty());
        // One who comes later sees the same.
        let mut late = LiveModels::default();
        late.catch_up(&lake).await.unwrap();
        assert_eq!((version(&late, "menu"), version(&late, "price")), live, "{moves:?}");
    }
    let live = follower.get(&strategy("menu")).unwrap();
    assert_eq!(live.artifact_bytes, 3);
    let record = live_models::load(&lake, live).await.unwrap();
    assert_eq!((record.version.0, record.artifact.as_slice()), (2, b"two".as_slice()));
    // A file is kept when its rows move on, so whoever comes late still finds the model.
    move_to(&lake, "menu", 1, Live).await;
    assert_eq!(live_models::load(&lake, live).await.unwrap().artifact, b"two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blueprints_in_force_are_followed_also_past_a_compaction() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let mut follower = InForce::default();
    let apply = async |name: &str, version: &str| {
        let blueprint = blueprint(name, version);
        let version = BlueprintVersion::new(version).unwrap();
        let _ = blueprints::apply(&lake, blueprint, version, "", START).await.unwrap();
    };
    apply("menu", "0000000000000001").await;
    assert_eq!(names(&follower.catch_up(&lake).await.unwrap()), ["menu"]);
    apply("menu", "0000000000000002").await;
    apply("price", "0000000000000001").await;
    assert_eq!(names(&follower.catch_up(&lake).await.unwrap()), ["menu", "price"]);
    assert_eq!(follower.get(&strategy("menu")).unwrap().sequence, 2);

    apply("menu", "0000000000000003").await;
    let compaction = lake.compact(&TableName::Blueprints).await.unwrap();
    assert!(compaction.version.is_some());
    assert_eq!(
        names(&follower.catch_up(&lake).await.unwrap()),
        ["menu"],
        "merged files hold old rows too"
    );
    assert_eq!(follower.get(&strategy("menu")).unwrap().sequence, 3);
    let all = blueprints::histories(&lake).await.unwrap();
    let all: Vec<_> = all
        .iter()
        .map(|one| (one.blueprint.name.as_str(), one.sequence))
        .collect();
    assert_eq!(all, [("menu", 1), ("menu", 2), ("menu", 3), ("price", 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_name_the_files_that_hold_new_rows() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let table = TableName::Decisions;
    let append = async |idx: i64| {
        let _ = lake.append(&table, vec![decisions(idx..idx + 1)], None).await.unwrap();
    };
    append(1).await;
    append(2).await;
    let since = lake.version(&table).await.unwrap().unwrap();
    let appended = async |since: i64| match lake.changes(&table, since).await.unwrap() {
        Changes::Appended(new) => (new.version, new.paths.len()),
        other => panic!("{other:?}"),
    };
    assert_eq!(appended(since).await, (since, 0));
    append(3).await;
    assert_eq!(appended(since).await, (since + 1, 1));
    assert_eq!(appended(since - 1).await, (since + 1, 2));
    // Merged away: the one merged file has the new row.
    lake.compact(&table).await.unwrap();
    assert_eq!(appended(since).await, (since + 2, 1));
    assert_eq!(appended(since + 1).await, (since + 2, 0), "merging brings no rows");
    assert!(matches!(
        lake.changes(&table, since + 3).await.unwrap(),
        Changes::Unknown
    ));
    assert!(matches!(lake.changes(&table, -2).await.unwrap(), Changes::Unknown));
    let view = TableName::Features(FeatureViewName::new("nowhere").unwrap());
    assert!(matches!(
        lake.changes(&view, 0).await,
        Err(LakeError::NoSuchTable { .. })
    ));
}
