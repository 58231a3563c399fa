//! API keys: who is let in, to what, and how that changes while the server runs.

use std::fs;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use lakeloop_config::OpenRoute;
use lakeloop_server::{ApiKey, KeyFile, KeyWish, Scope, ServerError};

use crate::support::{Answer, DISH, Home, NOON, SECOND, Site};

const ASK: &str = r#"{"strategy":"dish","unit":"ada","context":{"age":1}}"#;
const REPORT: &str = r#"{"decision_id":"x","event":"ordered"}"#;

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(NOON).unwrap()
}

fn wish(scopes: &[Scope]) -> KeyWish {
    KeyWish {
        name: "test".into(),
        scopes: scopes.to_vec(),
        expires_at: None,
        max_per_second: None,
    }
}

/// Adds a key to a home; gives it and the text to send.
fn key(home: &Home, wish: KeyWish) -> (ApiKey, String) {
    let (key, secret) = KeyFile::new(&home.settings.server.keys).create(wish, noon()).unwrap();
    (key, secret.reveal())
}

/// Asks with a key as `Authorization: Bearer`.
async fn with(site: &Site, key: &str, method: &str, path: &str, body: &'static str) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    site.exchange(method, path, &headers, body).await.0
}

/// Repeats a request until its status is as wished.
async fn until_status(site: &Site, key: &str, path: &str, status: u16) {
    let attempts = async { while with(site, key, "GET", path, "").await.status != status {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), attempts)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_asks_for_its_scope_and_for_no_other() {
    let home = Home::new();
    let keys: Vec<(Scope, String)> = Scope::ALL
        .into_iter()
        .map(|scope| (scope, key(&home, wish(&[scope])).1))
        .collect();
    let site = home.start_with(&[DISH]).await;
    for (method, path, body, wanted) in [
        ("POST", "/v1/decide", ASK, Scope::Predict),
        ("POST", "/v1/decide/batch", r#"{"decisions":[]}"#, Scope::Predict),
        ("POST", "/v1/predict", ASK, Scope::Predict),
        ("POST", "/v1/observe", REPORT, Scope::Observe),
        ("GET", "/v1/strategies", "", Scope::Read),
        ("GET", "/v1/models", "", Scope::Read),
        ("GET", "/metrics", "", Scope::Read),
        ("POST", "/v1/admin/flush", "", Scope::Admin),
    ] {
        for (scope, key) in &keys {
            let answer = with(&site, key, method, path, body).await;
            if *scope == wanted {
                assert!(![401, 403].contains(&answer.status), "{path} with {scope}: {answer:?}");
            } else {
                assert_eq!(answer.problem().1, "missing-scope", "{path} with {scope}");
                assert_eq!(
                    (answer.status, &answer.json()["scope"]),
                    (403, &wanted.to_string().into())
                );
                assert!(answer.detail().contains(&format!("`{wanted}`")), "{}", answer.detail());
            }
        }
        let nobody = site.send(method, path, body).await;
        assert_eq!(
            nobody.problem(),
            (401, "unauthenticated".into(), String::new()),
            "{path}"
        );
    }
    // Orchestrators have no keys; what does not exist is said to those who may ask for something.
    assert_eq!(site.get("/healthz").await.status, 200);
    assert_eq!(site.get("/readyz").await.status, 200);
    assert_eq!(site.get("/nothing").await.status, 401);
    assert_eq!(with(&site, &keys[0].1, "GET", "/nothing", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_sent_in_either_header_and_wrong_ones_are_told_so() {
    let home = Home::new();
    let (known, good) = key(&home, wish(&[Scope::Predict]));
    let site = home.start_with(&[DISH]).await;
    let forged = format!("llk_{}_{}", known.id, "0".repeat(64));
    let invalid = "Bearer realm=\"lakeloop\", error=\"invalid_token\"";
    for (name, value, status, challenge) in [
        ("authorization", format!("Bearer {good}"), 200, None),
        ("authorization", format!("bearer  {good}"), 200, None),
        ("x-api-key", good.clone(), 200, None),
        ("authorization", good.clone(), 401, Some(invalid)),
        ("authorization", format!("Basic {good}"), 401, Some(invalid)),
        ("authorization", format!("Bearer {forged}"), 401, Some(invalid)),
        ("x-api-key", "llk_".into(), 401, Some(invalid)),
        ("x-other", good.clone(), 401, Some("Bearer realm=\"lakeloop\"")),
    ] {
        let (answer, headers) = site.exchange("POST", "/v1/decide", &[(name, &value)], ASK).await;
        assert_eq!(answer.status, status, "{name}: {value}: {answer:?}");
        let found = headers.get("www-authenticate").map(|value| value.to_str().unwrap());
        assert_eq!(found, challenge, "{name}: {value}");
    }
    let lacks = site
        .exchange("POST", "/v1/observe", &[("x-api-key", &good)], REPORT)
        .await
        .1;
    assert_eq!(
        lacks["www-authenticate"],
        "Bearer realm=\"lakeloop\", error=\"insufficient_scope\", scope=\"observe\""
    );
    site.server.flush().await.unwrap();
    assert_eq!((site.decisions().await.len(), site.outcomes().await.len()), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_and_go_while_the_server_runs() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    assert_eq!(
        site.get("/v1/strategies").await.status,
        200,
        "without keys everybody may ask"
    );
    let (first, first_key) = key(&home, wish(&[Scope::Read]));
    until_status(&site, "", "/v1/strategies", 401).await;
    assert_eq!(with(&site, &first_key, "GET", "/v1/strategies", "").await.status, 200);

    let mut second = wish(&[Scope::Read]);
    second.expires_at = DateTime::from_timestamp_micros(NOON + 60 * SECOND);
    let (_, second_key) = key(&home, second);
    until_status(&site, &second_key, "/v1/strategies", 200).await;
    let file = KeyFile::new(&home.settings.server.keys);
    let _ = file.revoke(&first.id, noon()).unwrap();
    until_status(&site, &first_key, "/v1/strategies", 401).await;
    let revoked = with(&site, &first_key, "GET", "/v1/strategies", "").await;
    assert!(revoked.detail().contains("was revoked"), "{}", revoked.detail());

    // A file that cannot be understood, and then none at all, leave the keys in force.
    fs::write(file.path(), "key = 5\n").unwrap();
    for _ in 0..20 {
        assert_eq!(with(&site, &second_key, "GET", "/v1/strategies", "").await.status, 200);
        assert_eq!(site.get("/v1/strategies").await.status, 401);
    }
    fs::remove_file(file.path()).unwrap();
    for _ in 0..20 {
        assert_eq!(with(&site, &second_key, "GET", "/v1/strategies", "").await.status, 200);
        assert_eq!(site.get("/v1/strategies").await.status, 401);
    }

    home.set_now(NOON + 60 * SECOND);
    let expired = with(&site, &second_key, "GET", "/v1/strategies", "").await;
    assert_eq!(expired.status, 401);
    assert!(
        expired.detail().contains("expired at 2026-03-01T12:01:00Z"),
        "{}",
        expired.detail()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_say_what_is_open() {
    let mut home = Home::new();
    let (_, reader) = key(&home, wish(&[Scope::Read]));
    home.settings.server.open_routes = vec![OpenRoute::Metrics];
    let site = home.start_with(&[DISH]).await;
    assert_eq!(site.get("/metrics").await.status, 200);
    assert_eq!(site.get("/healthz").await.status, 401);
    assert_eq!(with(&site, &reader, "GET", "/healthz", "").await.status, 200);
    let metrics = site.metrics().await;
    for line in [
        r#"lakeloop_refusals_total{kind="unauthenticated"} 1"#,
        r#"lakeloop_refusals_total{kind="missing_scope"} 0"#,
        r#"lakeloop_requests_total{route="/healthz",status="401"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_used_too_often_is_told_when_to_come_back() {
    let home = Home::new();
    let mut slow = wish(&[Scope::Predict]);
    slow.max_per_second = NonZeroU32::new(1);
    let (_, slow) = key(&home, slow);
    let (_, fast) = key(&home, wish(&[Scope::Predict]));
    let site = home.start_with(&[DISH]).await;
    let answers = futures::future::join_all((0..50).map(|_| with(&site, &slow, "POST", "/v1/decide", ASK))).await;
    assert!(answers.iter().any(|answer| answer.status == 200));
    let refused = answers.iter().find(|answer| answer.status != 200).unwrap();
    assert_eq!(refused.problem(), (429, "too-often".into(), String::new()));
    assert_eq!(refused.retry_after.as_deref(), Some("1"));
    assert_eq!(
        with(&site, &fast, "POST", "/v1/decide", ASK).await.status,
        200,
        "each key has its own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_start_with_keys_that_it_cannot_understand() {
    let home = Home::new();
    fs::write(&home.settings.server.keys, "[[key]]\nid = \"x\"\n").unwrap();
    let error = home.try_start().await.unwrap_err();
    assert!(matches!(error, ServerError::Keys(_)), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("keys.toml") && message.contains("line 1"), "{message}");
}
