//! Timestamps: sent as a text, seen by models as what comes again, through every door.

use lakeloop_domain::{EncodedColumn, Encoding, FeatureType, Features};
use serde_json::json;

use crate::models::{go_live, golden, model};
use crate::support::{Home, LATE, NOON};

/// `late` with a timestamp in place of four of its numbers.
fn blueprint() -> String {
    let numbers = ["b", "c", "d", "e"].map(|name| format!("{name} = {{ type = \"number\", missing = \"allowed\" }}\n"));
    let blueprint = LATE.replace(&numbers.concat(), "placed = \"timestamp\"\n");
    assert!(blueprint.contains("placed"));
    blueprint
}

fn numbers(features: &Features) -> Vec<(&str, Option<f64>)> {
    let named = features.iter();
    named
        .map(|feature| (&*feature.name, feature.value.as_number()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_sees_of_a_timestamp_is_logged_and_served_by_every_door() {
    let home = Home::new();
    let site = home.start_with(&[&blueprint()]).await;
    let mut served = model(golden("binary_logistic.ubj"));
    let column = |name: &str| EncodedColumn {
        name: name.into(),
        feature_type: FeatureType::Number,
        vocabulary: Vec::new(),
    };
    served.encoding = Encoding {
        columns: ["a", "placed.hour", "placed.weekday", "placed.day", "placed.age"]
            .map(column)
            .into(),
    };
    go_live(&site.lake, served).await;

    // 2026-03-01 is a Sunday; the decision is made at noon in UTC.
    let placed = "2026-03-01T12:59:59.5+01:00";
    let ask = json!({"strategy": "late", "unit": "p", "context": {"a": 0.5, "placed": placed}}).to_string();
    let answer = site
        .until("/v1/decide", &ask, |answer| !answer["model_version"].is_null())
        .await;
    let row = json!({"strategy": "late", "rows": [{"a": 0.5, "placed": placed}]}).to_string();
    let predicted = site.ok("/v1/predict", &row).await;
    assert_eq!(predicted["scores"][0][0], answer["scores"][0]);

    let metadata = site.get("/v2/models/late").await.json();
    let input = json!({"name": "placed", "datatype": "BYTES", "shape": [-1]});
    assert_eq!(metadata["inputs"][1], input);
    assert_eq!(metadata["inputs"].as_array().map(Vec::len), Some(2));
    let a = json!({"name": "a", "datatype": "FP64", "shape": [1], "data": [0.5]});
    let tensors = json!({"inputs": [a, {"name": "placed", "datatype": "BYTES", "shape": [1], "data": [placed]}]});
    let inferred = site.ok("/v2/models/late/infer", &tensors.to_string()).await;
    assert_eq!(inferred["outputs"][0]["data"][0], answer["scores"][0]);

    let flag = json!({"context": {"targetingKey": "p", "a": 0.5, "placed": placed}}).to_string();
    let flag = site.ok("/ofrep/v1/evaluate/flags/late", &flag).await;
    assert_eq!(flag["variant"], answer["action"]);

    let listed = site.get("/v1/strategies").await.json();
    assert_eq!(
        listed["strategies"][0]["context"][1],
        json!({"name": "placed", "type": "timestamp", "missing_allowed": false})
    );

    site.server.flush().await.unwrap();
    let expected = [
        ("a", Some(0.5)),
        ("placed", Some((NOON - 500_000) as f64)),
        ("placed.hour", Some(12.0 + 3_599.5 / 3_600.0)),
        ("placed.weekday", Some(6.0)),
        ("placed.day", Some(1.0)),
        ("placed.age", Some(0.5)),
    ];
    let decisions = site.decisions().await;
    assert!(decisions.len() >= 2, "{}", decisions.len());
    for decision in &decisions {
        assert_eq!(numbers(&decision.features), expected);
    }
}

const NEWS: &str = r#"
name = "news"
description = "Which article first?"
unit = "reader"
[decision]
kind = "rank"
[candidates]
published = "timestamp"
[outcome]
event = "read"
aggregation = "any"
window = "30m"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_a_candidate_is_that_at_the_decision() {
    let mut home = Home::new();
    home.settings.server.allow_event_time = true;
    let site = home.start_with(&[NEWS]).await;
    let candidate = |id: &str, published: &str| json!({"id": id, "context": {"published": published}});
    let candidates = [
        candidate("new", "2026-03-01T11:00:00Z"),
        candidate("old", "2026-02-01T12:00:00Z"),
    ];
    let ask = json!({"strategy": "news", "unit": "r", "candidates": candidates});
    site.ok("/v1/decide", &ask.to_string()).await;
    // One that is told when it was made is parsed rather than scanned.
    let mut earlier = ask.clone();
    earlier["event_time"] = json!("2026-03-01T11:00:00Z");
    site.ok("/v1/decide", &earlier.to_string()).await;
    let mut timeless = ask;
    timeless["candidates"][1]["context"] = json!({"published": "last month"});
    let refused = site.post("/v1/decide", &timeless.to_string()).await;
    assert_eq!(refused.status, 422);
    let refused = refused.json().to_string();
    assert!(refused.contains("candidates[1].context.published"), "{refused}");
    assert!(refused.contains("expected an RFC 3339 text"), "{refused}");

    site.server.flush().await.unwrap();
    let mut decisions = site.decisions().await;
    decisions.sort_by_key(|decision| decision.event_time);
    let ages = decisions.iter().map(|decision| {
        let lakeloop_domain::Choice::Ranking(ranking) = &decision.choice else {
            unreachable!("a ranking")
        };
        let age = |features: &Features| {
            let age = features.iter().find(|feature| &*feature.name == "published.age");
            age.and_then(|age| age.value.as_number()).unwrap()
        };
        let ages = ranking.candidates.iter().map(|candidate| age(&candidate.features));
        ages.collect::<Vec<f64>>()
    });
    let days = 28.0 * 86_400.0;
    assert_eq!(ages.collect::<Vec<_>>(), [[0.0, days - 3_600.0], [3_600.0, days]]);
}
