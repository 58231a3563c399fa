//! Appends happen once, whoever else appends or compacts, and old versions stay readable.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use arrow::array::AsArray as _;
use arrow::datatypes::DataType;
use lakeloop_lake::{Append, LakeError, TableName};
use support::{MINUTE_US, START, counts, decisions, newest, number, open, sequence};
use tempfile::tempdir;

const DECISIONS: TableName = TableName::Decisions;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_batch_is_answered_and_not_written_again() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let first = lake
        .append(&DECISIONS, vec![decisions(0..10)], sequence("journal", 1))
        .await
        .unwrap();
    assert_eq!(first, Append::Committed { version: 1 });
    let again = lake
        .append(&DECISIONS, vec![decisions(0..10)], sequence("journal", 1))
        .await
        .unwrap();
    assert_eq!(again, Append::AlreadyCommitted);

    // A process that starts anew knows it too, and so does one that was open all the while.
    let reopened = open(folder.path()).await;
    let later = reopened
        .append(&DECISIONS, vec![decisions(10..20)], sequence("journal", 5))
        .await
        .unwrap();
    assert_eq!(later, Append::Committed { version: 2 });
    for version in 1..=5 {
        for lake in [&lake, &reopened] {
            let batch = vec![decisions(90..99)];
            let answer = lake
                .append(&DECISIONS, batch, sequence("journal", version))
                .await
                .unwrap();
            assert_eq!(answer, Append::AlreadyCommitted, "batch {version}");
        }
    }
    // Writers count for themselves.
    let other = lake
        .append(&DECISIONS, vec![decisions(20..30)], sequence("import", 1))
        .await
        .unwrap();
    assert_eq!(other, Append::Committed { version: 3 });

    assert_eq!(counts(&lake, &DECISIONS, "decision_id").await, (30, 30));
    assert_eq!(reopened.last_sequence(&DECISIONS, "journal").await.unwrap(), Some(5));
    assert_eq!(reopened.last_sequence(&DECISIONS, "import").await.unwrap(), Some(1));
    assert_eq!(reopened.last_sequence(&DECISIONS, "nobody").await.unwrap(), None);
    let parquet = std::fs::read_dir(folder.path().join("decisions")).unwrap();
    let parquet = parquet.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|e| e == "parquet")
    });
    assert_eq!(parquet.count(), 3, "what was not committed left no file behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_outlive_checkpoints() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    assert_eq!(
        lake.append(&DECISIONS, vec![decisions(0..1)], sequence("early", 7))
            .await
            .unwrap(),
        Append::Committed { version: 1 }
    );
    for idx in 1..=120 {
        let _ = lake
            .append(&DECISIONS, vec![decisions(idx..idx + 1)], sequence("journal", idx))
            .await
            .unwrap();
    }
    let log = folder.path().join("decisions/_delta_log");
    assert!(
        log.join("_last_checkpoint").exists(),
        "the hundredth commit writes a checkpoint"
    );
    assert!(log.join("00000000000000000099.checkpoint.parquet").exists());
    let reopened = open(folder.path()).await;
    assert_eq!(reopened.last_sequence(&DECISIONS, "early").await.unwrap(), Some(7));
    assert_eq!(reopened.last_sequence(&DECISIONS, "journal").await.unwrap(), Some(120));
    assert_eq!(counts(&reopened, &DECISIONS, "decision_id").await, (121, 121));
    // Versions from before the checkpoint stay readable.
    let past = reopened.table_at(&DECISIONS, 50).await.unwrap();
    assert_eq!(number(past, "SELECT count(*) FROM t").await, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_without_rows_still_counts() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    assert_eq!(
        lake.append(&DECISIONS, vec![], None).await.unwrap(),
        Append::Committed { version: 0 }
    );
    assert_eq!(
        lake.append(&DECISIONS, vec![decisions(0..0)], sequence("journal", 1))
            .await
            .unwrap(),
        Append::Committed { version: 1 }
    );
    let again = lake
        .append(&DECISIONS, vec![decisions(0..5)], sequence("journal", 1))
        .await
        .unwrap();
    assert_eq!(again, Append::AlreadyCommitted);
    assert_eq!(counts(&lake, &DECISIONS, "decision_id").await, (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appenders_and_compactions_lose_and_double_nothing() {
    let folder = tempdir().unwrap();
    let (n_writers, n_batches, n_rows) = (4, 12, 25);
    open(folder.path()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..n_writers {
        let folder = folder.path().to_owned();
        tasks.spawn(async move {
            let lake = open(&folder).await;
            for batch in 0..n_batches {
                let start = (writer * n_batches + batch) * n_rows;
                let rows = || vec![decisions(start..start + n_rows)];
                let writer = || sequence(&format!("writer-{writer}"), batch);
                assert!(matches!(
                    lake.append(&DECISIONS, rows(), writer()).await.unwrap(),
                    Append::Committed { .. }
                ));
                // What a crash before the acknowledgement would make it do.
                assert_eq!(
                    lake.append(&DECISIONS, rows(), writer()).await.unwrap(),
                    Append::AlreadyCommitted
                );
            }
        });
    }
    // Two compactions at a time, which compete for the same files.
    for _ in 0..2 {
        let folder = folder.path().to_owned();
        tasks.spawn(async move {
            let lake = open(&folder).await;
            for _ in 0..8 {
                lake.compact(&DECISIONS).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let lake = open(folder.path()).await;
    let expected = n_writers * n_batches * n_rows;
    assert_eq!(counts(&lake, &DECISIONS, "decision_id").await, (expected, expected));

    // Nor did any version on the way hold a row twice.
    let newest_version = lake.version(&DECISIONS).await.unwrap().unwrap();
    for version in 0..=newest_version {
        let past = lake.table_at(&DECISIONS, version).await.unwrap();
        let doubled = "SELECT count(*) - count(DISTINCT decision_id) FROM t";
        assert_eq!(number(past, doubled).await, 0, "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_keeps_rows_their_order_and_the_past() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    // Late files first: order in the table is by time, not by arrival.
    for start in [60, 40, 20, 0] {
        let _ = lake
            .append(&DECISIONS, vec![decisions(start..start + 20)], None)
            .await
            .unwrap();
    }
    let before = lake.version(&DECISIONS).await.unwrap().unwrap();
    let done = lake.compact(&DECISIONS).await.unwrap();
    assert_eq!((done.n_files_removed, done.n_files_added), (4, 1));
    assert_eq!(done.version, Some(before + 1));
    assert_eq!(
        lake.compact(&DECISIONS).await.unwrap().version,
        None,
        "one file is not merged again"
    );

    let table = newest(&lake, &DECISIONS).await;
    let rows = support::sql(table, "SELECT decision_id FROM t").await;
    let mut ids = Vec::new();
    for batch in &rows {
        let texts = arrow::compute::cast(batch.column(0), &DataType::Utf8).unwrap();
        ids.extend(texts.as_string::<i32>().iter().map(|id| id.unwrap().to_owned()));
    }
    assert_eq!(ids, (0..80).map(|idx| format!("d-{idx}")).collect::<Vec<_>>());
    let past = lake.table_at(&DECISIONS, before).await.unwrap();
    assert_eq!(number(past, "SELECT count(*) FROM t").await, 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_read_as_they_were() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    for idx in 0..3 {
        let _ = lake
            .append(&DECISIONS, vec![decisions(idx * 10..idx * 10 + 10)], None)
            .await
            .unwrap();
    }
    for version in 0..=3 {
        let past = lake.table_at(&DECISIONS, version).await.unwrap();
        assert_eq!(number(past, "SELECT count(*) FROM t").await, version * 10);
    }
    for missing in [4, 400, -1] {
        let error = lake.table_at(&DECISIONS, missing).await.unwrap_err();
        assert!(
            matches!(
                error,
                LakeError::NoSuchVersion {
                    oldest: 0,
                    newest: 3,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(
            error.to_string(),
            format!("`decisions` has no version {missing}; it can be read at 0 to 3")
        );
    }
    // Another process's commits are seen without opening the lake again.
    let other = open(folder.path()).await;
    let _ = other.append(&DECISIONS, vec![decisions(30..40)], None).await.unwrap();
    assert_eq!(lake.version(&DECISIONS).await.unwrap(), Some(4));
    assert_eq!(counts(&lake, &DECISIONS, "decision_id").await, (40, 40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_outside_a_time_range_are_not_opened() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    for idx in 0..5 {
        let _ = lake
            .append(&DECISIONS, vec![decisions(idx * 10..idx * 10 + 10)], None)
            .await
            .unwrap();
    }
    let session = datafusion::prelude::SessionContext::new();
    let provider = newest(&lake, &DECISIONS).await.table_provider().await.unwrap();
    session.register_table("t", provider).unwrap();
    let from = chrono::DateTime::from_timestamp_micros(START + 12 * MINUTE_US)
        .unwrap()
        .to_rfc3339();
    let to = chrono::DateTime::from_timestamp_micros(START + 15 * MINUTE_US)
        .unwrap()
        .to_rfc3339();
    let text = format!("SELECT decision_id FROM t WHERE event_time >= '{from}' AND event_time <= '{to}'");
    let frame = session.sql(&text).await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let shown = datafusion::physical_plan::displayable(plan.as_ref())
        .indent(true)
        .to_string();
    assert_eq!(shown.matches(".parquet").count(), 1, "{shown}");
    let rows = datafusion::physical_plan::collect(plan, session.task_ctx())
        .await
        .unwrap();
    assert_eq!(
        rows.iter()
            .map(arrow::record_batch::RecordBatch::num_rows)
            .sum::<usize>(),
        4
    );
}
