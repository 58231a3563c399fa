//! What happens when too much is under way, or too little happens.

use std::time::Duration;

use crate::support::{DISH, Home, Raw};

const ASK: &str = r#"{"strategy":"dish","unit":"ada","context":{"age":1}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn one_request_too_many_is_refused_and_health_is_not() {
    let mut home = Home::new();
    home.settings.server.max_concurrent = 1;
    let site = home.start_with(&[DISH]).await;
    let mut slow = Raw::connect(&site).await;
    slow.post_part("/v1/decide", ASK, 10).await;
    site.until_metric("lakeloop_requests_in_flight 1").await;
    for path in ["/v1/decide", "/v1/observe"] {
        let refused = site.post(path, ASK).await;
        assert_eq!(refused.problem(), (503, "too-many-requests".into(), String::new()));
        assert_eq!(refused.retry_after.as_deref(), Some("1"));
        assert!(
            refused.detail().contains("server.max_concurrent"),
            "{}",
            refused.detail()
        );
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(site.get(path).await.status, 200, "{path}");
    }
    slow.write(&ASK[10..]).await;
    assert_eq!(slow.answer().await.unwrap().0, 200);
    site.until_metric("lakeloop_requests_in_flight 0").await;
    site.ok("/v1/decide", ASK).await;
    site.until_metric(r#"lakeloop_refusals_total{kind="too_many_requests"} 2"#)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_makes_room() {
    let mut home = Home::new();
    home.settings.server.max_concurrent = 1;
    let site = home.start_with(&[DISH]).await;
    for _ in 0..3 {
        let mut slow = Raw::connect(&site).await;
        slow.post_part("/v1/decide", ASK, 10).await;
        site.until_metric("lakeloop_requests_in_flight 1").await;
        drop(slow);
        site.until_metric("lakeloop_requests_in_flight 0").await;
    }
    site.ok("/v1/decide", ASK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_told_so_and_closed() {
    let mut home = Home::new();
    home.settings.server.max_connections = 2;
    let mut site = home.start_with(&[DISH]).await;
    // A pool may open a second connection before the first one is back in it; it then keeps one of them.
    site.client = reqwest::Client::builder().pool_max_idle_per_host(1).build().unwrap();
    // One connection of the client's pool, and one of our own.
    site.ok("/v1/decide", ASK).await;
    let mut second = Raw::connect(&site).await;
    second.post_part("/v1/decide", ASK, ASK.len()).await;
    assert_eq!(second.answer().await.unwrap().0, 200);
    site.until_metric("lakeloop_connections 2").await;

    let mut third = Raw::connect(&site).await;
    third.write("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(
        third.answer().await.unwrap().0,
        200,
        "health is answered on any connection"
    );
    third.post_part("/v1/decide", ASK, ASK.len()).await;
    let (status, head, body) = third.answer().await.unwrap();
    assert_eq!(status, 503);
    assert!(
        head.contains("connection: close") && head.contains("retry-after: 1"),
        "{head}"
    );
    assert!(body.contains("too-many-connections"), "{body}");
    assert!(third.answer().await.is_none(), "it is closed");
    site.until_metric("lakeloop_connections 2").await;

    drop(second);
    site.until_metric("lakeloop_connections 1").await;
    let mut fourth = Raw::connect(&site).await;
    fourth.post_part("/v1/decide", ASK, ASK.len()).await;
    assert_eq!(fourth.answer().await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_dawdles_is_given_up() {
    let mut home = Home::new();
    home.settings.server.request_timeout = Duration::from_millis(300);
    let site = home.start_with(&[DISH]).await;
    let mut head_only = Raw::connect(&site).await;
    head_only.write("POST /v1/decide HTTP/1.1\r\nhost: x\r\n").await;
    assert_eq!(head_only.answer().await.unwrap().0, 408);
    assert!(head_only.answer().await.is_none());

    let mut half_a_body = Raw::connect(&site).await;
    half_a_body.post_part("/v1/decide", ASK, 10).await;
    let (status, head, body) = half_a_body.answer().await.unwrap();
    assert_eq!(status, 503);
    assert!(
        head.contains("retry-after: 2") && head.contains("x-request-id: "),
        "{head}"
    );
    assert!(body.contains("urn:lakeloop:problem:timeout"), "{body}");
    let metrics = site.metrics().await;
    assert!(
        metrics.contains(r#"lakeloop_refusals_total{kind="timed_out"} 1"#),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_refused() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let mut endless = Raw::connect(&site).await;
    endless.write("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ").await;
    let chunk = "a".repeat(64 * 1024);
    let mut n_chunks = 0;
    // The server closes; until the system has told us, some more fits its buffers.
    while endless.try_write(&chunk).await.is_ok() {
        n_chunks += 1;
        assert!(n_chunks < 1000, "the server takes a head of any size");
    }
    assert_eq!(site.get("/healthz").await.status, 200);
}
