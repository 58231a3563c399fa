//! A stop under load: what was begun is finished, what was acknowledged is in the lake, and nobody sees a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{DISH, Home, Raw};

const ASK: &str = r#"{"strategy":"dish","unit":"ada","context":{"age":1}}"#;
const REPORT: &str = r#"{"decision_id":"d","event":"ordered"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn callers_behind_a_balancer_see_no_failure() {
    let mut home = Home::new();
    home.settings.server.drain_delay = Duration::from_secs(2);
    let site = Arc::new(home.start_with(&[DISH]).await);
    let is_ready = Arc::new(AtomicBool::new(true));
    let n_answered = Arc::new(AtomicUsize::new(0));

    // The balancer turns away from the server as soon as it says that it is not ready, and no sooner.
    let (watched, ready) = (Arc::clone(&site), Arc::clone(&is_ready));
    let balancer = tokio::spawn(async move {
        loop {
            let answer = watched.get("/readyz").await;
            if answer.status == 503 {
                assert!(
                    answer.detail().contains("the server is stopping"),
                    "{}",
                    answer.detail()
                );
                ready.store(false, Ordering::SeqCst);
                return;
            }
        }
    });
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (site, is_ready, n_answered) = (Arc::clone(&site), Arc::clone(&is_ready), Arc::clone(&n_answered));
            tokio::spawn(async move {
                let (mut n_decisions, mut n_outcomes) = (0, 0);
                while is_ready.load(Ordering::SeqCst) {
                    site.ok("/v1/decide", ASK).await;
                    n_decisions += 1;
                    let report = REPORT.replace("\"d\"", &format!("\"{caller}-{n_outcomes}\""));
                    site.ok("/v1/observe", &report).await;
                    n_outcomes += 1;
                    n_answered.fetch_add(2, Ordering::SeqCst);
                }
                (n_decisions, n_outcomes)
            })
        })
        .collect();
    while n_answered.load(Ordering::SeqCst) < 100 {
        tokio::task::yield_now().await;
    }
    site.server.shutdown().await.unwrap();
    balancer.await.unwrap();
    let mut acknowledged = (0, 0);
    for caller in callers {
        let (n_decisions, n_outcomes) = caller.await.unwrap();
        acknowledged = (acknowledged.0 + n_decisions, acknowledged.1 + n_outcomes);
    }
    assert!(acknowledged.0 >= 50, "{acknowledged:?}");
    assert_eq!(
        (site.decisions().await.len(), site.outcomes().await.len()),
        acknowledged
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_begun_is_finished_and_idle_connections_are_closed() {
    let home = Home::new();
    let site = Arc::new(home.start_with(&[DISH]).await);
    let mut idle = Raw::connect(&site).await;
    idle.post_part("/v1/decide", ASK, ASK.len()).await;
    assert_eq!(idle.answer().await.unwrap().0, 200);
    let mut begun = Raw::connect(&site).await;
    begun.post_part("/v1/decide", ASK, 10).await;
    site.until_metric("lakeloop_requests_in_flight 1").await;

    let stopping = Arc::clone(&site);
    let stopped = tokio::spawn(async move { stopping.server.shutdown().await });
    // Closed by the stop, not by the time limit of idle connections, which the request below would outlast.
    assert!(idle.answer().await.is_none());
    begun.write(&ASK[10..]).await;
    let (status, head, _) = begun.answer().await.unwrap();
    assert_eq!(status, 200);
    assert!(head.contains("connection: close"), "{head}");
    assert!(begun.answer().await.is_none());
    stopped.await.unwrap().unwrap();
    assert_eq!(site.decisions().await.len(), 2);
    assert!(
        tokio::net::TcpStream::connect(site.server.addr()).await.is_err(),
        "nobody listens any more"
    );
}
