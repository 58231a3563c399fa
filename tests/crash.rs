//! `kill -9` under load: what was acknowledged is in the tables, once.
//!
//! A real `lakeloop serve` is killed again and again after a seeded number of acknowledgements, while eight clients ask for
//! decisions and report outcomes. Afterwards one more server brings the rest of the journals into the lake, and the rows are
//! counted against what the clients were told. A request that was under way at a kill may or may not have left its row;
//! it was never acknowledged, so it counts as neither lost nor doubled.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use lakeloop_sql::{Pins, session};
use serde_json::{Value, json};
use support::{Acknowledged, Home, Kills};

const CLIENTS: u64 = 8;
const SEED: u64 = 20_260_105;
const BLUEPRINT: &str = r#"
name = "crash"
unit = "user"
[decision]
kind = "yes_no"
default = false
[context]
age = "number"
city = { type = "category", missing = "allowed" }
[outcome]
event = "clicked"
aggregation = "any"
window = "1m"
absent = 0
"#;

/// The ids of what was acknowledged.
#[derive(Default)]
struct Told {
    decisions: Mutex<Vec<String>>,
    outcomes: Mutex<Vec<String>>,
    acknowledged: Acknowledged,
}

impl Told {
    fn add(&self, list: &Mutex<Vec<String>>, id: String) {
        list.lock().unwrap().push(id);
        self.acknowledged.one_more();
    }
}

/// Asks and reports until the server is gone.
async fn client(base: String, round: u64, client: u64, told: Arc<Told>) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for n in 0.. {
        let id = format!("r{round}-c{client}-{n}");
        let body = json!({
            "strategy": "crash", "unit": format!("u{client}"), "decision_id": id, "context": {"age": n % 90, "city": "lisbon"},
        });
        if !acknowledged_by(&http, format!("{base}/v1/decide"), &body).await {
            return;
        }
        told.add(&told.decisions, id.clone());
        let body = json!({ "outcome_id": format!("o-{id}"), "decision_id": id, "event": "clicked" });
        if !acknowledged_by(&http, format!("{base}/v1/observe"), &body).await {
            return;
        }
        told.add(&told.outcomes, format!("o-{id}"));
    }
}

/// True when the whole answer came and says that the request was taken.
async fn acknowledged_by(http: &reqwest::Client, url: String, body: &Value) -> bool {
    match http.post(url).json(body).send().await {
        Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
        Err(_) => false,
    }
}

/// Acknowledged ids that the table lacks, and rows beyond the first of an id.
async fn lost_and_doubled(home: &Home, table: &str, id: &str, acknowledged: &[String]) -> (usize, usize) {
    let (ctx, _) = session(&home.lake().await, &Pins::default()).await.unwrap();
    let batches = ctx
        .sql(&format!("SELECT {id} FROM {table}"))
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let rows: Vec<String> = batches
        .iter()
        .flat_map(|batch| support::texts(batch.column(0)))
        .collect();
    let distinct: BTreeSet<&String> = rows.iter().collect();
    let lost = acknowledged.iter().filter(|one| !distinct.contains(one)).count();
    (lost, rows.len() - distinct.len())
}

#[test]
fn killed_at_any_point_nothing_is_lost_or_doubled() {
    let rounds: u64 = std::env::var("LAKELOOP_CRASH_ROUNDS").map_or(12, |rounds| rounds.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // Small segments and a fast flusher, so that kills fall into every step: append, seal, commit, release.
        let home = Home::new(
            "[journal]\nsegment_size = \"16KiB\"\nflush_interval = \"20ms\"\n[server]\nlisten = \"127.0.0.1:0\"\nsql_listen = \"off\"\n",
            &[("crash", BLUEPRINT)],
        );
        home.run(&["apply"]).success();
        let told = Arc::new(Told::default());
        let kills = Kills {
            rounds,
            n_clients: CLIENTS,
            seed: SEED,
            before: 400,
        };
        let asks = |base, round, n| client(base, round, n, Arc::clone(&told));
        kills.happen(&home, &told.acknowledged, asks).await;

        let decisions = told.decisions.lock().unwrap().clone();
        let outcomes = told.outcomes.lock().unwrap().clone();
        let (lost_decisions, doubled_decisions) = lost_and_doubled(&home, "decisions", "decision_id", &decisions).await;
        let (lost_outcomes, doubled_outcomes) = lost_and_doubled(&home, "outcomes", "outcome_id", &outcomes).await;
        println!("{rounds} kills, {} decisions and {} outcomes acknowledged", decisions.len(), outcomes.len());
        println!("figure lost_rows {} rows", lost_decisions + lost_outcomes);
        println!("figure doubled_rows {} rows", doubled_decisions + doubled_outcomes);
        assert_eq!((lost_decisions, lost_outcomes), (0, 0), "lost (decisions, outcomes)");
        assert_eq!((doubled_decisions, doubled_outcomes), (0, 0), "doubled (decisions, outcomes)");
    });
}
