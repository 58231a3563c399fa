//! The cold-start ladder through the real binary, in a simulated product whose rule and whose visitors are known: each gate
//! opens exactly when its declared amount is there, the rule is never changed while apprentice, and the agreement that is
//! reported is the one that the answers themselves add up to.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::{Home, Served};

/// 2026-01-05T00:00:00Z.
const START: i64 = 1_767_571_200_000_000;
const SECOND: i64 = 1_000_000;
const ACTIONS: [&str; 3] = ["none", "mail", "call"];
const SETTINGS: &str =
    "[server]\nlisten = \"127.0.0.1:0\"\nsql_listen = \"off\"\nallow_event_time = true\nrefresh_interval = \"20ms\"\n";
const BLUEPRINT: &str = r#"
name = "nudge"
unit = "user"
[decision]
kind = "choose"
actions = ["none", "mail", "call"]
default = "none"
[context]
age = "number"
[outcome]
event = "bought"
aggregation = "any"
window = "10s"
absent = 0
[policy]
kind = "greedy"
[ladder]
apprentice = { after = 60 }
exploration = { after = 300, around = "rule", epsilon = 0.5 }
model = { after = 90 }
[schedule]
minimum_rows = 100
trials = 2
"#;

/// The rule that the callers have: the young get mail, the middle-aged a call, the old nothing.
fn rule(age: i64) -> &'static str {
    match age {
        ..30 => "mail",
        30..60 => "call",
        _ => "none",
    }
}

/// Whether a visitor buys: mail works for those under 45, a call for the others.
fn buys(age: i64, action: &str) -> bool {
    action == if age < 45 { "mail" } else { "call" }
}

struct Stage {
    home: Home,
    served: Served,
    n_decided: i64,
}

/// A decision as its caller saw it.
struct Seen {
    rule: &'static str,
    answer: Value,
}

impl Seen {
    fn action(&self) -> &str {
        self.answer["action"].as_str().unwrap()
    }

    fn reason(&self) -> &str {
        self.answer["reason"].as_str().unwrap()
    }

    /// The action with the highest of the scores in the answer, the first declared one among equals.
    fn best(&self) -> Option<&'static str> {
        let scores = self.answer["scores"].as_object().filter(|scores| !scores.is_empty())?;
        let score = |action: &str| scores[action].as_f64().unwrap();
        let better = |best: &'static str, next| if score(next) > score(best) { next } else { best };
        Some(ACTIONS.into_iter().reduce(better).unwrap())
    }
}

impl Stage {
    /// Visitors come, one a second, are decided for and buy or not; everything is in the lake when this returns.
    async fn visits(&mut self, n_visits: usize, with_rule: bool) -> Vec<Seen> {
        let (mut all, mut outcomes) = (Vec::new(), Vec::new());
        for _ in 0..n_visits {
            let n = self.n_decided;
            self.n_decided += 1;
            let (age, at) = (18 + n * 37 % 67, START + n * SECOND);
            let mut request = json!({
                "strategy": "nudge", "unit": format!("u{n}"), "decision_id": format!("d{n}"), "event_time": at,
                "context": { "age": age },
            });
            if with_rule {
                request["rule_action"] = json!(rule(age));
            }
            let (status, answer) = self.served.post("/v1/decide", &request).await;
            assert_eq!(status, 200, "{answer}");
            let seen = Seen {
                rule: rule(age),
                answer,
            };
            if buys(age, seen.action()) {
                outcomes.push(json!({ "decision_id": format!("d{n}"), "event": "bought", "event_time": at + SECOND }));
            }
            all.push(seen);
        }
        if !outcomes.is_empty() {
            let (status, answer) = self.served.post("/v1/observe", &json!({ "outcomes": outcomes })).await;
            assert_eq!(status, 200, "{answer}");
        }
        self.served.flush().await;
        all
    }

    /// Runs the ladder job as of the moment when the windows of the first so many decisions have closed; the step that the
    /// server stands on then.
    async fn step_with_closed(&self, n_closed: i64, expected: &str) {
        let as_of = time(START + (n_closed - 1) * SECOND + 10 * SECOND);
        self.home.run(&["jobs", "run", "ladder", "--as-of", &as_of]).success();
        let steps = json_rows(&self.home, "SELECT step FROM ladder_steps");
        let in_lake = steps.first().map_or("default", |row| row["step"].as_str().unwrap());
        assert_eq!(in_lake, expected, "with {n_closed} closed windows");
        for _ in 0..50_000 {
            let body = reqwest::get(format!("{}/v1/strategies", self.served.base()))
                .await
                .unwrap();
            let list: Value = serde_json::from_slice(&body.bytes().await.unwrap()).unwrap();
            if list["strategies"][0]["step"] == expected {
                return;
            }
        }
        panic!("the server does not stand on {expected}");
    }
}

/// An instant as flags take it.
fn time(micros: i64) -> String {
    let seconds = micros / SECOND - 1_767_571_200;
    format!(
        "2026-01-05T{:02}:{:02}:{:02}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn json_rows(home: &Home, query: &str) -> Vec<Value> {
    let printed = home.run(&["--output", "json", "sql", query]).success();
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn a_strategy_climbs_by_what_is_known_and_its_rule_is_never_changed() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let home = Home::new(SETTINGS, &[("nudge", BLUEPRINT)]);
        home.run(&["apply"]).success();
        let served = Served::start(&home);
        let mut stage = Stage {
            home,
            served,
            n_decided: 0,
        };

        // The default, whatever the rule says. Decisions without the rule's action open nothing.
        let mut by_default = stage.visits(20, false).await;
        by_default.extend(stage.visits(59, true).await);
        assert!(by_default.iter().all(|seen| (seen.action(), seen.reason()) == ("none", "default")));
        stage.step_with_closed(79, "default").await;
        let _ = stage.visits(1, true).await;
        stage.step_with_closed(80, "apprentice").await;

        // The rule decides; the last of the 300 has no closed window at first.
        let untaught = stage.visits(150, true).await;
        assert!(untaught.iter().all(|seen| seen.action() == seen.rule && seen.reason() == "apprentice"));
        assert!(untaught.iter().all(|seen| seen.answer["propensity"] == 1.0 && seen.best().is_none()));
        let silent = stage.visits(1, false).await;
        assert_eq!((silent[0].action(), silent[0].reason()), ("none", "default"));

        // A model learns from it in the background, and changes nothing.
        stage.home.run(&["jobs", "run", "train", "--strategy", "nudge", "--as-of", &time(START + 240 * SECOND)]).success();
        stage.home.run(&["models", "promote", "nudge", "1", "--reason", "a test"]);
        let mut warm_up = 0;
        let mut taught = Vec::new();
        while taught.len() < 100 {
            let seen = stage.visits(1, true).await.remove(0);
            assert_eq!((seen.action(), seen.reason()), (seen.rule, "apprentice"));
            match seen.best() {
                None => warm_up += 1,
                Some(_) => taught.push(seen),
            }
        }
        let n_agreeing = taught.iter().filter(|seen| seen.best() == Some(seen.rule)).count();
        let agreement = json_rows(&stage.home, "SELECT step, n_decisions, n_agreeing, agreement FROM apprentice_agreement");
        assert_eq!(
            agreement,
            [json!({
                "step": "apprentice", "n_decisions": 100, "n_agreeing": n_agreeing, "agreement": n_agreeing as f64 / 100.0
            })]
        );
        let printed = stage.home.run(&["--output", "json", "ladder", "nudge"]).success();
        let shown: Vec<Value> = serde_json::from_str(&printed).unwrap();
        assert_eq!((&shown[0]["step"], &shown[0]["compared"]), (&json!("apprentice"), &json!(100)));
        assert_eq!(shown[0]["agreement"], n_agreeing as f64 / 100.0);
        assert_eq!(shown[0]["reason"], "apprentice begins after 60 decisions with the rule's action; there are 60");

        // 300 labelled decisions of the apprentice open exploration: all that were made on that step so far, and more.
        let n_so_far = 150 + 1 + warm_up + 100;
        let _ = stage.visits(300 - n_so_far, true).await;
        let n_decided = stage.n_decided;
        stage.step_with_closed(n_decided - 1, "apprentice").await;
        stage.step_with_closed(n_decided, "exploration").await;

        // Exploration around the rule, with the propensity of each draw.
        let (mut n_explored, mut explored) = (0, Vec::new());
        while n_explored < 90 {
            let seen = stage.visits(1, true).await.remove(0);
            let chance = if seen.action() == seen.rule { 0.5 + 0.5 / 3.0 } else { 0.5 / 3.0 };
            assert!((seen.answer["propensity"].as_f64().unwrap() - chance).abs() < 1e-12);
            match seen.reason() {
                "explore" => n_explored += 1,
                "apprentice" => assert_eq!(seen.action(), seen.rule),
                other => panic!("{other}"),
            }
            explored.push(seen);
        }
        assert!(explored.len() > 120, "half are drawn: {}", explored.len());
        let n_decided = stage.n_decided;
        stage.step_with_closed(n_decided - 1, "exploration").await;
        stage.step_with_closed(n_decided, "model").await;

        // The policy decides by the model, without a rule.
        let by_model = stage.visits(30, false).await;
        assert!(by_model.iter().all(|seen| seen.reason() == "exploit" && Some(seen.action()) == seen.best()));

        let moves = json_rows(
            &stage.home,
            "SELECT from_step, to_step, n_with_rule, n_labelled_apprentice, n_labelled_explored FROM ladder_moves ORDER BY sequence",
        );
        let steps: Vec<(&str, &str)> = moves
            .iter()
            .map(|one| (one["from_step"].as_str().unwrap(), one["to_step"].as_str().unwrap()))
            .collect();
        assert_eq!(steps, [("default", "apprentice"), ("apprentice", "exploration"), ("exploration", "model")]);
        assert_eq!(moves[0]["n_with_rule"], 60);
        assert_eq!(moves[1]["n_labelled_apprentice"], 300);
        assert_eq!(moves[2]["n_labelled_explored"], 90);

        // Every decision, of every step, is made again from its row.
        let printed = stage.home.run(&["--output", "json", "replay", "--strategy", "nudge"]).success();
        let report: Vec<Value> = serde_json::from_str(&printed).unwrap();
        assert_eq!(
            (&report[0]["n_same"], &report[0]["n_differing"]),
            (&json!(stage.n_decided), &json!(0)),
            "{printed}"
        );
        stage.served.stop();
    });
}

#[test]
fn what_is_not_there_is_said() {
    let home = Home::new(SETTINGS, &[("nudge", BLUEPRINT)]);
    home.run(&["apply"]).success();
    home.run(&["ladder", "nobody"])
        .fails(1, &["no strategy `nobody` with a ladder is in force"]);
    let printed = home.run(&["--output", "json", "ladder"]).success();
    let shown: Vec<Value> = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (&shown[0]["step"], &shown[0]["next"], &shown[0]["agreement"]),
        (
            &json!("default"),
            &json!("apprentice begins after 60 decisions with the rule's action; there are 0"),
            &Value::Null
        )
    );
}
