//! Traces: which requests have one, what its spans say, and that a collector never costs an answer.

use std::collections::BTreeSet;
use std::time::Duration;

use lakeloop_config::{AccessLog, Ack, Share};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::collector::{Collector, Span, settings};
use crate::features::{FLIGHT, add_weather, ask};
use crate::logged;
use crate::models::{go_live, golden, model};
use crate::support::{DISH, Home, LATE, NOON, Raw, apply};

const ASK: &str = r#"{"strategy":"dish","unit":"ada-lovelace","context":{"age":1,"city":"marylebone"}}"#;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_a_traced_caller_is_a_part_of_its_trace() {
    let mut collector = Collector::start(true).await;
    let mut home = Home::new();
    home.settings.traces = Some(collector.settings(0.0));
    home.settings.journal.decision_ack = Ack::Synced;
    let site = home.start_with(&[DISH]).await;
    let (parent, state) = (traceparent("01"), "rojo=00f067aa0ba902b7");
    let sent = [
        ("traceparent", parent.as_str()),
        ("tracestate", state),
        ("x-request-id", "order-42"),
    ];
    let (answer, _) = site.exchange("POST", "/v1/decide", &sent, ASK).await;
    assert_eq!(answer.status, 200, "{answer:?}");

    let received = collector.next().await;
    assert!(
        received.head.starts_with("post /v1/traces http/1.1\r\n"),
        "{}",
        received.head
    );
    for header in ["content-type: application/x-protobuf\r\n", "x-scope-orgid: shop\r\n"] {
        assert!(received.head.contains(header), "{header} in {}", received.head);
    }
    let resource = received.resource();
    assert_eq!(
        (&*resource["service.name"], &*resource["service.version"]),
        ("decisions", env!("CARGO_PKG_VERSION"))
    );
    // Whom it was about is nobody's business there.
    let text = String::from_utf8_lossy(&received.body);
    assert!(!text.contains("lovelace") && !text.contains("marylebone"), "{text}");

    let mut spans = received.spans();
    spans.extend(collector.spans(4_usize.saturating_sub(spans.len())).await);
    assert_eq!(
        names(&spans),
        ["POST /v1/decide", "decide", "journal append", "journal sync"]
    );
    let request = &spans[0];
    assert_eq!((request.kind, request.status), (2, 0));
    assert_eq!(request.parent_id, SPAN);
    let attributes = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("http.route", "/v1/decide"),
        ("lakeloop.request_id", "order-42"),
        ("lakeloop.strategy", "dish"),
    ];
    let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(request.attributes, attributes.into());
    // The server's clock stands at noon, and what was measured is added.
    assert_eq!(request.started_ns, NOON as u64 * 1000);
    for span in &spans {
        assert_eq!((span.trace_id.as_str(), span.state.as_str()), (TRACE, state));
        assert!(
            request.started_ns <= span.started_ns
                && span.started_ns <= span.ended_ns
                && span.ended_ns <= request.ended_ns
        );
    }
    for step in &spans[1..] {
        assert_eq!((step.kind, &step.parent_id), (1, &request.span_id));
    }
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    assert_eq!(ids.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_traced_sends_nothing() {
    let mut collector = Collector::start(true).await;
    let mut home = Home::new();
    home.settings.traces = Some(collector.settings(0.0));
    let site = home.start_with(&[DISH]).await;
    let not_sampled = traceparent("00");
    for sent in [
        &[][..],
        &[("traceparent", not_sampled.as_str())],
        &[("traceparent", "00-1-2-01")],
    ] {
        let (answer, headers) = site.exchange("POST", "/v1/decide", sent, ASK).await;
        assert_eq!((answer.status, headers.contains_key("x-request-id")), (200, false));
    }
    let sampled = traceparent("01");
    let (_, headers) = site
        .exchange("POST", "/v1/decide", &[("traceparent", &sampled)], ASK)
        .await;
    let request_id = headers["x-request-id"].to_str().unwrap().to_owned();
    site.server.shutdown().await.unwrap();
    let spans = collector.rest();
    assert_eq!(names(&spans), ["POST /v1/decide", "decide", "journal append"]);
    assert_eq!(spans[0].attribute("lakeloop.request_id"), request_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_traced_where_the_caller_has_not_decided_and_the_log_names_the_trace() {
    logged::start();
    let mut collector = Collector::start(true).await;
    let mut home = Home::new();
    home.settings.traces = Some(collector.settings(1.0));
    home.settings.log.access = AccessLog::Share(Share::ALL);
    let site = home.start_with(&[DISH]).await;
    let not_sampled = traceparent("00");
    for (id, parent) in [("traced-here", None), ("not-by-the-caller", Some(not_sampled.as_str()))] {
        let mut sent = vec![("x-request-id", id)];
        sent.extend(parent.map(|parent| ("traceparent", parent)));
        assert_eq!(site.exchange("POST", "/v1/decide", &sent, ASK).await.0.status, 200);
    }
    // What looks after the server has a trace only if it asks for one.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(site.get(path).await.status, 200);
    }
    site.server.shutdown().await.unwrap();
    let spans = collector.rest();
    assert_eq!(names(&spans), ["POST /v1/decide", "decide", "journal append"]);
    assert_eq!(spans[0].parent_id, "");
    let trace_id = |id: &str| {
        let events = logged::events(|event| event["fields"]["request_id"] == id);
        events[0]["fields"]["trace_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(trace_id("traced-here"), spans[0].trace_id);
    assert_eq!(trace_id("not-by-the-caller"), TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_tell_of_lookups_of_refusals_and_of_failures() {
    let mut collector = Collector::start(true).await;
    let mut home = Home::new();
    home.settings.traces = Some(collector.settings(1.0));
    home.settings.server.allow_event_time = true;
    let site = home.start_with(&[DISH, FLIGHT]).await;
    add_weather(&site.lake, &[("ORD", NOON, NOON, Some(1.0), Some("clear"))]).await;
    site.ok("/v1/decide", &ask("ORD", NOON)).await;
    let spans = collector.spans(4).await;
    assert_eq!(
        names(&spans),
        ["POST /v1/decide", "features", "decide", "journal append"]
    );

    site.post("/v1/decide", "{").await;
    let refused = collector.spans(1).await.remove(0);
    assert_eq!(
        (refused.attribute("http.response.status_code"), refused.status),
        ("400", 0)
    );
    assert_eq!(
        (refused.attribute("error.type"), refused.attribute("lakeloop.strategy")),
        ("", "")
    );

    site.send("BREW", "/coffee/pot", "").await;
    let unknown = collector.spans(1).await.remove(0);
    assert_eq!((unknown.name.as_str(), unknown.attribute("http.route")), ("HTTP", ""));
    assert_eq!(unknown.attribute("http.request.method"), "_OTHER");

    let mut raw = Raw::connect(&site).await;
    raw.post_part("/v1/decide", ASK, 10).await;
    site.until_metric("lakeloop_requests_in_flight 1").await;
    drop(raw);
    let broken = collector.spans(1).await.remove(0);
    assert_eq!(
        (broken.attribute("http.response.status_code"), broken.status),
        ("400", 0)
    );

    home.disk.limit(Some(0));
    let outcome = r#"{"decision_id":"d","event":"ordered"}"#;
    assert_eq!(site.post("/v1/observe", outcome).await.status, 503);
    let failed = collector.spans(2).await;
    assert_eq!(names(&failed), ["POST /v1/observe", "journal append"]);
    assert_eq!((failed[0].attribute("error.type"), failed[0].status), ("503", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_of_a_strategy_shows_that_it_waits_for_its_model() {
    let mut collector = Collector::start(true).await;
    let mut home = Home::new();
    home.settings.traces = Some(collector.settings(1.0));
    let lake = home.lake().await;
    apply(&lake, LATE).await;
    go_live(&lake, model(golden("binary_logistic.ubj"))).await;
    let site = home.start().await;
    let late = r#"{"strategy":"late","unit":"p","context":{"a":0.5,"b":-1,"c":0.1,"d":2,"e":0}}"#;
    for steps in [
        &["model load", "decide", "journal append"][..],
        &["decide", "journal append"],
    ] {
        site.ok("/v1/decide", late).await;
        let spans = collector.spans(1 + steps.len()).await;
        assert_eq!(names(&spans[1..]), steps);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_thousands_has_few_spans() {
    let mut collector = Collector::start(true).await;
    let mut home = Home::new();
    home.settings.traces = Some(collector.settings(1.0));
    let site = home.start_with(&[DISH]).await;
    let batch = format!(r#"{{"decisions":[{}]}}"#, vec![ASK; 500].join(","));
    site.ok("/v1/decide/batch", &batch).await;
    site.server.shutdown().await.unwrap();
    let spans = collector.rest();
    assert_eq!((spans.len(), spans[0].name.as_str()), (65, "POST /v1/decide/batch"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_spans_and_no_answer() {
    logged::start();
    let mut home = Home::new();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{gone}/v1/traces");
    home.settings.traces = Some(settings(&url, 1.0));
    let site = home.start_with(&[DISH]).await;
    for _ in 0..10 {
        site.ok("/v1/decide", ASK).await;
    }
    site.until_metric(r#"lakeloop_spans_total{result="dropped"} 30"#).await;
    site.until_metric(r#"lakeloop_spans_total{result="sent"} 0"#).await;
    site.server.shutdown().await.unwrap();
    let told = logged::events(|event| {
        let cause = event["fields"]["cause"].as_str().unwrap_or_default();
        event["target"] == "lakeloop_server::traces::outbox" && cause.contains(&url)
    });
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["level"], "WARN");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_slow_collector_is_bounded() {
    let mut collector = Collector::start(false).await;
    let mut home = Home::new();
    let mut traces = collector.settings(1.0);
    traces.max_waiting = 4;
    home.settings.traces = Some(traces);
    let site = home.start_with(&[DISH]).await;
    for _ in 0..3 {
        site.ok("/v1/decide", ASK).await;
    }
    // Three spans wait, and there is no room for six more.
    site.until_metric(r#"lakeloop_spans_total{result="dropped"} 6"#).await;
    collector.answer();
    site.until_metric(r#"lakeloop_spans_total{result="sent"} 3"#).await;
    site.ok("/v1/decide", ASK).await;
    site.until_metric(r#"lakeloop_spans_total{result="sent"} 6"#).await;
    assert_eq!(collector.spans(6).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_sends_what_waits_and_does_not_wait_for_ever() {
    for answers in [true, false] {
        let mut collector = Collector::start(answers).await;
        let mut home = Home::new();
        let mut traces = collector.settings(1.0);
        traces.interval = Duration::from_secs(3600);
        home.settings.traces = Some(traces);
        let site = home.start_with(&[DISH]).await;
        site.ok("/v1/decide", ASK).await;
        assert!(collector.rest().is_empty());
        site.server.shutdown().await.unwrap();
        assert_eq!(
            names(&collector.rest()),
            ["POST /v1/decide", "decide", "journal append"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_https_collector_is_asked_over_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/v1/traces", listener.local_addr().unwrap());
    let mut home = Home::new();
    home.settings.traces = Some(settings(&url, 1.0));
    let site = home.start_with(&[DISH]).await;
    site.ok("/v1/decide", ASK).await;
    let (mut connection, _) = listener.accept().await.unwrap();
    // RFC 8446, section 5.1: a record of a handshake begins with 22 and, for compatibility, 3.
    let mut begin = [0; 2];
    connection.read_exact(&mut begin).await.unwrap();
    assert_eq!(begin, [22, 3]);
    drop((connection, listener));
    site.until_metric(r#"lakeloop_spans_total{result="dropped"} 3"#).await;
}
