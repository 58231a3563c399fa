//! What the server does not take, and what it says about itself.

use std::io;

use lakeloop_journal::Operation;
use lakeloop_server::ServerError;

use crate::support::{DISH, Home};

const ASK: &str = r#"{"strategy":"dish","unit":"ada","context":{"age":1}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn routes_and_methods_that_do_not_exist_are_problems_too() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let lost = site.get("/v1/decisions").await;
    assert_eq!(lost.problem(), (404, "unknown-route".into(), String::new()));
    for (method, path, allowed) in [
        ("GET", "/v1/decide", "POST"),
        ("PUT", "/v1/decide/batch", "POST"),
        ("GET", "/v1/observe", "POST"),
        ("GET", "/v1/predict", "POST"),
        ("GET", "/v1/admin/flush", "POST"),
        ("POST", "/v1/strategies", "GET"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/healthz", "GET"),
        ("POST", "/readyz", "GET"),
        ("POST", "/metrics", "GET"),
    ] {
        let refused = site.send(method, path, "").await;
        assert_eq!(
            refused.problem(),
            (405, "method-not-allowed".into(), String::new()),
            "{method} {path}"
        );
        assert_eq!(refused.allow.as_deref(), Some(allowed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused() {
    let mut home = Home::new();
    home.settings.server.max_body_bytes = 1000;
    let site = home.start_with(&[DISH]).await;
    let fits = format!(
        r#"{{"strategy":"dish","unit":"{}","context":{{"age":1}}}}"#,
        "u".repeat(200)
    );
    site.ok("/v1/decide", &fits).await;
    for path in ["/v1/decide", "/v1/decide/batch", "/v1/observe", "/v1/predict"] {
        let refused = site.post(path, &format!("{}{ASK}", " ".repeat(1000))).await;
        assert_eq!(refused.problem(), (413, "too-large".into(), String::new()), "{path}");
        assert!(refused.detail().contains("1000 bytes"), "{}", refused.detail());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_refuses_until_it_is_flushed() {
    let mut home = Home::new();
    home.settings.journal.segment_bytes = 4096;
    home.settings.journal.max_bytes = 8192;
    let site = home.start_with(&[DISH]).await;
    let mut n_taken = 0;
    let refused = loop {
        let answer = site.post("/v1/decide", ASK).await;
        if answer.status != 200 {
            break answer;
        }
        n_taken += 1;
    };
    assert!(n_taken > 10, "{n_taken}");
    assert_eq!(refused.problem(), (503, "journal-unavailable".into(), String::new()));
    assert_eq!(refused.retry_after.as_deref(), Some("2"));
    assert!(
        refused.detail().contains("nothing of this request was kept"),
        "{}",
        refused.detail()
    );
    // The journal of outcomes is another one.
    site.ok("/v1/observe", r#"{"decision_id":"d","event":"ordered"}"#).await;
    assert_eq!(site.ok("/v1/admin/flush", "").await["decisions"], n_taken);
    site.ok("/v1/decide", ASK).await;
    site.server.flush().await.unwrap();
    assert_eq!(site.decisions().await.len(), n_taken + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_is_forgotten_once_there_is_room() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    site.ok("/v1/decide", ASK).await;
    home.disk.limit(Some(0));
    for (path, body) in [
        ("/v1/decide", ASK),
        (
            "/v1/observe",
            r#"{"outcomes":[{"decision_id":"a","event":"e"},{"decision_id":"b","event":"e"}]}"#,
        ),
    ] {
        let refused = site.post(path, body).await;
        assert_eq!(
            refused.problem(),
            (503, "journal-unavailable".into(), String::new()),
            "{path}"
        );
        assert!(
            refused.detail().contains("disk of the journal is full"),
            "{}",
            refused.detail()
        );
    }
    home.disk.limit(None);
    site.ok("/v1/decide", ASK).await;
    let flushed = site.server.flush().await.unwrap();
    assert_eq!((flushed.decisions, flushed.outcomes), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_decision_id_is_free_again() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let body = r#"{"strategy":"dish","unit":"ada","context":{"age":1},"decision_id":"x"}"#;
    home.disk.limit(Some(0));
    assert_eq!(site.post("/v1/decide", body).await.status, 503);
    home.disk.limit(None);
    site.ok("/v1/decide", body).await;
    assert_eq!(site.server.flush().await.unwrap().decisions, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_to_sync_makes_the_server_unready() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    assert_eq!(site.get("/readyz").await.status, 200);
    home.disk.fail_after(Operation::Sync, 0, io::ErrorKind::Other);
    let refused = site
        .post("/v1/observe", r#"{"decision_id":"d","event":"ordered"}"#)
        .await;
    assert_eq!(refused.problem().0, 503);
    let unready = site.get("/readyz").await;
    assert_eq!(unready.problem(), (503, "not-ready".into(), String::new()));
    assert!(
        unready.detail().contains("the journal of outcomes needs a restart"),
        "{}",
        unready.detail()
    );
    assert_eq!(site.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_and_status() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    for _ in 0..3 {
        site.ok("/v1/decide", ASK).await;
    }
    site.post("/v1/decide", "{").await;
    site.post("/v1/decide", r#"{"strategy":"none","unit":"a"}"#).await;
    site.get("/.env").await;
    let metrics = site.metrics().await;
    for line in [
        r#"lakeloop_requests_total{route="/v1/decide",status="200"} 3"#,
        r#"lakeloop_requests_total{route="/v1/decide",status="400"} 1"#,
        r#"lakeloop_requests_total{route="/v1/decide",status="404"} 1"#,
        r#"lakeloop_requests_total{route="other",status="404"} 1"#,
        r#"lakeloop_journal_segments{journal="decisions"} 1"#,
        r#"lakeloop_journal_segments{journal="outcomes"} 0"#,
        "lakeloop_decide_seconds_count 5",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_or_a_journal_that_is_taken_is_a_clear_error() {
    let mut home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let error = home.try_start().await.unwrap_err();
    assert!(matches!(error, ServerError::Journal(_)), "{error:?}");
    home.settings.server.listen = site.server.addr().to_string().parse().unwrap();
    let error = home.try_start().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("the port is in use") && text.contains("--listen"),
        "{text}"
    );
    site.ok("/v1/decide", ASK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_shutdown_nothing_answers_and_the_home_is_free() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    site.ok("/v1/decide", ASK).await;
    site.server.shutdown().await.unwrap();
    site.server.wait().await.unwrap();
    assert!(site.client.get(format!("{}/healthz", site.base)).send().await.is_err());
    assert_eq!(site.decisions().await.len(), 1);
    home.start().await.ok("/v1/decide", ASK).await;
}
