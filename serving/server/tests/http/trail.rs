//! What can be found out about a request afterwards: its id in answers and in the log, and the access log.

use lakeloop_config::{AccessLog, Share};
use serde_json::Value;

use crate::logged;
use crate::support::{DISH, Home};

const ASK: &str = r#"{"strategy":"dish","unit":"ada","context":{"age":1}}"#;

/// The events of one request.
fn events(request_id: &str) -> Vec<Value> {
    logged::events(|event| event["fields"]["request_id"] == request_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_id_comes_back_and_a_refusal_always_has_one() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let sent = [("x-request-id", "order/42:a")];
    let (answer, headers) = site.exchange("POST", "/v1/decide", &sent, ASK).await;
    assert_eq!(
        (answer.status, &headers["x-request-id"]),
        (200, &"order/42:a".parse().unwrap())
    );
    let (answer, headers) = site.exchange("POST", "/v1/decide", &sent, "{").await;
    assert_eq!(
        (answer.status, &headers["x-request-id"]),
        (400, &"order/42:a".parse().unwrap())
    );
    assert_eq!(answer.json()["request_id"], "order/42:a");

    for path in ["/v1/decide", "/nothing"] {
        for sent in [&[][..], &[("x-request-id", "no good")][..]] {
            let (answer, headers) = site.exchange("POST", path, sent, "{").await;
            let id = headers["x-request-id"].to_str().unwrap();
            assert_eq!(
                (id.len(), answer.json()["request_id"].as_str()),
                (36, Some(id)),
                "{path}"
            );
        }
    }
    let (_, headers) = site.exchange("POST", "/v1/decide", &[], ASK).await;
    assert!(!headers.contains_key("x-request-id"), "nothing is known by it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_tells_of_a_share_of_successes_and_of_every_refusal() {
    logged::start();
    let mut home = Home::new();
    home.settings.log.access = AccessLog::Share(Share::new(0.5));
    let site = home.start_with(&[DISH]).await;
    let ids: Vec<String> = (0..200).map(|n| format!("share-{n}")).collect();
    for id in &ids {
        let (answer, headers) = site.exchange("POST", "/v1/decide", &[("x-request-id", id)], ASK).await;
        assert_eq!((answer.status, &headers["x-request-id"]), (200, &id.parse().unwrap()));
    }
    // Which half it is depends on the ids alone. Python 3 hashlib:
    // sum(int.from_bytes(sha256(b"share-%d" % n).digest()[:4], "big") < 2**31 for n in range(200))
    let logged = logged::events(|event| {
        let id = event["fields"]["request_id"].as_str();
        id.is_some_and(|id| id.starts_with("share-"))
    });
    assert_eq!(logged.len(), 89);
    let event = &logged[0];
    assert_eq!(event["target"], "lakeloop::access");
    let fields = &event["fields"];
    assert_eq!(
        (&fields["method"], &fields["route"]),
        (&"POST".into(), &"/v1/decide".into())
    );
    assert_eq!((&fields["status"], &fields["strategy"]), (&200.into(), &"dish".into()));
    assert!(
        fields["duration_us"].is_u64() && fields["n_bytes"].as_u64().unwrap() > 100,
        "{fields}"
    );

    let traced = [
        ("x-request-id", "refused-traced"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    site.exchange("POST", "/v1/decide", &traced, "{").await;
    assert_eq!(
        events("refused-traced")[0]["fields"]["trace_id"],
        "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    for n in 0..20 {
        let id = format!("refused-{n}");
        site.exchange("POST", "/v1/decide", &[("x-request-id", &id)], "{").await;
        assert_eq!(events(&id).len(), 1);
        assert_eq!(events(&id)[0]["fields"]["status"], 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_access_log_there_is_no_line_and_failures_carry_the_id() {
    logged::start();
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    site.exchange("POST", "/v1/decide", &[("x-request-id", "quiet-1")], ASK)
        .await;
    site.exchange("POST", "/v1/decide", &[("x-request-id", "quiet-2")], "{")
        .await;
    assert_eq!((events("quiet-1").len(), events("quiet-2").len()), (0, 0));
    home.disk.limit(Some(0));
    let (answer, _) = site
        .exchange("POST", "/v1/decide", &[("x-request-id", "loud-1")], ASK)
        .await;
    assert_eq!(answer.status, 503);
    let found = events("loud-1");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0]["level"], &found[0]["target"]),
        (&"ERROR".into(), &"lakeloop_server::problem".into())
    );
}
