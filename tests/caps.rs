//! Caps under `kill -9`: a real `lakeloop serve` is killed at random points while eight clients ask for more than the caps
//! allow. Of all rows that are in the tables in the end, acknowledged or not, none exceeds a cap; budgets are used up; and
//! every decision is made again, blocked actions included. `just test-caps` does more rounds.
//!
//! Time is the clients' own: each request says when it happens, ten simulated seconds after the one before.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lakeloop_domain::{Choice, DecisionReason, DecisionRecord};
use lakeloop_lake::rows::decisions_from_batch;
use lakeloop_sql::{Pins, session};
use serde_json::{Value, json};
use support::{Acknowledged, Home, Kills};

const CLIENTS: u64 = 8;
const UNITS: i64 = 40;
const SEED: u64 = 20_260_106;
/// 2026-01-05T00:00:00Z.
const START: i64 = 1_767_571_200_000_000;
const HOUR: i64 = 3_600_000_000;
const STEP: i64 = 10_000_000;
const PER_UNIT: usize = 3;
const BUDGET: u64 = 100;
const SHARE: f64 = 0.5;
const BLUEPRINT: &str = r#"
name = "nudge"
unit = "user"
[decision]
kind = "choose"
actions = ["nothing", "mail", "call"]
default = "nothing"
[context]
age = "number"
[outcome]
event = "bought"
aggregation = "any"
window = "1m"
[policy]
kind = "epsilon_greedy"
epsilon = 1.0
[caps]
per_unit = { limit = 3, every = "30m" }
traffic_share = 0.5
[caps.resources.agents]
limit = 100
every = "1h"
uses = { mail = 0.5, call = 2 }
"#;

/// What all clients share.
struct World {
    now: AtomicI64,
    acknowledged: Acknowledged,
}

/// Asks until the server is gone.
async fn client(base: String, world: Arc<World>) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    loop {
        let at = world.now.fetch_add(STEP, Ordering::SeqCst);
        let unit = format!("u{}", at / STEP * 7919 % UNITS);
        let body = json!({ "strategy": "nudge", "unit": unit, "event_time": at, "context": {"age": at % 90} });
        match http.post(format!("{base}/v1/decide")).json(&body).send().await {
            Ok(answer) => {
                if !answer.status().is_success() || answer.bytes().await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
        world.acknowledged.one_more();
    }
}

async fn decisions(home: &Home) -> Vec<DecisionRecord> {
    let (ctx, _) = session(&home.lake().await, &Pins::default()).await.unwrap();
    let batches = ctx.table("decisions").await.unwrap().collect().await.unwrap();
    let rows = batches.iter().flat_map(|batch| decisions_from_batch(batch).unwrap());
    rows.collect()
}

fn action(record: &DecisionRecord) -> &str {
    match &record.choice {
        Choice::Action(action) => action,
        other => panic!("{other:?}"),
    }
}

#[test]
fn killed_at_any_point_no_cap_is_exceeded_and_budgets_are_used() {
    let rounds: u64 = std::env::var("LAKELOOP_CAPS_ROUNDS").map_or(6, |rounds| rounds.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // Small segments and a fast flusher, so that kills fall into every step: append, seal, commit, release.
        let home = Home::new(
            "[journal]\nsegment_size = \"16KiB\"\nflush_interval = \"20ms\"\n\
             [server]\nlisten = \"127.0.0.1:0\"\nsql_listen = \"off\"\nallow_event_time = true\n",
            &[("nudge", BLUEPRINT)],
        );
        home.run(&["apply"]).success();
        let world = Arc::new(World {
            now: AtomicI64::new(START),
            acknowledged: Acknowledged::default(),
        });
        let kills = Kills {
            rounds,
            n_clients: CLIENTS,
            seed: SEED,
            before: 800,
        };
        let asks = |base, _, _| client(base, Arc::clone(&world));
        kills.happen(&home, &world.acknowledged, asks).await;

        let rows = decisions(&home).await;
        let n_acknowledged = world.acknowledged.count();
        assert!(rows.len() as u64 >= n_acknowledged);
        let taken: Vec<&DecisionRecord> = rows.iter().filter(|row| action(row) != "nothing").collect();
        let mut n_exceeding = 0;

        let mut by_unit: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for row in &taken {
            by_unit.entry(row.unit.as_str()).or_default().push(row.event_time);
        }
        for times in by_unit.values_mut() {
            times.sort_unstable();
            n_exceeding += times
                .windows(PER_UNIT + 1)
                .filter(|few| few[PER_UNIT] - few[0] < HOUR / 2)
                .count();
        }

        // By hour: decisions, taken ones, and half agents used.
        let mut by_hour: BTreeMap<i64, (u64, u64, u64)> = BTreeMap::new();
        for row in &rows {
            let of_hour = by_hour.entry(row.event_time.div_euclid(HOUR)).or_default();
            of_hour.0 += 1;
            let halves = match action(row) {
                "mail" => 1,
                "call" => 4,
                _ => continue,
            };
            of_hour.1 += 1;
            of_hour.2 += halves;
        }
        let (mut n_full_hours, mut n_unused) = (0, 0);
        for (n_all, n_taken, halves) in by_hour.values() {
            n_exceeding += usize::from(*halves > 2 * BUDGET) + usize::from(*n_taken as f64 > SHARE * *n_all as f64);
            // An hour in which the clients asked most of the time asks for more than the budget.
            if *n_all >= 330 {
                n_full_hours += 1;
                n_unused += 2 * BUDGET - halves;
            }
        }
        let n_capped = rows.iter().filter(|row| row.reason == DecisionReason::Capped).count();
        println!(
            "{rounds} kills, {} decisions, {} taken, {n_capped} capped, {n_full_hours} full hours",
            rows.len(),
            taken.len()
        );
        println!("figure caps_exceeded {n_exceeding} times");
        if n_full_hours > 0 {
            let unused = n_unused as f64 / (2 * BUDGET * n_full_hours) as f64;
            println!("figure budget_unused {:.4} share", unused);
            assert!(unused <= 0.01, "{unused}");
        }
        assert_eq!(n_exceeding, 0);
        assert!(n_capped > 0);

        let printed = home
            .run(&["--output", "json", "replay", "--strategy", "nudge"])
            .success();
        let report: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(
            (&report[0]["n_same"], &report[0]["n_differing"]),
            (&json!(rows.len()), &json!(0)),
            "{printed}"
        );
    });
}
