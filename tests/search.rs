//! A search through the real binary: Ctrl-C keeps the best model so far, and its front is printed and drawn.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::process::{Command, Stdio};

use lakeloop_domain::{
    Choice, Conditions, DecisionId, DecisionReason, DecisionRecord, FeatureType, FeatureValue, NamedValue, OutcomeId,
    OutcomeRecord, OutcomeValue, StrategyName, UnitId,
};
use lakeloop_lake::rows::{decisions_to_batch, outcomes_to_batch};
use lakeloop_lake::{Append, Lake, TableName, blueprints, registry, trials};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use support::Home;

/// 2026-01-05T00:00:00Z.
const START: i64 = 1_767_571_200_000_000;
const MINUTE: i64 = 60_000_000;
const N_ROWS: usize = 1_500;
const N_TRIALS: usize = 1_000;
const CLICK: &str = r#"
name = "click"
unit = "visit"
decision = { kind = "yes_no", default = false }
outcome = { event = "clicked", aggregation = "last", type = "yes_no", window = "2m", absent = "exclude" }
schedule = { minimum_rows = 200, trials = 1000 }
[context]
x = "number"
z = "number"
"#;

/// Decisions, one a minute, whose outcome is likely in the middle of `x`.
async fn live_through(lake: &Lake) {
    let applied = blueprints::current(lake).await.unwrap().remove(0);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut decisions, mut outcomes) = (Vec::new(), Vec::new());
    for idx in 0..N_ROWS {
        let (x, z): (f64, f64) = (rng.random(), rng.random());
        let at = START + MINUTE * idx as i64;
        let value = |(name, value): (&str, f64)| NamedValue {
            name: name.into(),
            feature_type: FeatureType::Number,
            value: FeatureValue::Number(value),
        };
        let decision_id = DecisionId::new(format!("d{idx:06}")).unwrap();
        decisions.push(DecisionRecord {
            decision_id: decision_id.clone(),
            strategy: applied.blueprint.name.clone(),
            blueprint_version: applied.version.clone(),
            model_version: None,
            unit: UnitId::new(format!("u{idx}")).unwrap(),
            event_time: at,
            received_at: at,
            features: [("x", x), ("z", z)].map(value).to_vec(),
            feature_versions: Vec::new(),
            actions: applied.blueprint.actions(),
            scores: Vec::new(),
            choice: Choice::Action("no".into()),
            propensity: 1.0,
            reason: DecisionReason::Imported,
            policy: None,
            salt: String::new(),
            conditions: Conditions::default(),
        });
        let clicked = rng.random_bool(if (0.25..0.75).contains(&x) { 0.85 } else { 0.1 });
        outcomes.push(OutcomeRecord {
            outcome_id: OutcomeId::new(format!("o{idx:06}")).unwrap(),
            decision_id: Some(decision_id),
            strategy: None,
            unit: None,
            event: "clicked".into(),
            candidate: None,
            value: OutcomeValue::Number(f64::from(u8::from(clicked))),
            event_time: at + MINUTE,
            received_at: at + MINUTE,
        });
    }
    for (table, rows) in [
        (TableName::Decisions, decisions_to_batch(&decisions).unwrap()),
        (TableName::Outcomes, outcomes_to_batch(&outcomes).unwrap()),
    ] {
        let appended = lake.append(&table, vec![rows], None).await.unwrap();
        assert!(matches!(appended, Append::Committed { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_keeps_the_best_model_so_far_and_its_front_is_printed_and_drawn() {
    let home = Home::new("", &[("click", CLICK)]);
    home.run(&["apply"]).success();
    live_through(&home.lake().await).await;
    let strategy = StrategyName::new("click").unwrap();

    let train = [
        "jobs",
        "run",
        "train",
        "--strategy",
        "click",
        "--as-of",
        "2026-01-07T00:00:00Z",
    ];
    let mut child = home.command(&train);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Each look reads the table anew. A search that fails ends the loop: its process is gone.
    let lake = home.lake().await;
    let mut child = Some(child);
    let n_before = loop {
        let found = trials::of_strategy(&lake, &strategy).await.unwrap();
        let n_complete = found.iter().filter(|trial| trial.is_complete == Some(true)).count();
        if n_complete >= 3 {
            break found.len();
        }
        if let Some(status) = child.as_mut().unwrap().try_wait().unwrap() {
            let said = child.take().unwrap().wait_with_output().unwrap();
            panic!(
                "the search ended with {status}: {}",
                String::from_utf8_lossy(&said.stderr)
            );
        }
    };
    let child = child.unwrap();
    let asked = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(asked.success());
    let output = child.wait_with_output().unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}{complained}");
    assert!(
        said.contains("ending the search with the best model so far"),
        "{said}{complained}"
    );
    assert!(said.contains("model 1 is live"), "{said}{complained}");

    let of_search = trials::of_strategy(&lake, &strategy).await.unwrap();
    assert!(
        (n_before..N_TRIALS).contains(&of_search.len()),
        "{} trials",
        of_search.len()
    );
    let chosen: Vec<u32> = of_search
        .iter()
        .filter(|trial| trial.chosen)
        .map(|trial| trial.trial)
        .collect();
    assert_eq!(chosen.len(), 1);
    let models = registry::list(&lake, Some(&strategy)).await.unwrap();
    assert_eq!(models.len(), 1);

    let plot = home.path().join("front.svg");
    let front = [
        "models",
        "front",
        "click",
        "--plot",
        plot.to_str().unwrap(),
        "--output",
        "json",
    ];
    let printed = home.run(&front).success();
    let rows: Vec<Value> = serde_json::from_str(&printed).unwrap();
    let registered = rows.iter().find(|row| row["note"] == "registered as model 1").unwrap();
    assert_eq!(registered["bytes"], models[0].metrics.artifact_bytes);
    let on_front: Vec<&Value> = rows.iter().filter(|row| row["trial"].is_u64()).collect();
    assert!(!on_front.is_empty(), "{printed}");
    for pair in on_front.windows(2) {
        let of = |row: &Value, key: &str| row[key].as_f64().unwrap();
        let (better, worse) = (pair[0], pair[1]);
        assert!(
            of(better, "value") <= of(worse, "value"),
            "the best comes first: {printed}"
        );
        assert!(
            ["p99_us", "bytes"].iter().any(|key| of(worse, key) < of(better, key)),
            "what is worse in quality is better in something: {printed}"
        );
    }
    let drawn = std::fs::read_to_string(&plot).unwrap();
    assert!(
        drawn.starts_with("<svg") && drawn.contains("Models of click: log_loss by size"),
        "{drawn}"
    );
    assert!(drawn.contains("registered") && drawn.matches("<circle").count() > on_front.len());
    let table = home
        .run(&["models", "front", "click", "--plot", plot.to_str().unwrap()])
        .success();
    for word in [
        "trial",
        "p99_us",
        "bytes",
        "feature_cost_us",
        "registered as model 1",
        "front.svg",
    ] {
        assert!(table.contains(word), "«{word}» is missing: {table}");
    }
}
