//! Models move between stages in single commits: one live model a strategy at every version, and no artifact lost.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::path::Path;

use lakeloop_domain::*;
use lakeloop_lake::registry::{self, NewModel, StageMoved};
use lakeloop_lake::{Lake, LakeError, TableName};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::{START, number, open, strategy};
use tempfile::tempdir;

const MODELS: TableName = TableName::Models;

fn model(name: &str, artifact: Vec<u8>) -> NewModel {
    NewModel {
        strategy: strategy(name),
        target: LearningTarget::Binary,
        action_is_feature: true,
        encoding: Encoding {
            columns: vec![EncodedColumn {
                name: "city".to_owned(),
                feature_type: FeatureType::Category,
                vocabulary: vec!["Ulm".to_owned(), "Köln".to_owned()],
            }],
        },
        calibration: Calibration::Platt {
            slope: 1.25,
            intercept: -0.0,
        },
        prediction_interval: None,
        card: None,
        metrics: ModelMetrics {
            metric: "auc".to_owned(),
            value: 0.75,
            baseline: Some(0.5),
            n_train_rows: 100,
            n_validation_rows: 20,
            artifact_bytes: artifact.len() as u64,
            latency_p50_us: 3.5,
            latency_p99_us: 9.0,
            parity_max_abs: f64::MIN_POSITIVE,
        },
        uncertainty: None,
        artifact,
        provenance: Provenance {
            blueprint_version: BlueprintVersion::new("0123456789abcdef").unwrap(),
            training_set_id: TrainingSetId::new("set-1").unwrap(),
            table_versions: vec![("decisions".to_owned(), 12)],
            parameters: "{\"max_depth\":4}".to_owned(),
            seed: u64::MAX,
        },
    }
}

fn wish(name: &str, version: u32, to: ModelStage) -> StageMove {
    StageMove {
        strategy: strategy(name),
        version: ModelVersion(version),
        to,
        reason: format!("to {}", to.as_str()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_goes_live_is_replaced_and_comes_back() {
    use ModelStage::{Candidate, Live, Retired};
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let bytes: Vec<u8> = (0..100_000_u32).map(|idx| (idx * 31 % 251) as u8).collect();
    let first = registry::register(&lake, model("menu", bytes.clone()), START)
        .await
        .unwrap();
    let second = registry::register(&lake, model("menu", vec![2]), START + 1)
        .await
        .unwrap();
    let other = registry::register(&lake, model("price", vec![3]), START + 2)
        .await
        .unwrap();
    assert_eq!([first.version.0, second.version.0, other.version.0], [1, 2, 1]);
    assert_eq!(registry::live(&lake).await.unwrap(), vec![]);

    let before = lake.version(&MODELS).await.unwrap().unwrap();
    let moved = registry::move_stage(&lake, &wish("menu", 1, Live), START + 3)
        .await
        .unwrap();
    assert_eq!(moved, StageMoved::Moved { retired: None });
    assert_eq!(
        lake.version(&MODELS).await.unwrap(),
        Some(before + 1),
        "a move is one commit"
    );
    let live = registry::live(&lake).await.unwrap();
    let expected = ModelRecord {
        stage: Live,
        stage_reason: "to live".to_owned(),
        stage_changed_at: START + 3,
        ..first.clone()
    };
    assert_eq!(live, vec![expected]);
    assert_eq!(
        live[0].calibration,
        Calibration::Platt {
            slope: 1.25,
            intercept: -0.0
        }
    );

    assert_eq!(
        registry::move_stage(&lake, &wish("menu", 1, Live), START + 4)
            .await
            .unwrap(),
        StageMoved::Already
    );
    let moved = registry::move_stage(&lake, &wish("menu", 2, Live), START + 5)
        .await
        .unwrap();
    assert_eq!(
        moved,
        StageMoved::Moved {
            retired: Some(ModelVersion(1))
        }
    );
    let moved = registry::move_stage(&lake, &wish("menu", 1, Live), START + 6)
        .await
        .unwrap();
    assert_eq!(
        moved,
        StageMoved::Moved {
            retired: Some(ModelVersion(2))
        }
    );
    let all = registry::list(&lake, Some(&strategy("menu"))).await.unwrap();
    assert_eq!(all.iter().map(|model| model.stage).collect::<Vec<_>>(), [Live, Retired]);
    assert_eq!(all[0].artifact, bytes);
    assert_eq!(all[1].stage_reason, "model 1 went live: to live");
    let untouched = registry::get(&lake, &strategy("price"), ModelVersion(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(untouched, other);

    for (version, to) in [(2, Candidate), (1, Candidate)] {
        let error = registry::move_stage(&lake, &wish("menu", version, to), START)
            .await
            .unwrap_err();
        assert!(matches!(error, LakeError::StageRefused { .. }), "{error}");
    }
    let error = registry::move_stage(&lake, &wish("menu", 9, Live), START)
        .await
        .unwrap_err();
    assert!(matches!(error, LakeError::NoSuchModel { .. }), "{error}");
    assert_eq!(
        registry::get(&lake, &strategy("menu"), ModelVersion(9)).await.unwrap(),
        None
    );
    assert_eq!(
        lake.compact(&MODELS).await.unwrap().version,
        None,
        "models keep a file each"
    );
}

/// No version of the table shows two live models of one strategy, or loses a model or its artifact.
async fn check_history(lake: &Lake, from: i64, registered: &HashMap<(String, u32), Vec<u8>>) {
    let newest = lake.version(&MODELS).await.unwrap().unwrap();
    for version in from..=newest {
        let state = lake.table_at(&MODELS, version).await.unwrap();
        let most =
            "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM t WHERE stage = 'live' GROUP BY strategy)";
        assert!(number(state, most).await <= 1, "version {version}");
    }
    let all = registry::list(lake, None).await.unwrap();
    assert_eq!(all.len(), registered.len());
    for model in all {
        assert_eq!(
            &model.artifact,
            &registered[&(model.strategy.to_string(), model.version.0)]
        );
    }
}

async fn with_models(folder: &Path) -> (Lake, HashMap<(String, u32), Vec<u8>>, i64) {
    let lake = open(folder).await;
    let mut registered = HashMap::new();
    for name in ["menu", "price"] {
        for version in 1..=3 {
            let artifact = format!("{name} {version}").into_bytes();
            registry::register(&lake, model(name, artifact.clone()), START)
                .await
                .unwrap();
            registered.insert((name.to_owned(), version), artifact);
        }
    }
    let version = lake.version(&MODELS).await.unwrap().unwrap();
    (lake, registered, version)
}

fn any_move() -> impl Strategy<Value = StageMove> {
    let stages = prop_oneof![3 => Just(ModelStage::Live), 1 => Just(ModelStage::Retired)];
    (prop_oneof![Just("menu"), Just("price")], 1..=3_u32, stages)
        .prop_map(|(name, version, to)| wish(name, version, to))
}

#[test]
fn every_version_has_at_most_one_live_model_however_models_move() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases: 4,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    runner
        .run(&proptest::collection::vec(any_move(), 12), |moves| {
            runtime.block_on(async {
                let folder = tempdir().unwrap();
                let (lake, registered, from) = with_models(folder.path()).await;
                let mut expected: HashMap<(String, u32), ModelStage> = registered
                    .keys()
                    .map(|key| (key.clone(), ModelStage::Candidate))
                    .collect();
                for (idx, wish) in moves.iter().enumerate() {
                    let key = (wish.strategy.to_string(), wish.version.0);
                    let answer = registry::move_stage(&lake, wish, START + idx as i64).await;
                    if let Ok(StageMoved::Moved { retired }) = answer {
                        if let Some(ModelVersion(version)) = retired {
                            expected.insert((key.0.clone(), version), ModelStage::Retired);
                        }
                        expected.insert(key, wish.to);
                    } else {
                        assert_eq!(expected[&key], wish.to, "{answer:?}");
                    }
                }
                let stages = registry::list(&lake, None).await.unwrap();
                let found: HashMap<(String, u32), ModelStage> = stages
                    .iter()
                    .map(|model| ((model.strategy.to_string(), model.version.0), model.stage))
                    .collect();
                assert_eq!(found, expected);
                check_history(&lake, from, &registered).await;
            });
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_moves_and_registrations_come_one_after_the_other() {
    let folder = tempdir().unwrap();
    let (lake, mut registered, from) = with_models(folder.path()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4_u32 {
        let folder = folder.path().to_owned();
        tasks.spawn(async move {
            let lake = open(&folder).await;
            let artifact = format!("late {task}").into_bytes();
            let late = registry::register(&lake, model("menu", artifact.clone()), START)
                .await
                .unwrap();
            for step in 0..4 {
                let name = if (task + step) % 2 == 0 { "menu" } else { "price" };
                let _ = registry::move_stage(&lake, &wish(name, (task + step) % 3 + 1, ModelStage::Live), START)
                    .await
                    .unwrap();
            }
            (late.version.0, artifact)
        });
    }
    let mut versions = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (version, artifact) = done.unwrap();
        versions.push(version);
        registered.insert(("menu".to_owned(), version), artifact);
    }
    versions.sort_unstable();
    assert_eq!(versions, [4, 5, 6, 7], "each registration has a version of its own");
    check_history(&lake, from, &registered).await;
    assert_eq!(registry::live(&lake).await.unwrap().len(), 2);
}
