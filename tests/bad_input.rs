//! Bad input: one clear error, the exit code that was promised, and everything left as it was.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::net::TcpListener;

use serde_json::{Value, json};
use support::{Home, Served};

const SETTINGS: &str = "[server]\nlisten = \"127.0.0.1:0\"\nsql_listen = \"off\"\nmax_body = \"4KiB\"\n";
const BLUEPRINT: &str = r#"name = "late"
unit = "flight"

[decision]
kind = "yes_no"
default = false

[context]
distance = "number"
carrier = "category"

[outcome]
event = "arrived"
aggregation = "any"
window = "1h"
absent = 0
"#;

#[test]
fn blueprints_with_mistakes_are_refused_with_their_lines() {
    let check = |text: &str, said: &[&str]| {
        let home = Home::new(SETTINGS, &[("late", text)]);
        home.run(&["validate"]).fails(1, said);
        home.run(&["apply"]).fails(1, said);
        assert!(
            !home.path().join("lake").exists(),
            "a refused blueprint leaves no lake behind"
        );
    };
    check(&BLUEPRINT.replace("unit =", "unti ="), &["late.toml:2", "unti", "unit"]);
    check(
        &BLUEPRINT.replace("default = false", "default = \"no\""),
        &["late.toml:6", "decision.default"],
    );
    check(
        &BLUEPRINT.replace("event = \"arrived\"\n", ""),
        &["late.toml", "outcome", "event"],
    );
    check(
        &BLUEPRINT.replace(
            "kind = \"yes_no\"\ndefault = false",
            "kind = \"quantile\"\nquantile = 0.9\ndefault = 1.0",
        ),
        &["late.toml:5", "\"quantile\" is unknown"],
    );
    check(
        &format!("{BLUEPRINT}\n[rollout]\ncanary = 0.1\n"),
        &["late.toml", "rollout", "not built yet"],
    );
    check(&BLUEPRINT.replace("\"1h\"", "\"soon\""), &["outcome.window"]);
    check("name = [", &["late.toml:1"]);
}

#[test]
fn two_blueprints_of_one_name_are_refused() {
    let home = Home::new(SETTINGS, &[("late", BLUEPRINT), ("late2", BLUEPRINT)]);
    home.run(&["apply"]).fails(1, &["late.toml", "late2.toml"]);
}

#[test]
fn wrong_use_exits_2_and_absent_things_are_named() {
    let home = Home::new(SETTINGS, &[("late", BLUEPRINT)]);
    home.run(&["predict-the-future"]).fails(2, &["predict-the-future"]);
    home.run(&["validate", "nowhere.toml"]).fails(1, &["nowhere.toml"]);
    home.run(&["import", "nowhere.csv", "--mapping", "nowhere.toml"])
        .fails(1, &["nowhere"]);
    home.run(&["sql", "SELECT * FROM decision"]).fails(1, &["decision"]);
    home.run(&["sql", "--at", "decisions=99", "SELECT 1"]).fails(1, &["99"]);
    home.run(&["jobs", "run", "dream"]).fails(1, &["dream", "train"]);
    home.run(&["models", "promote", "late", "7", "--reason", "why not"])
        .fails(1, &["7"]);
    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for asked in [
        ["models", "list"],
        ["jobs", "list"],
        ["sql", "SELECT 1"],
        ["ladder", "late"],
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_lakeloop"))
            .arg("--home")
            .arg(&empty)
            .args(asked)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{asked:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("no lakeloop home") && said.contains("lakeloop init"),
            "{said}"
        );
        assert_eq!(
            fs::read_dir(&empty).unwrap().count(),
            0,
            "{asked:?} leaves nothing behind"
        );
    }
    let stranger = home.path().join("absent");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lakeloop"))
        .args(["--home", stranger.to_str().unwrap(), "serve"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!stranger.exists(), "a mistyped home is not made");
}

#[test]
fn settings_with_mistakes_are_refused() {
    let home = Home::new(
        "[server]\nlisten = \"127.0.0.1:0\"\nmax_bdoy = \"1MiB\"\n",
        &[("late", BLUEPRINT)],
    );
    home.run(&["apply"])
        .fails(1, &["lakeloop.toml:3", "max_bdoy", "max_body"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new(SETTINGS, &[("late", BLUEPRINT)]);
    home.run(&["apply"]).success();
    home.run(&["serve", "--listen", &address]).fails(1, &[&address]);
}

#[test]
fn a_second_server_on_one_home_is_refused() {
    let home = Home::new(SETTINGS, &[("late", BLUEPRINT)]);
    home.run(&["apply"]).success();
    let _first = Served::start(&home);
    home.run(&["serve"]).fails(1, &["journal"]);
}

#[test]
fn a_damaged_table_is_named() {
    let home = Home::new(SETTINGS, &[("late", BLUEPRINT)]);
    home.run(&["apply"]).success();
    let log = home.path().join("lake/blueprints/_delta_log/00000000000000000000.json");
    fs::write(&log, "not json").unwrap();
    home.run(&["apply"]).fails(1, &["blueprints"]);
}

#[test]
fn requests_with_mistakes_are_refused_with_the_field() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let home = Home::new(SETTINGS, &[("late", BLUEPRINT)]);
        home.run(&["apply"]).success();
        let served = Served::start(&home);
        let good = json!({ "strategy": "late", "unit": "f1", "context": { "distance": 100, "carrier": "AA" } });
        let with = |edit: &dyn Fn(&mut Value)| {
            let mut request = good.clone();
            edit(&mut request);
            request.to_string()
        };
        let long = "x".repeat(5_000);
        let cases: Vec<(&str, String, u16, &str)> = vec![
            ("/v1/decide", "{\"strategy\": ".into(), 400, "line 1"),
            ("/v1/decide", with(&|r| r["strategy"] = json!("early")), 404, "early"),
            (
                "/v1/decide",
                with(&|r| r["context"]["distance"] = json!("far")),
                422,
                "distance",
            ),
            (
                "/v1/decide",
                with(&|r| r["context"]["altitude"] = json!(3)),
                422,
                "altitude",
            ),
            (
                "/v1/decide",
                with(&|r| drop(r["context"].as_object_mut().unwrap().remove("carrier"))),
                422,
                "carrier",
            ),
            (
                "/v1/decide",
                with(&|r| r["event_time"] = json!(5)),
                422,
                "allow_event_time",
            ),
            ("/v1/decide", with(&|r| r["unit"] = json!("")), 422, "unit"),
            ("/v1/decide", good.to_string().replace("100", "1e999"), 400, "number"),
            ("/v1/decide", good.to_string().replace("100", "NaN"), 400, "line 1"),
            ("/v1/decide", with(&|r| r["context"]["carrier"] = json!(long)), 413, "4"),
            (
                "/v1/observe",
                json!({ "event": "arrived" }).to_string(),
                422,
                "decision_id",
            ),
            ("/v1/nothing", good.to_string(), 404, "/v1/nothing"),
        ];
        for (path, body, expected, said) in cases {
            let (status, answer) = served.post_text(path, &body).await;
            assert_eq!(status, expected, "{path} {body}: {answer}");
            let text = answer.to_string();
            assert!(text.contains(said), "{path} {body} should say «{said}»: {text}");
            assert!(
                answer["title"].is_string() && answer["detail"].is_string(),
                "{path}: {text}"
            );
        }
        let (status, _) = served.post("/v1/decide", &good).await;
        assert_eq!(status, 200);
        served.flush().await;
        served.stop();
        let count = home
            .run(&["--output", "csv", "sql", "SELECT COUNT(*) FROM decisions"])
            .success();
        assert_eq!(count.lines().nth(1), Some("1"), "only the good request left a row");
    });
}
