//! What is written can be looked up: the latest row of each entity, and only that.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use lakeloop_domain::{FeatureType, FeatureValue, FeatureViewName, ValueRef};
use lakeloop_snapshot::{
    Built, Column, Snapshot, SnapshotError, SnapshotWriter, Source, folder_of, newest, remove_older,
};
use proptest::prelude::*;

fn columns() -> Vec<Column> {
    [
        ("temp", FeatureType::Number),
        ("wet", FeatureType::Boolean),
        ("sky", FeatureType::Category),
    ]
    .map(|(name, feature_type)| Column {
        name: name.to_owned(),
        feature_type,
    })
    .into()
}

fn source(table_version: i64) -> Source {
    Source {
        view: FeatureViewName::new("weather").unwrap(),
        table_version,
        built_at: 77,
    }
}

/// Entity, event time, available at, values.
type Given<'a> = (&'a str, i64, i64, [ValueRef<'a>; 3]);

fn build(root: &Path, max_buffered_bytes: usize, rows: &[Given<'_>]) -> Built {
    let mut writer = SnapshotWriter::new(root, source(5), columns(), max_buffered_bytes).unwrap();
    for (entity, event_time, available_at, cells) in rows {
        writer.push(entity, *event_time, *available_at, cells).unwrap();
    }
    writer.finish().unwrap()
}

/// Times and values of an entity's row.
fn found(snapshot: &Snapshot, entity: &str) -> Option<(i64, i64, Vec<FeatureValue>)> {
    let row = snapshot.get(entity).unwrap()?;
    let values = (0..3).map(|column_idx| row.value(column_idx).unwrap().into()).collect();
    Some((row.event_time(), row.available_at(), values))
}

const NOTHING: [ValueRef<'_>; 3] = [ValueRef::Missing; 3];

#[test]
fn the_latest_row_of_each_entity_is_found() {
    let root = tempfile::tempdir().unwrap();
    let rows = [
        (
            "RDU",
            20,
            20,
            [
                ValueRef::Number(25.0),
                ValueRef::Boolean(true),
                ValueRef::Category("rain"),
            ],
        ),
        (
            "RDU",
            10,
            10,
            [
                ValueRef::Number(20.0),
                ValueRef::Boolean(false),
                ValueRef::Category("clear"),
            ],
        ),
        (
            "LGA",
            10,
            15,
            [ValueRef::Number(-3.5), ValueRef::Missing, ValueRef::Category("")],
        ),
        (
            "",
            1,
            1,
            [ValueRef::Number(f64::NAN), ValueRef::Boolean(false), ValueRef::Missing],
        ),
    ];
    let built = build(root.path(), 1 << 20, &rows);
    assert_eq!((built.n_rows, built.n_entities), (4, 3));
    let snapshot = Snapshot::open(&built.path).unwrap();
    let sky = |text: &str| FeatureValue::Category(text.to_owned());
    for (entity, expected) in [
        (
            "RDU",
            Some((
                20,
                20,
                vec![FeatureValue::Number(25.0), FeatureValue::Boolean(true), sky("rain")],
            )),
        ),
        (
            "LGA",
            Some((10, 15, vec![FeatureValue::Number(-3.5), FeatureValue::Missing, sky("")])),
        ),
        (
            "",
            Some((
                1,
                1,
                vec![
                    FeatureValue::Missing,
                    FeatureValue::Boolean(false),
                    FeatureValue::Missing,
                ],
            )),
        ),
        ("JFK", None),
        ("RD", None),
    ] {
        assert_eq!(found(&snapshot, entity), expected, "{entity:?}");
    }
    assert_eq!(snapshot.view().as_str(), "weather");
    assert_eq!(
        (snapshot.table_version(), snapshot.built_at(), snapshot.n_entities()),
        (5, 77, 3)
    );
    assert_eq!(snapshot.column_idx("sky", FeatureType::Category), Some(2));
    assert_eq!(snapshot.column_idx("sky", FeatureType::Number), None);
    assert_eq!(snapshot.column_idx("wind", FeatureType::Number), None);
}

#[test]
fn a_row_counts_only_once_both_its_times_have_come() {
    let root = tempfile::tempdir().unwrap();
    let built = build(
        root.path(),
        1 << 20,
        &[("RDU", 10, 15, NOTHING), ("LGA", 15, 10, NOTHING)],
    );
    let snapshot = Snapshot::open(&built.path).unwrap();
    for entity in ["RDU", "LGA"] {
        let row = snapshot.get(entity).unwrap().unwrap();
        assert_eq!(
            [9, 10, 14, 15, 16].map(|at| row.counts_at(at)),
            [false, false, false, true, true]
        );
    }
}

#[test]
fn rows_with_the_same_times_and_other_values_are_for_the_table_to_decide() {
    let root = tempfile::tempdir().unwrap();
    let number = |number| [ValueRef::Number(number), ValueRef::Missing, ValueRef::Missing];
    let rows = [
        ("disputed", 10, 10, number(1.0)),
        ("disputed", 10, 10, number(2.0)),
        ("disputed", 10, 10, number(2.0)),
        ("repeated", 10, 10, number(1.0)),
        ("repeated", 10, 10, number(1.0)),
        ("settled", 10, 10, number(1.0)),
        ("settled", 10, 10, number(2.0)),
        ("settled", 11, 11, number(3.0)),
    ];
    for rows in [rows.to_vec(), rows.into_iter().rev().collect()] {
        let built = build(root.path(), 1 << 20, &rows);
        let snapshot = Snapshot::open(&built.path).unwrap();
        let counts = |entity: &str| snapshot.get(entity).unwrap().unwrap().counts_at(100);
        assert_eq!(["disputed", "repeated", "settled"].map(counts), [false, true, true]);
    }
}

#[test]
fn rows_that_do_not_fit_are_refused_and_leave_no_trace() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = SnapshotWriter::new(root.path(), source(1), columns(), 1 << 20).unwrap();
    writer.push("RDU", 1, 1, &NOTHING).unwrap();
    let narrow = writer.push("LGA", 1, 1, &[ValueRef::Missing]).unwrap_err();
    assert_eq!(
        narrow.to_string(),
        "a row of `LGA` has 1 values; the snapshot has 3 columns"
    );
    let other_type = writer.push(
        "LGA",
        1,
        1,
        &[ValueRef::Category("warm"), ValueRef::Missing, ValueRef::Missing],
    );
    assert_eq!(
        other_type.unwrap_err().to_string(),
        "a row of `LGA` has a value in column `temp` that is no number"
    );
    let text = "x".repeat(17 << 20);
    let large = writer.push(
        "LGA",
        1,
        1,
        &[ValueRef::Missing, ValueRef::Missing, ValueRef::Category(&text)],
    );
    assert!(matches!(large, Err(SnapshotError::RowSize { .. })));
    let built = writer.finish().unwrap();
    assert_eq!((built.n_rows, built.n_entities), (1, 1));
    assert_eq!(found(&Snapshot::open(&built.path).unwrap(), "LGA"), None);
}

#[test]
fn the_newest_is_found_and_older_ones_are_removed() {
    let root = tempfile::tempdir().unwrap();
    let view = source(0).view;
    assert_eq!(newest(root.path(), &view).unwrap(), None);
    for version in [9, 10, 2] {
        let writer = SnapshotWriter::new(root.path(), source(version), columns(), 1 << 20).unwrap();
        writer.finish().unwrap();
    }
    let folder = folder_of(root.path(), &view);
    std::fs::write(folder.join("notes.txt"), "kept").unwrap();
    // What a writer that was killed leaves.
    std::fs::write(folder.join(".unfinished-1"), "half").unwrap();
    let stored = newest(root.path(), &view).unwrap().unwrap();
    assert_eq!(stored.table_version, 10);
    let open = Snapshot::open(&stored.path).unwrap();
    remove_older(root.path(), &view, 11).unwrap();
    let mut left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["notes.txt"]);
    assert_eq!(
        open.get("RDU").unwrap().map(|row| row.event_time()),
        None,
        "what is open stays readable"
    );
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = SnapshotWriter::new(root.path(), source(1), columns(), 10).unwrap();
    writer.push("RDU", 1, 1, &NOTHING).unwrap();
    drop(writer);
    let folder = folder_of(root.path(), &source(1).view);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}

fn cell(column_idx: usize) -> BoxedStrategy<FeatureValue> {
    let value = match column_idx {
        0 => any::<i16>()
            .prop_map(|number| FeatureValue::Number(f64::from(number)))
            .boxed(),
        1 => any::<bool>().prop_map(FeatureValue::Boolean).boxed(),
        _ => "[a-zé]{0,6}".prop_map(FeatureValue::Category).boxed(),
    };
    prop_oneof![1 => Just(FeatureValue::Missing), 4 => value].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order of the rows, the room in memory and the number of entities: what is found is what a map keeps.
    #[test]
    fn lookups_agree_with_a_map(
        rows in prop::collection::vec(("[a-d]{1,3}", 0..20_i64, 0..3_i64, (cell(0), cell(1), cell(2))), 0..300),
        max_buffered_bytes in prop_oneof![Just(0_usize), Just(500), Just(1 << 20)],
    ) {
        // The instants of an entity's rows are told apart, so that the latest is one.
        let mut expected: BTreeMap<&str, (i64, i64, Vec<FeatureValue>)> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        let root = tempfile::tempdir().unwrap();
        let mut writer = SnapshotWriter::new(root.path(), source(1), columns(), max_buffered_bytes).unwrap();
        for (entity, event_time, delay, (a, b, c)) in &rows {
            let times = (*event_time, event_time + delay);
            if !seen.insert((entity, times)) {
                continue;
            }
            writer.push(entity, times.0, times.1, &[a.into(), b.into(), c.into()]).unwrap();
            let row = (times.0, times.1, vec![a.clone(), b.clone(), c.clone()]);
            let kept = expected.entry(entity).or_insert_with(|| row.clone());
            if (kept.0, kept.1) < times {
                *kept = row;
            }
        }
        let snapshot = Snapshot::open(&writer.finish().unwrap().path).unwrap();
        prop_assert_eq!(snapshot.n_entities(), expected.len() as u64);
        for (entity, row) in expected {
            prop_assert_eq!(found(&snapshot, entity), Some(row));
        }
        prop_assert_eq!(found(&snapshot, "e"), None);
    }
}
