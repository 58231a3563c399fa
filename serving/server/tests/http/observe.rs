//! `POST /v1/observe`.

use lakeloop_domain::OutcomeValue;
use serde_json::json;

use crate::support::{DISH, HOUR, Home, NOON};

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_by_decision_and_by_unit_reach_the_lake() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let one = r#"{"decision_id":"d1","event":"ordered","outcome_id":"o1"}"#;
    assert_eq!(
        site.ok("/v1/observe", one).await,
        json!({"accepted": 1, "outcome_ids": ["o1"]})
    );
    let many = r#"{"outcomes":[
        {"strategy":"dish","unit":"ada","event":"ordered","value":false},
        {"decision_id":"d2","event":"spent","value":12.5,"outcome_id":"o3"},
        {"decision_id":"d2","event":"picked","value":"ramen","outcome_id":"o4"}]}"#;
    assert_eq!(site.ok("/v1/observe", many).await["accepted"], 3);
    assert_eq!(site.server.flush().await.unwrap().outcomes, 4);

    let outcomes = site.outcomes().await;
    let value_of = |id: &str| {
        let outcome = outcomes
            .iter()
            .find(|outcome| outcome.outcome_id.as_str() == id)
            .unwrap();
        outcome.value.clone()
    };
    assert_eq!(value_of("o1"), OutcomeValue::Number(1.0));
    assert_eq!(value_of("o3"), OutcomeValue::Number(12.5));
    assert_eq!(value_of("o4"), OutcomeValue::Category("ramen".into()));
    let by_unit = outcomes.iter().find(|outcome| outcome.unit.is_some()).unwrap();
    assert_eq!(by_unit.strategy.as_ref().unwrap().as_str(), "dish");
    assert_eq!(by_unit.decision_id, None);
    assert_eq!(by_unit.value, OutcomeValue::Number(0.0));
    assert_eq!((by_unit.event_time, by_unit.received_at), (NOON, NOON));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_report_has_the_same_id_and_a_late_one_is_taken() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let report = r#"{"decision_id":"d1","event":"ordered"}"#;
    let first = site.ok("/v1/observe", report).await;
    home.set_now(NOON + 48 * HOUR);
    let again = site.ok("/v1/observe", report).await;
    assert_eq!(first, again);
    let other = site
        .ok("/v1/observe", r#"{"decision_id":"d1","event":"ordered","value":2}"#)
        .await;
    assert_ne!(first["outcome_ids"], other["outcome_ids"]);
    site.server.flush().await.unwrap();
    let outcomes = site.outcomes().await;
    let mut received: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.outcome_id.as_str() == first["outcome_ids"][0])
        .map(|outcome| outcome.received_at)
        .collect();
    received.sort_unstable();
    assert_eq!(
        received,
        [NOON, NOON + 48 * HOUR],
        "both are kept; readers count the first"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mistake_refuses_the_whole_body() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let many = r#"{"outcomes":[
        {"decision_id":"d1","event":"ordered"},
        {"strategy":"dish","unit":"ada","event":"ordered","value":[1]}]}"#;
    let refused = site.post("/v1/observe", many).await;
    assert_eq!(
        refused.problem(),
        (422, "invalid-value".into(), "outcomes[1].value".into())
    );
    assert_eq!(site.server.flush().await.unwrap().outcomes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_do_not_fit_are_refused_by_name() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    for (body, status, field, detail) in [
        (
            r#"{"event":"ordered"}"#,
            422,
            "decision_id",
            "names no decision; add `decision_id`, or `strategy` and `unit`",
        ),
        (r#"{"strategy":"dish","event":"ordered"}"#, 422, "unit", "has no `unit`"),
        (
            r#"{"unit":"ada","event":"ordered"}"#,
            422,
            "strategy",
            "has no `strategy`",
        ),
        (
            r#"{"decision_id":"d","strategy":"dish","unit":"ada","event":"ordered"}"#,
            422,
            "decision_id",
            "not both",
        ),
        (r#"{"decision_id":"d"}"#, 422, "event", "has no `event`"),
        (r#"{"decision_id":"d","event":""}"#, 422, "event", "1 to 256 bytes"),
        (
            r#"{"decision_id":"d","event":"e","value":"a\nb"}"#,
            422,
            "value",
            "control characters",
        ),
        (
            r#"{"decision_id":"d","event":"e","valu":1}"#,
            422,
            "valu",
            "did you mean `value`?",
        ),
        (
            r#"{"decision_id":"d","event":"e","event_time":1}"#,
            422,
            "event_time",
            "server.allow_event_time",
        ),
        (r#"{"outcomes":[],"event":"e"}"#, 422, "event", "is not known here"),
        (r#"{"outcomes":[]}"#, 422, "outcomes", "is empty"),
        (
            r#"{"strategy":"dsh","unit":"ada","event":"e"}"#,
            404,
            "",
            "did you mean `dish`?",
        ),
    ] {
        let refused = site.post("/v1/observe", body).await;
        let (found_status, _, found_field) = refused.problem();
        assert_eq!((found_status, found_field.as_str()), (status, field), "{body}");
        assert!(refused.detail().contains(detail), "{body}: {}", refused.detail());
    }
    assert_eq!(site.server.flush().await.unwrap().outcomes, 0);
}
