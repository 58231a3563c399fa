//! Rankings: candidates that come with a request, put in order, logged, answered again, and reported on.

use arrow::array::AsArray as _;
use arrow::ipc::reader::StreamReader;
use lakeloop_decide::{Bundle, Replay, replay};
use lakeloop_domain::{Choice, DecisionReason, FeatureValue, OutcomeValue, StrategyName};
use lakeloop_lake::blueprints;
use serde_json::{Value, json};

use crate::support::{DISH, Home, Site};

const SEARCH: &str = r#"
name = "search"
unit = "query"
[decision]
kind = "rank"
at_most = 2
[context]
device = "category"
[candidates]
price = "number"
brand = { type = "category", missing = "allowed" }
[outcome]
event = "clicked"
aggregation = "any"
window = "30m"
[policy]
kind = "greedy"
"#;

fn request(candidates: Value) -> String {
    json!({ "strategy": "search", "unit": "q-1", "context": { "device": "phone" }, "candidates": candidates })
        .to_string()
}

fn three() -> Value {
    json!([
        { "id": "a", "context": { "price": 3.5, "brand": "Acme" } },
        { "id": "b", "context": { "price": 2 } },
        { "id": "c", "context": { "price": 1, "brand": null } },
    ])
}

/// The only decision of the lake made again.
async fn replayed(site: &Site) -> Replay {
    let name = StrategyName::new("search").unwrap();
    let applied = blueprints::history(&site.lake, &name).await.unwrap().pop().unwrap();
    let bundle = Bundle::new(applied, None).unwrap();
    replay(&site.decisions().await[0], &bundle)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_the_order_of_the_request_is_returned_and_logged() {
    let home = Home::new();
    let site = home.start_with(&[SEARCH]).await;
    let answer = site.ok("/v1/decide", &request(three())).await;
    assert_eq!(answer["ranking"], json!(["a", "b"]));
    assert_eq!(
        (&answer["propensity"], &answer["reason"]),
        (&json!(1.0), &json!("no_model"))
    );
    assert_eq!(answer["scores"], json!([]));
    assert!(answer.get("action").is_none() && answer.get("value").is_none());

    site.server.flush().await.unwrap();
    let logged = site.decisions().await.remove(0);
    let Choice::Ranking(ranking) = &logged.choice else {
        panic!("{:?}", logged.choice)
    };
    let ids: Vec<&str> = ranking
        .candidates
        .iter()
        .map(|candidate| candidate.id.as_str())
        .collect();
    assert_eq!((ids, logged.reason), (vec!["a", "b", "c"], DecisionReason::NoModel));
    let value = |idx: usize, name: &str| {
        let features = &ranking.candidates[idx].features;
        features
            .iter()
            .find(|feature| &*feature.name == name)
            .unwrap()
            .value
            .clone()
    };
    assert_eq!(
        (value(0, "price"), value(1, "price")),
        (FeatureValue::Number(3.5), FeatureValue::Number(2.0))
    );
    assert_eq!(value(0, "brand"), FeatureValue::Category("Acme".into()));
    assert_eq!(
        (value(1, "brand"), value(2, "brand")),
        (FeatureValue::Missing, FeatureValue::Missing)
    );
    let positions: Vec<_> = ranking
        .positions
        .iter()
        .map(|position| (position.candidate.as_str(), position.propensity))
        .collect();
    assert_eq!(positions, [("a", 1.0), ("b", 1.0)]);
    assert_eq!(replayed(&site).await, Replay::Same);
    site.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn exploring_is_replayed_bit_for_bit_and_a_repeat_gets_the_first_answer_after_a_restart() {
    let explores = SEARCH.replace("kind = \"greedy\"", "kind = \"epsilon_greedy\"\nepsilon = 1.0");
    let home = Home::new();
    let site = home.start_with(&[&explores]).await;
    let mut body: Value = serde_json::from_str(&request(three())).unwrap();
    body["decision_id"] = "d-1".into();
    let first = site.ok("/v1/decide", &body.to_string()).await;
    assert_eq!(
        (&first["reason"], first["ranking"].as_array().unwrap().len()),
        (&json!("explore"), 2)
    );
    assert!((first["propensity"].as_f64().unwrap() - 1.0 / 6.0).abs() < 1e-15);
    site.server.flush().await.unwrap();
    let logged = site.decisions().await.remove(0);
    let Choice::Ranking(ranking) = &logged.choice else {
        panic!()
    };
    assert!(
        ranking
            .positions
            .iter()
            .all(|position| (position.propensity - 1.0 / 3.0).abs() < 1e-15)
    );
    assert_eq!(replayed(&site).await, Replay::Same);
    site.server.shutdown().await.unwrap();

    let site = home.start().await;
    body["candidates"] = json!([{ "id": "z", "context": { "price": 9 } }]);
    assert_eq!(site.ok("/v1/decide", &body.to_string()).await, first);
    site.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_ranks_each_of_its_requests() {
    let home = Home::new();
    let site = home.start_with(&[SEARCH, DISH]).await;
    let search: Value = serde_json::from_str(&request(three())).unwrap();
    let dish = json!({ "strategy": "dish", "unit": "ada", "context": { "age": 41 } });
    let answer = site
        .ok("/v1/decide/batch", &json!({ "decisions": [search, dish] }).to_string())
        .await;
    assert_eq!(answer["decisions"][0]["ranking"], json!(["a", "b"]));
    assert!(answer["decisions"][1]["action"].is_string());
    let mut bad = search;
    bad["candidates"][2]["context"]["price"] = "dear".into();
    let refused = site
        .post("/v1/decide/batch", &json!({ "decisions": [dish, bad] }).to_string())
        .await;
    assert_eq!(refused.problem().2, "decisions[1].candidates[2].context.price");
    site.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_answers_holds_the_rankings() {
    let home = Home::new();
    let site = home.start_with(&[SEARCH, DISH]).await;
    let search: Value = serde_json::from_str(&request(three())).unwrap();
    let dish = json!({ "strategy": "dish", "unit": "ada", "context": { "age": 41 } });
    let asked = site
        .client
        .post(format!("{}/v1/decide/batch", site.base))
        .header("accept", "application/vnd.apache.arrow.stream")
        .header("content-type", "application/json")
        .body(json!({ "decisions": [search, dish] }).to_string());
    let body = asked.send().await.unwrap().bytes().await.unwrap();
    let mut batches = StreamReader::try_new(&*body, None).unwrap();
    let batch = batches.next().unwrap().unwrap();
    let rankings = batch.column_by_name("ranking").unwrap().as_list::<i32>();
    let ranking = |row: usize| -> Vec<String> {
        let ids = rankings.value(row);
        ids.as_string::<i32>().iter().map(|id| id.unwrap().to_owned()).collect()
    };
    assert_eq!((ranking(0), ranking(1)), (vec!["a".into(), "b".into()], vec![]));
    site.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_the_candidate_and_what_to_write() {
    let mut home = Home::new();
    home.settings.server.max_candidates = 3;
    let site = home.start_with(&[SEARCH, DISH]).await;
    let priced = |id: &str| json!({ "id": id, "context": { "price": 1 } });
    for (candidates, field, detail) in [
        (json!([]), "candidates", "`candidates` is empty; send at least one"),
        (
            json!([priced("a"), priced("b"), priced("c"), priced("d")]),
            "candidates",
            "`candidates` holds 4; send at most 3, or raise server.max_candidates in lakeloop.toml",
        ),
        (json!({}), "candidates", "`candidates` is an object; expected a list"),
        (
            json!([7]),
            "candidates[0]",
            "candidates[0] is the number 7; send a JSON object",
        ),
        (
            json!([priced("a"), priced("b"), priced("a")]),
            "candidates[2].id",
            "`a` is the id of an earlier candidate; give each its own",
        ),
        (
            json!([{ "context": { "price": 1 } }]),
            "candidates[0].id",
            "candidates[0] has no `id`; add it",
        ),
        (
            json!([{ "id": "", "context": { "price": 1 } }]),
            "candidates[0].id",
            "`` is no candidate id: write 1 to 256 bytes without control characters",
        ),
        (
            json!([priced("a"), { "id": "b", "context": { "price": true } }]),
            "candidates[1].context.price",
            "`price` is the boolean true; expected a number",
        ),
        (
            json!([{ "id": "b" }]),
            "candidates[0].context.price",
            "`price` is missing; send a number, or declare `missing = \"allowed\"` in the blueprint",
        ),
        (
            json!([{ "id": "b", "context": { "price": 1 }, "score": 1 }]),
            "candidates[0].score",
            "`score` is not known here; known are `id`, `context`",
        ),
    ] {
        let answer = site.post("/v1/decide", &request(candidates.clone())).await;
        assert_eq!(
            answer.problem(),
            (422, "invalid-value".into(), field.into()),
            "{candidates}: {answer:?}"
        );
        assert_eq!(answer.detail(), detail, "{candidates}");
    }
    let without = r#"{"strategy":"search","unit":"q","context":{"device":"phone"}}"#;
    let answer = site.post("/v1/decide", without).await;
    assert_eq!(answer.problem().2, "candidates");
    assert!(
        answer
            .detail()
            .starts_with("strategy `search` ranks; send what is to be put in order"),
        "{answer:?}"
    );
    let stray = r#"{"strategy":"dish","unit":"q","context":{"age":41},"candidates":[{"id":"a"}]}"#;
    let answer = site.post("/v1/decide", stray).await;
    assert_eq!(
        answer.detail(),
        "strategy `dish` does not rank, so it takes no candidates; leave `candidates` out"
    );
    assert_eq!(site.server.flush().await.unwrap().decisions, 0, "nothing was logged");
    site.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_name_the_candidate_that_they_are_about() {
    let home = Home::new();
    let site = home.start_with(&[SEARCH, DISH]).await;
    let outcome = |candidate: Value| json!({ "decision_id": "d-1", "candidate": candidate, "event": "clicked" });
    let body =
        json!({ "outcomes": [outcome(json!("a")), outcome(json!("b")), outcome(Value::Null), outcome(json!("a"))] });
    let answer = site.ok("/v1/observe", &body.to_string()).await;
    let ids: Vec<&str> = answer["outcome_ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    assert_eq!(ids[0], ids[3], "the same report twice");
    assert!(ids[0] != ids[1] && ids[0] != ids[2]);
    // Python 3 hashlib: sha256(b"decision candidate\0d-1\0a\0clicked\0\0number\0" b"1\0").hexdigest()[:32].
    assert_eq!(ids[0], "1329e91155f7f2554e4ffb66ccabcedf");
    let by_unit = r#"{"strategy":"search","unit":"q-1","candidate":"a","event":"clicked","value":2}"#;
    site.ok("/v1/observe", by_unit).await;
    site.server.flush().await.unwrap();
    let mut logged = site.outcomes().await;
    logged.sort_by_key(|outcome| (outcome.unit.is_some(), outcome.candidate.clone()));
    let candidates: Vec<Option<&str>> = logged
        .iter()
        .map(|outcome| outcome.candidate.as_ref().map(|id| id.as_str()))
        .collect();
    assert_eq!(candidates, [None, Some("a"), Some("a"), Some("b"), Some("a")]);
    assert_eq!(logged[4].value, OutcomeValue::Number(2.0));

    let nobody = site
        .post("/v1/observe", r#"{"strategy":"search","unit":"q-1","event":"clicked"}"#)
        .await;
    assert_eq!(nobody.problem().2, "candidate");
    assert_eq!(
        nobody.detail(),
        "strategy `search` ranks, so an outcome is about a candidate; add the candidate's id as `candidate`"
    );
    let stray = r#"{"outcomes":[{"strategy":"dish","unit":"ada","candidate":"a","event":"ordered"}]}"#;
    let stray = site.post("/v1/observe", stray).await;
    assert_eq!(stray.problem().2, "outcomes[0].candidate");
    assert_eq!(
        stray.detail(),
        "strategy `dish` has no candidates; leave `candidate` out"
    );
    site.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_of_a_ranking_that_names_no_candidate_is_refused() {
    let home = Home::new();
    let site = home.start_with(&[SEARCH, DISH]).await;
    let made = site.ok("/v1/decide", &request(three())).await["decision_id"].clone();
    assert_eq!(made.as_str().unwrap().as_bytes()[14], b'8', "{made}");
    let mut chosen: Value = serde_json::from_str(&request(three())).unwrap();
    chosen["decision_id"] = "query-7".into();
    site.ok("/v1/decide", &chosen.to_string()).await;
    let dish = json!({ "strategy": "dish", "unit": "ada", "context": { "age": 41 }, "decision_id": "dish-7" });
    site.ok("/v1/decide", &dish.to_string()).await;

    let clicked = |id: &Value| json!({ "decision_id": id, "event": "clicked" });
    let needs = [
        (
            made.clone(),
            format!(
                "decision `{}` ranked, so an outcome of it is about a candidate; add the candidate's id as `candidate`",
                made.as_str().unwrap()
            ),
        ),
        (
            "query-7".into(),
            "strategy `search` ranks, so an outcome is about a candidate; add the candidate's id as `candidate`".into(),
        ),
    ];
    for (id, detail) in &needs {
        let answer = site.post("/v1/observe", &clicked(id).to_string()).await;
        assert_eq!(
            answer.problem(),
            (422, "invalid-value".into(), "candidate".into()),
            "{answer:?}"
        );
        assert_eq!(answer.detail(), *detail);
        // One bad report refuses the whole body.
        let mut good = clicked(id);
        good["candidate"] = "a".into();
        let both = json!({ "outcomes": [good.clone(), clicked(id)] });
        let answer = site.post("/v1/observe", &both.to_string()).await;
        assert_eq!(answer.problem().2, "outcomes[1].candidate");
        site.ok("/v1/observe", &good.to_string()).await;
    }
    let stray = json!({ "decision_id": "dish-7", "event": "ordered", "candidate": "a" });
    let stray = site.post("/v1/observe", &stray.to_string()).await;
    assert_eq!(
        stray.detail(),
        "strategy `dish` has no candidates; leave `candidate` out"
    );
    // What is not known is taken as it is.
    site.ok("/v1/observe", r#"{"decision_id":"elsewhere","event":"clicked"}"#)
        .await;
    site.server.flush().await.unwrap();
    assert_eq!(site.outcomes().await.len(), 3);
    site.server.shutdown().await.unwrap();
}
