//! Features that are read from the lake while a decision waits.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use lakeloop_domain::{FeatureType, FeatureValue, FeatureViewName, Micros};
use lakeloop_lake::{Lake, TableName, feature_view_schema};
use serde_json::{Value, json};

use crate::support::{HOUR, Home, NOON};

pub const FLIGHT: &str = r#"
name = "flight"
description = "Will it be late?"
unit = "flight"
[decision]
kind = "yes_no"
default = false
[context]
origin = { type = "category", missing = "allowed", feature = false }
[features.weather]
entity = "origin"
freshness = "2h"
columns = { temp = "number", sky = { type = "category", when_missing = "unknown" } }
[features.plane]
entity = "unit"
columns = { age = { type = "number", when_missing = 7.5 } }
[outcome]
event = "late"
aggregation = "any"
window = "30m"
[policy]
kind = "threshold"
at = 0.5
"#;

/// One row: entity, event time, available at, temp, sky.
pub type Weather<'a> = (&'a str, Micros, Micros, Option<f64>, Option<&'a str>);

fn columns() -> Vec<(String, FeatureType)> {
    vec![
        ("temp".into(), FeatureType::Number),
        ("sky".into(), FeatureType::Category),
    ]
}

pub async fn add_weather(lake: &Lake, rows: &[Weather<'_>]) {
    let view = FeatureViewName::new("weather").unwrap();
    lake.create_feature_view(&view, &columns()).await.unwrap();
    let times = |times: Vec<Micros>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let batch = RecordBatch::try_new(
        feature_view_schema(&columns()),
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            times(rows.iter().map(|row| row.1).collect()),
            times(rows.iter().map(|row| row.2).collect()),
            Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.3))),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.4))),
        ],
    );
    let _ = lake
        .append(&TableName::Features(view), vec![batch.unwrap()], None)
        .await
        .unwrap();
}

pub fn ask(origin: &str, event_time: Micros) -> String {
    json!({"strategy": "flight", "unit": "UA1", "context": {"origin": origin}, "event_time": event_time}).to_string()
}

/// The served values of a logged decision by name, with the versions of the views.
pub async fn served(site: &crate::support::Site, answer: &Value) -> (Vec<FeatureValue>, Vec<(String, i64)>) {
    site.server.flush().await.unwrap();
    let id = answer["decision_id"].as_str().unwrap();
    let decisions = site.decisions().await;
    let logged = decisions
        .into_iter()
        .find(|row| row.decision_id.as_str() == id)
        .unwrap();
    let value = |name: &str| {
        let feature = logged.features.iter().find(|feature| &*feature.name == name).unwrap();
        feature.value.clone()
    };
    (vec![value("temp"), value("sky"), value("age")], logged.feature_versions)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_sees_what_was_known_at_its_own_time() {
    let mut home = Home::new();
    home.settings.server.allow_event_time = true;
    let lake = home.lake().await;
    add_weather(
        &lake,
        &[
            ("RDU", NOON, NOON, Some(20.0), Some("clear")),
            // Measured at one, known at half past one.
            ("RDU", NOON + HOUR, NOON + HOUR + HOUR / 2, Some(25.0), Some("rain")),
            ("LGA", NOON, NOON, Some(-3.5), None),
        ],
    )
    .await;
    let site = home.start_with(&[FLIGHT]).await;
    let number = FeatureValue::Number;
    let sky = |text: &str| FeatureValue::Category(text.into());
    let weather = vec![("weather".to_owned(), 1)];
    for (origin, at, expected, versions, missing) in [
        (
            "RDU",
            NOON - 1,
            vec![FeatureValue::Missing, sky("unknown"), number(7.5)],
            vec![],
            json!(["age", "sky", "temp"]),
        ),
        (
            "RDU",
            NOON,
            vec![number(20.0), sky("clear"), number(7.5)],
            weather.clone(),
            json!(["age"]),
        ),
        (
            "RDU",
            NOON + HOUR,
            vec![number(20.0), sky("clear"), number(7.5)],
            weather.clone(),
            json!(["age"]),
        ),
        (
            "RDU",
            NOON + HOUR + HOUR / 2,
            vec![number(25.0), sky("rain"), number(7.5)],
            weather.clone(),
            json!(["age"]),
        ),
        // Three hours after one o'clock is fresh enough, a microsecond later is not.
        (
            "RDU",
            NOON + 3 * HOUR,
            vec![number(25.0), sky("rain"), number(7.5)],
            weather.clone(),
            json!(["age"]),
        ),
        (
            "RDU",
            NOON + 3 * HOUR + 1,
            vec![FeatureValue::Missing, sky("unknown"), number(7.5)],
            vec![],
            json!(["age", "sky", "temp"]),
        ),
        (
            "LGA",
            NOON,
            vec![number(-3.5), sky("unknown"), number(7.5)],
            weather.clone(),
            json!(["age"]),
        ),
        (
            "XXX",
            NOON,
            vec![FeatureValue::Missing, sky("unknown"), number(7.5)],
            vec![],
            json!(["age", "sky", "temp"]),
        ),
    ] {
        let answer = site.ok("/v1/decide", &ask(origin, at)).await;
        assert_eq!(answer["missing_features"], missing, "{origin} at {at}");
        assert_eq!(served(&site, &answer).await, (expected, versions), "{origin} at {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_are_cached_by_entity() {
    let mut home = Home::new();
    home.settings.server.allow_event_time = true;
    let lake = home.lake().await;
    add_weather(&lake, &[("RDU", NOON, NOON, Some(20.0), Some("clear"))]).await;
    let blueprint = FLIGHT.replace(
        "[features.plane]\nentity = \"unit\"\ncolumns = { age = { type = \"number\", when_missing = 7.5 } }\n",
        "",
    );
    let site = home.start_with(&[&blueprint]).await;
    for at in [NOON, NOON + 1, NOON + 2] {
        site.ok("/v1/decide", &ask("RDU", at)).await;
    }
    site.ok("/v1/decide", &ask("LGA", NOON)).await;
    // A decision without its entity looks nothing up.
    site.ok("/v1/decide", r#"{"strategy":"flight","unit":"UA1"}"#).await;
    let metrics = site.metrics().await;
    for line in [
        r#"lakeloop_feature_lookups_total{result="miss"} 2"#,
        r#"lakeloop_feature_lookups_total{result="hit"} 2"#,
        "lakeloop_feature_age_seconds_count 3",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_history_is_loaded_anew_once_it_is_old() {
    let mut home = Home::new();
    home.settings.features.refresh = Duration::from_millis(1);
    let lake = home.lake().await;
    add_weather(&lake, &[("RDU", NOON, NOON, Some(20.0), Some("clear"))]).await;
    let site = home.start_with(&[FLIGHT]).await;
    let ask = r#"{"strategy":"flight","unit":"UA1","context":{"origin":"RDU"}}"#;
    site.ok("/v1/decide", ask).await;
    add_weather(
        &lake,
        &[
            ("RDU", NOON, NOON, Some(21.0), Some("clear")),
            ("LGA", NOON, NOON, None, None),
        ],
    )
    .await;
    let newest = site
        .until("/v1/decide", ask, |answer| answer["missing_features"] == json!(["age"]))
        .await;
    let (_, versions) = served(&site, &newest).await;
    assert!(versions[0].1 >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_that_takes_too_long_serves_a_later_request() {
    let mut home = Home::new();
    home.settings.features.load_timeout = Duration::ZERO;
    let lake = home.lake().await;
    add_weather(&lake, &[("RDU", NOON, NOON, Some(20.0), Some("clear"))]).await;
    let site = home.start_with(&[FLIGHT]).await;
    let ask = r#"{"strategy":"flight","unit":"UA1","context":{"origin":"RDU"}}"#;
    site.until("/v1/decide", ask, |answer| answer["missing_features"] == json!(["age"]))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_fails_is_missing_and_not_asked_for_each_decision() {
    let home = Home::new();
    // Neither view has a table.
    let site = home.start_with(&[FLIGHT]).await;
    let ask = r#"{"strategy":"flight","unit":"UA1","context":{"origin":"RDU"}}"#;
    for _ in 0..20 {
        let answer = site.ok("/v1/decide", ask).await;
        assert_eq!(answer["missing_features"], json!(["age", "sky", "temp"]));
    }
    let metrics = site.metrics().await;
    assert!(
        metrics.contains(r#"lakeloop_feature_lookups_total{result="failed"} 40"#),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_with_missing_features_are_the_same_after_a_restart() {
    let home = Home::new();
    let lake = home.lake().await;
    add_weather(&lake, &[("RDU", NOON, NOON, Some(20.0), Some("clear"))]).await;
    let site = home.start_with(&[FLIGHT]).await;
    let ask = r#"{"strategy":"flight","unit":"UA1","context":{"origin":"RDU"},"decision_id":"x"}"#;
    let first = site.post("/v1/decide", ask).await;
    assert_eq!(first.json()["missing_features"], json!(["age"]));
    site.server.shutdown().await.unwrap();
    assert_eq!(home.start().await.post("/v1/decide", ask).await, first);
}
