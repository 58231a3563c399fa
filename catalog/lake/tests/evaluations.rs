//! Evaluations are kept as they were made, once; applications keep their reason.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake::operations::create::CreateBuilder;
use lakeloop_domain::*;
use lakeloop_lake::blueprints::{self, Applied, Wish};
use lakeloop_lake::rows::{Evaluation, Verdict, blueprints_to_batch};
use lakeloop_lake::{Lake, TableName, evaluations};
use support::{START, blueprint, newest, open, strategy};
use tempfile::tempdir;

fn evaluation(id: &str, candidate: &str, at: Micros, value: Option<f64>) -> Evaluation {
    Evaluation {
        evaluation_id: EvaluationId::new(id).unwrap(),
        strategy: strategy("menu"),
        candidate: candidate.to_owned(),
        blueprint_version: BlueprintVersion::new("0123456789abcdef").unwrap(),
        model_version: value.map(|_| ModelVersion(3)),
        policy: "{\"kind\":\"greedy\"}".to_owned(),
        evaluated_at: at,
        as_of: at - 1,
        window_start: value.map(|_| at - 2),
        table_versions: vec![("decisions".to_owned(), 7)],
        estimator: "SNIPS".to_owned(),
        value,
        interval: value.map(|value| (value - 0.1, value + 0.1)),
        bootstrap: None,
        confidence: 0.95,
        logged_value: Some(0.25),
        gain: value.map(|value| value - 0.25),
        gain_interval: value.map(|value| (value - 0.35, value - 0.15)),
        verdict: if value.is_some() {
            Verdict::Better
        } else {
            Verdict::Refused
        },
        refusal: value.is_none().then(|| "too few rows".to_owned()),
        rules: "default".to_owned(),
        n_rows: 100,
        n_units: 60,
        effective_rows: Some(55.5),
        mean_weight: Some(1.01),
        max_weight: Some(8.0),
        overlap: Some(0.5),
        unsupported: Some(-0.0),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evaluations_read_back_as_they_were_made_and_count_once() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let first = [evaluation("e1", "bold", START + 1, Some(0.75))];
    let second = [evaluation("e2", "shy", START, None)];
    for estimates in [&first[..], &first, &second, &[]] {
        evaluations::record(&lake, estimates).await.unwrap();
    }
    let read = evaluations::history(&lake, &strategy("menu")).await.unwrap();
    assert_eq!(read, [second, first].concat());
    assert_eq!(evaluations::history(&lake, &strategy("door")).await.unwrap(), []);
    assert_eq!(lake.version(&TableName::Evaluations).await.unwrap(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_keeps_its_reason() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let version = |digit: u32| BlueprintVersion::new(format!("{digit:016x}")).unwrap();
    let _ = blueprints::apply(&lake, blueprint("menu", ""), version(1), "text", START)
        .await
        .unwrap();
    let wish = Wish {
        blueprint: blueprint("menu", "new"),
        version: version(2),
        source: "text 2".to_owned(),
        reason: Some("forced: an incident".to_owned()),
    };
    let Applied::New(forced) = blueprints::apply_wish(&lake, &wish, START + 1).await.unwrap() else {
        panic!("it is new")
    };
    assert_eq!((forced.sequence, &forced.version), (2, &version(2)));
    let kept = blueprints::applications(&lake, &strategy("menu")).await.unwrap();
    let reasons: Vec<Option<&str>> = kept.iter().map(|application| application.reason.as_deref()).collect();
    assert_eq!(reasons, [None, Some("forced: an incident")]);
    assert_eq!(kept[1].applied, forced);
}

/// A lake from before there were reasons and evaluations.
async fn old_lake(folder: &std::path::Path) {
    let applied = AppliedBlueprint {
        blueprint: blueprint("menu", "old"),
        version: BlueprintVersion::new("0123456789abcdef").unwrap(),
        sequence: 1,
        source: "text".to_owned(),
        applied_at: START,
    };
    let batch = blueprints_to_batch(&[applied]).unwrap();
    let first: Vec<usize> = (0..batch.num_columns() - 1).collect();
    let batch = batch.project(&first).unwrap();
    let columns: StructType = batch.schema().as_ref().try_into_kernel().unwrap();
    let table = folder.join("blueprints");
    std::fs::create_dir_all(&table).unwrap();
    let created = CreateBuilder::new()
        .with_location(table.to_str().unwrap())
        .with_columns(columns.fields().cloned())
        .await
        .unwrap();
    created.write(vec![batch]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_from_before_goes_on() {
    let folder = tempdir().unwrap();
    old_lake(folder.path()).await;
    let lake = open(folder.path()).await;
    let kept = blueprints::applications(&lake, &strategy("menu")).await.unwrap();
    assert_eq!((kept.len(), &kept[0].reason), (1, &None));
    assert_eq!(kept[0].applied.blueprint, blueprint("menu", "old"));
    evaluations::record(&lake, &[evaluation("e1", "bold", START, Some(0.5))])
        .await
        .unwrap();
    let wish = Wish {
        blueprint: blueprint("menu", "new"),
        version: BlueprintVersion::new("fedcba9876543210").unwrap(),
        source: String::new(),
        reason: Some("why not".to_owned()),
    };
    let _ = blueprints::apply_wish(&lake, &wish, START + 1).await.unwrap();
    let lake: Lake = open(folder.path()).await;
    assert_eq!(evaluations::history(&lake, &strategy("menu")).await.unwrap().len(), 1);
    let history = blueprints::applications(&lake, &strategy("menu")).await.unwrap();
    assert_eq!(history[1].reason.as_deref(), Some("why not"));
    let _ = newest(&lake, &TableName::Evaluations).await;
}
