//! Clients that others wrote, unchanged, against a running server. `just clients` installs them from PyPI; where they are
//! absent, these tests say so and pass.

use std::path::{Path, PathBuf};

use lakeloop_domain::{Choice, OutcomeValue};
use serde_json::Value;
use tokio::process::Command;

use crate::models::{go_live, golden, model};
use crate::support::{DISH, Home, LATE, Site, apply};

/// A number, with the default while nothing is learned.
const WAIT: &str = r#"
name = "wait"
description = "How many seconds to wait before asking again"
unit = "user"
[decision]
kind = "number"
default = 2.5
[context]
age = "number"
[outcome]
event = "waited"
type = "number"
aggregation = "sum"
window = "30m"
[policy]
kind = "greedy"
"#;

/// A program of the clients' folder, if it is there.
fn installed(program: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../.deps/clients/bin")
        .join(program);
    if !path.exists() {
        println!("skipped: .deps/clients is absent (`./dev clients` installs tritonclient, OpenFeature and others)");
        return None;
    }
    Some(path)
}

/// Runs a script of `tests/clients` to its end; gives what it printed.
async fn run(python: &Path, script: &str, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let ended = Command::new(python).arg(&script).args(args).output().await.unwrap();
    assert!(
        ended.status.success(),
        "{}: {}{}",
        script.display(),
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    String::from_utf8(ended.stdout).unwrap()
}

/// Where the rows and predictions of the golden model are.
fn expected() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trees/tests/golden");
    folder
        .join("binary_logistic.expected.json")
        .to_string_lossy()
        .into_owned()
}

/// A server with a live model of `late`.
async fn with_model(home: &Home, blueprints: &[&str]) -> Site {
    let lake = home.lake().await;
    for text in blueprints {
        apply(&lake, text).await;
    }
    go_live(&lake, model(golden("binary_logistic.ubj"))).await;
    home.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tritons_client_gets_the_scores_of_xgboost() {
    let Some(python) = installed("python") else { return };
    let home = Home::new();
    let site = with_model(&home, &[LATE]).await;
    let address = site.server.addr().to_string();
    assert_eq!(
        run(&python, "triton.py", &[&address, "late", &expected()]).await,
        "ok\n"
    );
    assert_eq!(site.server.flush().await.unwrap().decisions, 0, "scores are not logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openfeature_sdk_decides_and_each_decision_is_logged() {
    let Some(python) = installed("python") else { return };
    let home = Home::new();
    let site = home.start_with(&[DISH, LATE, WAIT]).await;
    let printed = run(&python, "flags.py", &[&site.base]).await;
    let evaluated: Vec<Value> = serde_json::from_str(&printed).unwrap();
    site.server.flush().await.unwrap();
    let logged = site.decisions().await;
    assert_eq!(logged.len(), 3, "what was refused is not logged");
    for (one, (strategy, reason)) in evaluated
        .iter()
        .zip([("dish", "SPLIT"), ("late", "DEFAULT"), ("wait", "DEFAULT")])
    {
        let row = logged
            .iter()
            .find(|row| one["decision_id"] == row.decision_id.as_str())
            .unwrap();
        assert_eq!((row.strategy.as_str(), row.unit.as_str()), (strategy, "ada"));
        assert_eq!(
            (&one["reason"], one["propensity"].as_f64()),
            (&reason.into(), Some(row.propensity))
        );
        match &row.choice {
            Choice::Action(action) if strategy == "late" => {
                assert_eq!(
                    (&one["value"], &one["variant"]),
                    (&(action == "yes").into(), &action.as_str().into())
                );
            }
            Choice::Ranking(ranking) => panic!("{ranking:?} without candidates"),
            Choice::Action(action) => {
                assert_eq!(
                    (&one["value"], &one["variant"]),
                    (&action.as_str().into(), &action.as_str().into())
                );
            }
            Choice::Number(number) => {
                assert_eq!((&one["value"], &one["variant"]), (&(*number).into(), &"default".into()));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_personalizer_client_ranks_and_rewards() {
    let Some(python) = installed("python") else { return };
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let printed = run(&python, "ranks.py", &[&site.base]).await;
    let ranked: Value = serde_json::from_str(&printed).unwrap();
    site.server.flush().await.unwrap();
    let logged = site.decisions().await;
    assert_eq!(logged.len(), 2, "a repeat and what was refused are not logged");
    let row = logged.iter().find(|row| row.decision_id.as_str() == "event-1").unwrap();
    assert_eq!(
        row.choice,
        Choice::Action(ranked["action"].as_str().unwrap().to_owned())
    );
    assert_eq!(ranked["probability"].as_f64(), Some(row.propensity));
    assert_eq!(row.unit.as_str(), "ada");
    let fresh = logged
        .iter()
        .find(|row| ranked["fresh"] == row.decision_id.as_str())
        .unwrap();
    assert_eq!(fresh.unit.as_str(), "ada");
    let outcomes = site.outcomes().await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].decision_id.as_ref().map(|id| id.as_str()), Some("event-1"));
    assert_eq!(
        (outcomes[0].event.as_str(), &outcomes[0].value),
        ("ordered", &OutcomeValue::Number(0.75))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_arrow_are_read_and_answered() {
    let Some(python) = installed("python") else { return };
    let home = Home::new();
    let site = with_model(&home, &[DISH, LATE]).await;
    let printed = run(&python, "tables.py", &[&site.base, &expected()]).await;
    let ids: Vec<String> = serde_json::from_str(&printed).unwrap();
    site.server.flush().await.unwrap();
    let mut logged: Vec<String> = site
        .decisions()
        .await
        .iter()
        .map(|row| row.decision_id.to_string())
        .collect();
    let mut answered = ids;
    logged.sort();
    answered.sort();
    assert_eq!(
        logged, answered,
        "what was refused is not logged, and the rest is, once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_answer_that_is_not_described() {
    let Some(schemathesis) = installed("schemathesis") else {
        return;
    };
    let home = Home::new();
    let menu = include_str!("../../../../config/blueprints/menu.toml");
    let site = with_model(&home, &[menu, DISH, LATE, WAIT]).await;
    let ended = Command::new(schemathesis)
        .current_dir(home.path())
        .args(["run", &format!("{}/openapi.json", site.base)])
        .args(["--checks", CHECKS, "--seed", "1", "--generation-deterministic"])
        .args([
            "--max-examples",
            "15",
            "--phases",
            "examples,coverage,fuzzing",
            "--no-color",
        ])
        .args(["--suppress-health-check", "all"])
        .output()
        .await
        .unwrap();
    assert!(
        ended.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
}

/// What schemathesis holds answers to: no server error, and status, media type, headers and body as described; and that
/// what the document forbids is refused.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance,negative_data_rejection";
