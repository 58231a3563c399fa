//! Every noun comes back from its table as it went in, bit for bit.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod nouns;

use arrow::record_batch::RecordBatch;
use lakeloop_domain::*;
use lakeloop_lake::rows::*;
use lakeloop_lake::{LakeError, TableName, schema};
use nouns::*;
use proptest::prelude::*;
use support::open;
use tempfile::tempdir;

/// Debug text tells -0.0 from 0.0, which equality does not.
fn same<T: std::fmt::Debug + PartialEq>(back: &[T], before: &[T]) {
    assert_eq!(back, before);
    assert_eq!(format!("{back:?}"), format!("{before:?}"));
}

/// Through the columns, and through string views as DataFusion may hand them out.
fn check<T: std::fmt::Debug + PartialEq>(
    table: TableName,
    nouns: &[T],
    to_batch: impl Fn(&[T]) -> Result<RecordBatch, LakeError>,
    from_batch: impl Fn(&RecordBatch) -> Result<Vec<T>, LakeError>,
) {
    let batch = to_batch(nouns).unwrap();
    assert_eq!(batch.schema(), schema(&table).unwrap());
    same(&from_batch(&batch).unwrap(), nouns);
    let views = batch
        .schema_ref()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            let column = match column.data_type() {
                arrow::datatypes::DataType::Utf8 => {
                    arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8View).unwrap()
                }
                _ => column.clone(),
            };
            (field.name().clone(), column, true)
        });
    let views = RecordBatch::try_from_iter_with_nullable(views.collect::<Vec<_>>().into_iter().rev()).unwrap();
    same(&from_batch(&views).unwrap(), nouns);
    assert_eq!(from_batch(&to_batch(&[]).unwrap()).unwrap(), vec![]);
}

fn several<T: std::fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(one, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(7),
        ..ProptestConfig::default()
    })]

    #[test]
    fn decisions(nouns in several(any_decision())) {
        check(TableName::Decisions, &nouns, decisions_to_batch, decisions_from_batch);
    }

    #[test]
    fn outcomes(nouns in several(any_outcome())) {
        check(TableName::Outcomes, &nouns, outcomes_to_batch, outcomes_from_batch);
    }

    #[test]
    fn models(nouns in several(any_model())) {
        check(TableName::Models, &nouns, models_to_batch, models_from_batch);
    }

    #[test]
    fn trials(nouns in several(any_trial())) {
        check(TableName::Trials, &nouns, trials_to_batch, trials_from_batch);
    }

    #[test]
    fn training_sets(nouns in several(any_training_set())) {
        check(TableName::TrainingSets, &nouns, training_sets_to_batch, training_sets_from_batch);
    }

    #[test]
    fn training_rows(nouns in several(any_training_row())) {
        check(TableName::TrainingRows, &nouns, training_rows_to_batch, training_rows_from_batch);
    }

    #[test]
    fn job_runs(nouns in several(any_job_run())) {
        check(TableName::JobRuns, &nouns, job_runs_to_batch, job_runs_from_batch);
    }
}

#[test]
fn booleans_come_back_as_the_numbers_that_models_see() {
    let mut decision = support::decision(1);
    decision.features = [
        FeatureValue::Boolean(true),
        FeatureValue::Boolean(false),
        FeatureValue::Missing,
    ]
    .into_iter()
    .enumerate()
    .map(|(idx, value)| NamedValue {
        name: format!("b{idx}").into(),
        feature_type: FeatureType::Boolean,
        value,
    })
    .collect();
    let back = decisions_from_batch(&decisions_to_batch(&[decision]).unwrap()).unwrap();
    let values: Vec<_> = back[0]
        .features
        .iter()
        .map(|feature| (feature.feature_type, feature.value.clone()))
        .collect();
    let number = |value| (FeatureType::Number, value);
    assert_eq!(
        values,
        [
            number(FeatureValue::Number(1.0)),
            number(FeatureValue::Number(0.0)),
            number(FeatureValue::Missing)
        ]
    );
}

#[test]
fn values_without_a_place_are_refused() {
    let mut decision = support::decision(1);
    decision.model_version = Some(ModelVersion(u32::MAX));
    let error = decisions_to_batch(&[decision]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`decisions`, column `model_version`: 4294967295 is larger than 2147483647"
    );

    let mut decision = support::decision(1);
    decision.features[0].value = FeatureValue::Category("warm".to_owned());
    let error = decisions_to_batch(&[decision]).unwrap_err();
    assert!(error.to_string().contains("feature `temp` is no number"), "{error}");
}

#[test]
fn stored_values_that_lakeloop_does_not_write_are_named() {
    let batch = decisions_to_batch(&[support::decision(1)]).unwrap();
    let with = |name: &str, text: &str| {
        let columns = batch
            .schema_ref()
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, old)| {
                let column = if field.name() == name {
                    std::sync::Arc::new(arrow::array::StringArray::from(vec![text])) as arrow::array::ArrayRef
                } else {
                    old.clone()
                };
                (field.name().clone(), column, true)
            });
        RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap()
    };
    for (column, text, expected) in [
        ("strategy", "No Slug", "no strategy name"),
        ("reason", "whim", "`whim` is none of its words"),
        ("policy", "{\"kind\":\"dice\"}", "dice"),
    ] {
        let error = decisions_from_batch(&with(column, text)).unwrap_err();
        assert!(
            matches!(&error, LakeError::Value { column: found, .. } if *found == column),
            "{error:?}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Through Parquet and the Delta log as well, in one file of many rows, also after compaction.
#[test]
fn decisions_and_outcomes_outlast_the_table() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let generate = |runner: &mut proptest::test_runner::TestRunner| {
        let decisions = proptest::collection::vec(any_decision(), 200).new_tree(runner).unwrap();
        let outcomes = proptest::collection::vec(any_outcome(), 200).new_tree(runner).unwrap();
        (
            proptest::strategy::ValueTree::current(&decisions),
            proptest::strategy::ValueTree::current(&outcomes),
        )
    };
    let (mut decisions, mut outcomes) = generate(&mut runner);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempdir().unwrap();
        let lake = open(folder.path()).await;
        for half in [0..100, 100..200] {
            let batch = decisions_to_batch(&decisions[half.clone()]).unwrap();
            let _ = lake.append(&TableName::Decisions, vec![batch], None).await.unwrap();
            let batch = outcomes_to_batch(&outcomes[half]).unwrap();
            let _ = lake.append(&TableName::Outcomes, vec![batch], None).await.unwrap();
        }
        // Order among rows is not kept by a table; text is an order of its own.
        decisions.sort_by_key(|row| format!("{row:?}"));
        outcomes.sort_by_key(|row| format!("{row:?}"));
        for round in 0..2 {
            let read =
                async |table: &TableName| support::sql(support::newest(&lake, table).await, "SELECT * FROM t").await;
            let rows = read(&TableName::Decisions).await;
            let mut back: Vec<_> = rows
                .iter()
                .flat_map(|batch| decisions_from_batch(batch).unwrap())
                .collect();
            back.sort_by_key(|row| format!("{row:?}"));
            same(&back, &decisions);
            let rows = read(&TableName::Outcomes).await;
            let mut back: Vec<_> = rows
                .iter()
                .flat_map(|batch| outcomes_from_batch(batch).unwrap())
                .collect();
            back.sort_by_key(|row| format!("{row:?}"));
            same(&back, &outcomes);
            if round == 0 {
                for table in [TableName::Decisions, TableName::Outcomes] {
                    assert_eq!(lake.compact(&table).await.unwrap().n_files_removed, 2);
                }
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_in_the_table_as_declared_and_maps_answer_by_key() {
    let folder = tempdir().unwrap();
    let lake = open(folder.path()).await;
    for table in TableName::ALL {
        let state = support::newest(&lake, &table).await;
        assert_eq!(
            state.snapshot().unwrap().snapshot().arrow_schema(),
            schema(&table).unwrap(),
            "{table}"
        );
    }
    let _ = lake
        .append(&TableName::Decisions, vec![support::decisions(0..4)], None)
        .await
        .unwrap();
    let text = "SELECT decision_id, numeric['temp'] AS temp, numeric['humidity'] AS humidity, numeric['none'] AS none, \
                categorical['city'] AS city, feature_versions['items'] AS items, actions[2] AS action, scores[1] AS score \
                FROM t WHERE numeric['temp'] >= 0.5 ORDER BY decision_id";
    let rows = support::sql(support::newest(&lake, &TableName::Decisions).await, text).await;
    let shown = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
    let expected = "\
+-------------+------+----------+------+------+-------+--------+-------+
| decision_id | temp | humidity | none | city | items | action | score |
+-------------+------+----------+------+------+-------+--------+-------+
| d-1         | 0.5  |          |      | Ulm  | 7     | salad  | 0.25  |
| d-2         | 1.0  |          |      | Ulm  | 7     | salad  | 0.25  |
| d-3         | 1.5  |          |      | Ulm  | 7     | salad  | 0.25  |
+-------------+------+----------+------+------+-------+--------+-------+";
    assert_eq!(shown, expected);
}
