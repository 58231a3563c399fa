//! `POST /v1/decide` and `/v1/decide/batch`.

use lakeloop_domain::{Choice, DecisionReason, FeatureType, FeatureValue, Policy};
use serde_json::json;

use crate::support::{DISH, Home, LATE, NOON, SECOND};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_what_is_logged() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let body = r#"{"strategy":"dish","unit":"ada","context":{"city":"pune","age":41}}"#;
    let answer = site.ok("/v1/decide", body).await;
    assert_eq!(answer["strategy"], "dish");
    assert_eq!(answer["reason"], "explore");
    assert_eq!(answer["propensity"], 0.25);
    assert_eq!(answer["scores"], json!([]));
    assert_eq!(answer["model_version"], json!(null));
    assert!(answer.get("value").is_none() && answer.get("missing_features").is_none());

    assert_eq!(site.decisions().await.len(), 0, "not in the lake before a flush");
    assert_eq!(site.server.flush().await.unwrap().decisions, 1);
    let logged = site.decisions().await.remove(0);
    assert_eq!(logged.decision_id.as_str(), answer["decision_id"]);
    assert_eq!(logged.blueprint_version.as_str(), answer["blueprint_version"]);
    assert_eq!(logged.choice, Choice::Action(answer["action"].as_str().unwrap().into()));
    assert_eq!((logged.event_time, logged.received_at), (NOON, NOON));
    assert_eq!(logged.unit.as_str(), "ada");
    assert_eq!(logged.reason, DecisionReason::Explore);
    assert_eq!(logged.policy, Some(Policy::EpsilonGreedy { epsilon: 1.0 }));
    assert_eq!(logged.actions, ["ramen", "tacos", "pizza", "sushi"]);
    let value_of = |name: &str| {
        let feature = logged.features.iter().find(|feature| &*feature.name == name).unwrap();
        feature.value.clone()
    };
    assert_eq!(value_of("age"), FeatureValue::Number(41.0));
    assert_eq!(value_of("vegetarian"), FeatureValue::Missing);
    assert_eq!(value_of("city"), FeatureValue::Category("pune".into()));
    site.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn however_a_body_is_written_it_means_the_same() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    // Scanned, scanned with the context before the strategy, and parsed because of escapes and of a null.
    let bodies = [
        r#"{"strategy":"dish","unit":"Zoë","decision_id":"0","context":{"age":41.25,"vegetarian":true,"city":"pune"}}"#,
        r#" {"context" : {"city":"pune","vegetarian":true , "age":4.125e1},"decision_id":"1","unit":"Zoë","strategy":"dish"} "#,
        r#"{"strategy":"dish","unit":"Zo\u00eb","decision_id":"2","context":{"age":41.250,"vegetarian":true,"c\u0069ty":"pune"}}"#,
        r#"{"strategy":"dish","unit":"Zoë","decision_id":"3","event_time":null,"context":{"vegetarian":true,"age":41.25,"city":"p\u0075ne"}}"#,
    ];
    for body in bodies {
        site.ok("/v1/decide", body).await;
    }
    let batch = bodies.map(|body| body.replace("decision_id\":\"", "decision_id\":\"batch-"));
    site.ok("/v1/decide/batch", &format!(r#"{{"decisions":[{}]}}"#, batch.join(",")))
        .await;
    site.ok(
        "/v1/decide/batch",
        &format!(r#"{{"decisions":[{}]}}"#, batch[..2].join(",")),
    )
    .await;
    site.server.flush().await.unwrap();
    let logged = site.decisions().await;
    assert_eq!(logged.len(), 8, "a repeat is not logged");
    for decision in &logged {
        assert_eq!(decision.unit.as_str(), "Zoë");
        assert_eq!(decision.features, logged[0].features);
    }
    assert_eq!(logged[0].features[0].value, FeatureValue::Number(41.25));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_the_default_is_certain() {
    let home = Home::new();
    let site = home.start_with(&[LATE]).await;
    let answer = site.ok("/v1/decide", r#"{"strategy":"late","unit":"p1"}"#).await;
    assert_eq!(answer["action"], "no");
    assert_eq!(answer["reason"], "no_model");
    assert_eq!(answer["propensity"], 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_answered_as_a_value() {
    let blueprint = r#"
name = "eta"
description = "Minutes to arrival"
unit = "parcel"
[decision]
kind = "number"
default = 12.5
[context]
distance = "number"
[outcome]
event = "arrived"
type = "number"
aggregation = "last"
window = "2h"
"#;
    let home = Home::new();
    let site = home.start_with(&[blueprint]).await;
    let body = r#"{"strategy":"eta","unit":"p1","context":{"distance":3}}"#;
    let answer = site.ok("/v1/decide", body).await;
    assert_eq!(answer["value"], 12.5);
    assert!(answer.get("action").is_none());
    site.server.flush().await.unwrap();
    assert_eq!(site.decisions().await[0].choice, Choice::Number(12.5));
}

#[tokio::test(flavor = "multi_thread")]
async fn server_made_ids_are_different_and_each_decides_for_itself() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let mut ids = std::collections::HashSet::new();
    let mut actions = std::collections::HashSet::new();
    for _ in 0..100 {
        let answer = site
            .ok("/v1/decide", r#"{"strategy":"dish","unit":"a","context":{"age":1}}"#)
            .await;
        assert!(ids.insert(answer["decision_id"].as_str().unwrap().to_owned()));
        actions.insert(answer["action"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        actions.len(),
        4,
        "a hundred draws from four actions miss none but once in 10^12"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_in_order_and_logged_whole() {
    let home = Home::new();
    let site = home.start_with(&[DISH, LATE]).await;
    let body = r#"{"decisions":[
        {"strategy":"dish","unit":"ada","context":{"age":1},"decision_id":"x"},
        {"strategy":"late","unit":"p1"},
        {"strategy":"dish","unit":"bob","context":{"age":2},"decision_id":"x"}]}"#;
    let answer = site.ok("/v1/decide/batch", body).await;
    let answers = answer["decisions"].as_array().unwrap();
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0], answers[2], "the second decision `x` is the first one");
    assert_eq!(answers[1]["strategy"], "late");
    site.server.flush().await.unwrap();
    assert_eq!(site.decisions().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_one_mistake_logs_nothing() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let body = r#"{"decisions":[
        {"strategy":"dish","unit":"ada","context":{"age":1}},
        {"strategy":"dish","unit":"bob","context":{"age":"two"}}]}"#;
    let refused = site.post("/v1/decide/batch", body).await;
    assert_eq!(
        refused.problem(),
        (422, "invalid-value".into(), "decisions[1].context.age".into())
    );
    assert_eq!(site.server.flush().await.unwrap().decisions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_times_are_taken_only_where_they_are_allowed() {
    let mut home = Home::new();
    let body = r#"{"strategy":"late","unit":"p","event_time":"2026-02-28T12:00:00.5Z"}"#;
    let site = home.start_with(&[LATE]).await;
    let refused = site.post("/v1/decide", body).await;
    assert_eq!(refused.problem(), (422, "invalid-value".into(), "event_time".into()));
    assert!(
        refused.detail().contains("server.allow_event_time"),
        "{}",
        refused.detail()
    );
    site.server.shutdown().await.unwrap();

    home.settings.server.allow_event_time = true;
    let site = home.start().await;
    site.ok("/v1/decide", body).await;
    let micros = NOON - 5 * SECOND;
    let body = format!(r#"{{"strategy":"late","unit":"p","event_time":{micros}}}"#);
    site.ok("/v1/decide", &body).await;
    for wrong in ["\"yesterday\"", "-1", "1.5", "true", "999999999999999999"] {
        let body = format!(r#"{{"strategy":"late","unit":"p","event_time":{wrong}}}"#);
        let refused = site.post("/v1/decide", &body).await;
        assert_eq!(
            refused.problem(),
            (422, "invalid-value".into(), "event_time".into()),
            "{wrong}"
        );
    }
    site.server.flush().await.unwrap();
    let mut times: Vec<_> = site
        .decisions()
        .await
        .iter()
        .map(|row| (row.event_time, row.received_at))
        .collect();
    times.sort_unstable();
    let day = 86_400 * SECOND;
    assert_eq!(times, [(NOON - day + SECOND / 2, NOON), (micros, NOON)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_do_not_fit_are_refused_by_name() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    for (body, status, slug, field, detail) in [
        ("{", 400, "malformed", "", "line 1 column 1"),
        ("[]", 400, "malformed", "", "the body is a list; send a JSON object"),
        ("{\"strategy\":1e999}", 400, "malformed", "", "number out of range"),
        (
            "{}",
            422,
            "invalid-value",
            "strategy",
            "the body has no `strategy`; add it",
        ),
        (
            r#"{"strategy":"dish"}"#,
            422,
            "invalid-value",
            "unit",
            "the body has no `unit`",
        ),
        (
            r#"{"strategy":"dish","unit":null}"#,
            422,
            "invalid-value",
            "unit",
            "the body has no `unit`",
        ),
        (
            r#"{"strategy":"dish","unit":7}"#,
            422,
            "invalid-value",
            "unit",
            "`unit` is the number 7; expected a text",
        ),
        (
            r#"{"strategy":"dish","unit":""}"#,
            422,
            "invalid-value",
            "unit",
            "is no unit",
        ),
        (
            r#"{"strategy":"dish","unit":"a","unit":"b"}"#,
            422,
            "invalid-value",
            "unit",
            "given twice",
        ),
        (
            r#"{"strategy":"dish","unit":"a","contxt":{}}"#,
            422,
            "invalid-value",
            "contxt",
            "did you mean `context`?",
        ),
        (
            r#"{"strategy":"dish","unit":"a","context":[]}"#,
            422,
            "invalid-value",
            "context",
            "`context` is a list; expected an object",
        ),
        (
            r#"{"strategy":"dish","unit":"a","context":{"age":"x"}}"#,
            422,
            "invalid-value",
            "context.age",
            "`age` is the text \"x\"; expected a number",
        ),
        (
            r#"{"strategy":"dish","unit":"a","context":{"age":1,"vegetaran":true}}"#,
            422,
            "invalid-value",
            "context.vegetaran",
            "did you mean `vegetarian`?",
        ),
        (
            r#"{"strategy":"dish","unit":"a","context":{}}"#,
            422,
            "invalid-value",
            "context.age",
            "`age` is missing",
        ),
        (
            r#"{"strategy":"dish","unit":"a","context":{"age":1},"decision_id":"a\u0000b"}"#,
            422,
            "invalid-value",
            "decision_id",
            "is no decision id",
        ),
        (
            r#"{"strategy":"dsh","unit":"a"}"#,
            404,
            "unknown-strategy",
            "",
            "did you mean `dish`?",
        ),
        (
            r#"{"strategy":"weather","unit":"a"}"#,
            404,
            "unknown-strategy",
            "",
            "known are `dish`",
        ),
    ] {
        let refused = site.post("/v1/decide", body).await;
        assert_eq!(refused.problem(), (status, slug.into(), field.into()), "{body}");
        assert!(refused.detail().contains(detail), "{body}: {}", refused.detail());
    }
    for (body, field) in [
        ("{}", "decisions"),
        (r#"{"decisions":[]}"#, "decisions"),
        (r#"{"decisions":7}"#, "decisions"),
        (r#"{"decisions":[7]}"#, "decisions[0]"),
    ] {
        let refused = site.post("/v1/decide/batch", body).await;
        assert_eq!(refused.problem(), (422, "invalid-value".into(), field.into()), "{body}");
    }
    assert_eq!(site.server.flush().await.unwrap().decisions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_without_strategies_says_what_to_do() {
    let home = Home::new();
    let site = home.start().await;
    let refused = site.post("/v1/decide", r#"{"strategy":"dish","unit":"a"}"#).await;
    assert_eq!(refused.problem().0, 404);
    assert!(refused.detail().contains("lakeloop apply"), "{}", refused.detail());
    assert_eq!(site.get("/v1/strategies").await.json(), json!({"strategies": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_force_can_be_listed() {
    let home = Home::new();
    let site = home.start_with(&[LATE, DISH]).await;
    let list = site.get("/v1/strategies").await.json();
    let names: Vec<_> = list["strategies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["strategy"])
        .collect();
    assert_eq!(names, ["dish", "late"]);
    let dish = &list["strategies"][0];
    assert_eq!(dish["decision"]["kind"], "choose");
    assert_eq!(
        dish["context"][2],
        json!({"name": "vegetarian", "type": FeatureType::Boolean, "missing_allowed": true})
    );
    assert_eq!(dish["applied_at"], "2026-03-01T12:00:00.000000Z");
    assert_eq!(dish["model_version"], json!(null));
}
