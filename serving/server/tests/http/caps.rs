//! Caps: counted exactly while requests come at once, across repeats, refusals, kills and new blueprints.

use std::collections::BTreeMap;
use std::io;

use futures::future::join_all;
use lakeloop_domain::{Choice, DecisionReason, DecisionRecord};
use lakeloop_journal::Operation;
use serde_json::{Value, json};

use crate::support::{DISH, HOUR, Home, NOON, SECOND, Site, apply};

/// The dishes, drawn evenly, with some caps.
fn capped(caps: &str) -> String {
    format!("{DISH}[caps]\n{caps}")
}

const PER_UNIT: &str = "per_unit = { limit = 3, every = \"1h\" }\n";
/// Tacos use one, pizza two and sushi nothing of what is ten in an hour.
const OVEN: &str = "[caps.resources.oven]\nlimit = 10\nevery = \"1h\"\nuses = { tacos = 1, pizza = 2 }\n";

async fn decide(site: &Site, unit: &str) -> Value {
    let body = json!({"strategy": "dish", "unit": unit, "context": {"age": 1}});
    site.ok("/v1/decide", &body.to_string()).await
}

/// How often something other than the default was chosen for each unit.
fn taken(answers: &[Value]) -> BTreeMap<&str, usize> {
    let mut taken = BTreeMap::new();
    for answer in answers.iter().filter(|answer| answer["action"] != "ramen") {
        *taken.entry(answer["strategy"].as_str().unwrap()).or_default() += 1;
    }
    taken
}

/// What the oven was used for.
fn oven(answers: &[Value]) -> usize {
    let uses = answers.iter().map(|answer| match answer["action"].as_str().unwrap() {
        "tacos" => 1,
        "pizza" => 2,
        _ => 0,
    });
    uses.sum()
}

fn action(record: &DecisionRecord) -> &str {
    match &record.choice {
        Choice::Action(action) => action,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_at_once_never_exceed_a_cap_and_use_it_up() {
    let home = Home::new();
    let site = home.start_with(&[&capped(&format!("{PER_UNIT}{OVEN}"))]).await;
    let clients = (0..8).map(|client| {
        let site = &site;
        async move {
            let mut answers = Vec::new();
            for n in 0..60 {
                let unit = format!("u{}", (client + n) % 10);
                answers.push((unit.clone(), decide(site, &unit).await));
            }
            answers
        }
    });
    let answers: Vec<(String, Value)> = join_all(clients).await.into_iter().flatten().collect();
    for n in 0..10 {
        let unit = format!("u{n}");
        let of_unit = answers
            .iter()
            .filter(|(other, answer)| *other == unit && answer["action"] != "ramen");
        assert_eq!(of_unit.count(), 3, "{unit}");
    }
    let all: Vec<Value> = answers.into_iter().map(|(_, answer)| answer).collect();
    assert_eq!(taken(&all)["dish"], 30);
    assert!(oven(&all) <= 10);

    site.server.flush().await.unwrap();
    let rows = site.decisions().await;
    assert_eq!(rows.len(), 480);
    let n_capped = rows.iter().filter(|row| row.reason == DecisionReason::Capped).count();
    assert!(n_capped > 100, "{n_capped}");
    for row in &rows {
        let conditions = &row.conditions;
        assert!(!conditions.blocked.contains(&action(row).to_owned()), "{row:?}");
        // An action that may be chosen is as likely as without caps; the default has the rest.
        let expected = match action(row) {
            "ramen" => 0.25 * (1 + conditions.blocked.len()) as f64,
            _ => 0.25,
        };
        assert_eq!(row.propensity, expected);
    }
    let counted = site.metrics().await;
    let of_cap = |cap: &str| -> usize {
        let start = format!("lakeloop_capped_decisions_total{{strategy=\"dish\",cap=\"{cap}\"}} ");
        let line = counted.lines().find_map(|line| line.strip_prefix(start.as_str()));
        line.map_or(0, |count| count.parse().unwrap())
    };
    assert_eq!(of_cap("per_unit") + of_cap("resource"), n_capped, "{counted}");
    assert!(of_cap("per_unit") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_is_known_after_a_kill_from_the_journal_and_from_the_lake() {
    let mut home = Home::new();
    let mut site = home.start_with(&[&capped(PER_UNIT)]).await;
    let mut all = Vec::new();
    for round in 0..6 {
        for _ in 0..4 {
            all.push(decide(&site, "ada").await);
        }
        if round % 2 == 1 {
            site.server.flush().await.unwrap();
        }
        home.killed();
        drop(site);
        site = home.start().await;
    }
    assert_eq!(taken(&all)["dish"], 3);
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(decide(&site, "bob").await);
    }
    assert_eq!(taken(&others)["dish"], 3, "another unit has its own");
    home.set_now(NOON + HOUR);
    let mut later = Vec::new();
    for _ in 0..20 {
        later.push(decide(&site, "ada").await);
    }
    assert_eq!(taken(&later)["dish"], 3, "an hour later the first are old");
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_take_nothing_and_what_is_refused_is_given_back() {
    let home = Home::new();
    let site = home.start_with(&[&capped(PER_UNIT)]).await;
    let with_id =
        |id: &str| json!({"strategy": "dish", "unit": "ada", "context": {"age": 1}, "decision_id": id}).to_string();
    let mut first = site.ok("/v1/decide", &with_id("d-0")).await;
    for n in 1..50 {
        if first["action"] != "ramen" {
            break;
        }
        first = site.ok("/v1/decide", &with_id(&format!("d-{n}"))).await;
    }
    assert_ne!(first["action"], "ramen");
    let id = first["decision_id"].as_str().unwrap();
    for _ in 0..5 {
        assert_eq!(site.ok("/v1/decide", &with_id(id)).await, first);
    }
    // A batch that is refused because of one of its requests takes nothing.
    let mut batch: Vec<Value> = (0..20)
        .map(|_| json!({"strategy": "dish", "unit": "ada", "context": {"age": 1}}))
        .collect();
    batch.push(json!({"strategy": "dish", "unit": "ada", "context": {"age": "old"}}));
    assert_eq!(
        site.post("/v1/decide/batch", &json!({ "decisions": batch }).to_string())
            .await
            .status,
        422
    );
    // Nor do decisions that the journal does not take.
    for _ in 0..10 {
        home.disk.fail_after(Operation::Append, 0, io::ErrorKind::StorageFull);
        let body = json!({"strategy": "dish", "unit": "ada", "context": {"age": 1}});
        let refused = site.post("/v1/decide", &body.to_string()).await;
        assert_eq!(refused.status, 503, "{refused:?}");
    }
    let mut rest = Vec::new();
    for _ in 0..30 {
        rest.push(decide(&site, "ada").await);
    }
    assert_eq!(taken(&rest)["dish"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_that_come_later_count_what_was_taken_before() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let mut before = Vec::new();
    for _ in 0..20 {
        before.push(decide(&site, "ada").await);
    }
    assert!(taken(&before)["dish"] >= 3);
    apply(&site.lake, &capped(PER_UNIT)).await;
    let known = |list: &str| {
        let list: Value = serde_json::from_str(list).unwrap();
        list["strategies"][0]["caps_known"] == true
    };
    let waiting = async { while !known(&site.get("/v1/strategies").await.text) {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting)
        .await
        .unwrap();
    let (mut of_ada, mut of_bob) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        of_ada.push(decide(&site, "ada").await);
        of_bob.push(decide(&site, "bob").await);
    }
    assert_eq!(taken(&of_ada).get("dish"), None);
    assert_eq!(taken(&of_bob)["dish"], 3);

    // Another policy under the same caps goes on counting.
    let other = capped(PER_UNIT).replace("epsilon = 1.0", "epsilon = 0.9");
    apply(&site.lake, &other).await;
    let version = decide(&site, "bob").await["blueprint_version"].clone();
    let body = json!({"strategy": "dish", "unit": "bob", "context": {"age": 1}}).to_string();
    let answer = site
        .until("/v1/decide", &body, |answer| answer["blueprint_version"] != version)
        .await;
    assert_eq!(answer["action"], "ramen");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_share_caps_stay_below_them_together() {
    let mut homes: Vec<Home> = (0..3).map(|_| Home::new()).collect();
    let location = homes[0].settings.lake.location.clone();
    for (idx, home) in homes.iter_mut().enumerate() {
        home.settings.lake.location = location.clone();
        home.settings.server.cap_servers = 3;
        home.settings.server.cap_server = idx as u32;
    }
    apply(
        &homes[0].lake().await,
        &capped(&format!("{PER_UNIT}{}", OVEN.replace("10", "30"))),
    )
    .await;
    let mut all: BTreeMap<String, usize> = BTreeMap::new();
    let mut answers = Vec::new();
    for round in 0..2 {
        let mut sites = Vec::new();
        for home in &homes {
            sites.push(home.start().await);
        }
        for n in 0..200 {
            for (idx, site) in sites.iter().enumerate() {
                let unit = format!("u{}", (n + idx) % 7);
                let answer = decide(site, &unit).await;
                *all.entry(unit).or_default() += usize::from(answer["action"] != "ramen");
                answers.push(answer);
            }
        }
        for site in sites {
            // What each has logged is in the lake when they start again.
            if round == 0 {
                site.server.flush().await.unwrap();
            }
            drop(site);
        }
        for home in &mut homes {
            home.killed();
        }
    }
    assert!(all.values().all(|n_taken| *n_taken == 3), "{all:?}");
    assert!(oven(&answers) <= 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_traffic_holds_at_every_moment() {
    let home = Home::new();
    let site = home.start_with(&[&capped("traffic_share = 0.3\n")]).await;
    let (mut n_taken, mut n_all) = (0, 0);
    for n in 0..200 {
        home.set_now(NOON + n * SECOND);
        n_all += 1;
        n_taken += usize::from(decide(&site, &format!("u{n}")).await["action"] != "ramen");
        assert!(n_taken as f64 <= 0.3 * f64::from(n_all));
    }
    assert!(n_taken as f64 >= 0.29 * f64::from(n_all), "{n_taken} of {n_all}");
}
