//! What is not a lake, cannot be written, or is broken gives one clear error and stays as it was.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use deltalake::kernel::{PrimitiveType, StructField};
use deltalake::operations::create::CreateBuilder;
use lakeloop_domain::{FeatureType, FeatureViewName};
use lakeloop_lake::{LakeError, TableName};
use support::{counts, decisions, open, try_open};
use tempfile::tempdir;

const DECISIONS: TableName = TableName::Decisions;

/// Every file below a folder with its bytes.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_that_are_no_lake_are_left_alone() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "mine").unwrap();
    let before = contents(folder.path());
    let error = try_open(folder.path()).await.err().unwrap();
    assert!(matches!(error, LakeError::NotALake { .. }));
    let text = error.to_string();
    assert!(
        text.contains("thesis.txt") && text.contains(folder.path().to_str().unwrap()),
        "{text}"
    );
    assert!(text.contains("name a new or empty folder"), "{text}");
    assert_eq!(contents(folder.path()), before);

    let file = folder.path().join("thesis.txt");
    for place in [file.clone(), file.join("lake")] {
        let error = try_open(&place).await.err().unwrap();
        assert!(
            matches!(&error, LakeError::NotALake { found, .. } if found.contains("is a file")),
            "{error}"
        );
    }
    for (location, found) in [
        ("", "empty"),
        ("ftp://host/lake", "not at ftp://"),
        ("memory:///lake", "not at memory://"),
    ] {
        let error = lakeloop_lake::Lake::open(location, Default::default())
            .await
            .err()
            .unwrap();
        assert!(error.to_string().contains(found), "{location}: {error}");
    }

    // A folder with a table's name and somebody's files in it.
    let lake = tempdir().unwrap();
    std::fs::create_dir(lake.path().join("decisions")).unwrap();
    std::fs::write(lake.path().join("decisions/part.parquet"), "x").unwrap();
    let error = try_open(lake.path()).await.err().unwrap();
    assert!(
        matches!(&error, LakeError::NotALake { found, .. } if found.contains("part.parquet")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_files_are_no_strangers() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join(".gitignore"), "*").unwrap();
    assert_eq!(open(folder.path()).await.version(&DECISIONS).await.unwrap(), Some(0));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_lake_is_read_and_not_written() {
    use std::os::unix::fs::PermissionsExt as _;
    fn set_mode(folder: &Path, mode: u32) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                set_mode(&path, mode);
            }
        }
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let folder = tempdir().unwrap();
    let written = open(folder.path()).await;
    let _ = written.append(&DECISIONS, vec![decisions(0..3)], None).await.unwrap();
    set_mode(folder.path(), 0o555);
    let binds = std::fs::write(folder.path().join("probe"), "").is_err();
    if !binds {
        set_mode(folder.path(), 0o755);
        println!("skipped: permissions do not bind this user");
        return;
    }
    let lake = open(folder.path()).await;
    assert_eq!(counts(&lake, &DECISIONS, "decision_id").await, (3, 3));
    let error = lake.append(&DECISIONS, vec![decisions(3..6)], None).await.unwrap_err();
    assert!(matches!(error, LakeError::ReadOnly { .. }), "{error:?}");
    assert!(
        error.to_string().contains("decisions") && error.to_string().contains("read-only"),
        "{error}"
    );
    let below = try_open(&folder.path().join("new")).await.err().unwrap();
    assert!(matches!(below, LakeError::ReadOnly { .. }), "{below:?}");
    set_mode(folder.path(), 0o755);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_is_named_with_its_file() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    for idx in 0..3 {
        let _ = lake
            .append(&DECISIONS, vec![decisions(idx..idx + 1)], None)
            .await
            .unwrap();
    }
    let log = folder.path().join("decisions/_delta_log");
    let second = log.join("00000000000000000002.json");
    let whole = std::fs::read_to_string(&second).unwrap();

    std::fs::write(&second, &whole[..whole.len() / 2]).unwrap();
    let error = try_open(folder.path()).await.err().unwrap();
    assert!(matches!(error, LakeError::Damaged { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(second.to_str().unwrap()) && text.contains("version 2 is no log entry"),
        "{text}"
    );
    assert!(text.contains("restore"), "{text}");

    std::fs::remove_file(&second).unwrap();
    let error = try_open(folder.path()).await.err().unwrap();
    assert!(error.to_string().contains("version 2 is missing"), "{error}");

    std::fs::write(&second, whole).unwrap();
    assert_eq!(
        counts(&open(folder.path()).await, &DECISIONS, "decision_id").await,
        (3, 3)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_vanished_is_not_written_on() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let _ = lake.append(&DECISIONS, vec![decisions(0..1)], None).await.unwrap();
    std::fs::remove_dir_all(folder.path().join("decisions")).unwrap();
    let error = lake.append(&DECISIONS, vec![decisions(1..2)], None).await.unwrap_err();
    assert!(matches!(error, LakeError::Vanished { .. }), "{error:?}");
    assert!(
        !folder.path().join("decisions/_delta_log").exists(),
        "no log without its beginning"
    );
}

async fn foreign_decisions(folder: &Path, partitioned: bool) {
    let columns = [
        StructField::new(
            "decision_id",
            deltalake::kernel::DataType::Primitive(PrimitiveType::String),
            false,
        ),
        StructField::new(
            "strategy",
            deltalake::kernel::DataType::Primitive(PrimitiveType::Integer),
            false,
        ),
    ];
    let table = folder.join("decisions");
    std::fs::create_dir_all(&table).unwrap();
    let mut create = CreateBuilder::new()
        .with_location(table.to_str().unwrap())
        .with_columns(columns);
    if partitioned {
        create = create.with_partition_columns(["strategy"]);
    }
    create.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_other_columns_is_never_written() {
    for (partitioned, expected) in [
        (false, "column 1 is `strategy` Int32 not null"),
        (true, "partitioned by strategy"),
    ] {
        let folder = tempdir().unwrap();
        foreign_decisions(folder.path(), partitioned).await;
        let before = contents(&folder.path().join("decisions"));
        let error = try_open(folder.path()).await.err().unwrap();
        assert!(matches!(error, LakeError::SchemaDiffers { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().contains("move that folder away"), "{error}");
        assert_eq!(contents(&folder.path().join("decisions")), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_change_under_an_open_lake_stop_it() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let table = support::newest(&lake, &DECISIONS).await;
    let extra = StructField::new(
        "extra",
        deltalake::kernel::DataType::Primitive(PrimitiveType::Long),
        true,
    );
    table.add_columns().with_fields([extra]).await.unwrap();
    let error = lake.append(&DECISIONS, vec![decisions(0..1)], None).await.unwrap_err();
    assert!(
        matches!(&error, LakeError::SchemaDiffers { difference, .. } if difference.contains("extra")),
        "{error:?}"
    );
    let parquet = contents(&folder.path().join("decisions"));
    assert!(
        parquet.iter().all(|(path, _)| !path.ends_with(".parquet")),
        "nothing is left behind"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_do_not_fit_are_refused_whole() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let good = decisions(0..2);
    let replace = |name: &str, column: ArrayRef| {
        let columns = good
            .schema_ref()
            .fields()
            .iter()
            .zip(good.columns())
            .map(|(field, old)| {
                let column = if field.name() == name {
                    Arc::clone(&column)
                } else {
                    Arc::clone(old)
                };
                (field.name().clone(), column)
            });
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    };
    let cases: Vec<(RecordBatch, &str)> = vec![
        (good.project(&[0, 1, 2]).unwrap(), "column `model_version` is absent"),
        (
            replace("strategy", Arc::new(Int64Array::from(vec![1, 2]))),
            "column `strategy` is Int64, expected Utf8",
        ),
        (
            replace("unit", new_null_array(&DataType::Utf8, 2)),
            "column `unit` has a null",
        ),
        (
            replace(
                "event_time",
                Arc::new(TimestampMicrosecondArray::from(vec![0, i64::MAX]).with_timezone("UTC")),
            ),
            "outside the years 1 to 9999",
        ),
        (
            replace("event_time", Arc::new(TimestampMicrosecondArray::from(vec![0, 1]))),
            "column `event_time` is Timestamp",
        ),
        (
            RecordBatch::try_from_iter([("colour", Arc::new(StringArray::from(vec!["red"])) as ArrayRef)]).unwrap(),
            "column `colour` is none of the table's",
        ),
    ];
    for (batch, expected) in cases {
        let error = lake
            .append(&DECISIONS, vec![good.clone(), batch], None)
            .await
            .unwrap_err();
        assert!(matches!(error, LakeError::RowsDiffer { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(lake.version(&DECISIONS).await.unwrap(), Some(0));

    // The same columns in another order and as string views are the same rows.
    let views = arrow::compute::cast(good.column(0), &DataType::Utf8View).unwrap();
    let reordered = replace("decision_id", views);
    let backwards: Vec<usize> = (0..reordered.num_columns()).rev().collect();
    let _ = lake
        .append(&DECISIONS, vec![reordered.project(&backwards).unwrap()], None)
        .await
        .unwrap();
    assert_eq!(counts(&lake, &DECISIONS, "decision_id").await, (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feature_views_are_created_once() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    let items = FeatureViewName::new("menu-items").unwrap();
    let view = TableName::Features(items.clone());
    assert_eq!(lake.feature_views().await.unwrap(), vec![]);
    assert!(lake.table(&view).await.unwrap().is_none());
    assert_eq!(lake.version(&view).await.unwrap(), None);
    let error = lake.append(&view, vec![], None).await.unwrap_err();
    assert!(matches!(error, LakeError::NoSuchTable { .. }), "{error:?}");

    let column = |name: &str, feature_type| (name.to_owned(), feature_type);
    let columns = [
        column("price", FeatureType::Number),
        column("vegan", FeatureType::Boolean),
    ];
    lake.create_feature_view(&items, &columns).await.unwrap();
    lake.create_feature_view(&items, &[columns[1].clone(), columns[0].clone()])
        .await
        .unwrap();
    assert_eq!(
        open(folder.path()).await.feature_views().await.unwrap(),
        vec![items.clone()]
    );

    let cases = [
        (vec![columns[0].clone()], "it has a column `vegan` more"),
        (
            vec![
                columns[0].clone(),
                columns[1].clone(),
                column("city", FeatureType::Category),
            ],
            "it has no column `city`",
        ),
        (
            vec![columns[0].clone(), column("vegan", FeatureType::Category)],
            "its column `vegan` is Boolean, not Utf8",
        ),
    ];
    for (columns, expected) in cases {
        let error = lake.create_feature_view(&items, &columns).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    for columns in [
        vec![],
        vec![column("a b", FeatureType::Number)],
        vec![column("Entity", FeatureType::Number)],
    ] {
        let other = FeatureViewName::new("other").unwrap();
        let error = lake.create_feature_view(&other, &columns).await.unwrap_err();
        assert!(matches!(error, LakeError::FeatureViewColumns { .. }), "{error:?}");
    }

    let instants = || Arc::new(TimestampMicrosecondArray::from(vec![1, 2]).with_timezone("UTC")) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("entity", Arc::new(StringArray::from(vec!["soup", "salad"])) as ArrayRef),
        ("event_time", instants()),
        ("available_at", instants()),
        (
            "price",
            Arc::new(arrow::array::Float64Array::from(vec![Some(4.5), None])),
        ),
        (
            "vegan",
            Arc::new(arrow::array::BooleanArray::from(vec![None, Some(true)])),
        ),
    ])
    .unwrap();
    let _ = lake.append(&view, vec![batch], None).await.unwrap();
    let _ = lake.compact(&view).await.unwrap();
    assert_eq!(counts(&lake, &view, "entity").await, (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_open_a_new_lake_at_once() {
    let folder = tempdir().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let folder = folder.path().join("lake");
        tasks.spawn(async move { open(&folder).await.version(&DECISIONS).await.unwrap() });
    }
    while let Some(version) = tasks.join_next().await {
        assert_eq!(version.unwrap(), Some(0));
    }
    let lake = open(&folder.path().join("lake")).await;
    for table in TableName::ALL {
        assert_eq!(lake.version(&table).await.unwrap(), Some(0), "{table} was created once");
    }
}
