//! Decisions of the real server are made again from the lake, through the real binary: after a restart, a compaction and
//! changes of model and blueprint. `just bench-policies` runs it over 100,000 decisions.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use lakeloop_domain::DecisionId;
use lakeloop_lake::rows::{decisions_from_batch, decisions_to_batch};
use lakeloop_lake::{Append, TableName};
use lakeloop_sql::{DecisionRows, Pins, decision_rows, session};
use lakeloop_world::MenuWorld;
use serde_json::{Value, json};
use support::{Home, Served};

/// 2026-01-05T00:00:00Z.
const START: i64 = 1_767_571_200_000_000;
const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;
const MENU: &str = include_str!("../config/blueprints/menu.toml");
const SETTINGS: &str =
    "[server]\nlisten = \"127.0.0.1:0\"\nsql_listen = \"off\"\nallow_event_time = true\nrefresh_interval = \"50ms\"\n";

/// The decisions of a simulated day, with an order where the visitor liked the dish.
async fn live_a_day(served: &Served, world: &mut MenuWorld, day: i64, n_visits: usize) {
    let visits: Vec<_> = (0..n_visits).map(|_| world.next_visit()).collect();
    for (part, visits) in visits.chunks(250).enumerate() {
        let named = |idx: usize| {
            (
                format!("day{day}-{}", part * 250 + idx),
                START + day * DAY + (part * 250 + idx) as i64,
            )
        };
        let asked = visits.iter().enumerate().map(|(idx, visit)| {
            let (id, event_time) = named(idx);
            json!({ "strategy": "menu", "unit": visit.unit, "decision_id": id, "event_time": event_time, "context": visit.context })
        });
        let asked = json!({ "decisions": asked.collect::<Vec<_>>() });
        let (status, answer) = served.post("/v1/decide/batch", &asked).await;
        assert_eq!(status, 200, "{answer}");
        let ordered = visits.iter().zip(answer["decisions"].as_array().unwrap()).enumerate();
        let orders: Vec<Value> = ordered
            .filter(|(_, (visit, answer))| visit.orders(answer["action"].as_str().unwrap()))
            .map(|(idx, _)| {
                let (id, event_time) = named(idx);
                json!({ "decision_id": id, "event": "ordered", "event_time": event_time + SECOND })
            })
            .collect();
        let (status, answer) = served.post("/v1/observe", &json!({ "outcomes": orders })).await;
        assert_eq!(status, 200, "{answer}");
    }
    served.flush().await;
}

fn report(printed: &str) -> Value {
    serde_json::from_str::<Value>(printed).unwrap()[0].take()
}

#[test]
fn logged_decisions_come_out_the_same_to_the_last_bit() {
    let n_decisions: usize = std::env::var("LAKELOOP_REPLAY_DECISIONS").map_or(6_000, |n| n.parse().unwrap());
    let a_third = n_decisions / 3;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let menu = MENU.replace("trials = 12", "trials = 2");
        let home = Home::new(SETTINGS, &[("menu", &menu)]);
        home.run(&["apply"]).success();
        let train = |as_of| home.run(&["jobs", "run", "train", "--strategy", "menu", "--as-of", as_of]).success();

        // Without a model, by the first model, and after a restart by another model and blueprint.
        let mut world = MenuWorld::new(1);
        let served = Served::start(&home);
        live_a_day(&served, &mut world, 0, n_decisions - 2 * a_third).await;
        println!("{}", train("2026-01-06T00:00:00Z"));
        home.run(&["models", "promote", "menu", "1", "--reason", "a test"]);
        served.wait_for_menu_model(1).await;
        live_a_day(&served, &mut world, 1, a_third).await;
        served.stop();
        home.run(&["jobs", "run", "compact"]).success();
        println!("{}", train("2026-01-07T00:00:00Z"));
        home.run(&["models", "promote", "menu", "2", "--reason", "a test"]);
        home.write("blueprints/menu.toml", &menu.replace("epsilon = 0.1", "epsilon = 0.25"));
        home.run(&["apply"]).success();
        let served = Served::start(&home);
        served.wait_for_menu_model(2).await;
        live_a_day(&served, &mut world, 2, a_third).await;
        served.stop();

        let replayed = home.run(&["--output", "json", "replay", "--strategy", "menu"]).success();
        let replayed = report(&replayed);
        println!("figure replay_differing_bits {} bits", replayed["n_differing"]);
        println!("figure replay_decisions {} decisions", replayed["n_decisions"]);
        assert_eq!(
            replayed,
            json!({ "n_decisions": n_decisions, "n_same": n_decisions, "n_differing": 0, "n_imported": 0, "differences": [] })
        );
        for (column, expected) in [("model_version", 3), ("blueprint_version", 2)] {
            let query = format!("SELECT COUNT(DISTINCT COALESCE(CAST({column} AS VARCHAR), 'none')) AS n FROM decisions");
            let counted = home.run(&["--output", "json", "sql", &query]).success();
            assert_eq!(report(&counted)["n"], expected, "{column}");
        }
        one_by_one(&home).await;
    });
}

/// A single decision, one that is not there, and one whose row was tampered with.
async fn one_by_one(home: &Home) {
    let said = home.run(&["replay", "day1-7"]).success();
    assert!(
        said.contains("1 decisions: 1 the same to the last bit, 0 different"),
        "{said}"
    );
    home.run(&["replay", "nobody"])
        .fails(1, &["no decision `nobody` is in the lake"]);
    home.run(&["replay"]).fails(2, &["--strategy"]);
    home.run(&["replay", "--from", "yesterday"])
        .fails(1, &["--from yesterday: write a time such as"]);

    let lake = home.lake().await;
    let (ctx, _) = session(&lake, &Pins::default()).await.unwrap();
    let one = DecisionRows::One(DecisionId::new("day2-7").unwrap());
    let batches = decision_rows(&ctx, &one).await.unwrap().collect().await.unwrap();
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).unwrap();
    let mut row = decisions_from_batch(batch).unwrap().pop().unwrap();
    row.decision_id = DecisionId::new("day2-8").unwrap();
    row.event_time += 1;
    row.scores[3] = f64::from_bits(row.scores[3].to_bits() ^ 1);
    let appended = lake
        .append(&TableName::Decisions, vec![decisions_to_batch(&[row]).unwrap()], None)
        .await;
    assert!(matches!(appended.unwrap(), Append::Committed { .. }));

    let tampered = home.run(&["replay", "day2-8"]);
    tampered.fails(1, &["1 of 2 decisions came out different"]);
    assert!(tampered.stdout().contains("scores"), "{}", tampered.stdout());
    home.run(&["jobs", "run", "replay", "--as-of", "2026-01-08T00:00:00Z"])
        .fails(
            1,
            &["came out different when they were made again; the first: `day2-8` of `menu`: scores was"],
        );
}
