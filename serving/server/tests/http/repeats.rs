//! Decision ids that callers choose: a repeat gets the first answer.

use futures::future::join_all;

use crate::support::{DISH, Home, LATE};

fn body(id: &str, age: u32) -> String {
    format!(r#"{{"strategy":"dish","unit":"ada","context":{{"age":{age}}},"decision_id":"{id}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_answer_byte_for_byte() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let first = site.post("/v1/decide", &body("x", 1)).await;
    assert_eq!(first.json()["decision_id"], "x");
    let again = site.post("/v1/decide", &body("x", 2)).await;
    assert_eq!(first, again);
    site.server.flush().await.unwrap();
    assert_eq!(
        site.post("/v1/decide", &body("x", 3)).await,
        first,
        "also after the flush"
    );
    site.server.flush().await.unwrap();
    assert_eq!(site.decisions().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_at_the_same_time_are_one_decision() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    for round in 0..20 {
        let id = format!("round-{round}");
        let bodies: Vec<String> = (0..16).map(|age| body(&id, age)).collect();
        let answers = join_all(bodies.iter().map(|body| site.post("/v1/decide", body))).await;
        assert!(
            answers
                .iter()
                .all(|answer| *answer == answers[0] && answer.status == 200)
        );
    }
    assert_eq!(site.server.flush().await.unwrap().decisions, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_belongs_to_one_strategy() {
    let home = Home::new();
    let site = home.start_with(&[DISH, LATE]).await;
    site.ok("/v1/decide", &body("x", 1)).await;
    let refused = site
        .post("/v1/decide", r#"{"strategy":"late","unit":"p","decision_id":"x"}"#)
        .await;
    assert_eq!(refused.problem(), (409, "decision-id-conflict".into(), String::new()));
    assert!(
        refused.detail().contains("belongs to a decision of strategy `dish`"),
        "{}",
        refused.detail()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synced_acknowledgement_is_given_to_repeats_as_well() {
    let mut home = Home::new();
    home.settings.journal.decision_ack = lakeloop_config::Ack::Synced;
    let site = home.start_with(&[DISH]).await;
    let before = home.disk.n_syncs();
    let first = site.post("/v1/decide", &body("x", 1)).await;
    assert_eq!(first.status, 200);
    assert!(home.disk.n_syncs() > before, "answered after a sync");
    assert_eq!(site.post("/v1/decide", &body("x", 1)).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_get_the_first_answer_after_a_clean_restart() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let first = site.post("/v1/decide", &body("x", 1)).await;
    let made = site
        .ok("/v1/decide", r#"{"strategy":"dish","unit":"ada","context":{"age":1}}"#)
        .await;
    site.server.shutdown().await.unwrap();
    assert_eq!(site.decisions().await.len(), 2);

    let site = home.start().await;
    assert_eq!(site.post("/v1/decide", &body("x", 2)).await, first);
    let made_id = made["decision_id"].as_str().unwrap();
    assert_eq!(
        site.ok("/v1/decide", &body(made_id, 3)).await,
        made,
        "an id of the server that comes back"
    );
    site.server.shutdown().await.unwrap();
    assert_eq!(site.decisions().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_remembered_answers_is_bounded_also_after_a_restart() {
    let mut home = Home::new();
    home.settings.server.idempotency_entries = 2;
    let site = home.start_with(&[DISH]).await;
    let mut answers = Vec::new();
    for (second, id) in ["a", "b", "c"].into_iter().enumerate() {
        home.set_now(crate::support::NOON + second as i64);
        answers.push(site.post("/v1/decide", &body(id, 1)).await);
    }
    site.server.shutdown().await.unwrap();
    let site = home.start().await;
    assert_eq!(site.post("/v1/decide", &body("b", 2)).await, answers[1]);
    assert_eq!(site.post("/v1/decide", &body("c", 2)).await, answers[2]);
    site.server.shutdown().await.unwrap();
    assert_eq!(site.decisions().await.len(), 3);
    let site = home.start().await;
    site.ok("/v1/decide", &body("a", 2)).await;
    site.server.shutdown().await.unwrap();
    assert_eq!(
        site.decisions().await.len(),
        4,
        "`a` had left the map and was decided anew"
    );
}
