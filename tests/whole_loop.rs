//! The circle, once round, through the real binary: declare, decide, observe, train, register, serve, measure, read.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::process::Command;

use lakeloop_world::{DISHES, MenuWorld};
use serde_json::{Value, json};
use support::{Home, Served};

/// 2026-01-05T00:00:00Z.
const START: i64 = 1_767_571_200_000_000;
const SECOND: i64 = 1_000_000;
const N_VISITS: usize = 4_000;
const MENU: &str = include_str!("../config/blueprints/menu.toml");
const SETTINGS: &str =
    "[server]\nlisten = \"127.0.0.1:0\"\nsql_listen = \"off\"\nallow_event_time = true\nrefresh_interval = \"50ms\"\n";

/// Visits ask for a dish and order it or not, all on one simulated day.
async fn live_a_day(served: &Served, world: &mut MenuWorld, day: &str, at: i64, n_visits: usize) -> Vec<Value> {
    let (mut answers, mut orders) = (Vec::new(), Vec::new());
    for n in 0..n_visits {
        let visit = world.next_visit();
        let id = format!("{day}-{n}");
        let event_time = at + n as i64 * SECOND;
        let request = json!({
            "strategy": "menu", "unit": visit.unit, "decision_id": id, "event_time": event_time, "context": visit.context,
        });
        let (status, answer) = served.post("/v1/decide", &request).await;
        assert_eq!(status, 200, "{answer}");
        if visit.orders(answer["action"].as_str().unwrap()) {
            orders.push(json!({ "decision_id": id, "event": "ordered", "event_time": event_time + SECOND }));
        }
        answers.push(answer);
    }
    for chunk in orders.chunks(500) {
        let (status, answer) = served.post("/v1/observe", &json!({ "outcomes": chunk })).await;
        assert_eq!(status, 200, "{answer}");
    }
    served.flush().await;
    answers
}

#[test]
fn a_declared_decision_goes_round() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let home = Home::new(SETTINGS, &[("menu", MENU)]);
        assert!(home.run(&["validate"]).success().contains("menu"));
        assert!(home.run(&["apply"]).success().contains("applied"));
        assert!(home.run(&["apply"]).success().contains("unchanged"));

        // Nothing is learned: the default, and exploration at its declared rate, with its propensity.
        let served = Served::start(&home);
        let mut world = MenuWorld::new(1);
        let answers = live_a_day(&served, &mut world, "day1", START, N_VISITS).await;
        let n_default = answers.iter().filter(|answer| answer["action"] == DISHES[0]).count();
        assert!(
            (N_VISITS * 86 / 100..N_VISITS * 96 / 100).contains(&n_default),
            "{n_default} of {N_VISITS} default"
        );
        for answer in &answers {
            let expected = if answer["action"] == DISHES[0] {
                0.9 + 0.1 / 12.0
            } else {
                0.1 / 12.0
            };
            assert!(
                (answer["propensity"].as_f64().unwrap() - expected).abs() < 1e-12,
                "{answer}"
            );
            assert_eq!(answer["model_version"], Value::Null);
        }

        // Trained as of the next day, it beats a constant and goes live; the running server picks it up.
        let trained = home
            .run(&[
                "jobs",
                "run",
                "train",
                "--strategy",
                "menu",
                "--as-of",
                "2026-01-06T00:00:00Z",
            ])
            .success();
        println!("{trained}");
        let models = home.run(&["--output", "json", "models", "list", "menu"]).success();
        let models: Value = serde_json::from_str(&models).unwrap();
        assert_eq!(models[0]["stage"], "live", "{models}");
        served.wait_for_menu_model(1).await;
        let answers = live_a_day(&served, &mut world, "day2", START + 86_400 * SECOND, 500).await;
        assert!(answers.iter().all(|answer| answer["model_version"] == 1));
        assert!(
            answers
                .iter()
                .any(|answer| answer["reason"] == "exploit" && answer["action"] != DISHES[0])
        );

        // A repeated request gets its first answer, also after a restart.
        served.stop();
        let served = Served::start(&home);
        let repeat = json!({ "strategy": "menu", "unit": "user-1", "decision_id": "day2-0", "context": {
            "age": 30, "hour": 12, "budget": 20, "spicy": 5, "vegetarian": false, "device": "web" } });
        let (status, answer) = served.post("/v1/decide", &repeat).await;
        assert_eq!((status, &answer["action"]), (200, &answers[0]["action"]), "{answer}");
        served.stop();

        // Retired, the default is served again; the registry keeps why.
        home.run(&["models", "retire", "menu", "1", "--reason", "a test"])
            .success();
        let listed = home.run(&["--output", "json", "models", "list", "menu"]).success();
        assert!(listed.contains("retired") && listed.contains("a test"), "{listed}");

        // Analysts count the same rows, now and as of an earlier version.
        let count = |args: &[&str]| -> i64 {
            let printed = home.run(&[&["--output", "json", "sql"], args].concat()).success();
            let rows: Value = serde_json::from_str(&printed).unwrap();
            rows[0]["n"].as_i64().unwrap()
        };
        assert_eq!(count(&["SELECT COUNT(*) AS n FROM decisions"]), (N_VISITS + 500) as i64);
        assert_eq!(
            count(&["--at", "decisions=0", "SELECT COUNT(*) AS n FROM decisions"]),
            0
        );
        assert_eq!(count(&["SELECT COUNT(*) AS n FROM training_rows"]), N_VISITS as i64);
        home.run(&["sql", "DELETE FROM decisions"]).fails(1, &["read-only"]);
        other_readers_count_the_same(&home, N_VISITS + 500);
    });
}

/// Python's deltalake and DuckDB, from PyPI, open the tables as they are. `./dev test` installs both.
fn other_readers_count_the_same(home: &Home, n_decisions: usize) {
    let python = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/readers/bin/python");
    if !python.exists() {
        println!("skipped: .deps/readers is absent (`./dev readers` installs Python's deltalake and DuckDB)");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers.py");
    let output = Command::new(python)
        .arg(script)
        .arg(home.path().join("lake"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let counts: Value = serde_json::from_str(&said).unwrap();
    for reader in ["deltalake", "duckdb"] {
        assert_eq!(counts[reader]["decisions"], n_decisions, "{reader}: {counts}");
        assert_eq!(counts[reader]["models"], 1, "{reader}: {counts}");
        assert_eq!(
            counts[reader]["vegetarians"], counts["deltalake"]["vegetarians"],
            "{reader}: {counts}"
        );
    }
    assert!(counts["duckdb"]["vegetarians"].as_u64().unwrap() > 0, "{counts}");
}
