//! The snapshot job: what it builds tells what the table tells, and it builds nothing twice.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use lakeloop_domain::{FeatureColumn, FeatureType, FeatureValue, FeatureViewName, JobKind, Micros, RunState};
use lakeloop_lake::{TableName, feature_view_schema};
use lakeloop_pipeline::{PipelineError, RunEnd, run_job, run_snapshot};
use lakeloop_snapshot::{FolderLock, Snapshot, newest};
use lakeloop_sql::feature_history;
use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::{Home, MINUTE, START};

const LATE: &str = r#"
name = "late"
description = "Will it be late?"
unit = "flight"
[decision]
kind = "yes_no"
default = false
[context]
origin = { type = "category", missing = "allowed", feature = false }
[features.weather]
entity = "origin"
columns = { sky = "category", temp = "number" }
[outcome]
event = "late"
aggregation = "any"
window = "30m"
[policy]
kind = "threshold"
at = 0.5
"#;

fn weather() -> FeatureViewName {
    FeatureViewName::new("weather").unwrap()
}

/// Rows of ten airports at random instants; some of them at the same, with other values.
async fn add_rows(home: &Home, n_rows: usize, seed: u64) {
    let columns = vec![
        ("temp".to_owned(), FeatureType::Number),
        ("wet".to_owned(), FeatureType::Boolean),
        ("sky".to_owned(), FeatureType::Category),
    ];
    home.lake.create_feature_view(&weather(), &columns).await.unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let event_times: Vec<Micros> = (0..n_rows).map(|_| START + rng.random_range(0..20) * MINUTE).collect();
    let available_at = event_times.iter().map(|at| at + rng.random_range(0..3) * MINUTE);
    let times = |times: Vec<Micros>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let available_at = times(available_at.collect());
    let skies = ["clear", "rain", "fog"];
    let batch = RecordBatch::try_new(
        feature_view_schema(&columns),
        vec![
            Arc::new(StringArray::from_iter_values(
                (0..n_rows).map(|_| format!("A{}", rng.random_range(0..10))),
            )),
            times(event_times),
            available_at,
            Arc::new(Float64Array::from_iter((0..n_rows).map(|_| {
                [None, Some(f64::NAN), Some(1.5), Some(-0.0)][rng.random_range(0..4)]
            }))),
            Arc::new(BooleanArray::from_iter(
                (0..n_rows).map(|_| [None, Some(true)][rng.random_range(0..2)]),
            )),
            Arc::new(StringArray::from_iter((0..n_rows).map(|_| {
                let sky: usize = rng.random_range(0..4);
                skies.get(sky)
            }))),
        ],
    );
    let table = TableName::Features(weather());
    let _ = home.lake.append(&table, vec![batch.unwrap()], None).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_never_tells_what_the_table_would_not() {
    let home = Home::new(LATE, "").await;
    add_rows(&home, 60, 3).await;
    add_rows(&home, 60, 4).await;
    let outcome = run_job(&home.jobs, JobKind::Snapshot, None, None).await.unwrap();
    assert_eq!(outcome.end, RunEnd::Ran(RunState::Succeeded), "{}", outcome.detail);
    let stored = newest(&home.jobs.settings.features.snapshot_dir, &weather())
        .unwrap()
        .unwrap();
    let snapshot = Snapshot::open(&stored.path).unwrap();
    assert_eq!((snapshot.table_version(), snapshot.built_at()), (2, START));

    let column = |name: &str, feature_type| FeatureColumn {
        name: name.into(),
        feature_type,
        when_missing: FeatureValue::Missing,
    };
    // Another order than the table's.
    let columns = [
        column("sky", FeatureType::Category),
        column("temp", FeatureType::Number),
    ];
    let positions = columns
        .each_ref()
        .map(|column| snapshot.column_idx(&column.name, column.feature_type).unwrap());
    let (mut n_told, mut n_untold) = (0, 0);
    for entity in (0..11).map(|idx| format!("A{idx}")) {
        let history = feature_history(&home.lake, &weather(), &entity, &columns)
            .await
            .unwrap();
        let row = snapshot.get(&entity).unwrap();
        assert_eq!(row.is_none(), history.rows.is_empty(), "{entity}");
        let Some(row) = row else { continue };
        for minute in -1..25 {
            let at = START + minute * MINUTE;
            if !row.counts_at(at) {
                n_untold += 1;
                continue;
            }
            let known = history.as_of(at, None).unwrap();
            let values = positions.map(|position| FeatureValue::from(row.value(position).unwrap()));
            assert_eq!(
                (row.event_time(), values.as_slice()),
                (known.event_time, known.values.as_slice()),
                "{entity}"
            );
            n_told += 1;
        }
    }
    assert!(n_told > 20 && n_untold > 20, "{n_told} {n_untold}");
}

#[tokio::test]
async fn only_what_is_needed_is_built_and_only_the_newest_kept() {
    let home = Home::new(LATE, "").await;
    let run = async || run_job(&home.jobs, JobKind::Snapshot, None, None).await.unwrap();
    let files = || -> Vec<String> {
        let folder = home.jobs.settings.features.snapshot_dir.join("weather");
        let names = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    };
    assert_eq!(
        run().await.end,
        RunEnd::Ran(RunState::Skipped),
        "the view has no table yet"
    );
    add_rows(&home, 5, 1).await;
    assert_eq!(run().await.end, RunEnd::Ran(RunState::Succeeded));
    assert_eq!(run().await.end, RunEnd::Ran(RunState::Skipped), "nothing came");
    add_rows(&home, 5, 2).await;
    assert_eq!(run().await.end, RunEnd::Ran(RunState::Succeeded));
    assert_eq!(files(), ["2.snapshot"]);
    home.lake.compact(&TableName::Features(weather())).await.unwrap();
    assert_eq!(
        run().await.end,
        RunEnd::Ran(RunState::Skipped),
        "merging files brings no rows"
    );

    let path = home.jobs.settings.features.snapshot_dir.join("weather/2.snapshot");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "torn").unwrap();
    assert_eq!(
        run().await.end,
        RunEnd::Ran(RunState::Succeeded),
        "a damaged one is built again"
    );
    assert_eq!(files(), ["3.snapshot"]);

    let asked = run_snapshot(&home.jobs, Some(&weather())).await.unwrap();
    assert_eq!(asked.end, RunEnd::Ran(RunState::Skipped));
    let unknown = FeatureViewName::new("whether").unwrap();
    let error = run_snapshot(&home.jobs, Some(&unknown)).await.unwrap_err();
    assert!(matches!(error, PipelineError::UnknownView { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "no feature view `whether` has a table; there are: `weather`"
    );
}

#[tokio::test]
async fn one_process_at_a_time_builds_in_a_folder() {
    let home = Home::new(LATE, "").await;
    add_rows(&home, 5, 1).await;
    let lock = FolderLock::try_take(&home.jobs.settings.features.snapshot_dir)
        .unwrap()
        .unwrap();
    let held = run_job(&home.jobs, JobKind::Snapshot, None, None).await.unwrap();
    assert_eq!(held.end, RunEnd::Held { until: None });
    drop(lock);
    let outcome = run_job(&home.jobs, JobKind::Snapshot, None, None).await.unwrap();
    assert_eq!(outcome.end, RunEnd::Ran(RunState::Succeeded));
    assert!(
        home.ask("SELECT run_id FROM latest_job_runs").await.is_empty(),
        "snapshots are each home's own affair"
    );
}
