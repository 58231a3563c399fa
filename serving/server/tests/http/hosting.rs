//! Many strategies in one server: models come into memory when they are asked for, and make room for each other.

use std::collections::BTreeMap;
use std::time::Duration;

use lakeloop_domain::{LearningTarget, ModelStage, ModelVersion, StageMove, StrategyName};
use lakeloop_lake::registry::{self, NewModel};
use serde_json::{Value, json};

use crate::models::{go_live, golden, model};
use crate::support::{Home, NOON, Site, apply};

const WEIGHT: &str = r#"
name = "weight"
description = "What does it weigh?"
unit = "parcel"
[decision]
kind = "number"
default = 1.0
[context]
a = { type = "number", missing = "allowed" }
b = { type = "number", missing = "allowed" }
c = { type = "number", missing = "allowed" }
d = { type = "number", missing = "allowed" }
e = { type = "number", missing = "allowed" }
[outcome]
event = "weighed"
aggregation = "sum"
window = "30m"
[policy]
kind = "greedy"
"#;

/// A model of the strategy with a golden ensemble that predicts numbers.
fn number_model(strategy: usize, ensemble: &str) -> NewModel {
    NewModel {
        strategy: StrategyName::new(format!("s{strategy}")).unwrap(),
        target: LearningTarget::Regression,
        ..model(golden(ensemble))
    }
}

/// A server over more strategies, such as `s0`, that each have a live model. One of its trees is nine deep: only one
/// technique serves it, so that all models take the same memory whatever is measured when they are loaded.
async fn site_of(home: &Home, strategies: std::ops::Range<usize>) -> Site {
    let lake = home.lake().await;
    for idx in strategies {
        apply(&lake, &WEIGHT.replace("\"weight\"", &format!("\"s{idx}\""))).await;
        go_live(&lake, number_model(idx, "leaf_wise.ubj")).await;
    }
    home.start().await
}

fn ask(strategy: usize) -> String {
    let context = json!({"a": 0.5, "b": -1, "c": 0.1, "d": 2, "e": 0});
    json!({"strategy": format!("s{strategy}"), "unit": "p", "context": context}).to_string()
}

async fn decide(site: &Site, strategy: usize) -> Value {
    site.ok("/v1/decide", &ask(strategy)).await
}

/// The figures of `/metrics`, by name and labels.
async fn figures(site: &Site) -> BTreeMap<String, f64> {
    let text = site.metrics().await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let figures = lines.filter_map(|line| line.rsplit_once(' '));
    figures
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap_or(f64::NAN)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_loaded_by_the_first_request_of_its_strategy() {
    let home = Home::new();
    let site = site_of(&home, 0..3).await;
    assert_eq!(
        figures(&site).await["lakeloop_models_in_memory"],
        0.0,
        "nobody has asked yet"
    );
    let listed = site.get("/v1/strategies").await.json();
    assert_eq!(
        listed["strategies"][2]["model_version"], 1,
        "what would decide is known all the same"
    );
    let at_once = futures::future::join_all((0..8).map(|_| decide(&site, 1))).await;
    for answer in at_once {
        assert_eq!(
            (answer["model_version"].clone(), answer["reason"].clone()),
            (json!(1), json!("exploit"))
        );
    }
    let figures = figures(&site).await;
    assert_eq!(figures[r#"lakeloop_model_loads_total{result="loaded"}"#], 1.0);
    assert_eq!(figures["lakeloop_models_in_memory"], 1.0);
    assert!(figures["lakeloop_model_memory_bytes"] > 0.0);
    assert_eq!(figures[r#"lakeloop_strategy_requests_total{strategy="s1"}"#], 8.0);
    let predicted = site.ok("/v1/predict", r#"{"strategy":"s2","rows":[{}]}"#).await;
    assert_eq!(predicted["model_version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_that_was_asked_for_longest_ago_makes_room() {
    let mut home = Home::new();
    let site = site_of(&home, 0..1).await;
    decide(&site, 0).await;
    let model_bytes = figures(&site).await["lakeloop_model_memory_bytes"];
    site.server.shutdown().await.unwrap();

    // Room for two of four.
    home.settings.server.model_memory_bytes = (2.5 * model_bytes) as u64;
    home.settings.server.named_strategies = 1;
    let site = site_of(&home, 1..4).await;
    let scores = decide(&site, 0).await["scores"].clone();
    // Strategy 0 is asked for between the others, so it stays; each of the others makes room for the next.
    for strategy in [1, 0, 2, 0, 3, 0, 1, 0] {
        let answer = decide(&site, strategy).await;
        assert_eq!(
            (answer["model_version"].clone(), &answer["scores"]),
            (json!(1), &scores),
            "s{strategy}"
        );
    }
    let figures = figures(&site).await;
    assert_eq!(figures[r#"lakeloop_model_loads_total{result="loaded"}"#], 5.0);
    assert_eq!(figures["lakeloop_model_evictions_total"], 3.0);
    assert_eq!(figures["lakeloop_models_in_memory"], 2.0);
    assert_eq!(figures["lakeloop_model_memory_bytes"], 2.0 * model_bytes);
    assert_eq!(figures[r#"lakeloop_strategy_requests_total{strategy="s0"}"#], 5.0);
    assert_eq!(figures[r#"lakeloop_strategy_requests_total{strategy="other"}"#], 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_does_not_wait_longer_than_it_may() {
    let mut home = Home::new();
    home.settings.server.model_load_timeout = Duration::ZERO;
    let site = site_of(&home, 0..1).await;
    let first = decide(&site, 0).await;
    // The load may be done before the answer is looked at; what was not waited for is said.
    let expected = match first["model_version"].is_null() {
        true => "no_model",
        false => "exploit",
    };
    assert_eq!(first["reason"], expected);
    // The load went on, and serves a later request.
    site.until("/v1/decide", &ask(0), |answer| answer["model_version"] == 1)
        .await;
    let figures = figures(&site).await;
    assert_eq!(figures[r#"lakeloop_model_loads_total{result="loaded"}"#], 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_were_decided_before_their_model_was_there_have_no_tag() {
    let mut home = Home::new();
    home.settings.server.model_load_timeout = Duration::ZERO;
    let site = site_of(&home, 0..2).await;
    let path = "/ofrep/v1/evaluate/flags";
    let body = r#"{"context":{"targetingKey":"p","a":0.5,"b":-1,"c":0.1,"d":2,"e":0}}"#;
    let evaluate = || async {
        let (answer, headers) = site.exchange("POST", path, &[], body).await;
        let flags = answer.json()["flags"].as_array().unwrap().clone();
        let by_model = flags.iter().filter(|flag| flag["metadata"]["model_version"] == 1);
        (by_model.count(), headers.contains_key("etag"))
    };
    // A load may be done in time all the same; the tag says that all were.
    let (n_by_model, is_tagged) = evaluate().await;
    assert_eq!(is_tagged, n_by_model == 2, "{n_by_model} of 2 by their model");
    for idx in 0..2 {
        site.until("/v1/decide", &ask(idx), |answer| answer["model_version"] == 1)
            .await;
    }
    assert_eq!(evaluate().await, (2, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_swaps_under_load_fail_no_request() {
    let home = Home::new();
    let site = site_of(&home, 0..5).await;
    for idx in 0..5 {
        let second = number_model(idx, "pruned.ubj");
        registry::register(&site.lake, second, NOON).await.unwrap();
        decide(&site, idx).await;
    }
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let callers = (0..4).map(|caller| {
        let (site, is_done) = (&site, &is_done);
        async move {
            let mut n_answers = 0_usize;
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = decide(site, (caller + n_answers) % 5).await;
                assert_ne!(answer["model_version"], Value::Null, "a swap leaves no gap");
                n_answers += 1;
            }
            n_answers
        }
    });
    let swaps = async {
        for swap in 0..100_usize {
            let wish = StageMove {
                strategy: StrategyName::new(format!("s{}", swap % 5)).unwrap(),
                version: ModelVersion(if swap / 5 % 2 == 0 { 2 } else { 1 }),
                to: ModelStage::Live,
                reason: "test".into(),
            };
            let _ = registry::move_stage(&site.lake, &wish, NOON).await.unwrap();
        }
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (answers, ()) = tokio::join!(futures::future::join_all(callers), swaps);
    assert!(answers.iter().all(|n_answers| *n_answers > 0));
    for idx in 0..5 {
        site.until("/v1/decide", &ask(idx), |answer| answer["model_version"] == 1)
            .await;
    }
    let loads = figures(&site).await[r#"lakeloop_model_loads_total{result="loaded"}"#];
    assert!(loads > 20.0, "{loads} loads");
}
