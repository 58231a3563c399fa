//! Feature snapshots: they answer what the lake would, and where they cannot tell, the lake does.

use lakeloop_domain::{FeatureType, FeatureViewName, Micros, ValueRef};
use lakeloop_snapshot::{Column, SnapshotWriter, Source};
use serde_json::{Value, json};

use crate::features::{FLIGHT, Weather, add_weather, ask, served};
use crate::support::{HOUR, Home, NOON, Site};

fn view() -> FeatureViewName {
    FeatureViewName::new("weather").unwrap()
}

/// Builds the snapshot of a table's version; rows may differ from the table's, so that it shows who answered.
fn build(home: &Home, table_version: i64, rows: &[Weather<'_>]) -> std::path::PathBuf {
    let source = Source {
        view: view(),
        table_version,
        built_at: NOON,
    };
    let columns = [("temp", FeatureType::Number), ("sky", FeatureType::Category)].map(|(name, feature_type)| Column {
        name: name.to_owned(),
        feature_type,
    });
    let dir = &home.settings.features.snapshot_dir;
    let mut writer = SnapshotWriter::new(dir, source, columns.into(), 1 << 20).unwrap();
    for (entity, event_time, available_at, temp, sky) in rows {
        let values = [
            temp.map_or(ValueRef::Missing, ValueRef::Number),
            sky.map_or(ValueRef::Missing, ValueRef::Category),
        ];
        writer.push(entity, *event_time, *available_at, &values).unwrap();
    }
    writer.finish().unwrap().path
}

/// The number of lookups that ended so.
async fn lookups(site: &Site, result: &str) -> u64 {
    let line = format!("lakeloop_feature_lookups_total{{result=\"{result}\"}} ");
    let text = site.metrics().await;
    let count = text.lines().find_map(|text| text.strip_prefix(&line));
    count.map_or(0, |count| count.parse().unwrap())
}

async fn temp(site: &Site, origin: &str, at: Micros) -> Value {
    let answer = site.ok("/v1/decide", &ask(origin, at)).await;
    let (values, _) = served(site, &answer).await;
    json!(values[0].as_number())
}

/// Returns once the server has the snapshot of this version in use.
async fn in_use(site: &Site, table_version: i64) {
    let line = format!("lakeloop_feature_snapshot_version{{view=\"weather\"}} {table_version}");
    let waiting = async { while !site.metrics().await.contains(&line) {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting)
        .await
        .unwrap();
}

/// A home with rows in the table, and a snapshot whose temperatures are a thousand higher.
async fn home_with_snapshot() -> Home {
    let mut home = Home::new();
    home.settings.server.allow_event_time = true;
    let lake = home.lake().await;
    let rows = [
        ("RDU", NOON, NOON, Some(20.0), Some("clear")),
        ("RDU", NOON + HOUR, NOON + HOUR + HOUR / 2, Some(25.0), Some("rain")),
        ("LGA", NOON, NOON, None, None),
    ];
    add_weather(&lake, &rows).await;
    build(
        &home,
        1,
        &[
            ("RDU", NOON + HOUR, NOON + HOUR + HOUR / 2, Some(1025.0), Some("rain")),
            ("LGA", NOON, NOON, None, None),
        ],
    );
    home
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_answers_only_for_the_moments_it_can_tell() {
    let home = home_with_snapshot().await;
    let site = home.start_with(&[FLIGHT]).await;
    in_use(&site, 1).await;
    let at = |half_hours: i64| NOON + half_hours * HOUR / 2;
    for (origin, at, expected, what) in [
        ("RDU", at(3), json!(1025.0), "the latest row is known: the snapshot"),
        (
            "RDU",
            at(2),
            json!(20.0),
            "it had happened and was not available: the table",
        ),
        ("RDU", at(1), json!(20.0), "it had not happened: the table"),
        ("RDU", at(6), json!(25.0), "the table's whole history is cached by now"),
        ("RDU", at(6) + 1, Value::Null, "too old for the view's freshness"),
        ("LGA", at(0), Value::Null, "a row without a value"),
        ("JFK", at(0), Value::Null, "no row at all"),
    ] {
        assert_eq!(temp(&site, origin, at).await, expected, "{what}");
    }
    // RDU once, LGA and JFK once; the planes have no table.
    assert_eq!((lookups(&site, "snapshot").await, lookups(&site, "miss").await), (3, 1));
    let metrics = site.metrics().await;
    for line in [
        "lakeloop_feature_snapshot_entities{view=\"weather\"} 2",
        "lakeloop_feature_snapshot_changed_entities{view=\"weather\"} 0",
        "lakeloop_feature_snapshot_load_seconds_count 1",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    let answer = site.ok("/v1/decide", &ask("LGA", at(0))).await;
    assert_eq!(answer["missing_features"], json!(["age", "temp"]));
    let (_, versions) = served(&site, &answer).await;
    assert_eq!(
        versions,
        [("weather".to_owned(), 1)],
        "the version of the row that was read is logged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_with_newer_rows_are_asked_of_the_table() {
    let home = home_with_snapshot().await;
    let site = home.start_with(&[FLIGHT]).await;
    in_use(&site, 1).await;
    let later = NOON + 2 * HOUR;
    add_weather(&site.lake, &[("LGA", later, later, Some(-1.0), None)]).await;
    let line = "lakeloop_feature_snapshot_changed_entities{view=\"weather\"} 1";
    let waiting = async { while !site.metrics().await.contains(line) {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting)
        .await
        .unwrap();
    assert_eq!(
        temp(&site, "LGA", later).await,
        json!(-1.0),
        "the table, which has the new row"
    );
    assert_eq!(
        temp(&site, "RDU", later).await,
        json!(1025.0),
        "the snapshot, as before"
    );
    // The next snapshot knows both.
    build(&home, 2, &[("LGA", later, later, Some(999.0), None)]);
    in_use(&site, 2).await;
    assert_eq!(temp(&site, "JFK", later).await, Value::Null);
    assert!(
        site.metrics()
            .await
            .contains("lakeloop_feature_snapshot_changed_entities{view=\"weather\"} 0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_left_alone_and_its_successor_is_used() {
    let home = home_with_snapshot().await;
    let path = build(&home, 1, &[("RDU", NOON, NOON, Some(1.0), None)]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let site = home.start_with(&[FLIGHT]).await;
    assert_eq!(temp(&site, "RDU", NOON).await, json!(20.0), "the table answers");
    assert_eq!(lookups(&site, "snapshot").await, 0);
    add_weather(&site.lake, &[("LGA", NOON, NOON, None, None)]).await;
    build(&home, 2, &[("JFK", NOON, NOON, Some(7.0), None)]);
    in_use(&site, 2).await;
    assert_eq!(temp(&site, "JFK", NOON).await, json!(7.0));
}
