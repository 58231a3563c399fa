//! A lake that an earlier version laid out goes on: its tables get the columns that they lack, and no row changes.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use arrow::record_batch::RecordBatch;
use deltalake::DeltaTable;
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake::operations::create::CreateBuilder;
use lakeloop_domain::*;
use lakeloop_lake::{Append, Lake, TableName, rows, schema};
use support::{decision, decisions, newest, open, sequence};
use tempfile::tempdir;

const ADDED: [&str; 7] = [
    "candidates",
    "ranking",
    "position_propensities",
    "blocked",
    "step",
    "rule_action",
    "model_action",
];

/// The batch as the first version had it.
fn of_first_version(batch: &RecordBatch) -> RecordBatch {
    let fields = batch.schema();
    let kept: Vec<usize> = (0..batch.num_columns())
        .filter(|idx| !ADDED.contains(&fields.field(*idx).name().as_str()))
        .collect();
    batch.project(&kept).unwrap()
}

/// The table `decisions` as the first version made it, with two rows.
async fn old_lake(folder: &Path) -> DeltaTable {
    let rows = of_first_version(&decisions(0..2));
    let columns: StructType = rows.schema().as_ref().try_into_kernel().unwrap();
    let table = folder.join("decisions");
    std::fs::create_dir_all(&table).unwrap();
    let created = CreateBuilder::new()
        .with_location(table.to_str().unwrap())
        .with_columns(columns.fields().cloned())
        .await
        .unwrap();
    created.write(vec![rows]).await.unwrap()
}

/// A decision that a cap and a ladder had a say in.
fn conditioned(idx: i64) -> DecisionRecord {
    DecisionRecord {
        reason: DecisionReason::Capped,
        conditions: Conditions {
            blocked: vec!["tacos".into()],
            step: Some(LadderStep::Exploration),
            rule_action: Some("tacos".into()),
            model_action: Some("ramen".into()),
        },
        ..decision(idx)
    }
}

/// A decision that ranked.
fn ranked(idx: i64) -> DecisionRecord {
    let candidate = |id: &str, price| Candidate {
        id: CandidateId::new(id).unwrap(),
        features: vec![NamedValue {
            name: "price".into(),
            feature_type: FeatureType::Number,
            value: price,
        }],
    };
    let position = Position {
        candidate: CandidateId::new("b").unwrap(),
        propensity: 0.95,
    };
    DecisionRecord {
        actions: Vec::new(),
        choice: Choice::Ranking(Ranking {
            candidates: vec![
                candidate("a", FeatureValue::Missing),
                candidate("b", FeatureValue::Number(-0.0)),
            ],
            positions: vec![position],
        }),
        ..decision(idx)
    }
}

async fn all(lake: &Lake) -> Vec<DecisionRecord> {
    let batches = support::sql(
        newest(lake, &TableName::Decisions).await,
        "SELECT * FROM t ORDER BY event_time",
    )
    .await;
    let read = batches
        .iter()
        .flat_map(|batch| rows::decisions_from_batch(batch).unwrap());
    read.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_lake_gets_the_columns_and_keeps_its_rows() {
    let folder = tempdir().unwrap();
    let before = old_lake(folder.path()).await.version().unwrap();
    let lake = open(folder.path()).await;
    assert_eq!(all(&lake).await, [decision(0), decision(1)]);
    let columns = newest(&lake, &TableName::Decisions)
        .await
        .snapshot()
        .unwrap()
        .snapshot()
        .arrow_schema();
    assert_eq!(Some(columns), schema(&TableName::Decisions));

    let batch = rows::decisions_to_batch(&[decision(2), ranked(3), conditioned(4)]).unwrap();
    let appended = lake
        .append(&TableName::Decisions, vec![batch], sequence("journal", 1))
        .await
        .unwrap();
    assert!(matches!(appended, Append::Committed { .. }));
    let expected = [decision(0), decision(1), decision(2), ranked(3), conditioned(4)];
    assert_eq!(all(&lake).await, expected);
    lake.compact(&TableName::Decisions).await.unwrap();
    assert_eq!(all(&lake).await, expected);

    // Opening again adds nothing, and the version from before can still be read as it was.
    let version = lake.version(&TableName::Decisions).await.unwrap();
    let again = open(folder.path()).await;
    assert_eq!(again.version(&TableName::Decisions).await.unwrap(), version);
    let past = again.table_at(&TableName::Decisions, before as i64).await.unwrap();
    let batches = support::sql(past, "SELECT * FROM t ORDER BY event_time").await;
    let read: Vec<_> = batches
        .iter()
        .flat_map(|batch| rows::decisions_from_batch(batch).unwrap())
        .collect();
    assert_eq!(read, [decision(0), decision(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_who_open_an_old_lake_at_once_add_the_columns_once() {
    let folder = tempdir().unwrap();
    let before = old_lake(folder.path()).await.version().unwrap();
    let opened = futures::future::join_all((0..4).map(|_| open(folder.path()))).await;
    for lake in &opened {
        assert_eq!(
            lake.version(&TableName::Decisions).await.unwrap(),
            Some(before as i64 + 1)
        );
        assert_eq!(all(lake).await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_running_learns_of_added_columns() {
    let folder = tempdir().unwrap();
    let early = open(folder.path()).await;
    let batch = decisions(0..1);
    let _ = early.append(&TableName::Decisions, vec![batch], None).await.unwrap();
    let late = open(folder.path()).await;
    let _ = late
        .append(&TableName::Decisions, vec![decisions(1..2)], None)
        .await
        .unwrap();
    assert_eq!(all(&early).await.len(), 2);
}
