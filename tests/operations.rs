//! The command line of those who run a server: keys that open and close it, and a SIGTERM that fails nobody.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lakeloop_sql::{Pins, session};
use serde_json::{Value, json};
use support::{Home, Served};

const SETTINGS: &str = "[server]\nlisten = \"127.0.0.1:0\"\nsql_listen = \"off\"\ndrain_delay = \"2s\"\n";
const BLUEPRINT: &str = r#"
name = "visit"
unit = "user"
[decision]
kind = "yes_no"
default = false
[context]
age = "number"
[outcome]
event = "clicked"
aggregation = "any"
window = "1m"
absent = 0
"#;

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let home = Home::new(SETTINGS, &[]);
    assert_eq!(
        json_of(&home.run(&["keys", "list", "--output", "json"]).success()),
        json!([])
    );
    let created = home.run(&[
        "keys",
        "create",
        "checkout",
        "--scopes",
        "observe,predict",
        "--expires-in",
        "90d",
        "--max-per-second",
        "50",
        "--output",
        "json",
    ]);
    let created = json_of(&created.success());
    let key = created[0]["key"].as_str().unwrap().to_owned();
    let id = created[0]["id"].as_str().unwrap().to_owned();
    assert!(key.starts_with(&format!("llk_{id}_")), "{created}");
    assert_eq!(created[0]["scopes"], json!(["predict", "observe"]));

    let listed = home.run(&["keys", "list", "--output", "json"]).success();
    let row = &json_of(&listed)[0];
    assert_eq!((&row["name"], &row["status"]), (&json!("checkout"), &json!("active")));
    assert_eq!(row["max_per_second"], 50);
    let file = std::fs::read_to_string(home.path().join("keys.toml")).unwrap();
    let table = home.run(&["keys", "list"]).success();
    assert!(table.contains("predict,observe"), "{table}");
    for text in [&listed, &file, &table] {
        assert!(!text.contains(&key[21..]), "the secret is shown once only: {text}");
    }

    let revoked = home.run(&["keys", "revoke", &id]).success();
    assert!(revoked.contains("is revoked"), "{revoked}");
    let again = home.run(&["keys", "revoke", &id]).success();
    assert!(again.contains("was revoked already"), "{again}");
    let row = &json_of(&home.run(&["keys", "list", "--output", "json"]).success())[0];
    assert_eq!(row["status"], "revoked");

    home.run(&["keys", "create", "x", "--scopes", "write"])
        .fails(2, &["`write` is no scope; write predict, observe, read or admin"]);
    home.run(&["keys", "create", "x"]).fails(2, &["--scopes"]);
    home.run(&["keys", "create", "x", "--scopes", "read", "--expires-in", "soon"])
        .fails(1, &["--expires-in soon", "such as 36h or 90d"]);
    home.run(&[
        "keys",
        "create",
        "x",
        "--scopes",
        "read",
        "--expires-at",
        "2020-01-01T00:00:00Z",
    ])
    .fails(1, &["would never work"]);
    home.run(&["keys", "revoke", "checkout"])
        .fails(1, &["there is no key `checkout`", "lakeloop keys list"]);
}

/// Asks with a key; gives the status.
async fn ask(http: &reqwest::Client, base: &str, key: &str, path: &str, body: Option<Value>) -> u16 {
    let url = format!("{base}{path}");
    let request = match body {
        Some(body) => http.post(url).json(&body),
        None => http.get(url),
    };
    request.bearer_auth(key).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_fails_nobody_and_loses_nothing() {
    let home = Home::new(SETTINGS, &[("visit", BLUEPRINT)]);
    home.run(&["apply"]).success();
    let created = home.run(&["keys", "create", "load", "--scopes", "predict", "--output", "json"]);
    let key = json_of(&created.success())[0]["key"].as_str().unwrap().to_owned();
    let served = Served::start(&home);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = || Some(json!({"strategy": "visit", "unit": "u", "context": {"age": 30}}));
    assert_eq!(ask(&http, &served.base(), "none", "/v1/decide", body()).await, 401);

    let is_ready = Arc::new(AtomicBool::new(true));
    let n_taken = Arc::new(AtomicUsize::new(0));
    // The balancer turns away from the server when it says that it is not ready, and no sooner.
    let balancer = {
        let (http, base, is_ready) = (http.clone(), served.base(), Arc::clone(&is_ready));
        tokio::spawn(async move {
            while ask(&http, &base, "", "/readyz", None).await == 200 {}
            is_ready.store(false, Ordering::SeqCst);
        })
    };
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (http, base, key) = (http.clone(), served.base(), key.clone());
            let (is_ready, n_taken) = (Arc::clone(&is_ready), Arc::clone(&n_taken));
            tokio::spawn(async move {
                while is_ready.load(Ordering::SeqCst) {
                    assert_eq!(ask(&http, &base, &key, "/v1/decide", body()).await, 200);
                    n_taken.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    while n_taken.load(Ordering::SeqCst) < 200 {
        tokio::task::yield_now().await;
    }
    let stopped = tokio::task::spawn_blocking(move || served.stop());
    balancer.await.unwrap();
    for caller in callers {
        caller.await.unwrap();
    }
    stopped.await.unwrap();

    let (ctx, _) = session(&home.lake().await, &Pins::default()).await.unwrap();
    let rows = ctx
        .sql("SELECT decision_id FROM decisions")
        .await
        .unwrap()
        .count()
        .await
        .unwrap();
    assert_eq!(rows, n_taken.load(Ordering::SeqCst));
}
