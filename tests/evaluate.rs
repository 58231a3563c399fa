//! Value, plan, apply, roll back: through the real binary, on a log that was imported with its propensities.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fmt::Write as _;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use support::Home;

const SETTINGS: &str = "[server]\nlisten = \"127.0.0.1:0\"\nsql_listen = \"off\"\n";
const SNACK: &str = r#"name = "snack"
unit = "user"
context = { mood = "category" }
outcome = { event = "eaten", aggregation = "any", window = "1h", absent = 0 }

[decision]
kind = "choose"
actions = ["cake", "chips", "nuts"]
default = "chips"

[policy]
kind = "epsilon_greedy"
epsilon = 1.0
"#;
const MAPPING: &str = r#"target = "decisions"
strategy = "snack"
decision_id = "id"
unit = "user"
event_time = "at"
action = "snack"
propensity = "propensity"

[context]
mood = "mood"

[outcome]
event = "eaten"
value = "eaten"
"#;
const GATE: &str = "\n[gate]\noff_policy = { margin = 0.02 }\n";

/// A log of 1,500 snacks, each drawn evenly: cake is eaten by half, chips by three in ten, nuts by one in twenty.
fn log() -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut text = "id,user,at,snack,propensity,mood,eaten\n".to_owned();
    for idx in 0..1_500 {
        let (snack, likely) = [("cake", 0.5), ("chips", 0.3), ("nuts", 0.05)][rng.random_range(0..3)];
        let eaten = u8::from(rng.random_bool(likely));
        let mood = ["sweet", "salty"][rng.random_range(0..2)];
        let (hour, minute, second) = (idx / 3600, idx / 60 % 60, idx % 60);
        writeln!(
            text,
            "d{idx},u{},2026-01-05T{hour:02}:{minute:02}:{second:02}Z,{snack},0.3333333333333333,{mood},{eaten}",
            idx % 700
        )
        .unwrap();
    }
    text
}

fn home() -> Home {
    let home = Home::new(SETTINGS, &[("snack", SNACK)]);
    home.run(&["apply"]).success();
    let (log, mapping) = (home.write("log.csv", &log()), home.write("log.toml", MAPPING));
    let args = [
        "import",
        log.to_str().unwrap(),
        "--mapping",
        mapping.to_str().unwrap(),
        "--strict",
    ];
    home.run(&args).success();
    home
}

fn json(home: &Home, args: &[&str]) -> Value {
    let mut all = args.to_vec();
    all.extend(["--output", "json"]);
    let printed = home.run(&all).success();
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

fn with(default: &str, epsilon: &str, gate: &str) -> String {
    let text = SNACK.replace("default = \"chips\"", &format!("default = \"{default}\""));
    format!(
        "{}{gate}",
        text.replace("epsilon = 1.0", &format!("epsilon = {epsilon}"))
    )
}

#[test]
fn a_candidate_is_valued_kept_and_found_by_sql() {
    let home = home();
    let candidate = "[decision]\nkind = \"choose\"\nactions = [\"cake\", \"chips\", \"nuts\"]\ndefault = \"cake\"\n\n\
                     [policy]\nkind = \"epsilon_greedy\"\nepsilon = 0.1\n";
    let file = home.write("bold.toml", candidate);
    let args = [
        "evaluate",
        "snack",
        "--policy",
        file.to_str().unwrap(),
        "--resamples",
        "100",
    ];
    let said = home.run(&args).success();
    for words in [
        "SNIPS",
        "Switch-DR (τ = 10)",
        "logged:",
        "support:",
        "`bold` is better than what was logged",
    ] {
        assert!(said.contains(words), "«{words}» in {said}");
    }
    let rows = json(&home, &args);
    let snips = &rows[0];
    assert_eq!(snips["estimator"], "SNIPS");
    // 0.9 · 0.5 + 0.1 · the mean of the three.
    assert!((snips["value"].as_f64().unwrap() - 0.478).abs() < 0.08, "{snips}");
    assert!(
        (snips["logged_value"].as_f64().unwrap() - 0.283).abs() < 0.05,
        "{snips}"
    );
    assert_eq!(snips["verdict"], "better");
    assert_eq!(
        (snips["n_rows"].as_u64(), snips["n_units"].as_u64()),
        (Some(1_500), Some(700))
    );
    assert!(snips["gain_low"].as_f64().unwrap() > 0.0);
    let query = "SELECT estimator, value, verdict, n_units FROM off_policy('snack', 'bold') WHERE estimator = 'SNIPS'";
    let found = json(&home, &["sql", query]);
    assert_eq!(
        (&found[0]["value"], &found[0]["verdict"]),
        (&snips["value"], &snips["verdict"])
    );
    let history = json(
        &home,
        &[
            "sql",
            "SELECT DISTINCT evaluation_id FROM evaluations WHERE candidate = 'bold'",
        ],
    );
    assert_eq!(history.as_array().unwrap().len(), 2);
    home.run(&["sql", "SELECT * FROM off_policy('snack', 'blod')"])
        .fails(1, &["`blod`", "did you mean `bold`?"]);
}

#[test]
fn wrong_candidates_are_one_clear_error() {
    let home = home();
    let check = |args: &[&str], code, said: &[&str]| home.run(args).fails(code, said);
    check(
        &["evaluate", "snak"],
        1,
        &["no strategy `snak` is applied; did you mean `snack`?"],
    );
    check(
        &["evaluate", "supper"],
        1,
        &["no strategy `supper` is applied", "`snack`"],
    );
    check(
        &["evaluate", "snack", "--policy", "absent.toml"],
        1,
        &["cannot read absent.toml"],
    );
    check(
        &["evaluate", "snack", "--model", "3"],
        1,
        &["no model 3 of `snack`; none is registered"],
    );
    check(&["evaluate", "snack", "--confidence", "95"], 2, &["such as 0.95"]);
    check(&["evaluate", "snack", "--model", "3", "--refit"], 2, &["--refit"]);
    check(&["evaluate", "snack", "--from", "today"], 1, &["--from today"]);
    let file = home.write("typo.toml", "[policy]\nkind = \"epsilon_gredy\"\n");
    check(
        &["evaluate", "snack", "--policy", file.to_str().unwrap()],
        1,
        &["typo.toml:2:8: policy.kind", "did you mean \"epsilon_greedy\"?"],
    );
    let file = home.write("other.toml", &SNACK.replace("name = \"snack\"", "name = \"supper\""));
    check(
        &["evaluate", "snack", "--policy", file.to_str().unwrap()],
        1,
        &["other.toml: name: it declares `supper`"],
    );
    // What the log cannot tell is the failure of a work that was asked for, with its reason.
    let file = home.write(
        "pie.toml",
        "[decision]\nkind = \"choose\"\nactions = [\"cake\", \"pie\"]\ndefault = \"pie\"\n",
    );
    check(
        &["evaluate", "snack", "--policy", file.to_str().unwrap()],
        1,
        &["`pie` cannot be valued", "no support for"],
    );
    let refused = json(
        &home,
        &["sql", "SELECT verdict, refusal FROM off_policy('snack', 'pie')"],
    );
    assert_eq!(refused[0]["verdict"], "refused");
}

#[test]
fn a_plan_is_read_by_people_and_machines() {
    let fresh = Home::new(SETTINGS, &[("snack", SNACK)]);
    let said = fresh.run(&["plan"]).success();
    for words in [
        "snack: new, ",
        "nothing is logged to decide on",
        "not measured: the strategy is new",
        "none is declared",
    ] {
        assert!(said.contains(words), "«{words}» in {said}");
    }
    assert!(!said.contains('\u{1b}'), "colour is for terminals");
    assert!(said.ends_with("1 blueprint to apply.\n"), "{said}");

    let home = home();
    assert!(home.run(&["plan"]).success().ends_with("Nothing to apply.\n"));
    let unchanged = json(&home, &["plan"]);
    assert_eq!(
        (&unchanged[0]["change"], &unchanged[0]["keys"]),
        (&"unchanged".into(), &Value::Array(vec![]))
    );

    home.write("blueprints/snack.toml", &with("cake", "0.1", GATE));
    let said = home.run(&["plan"]).success();
    for words in [
        "~ decision.default: \"chips\" → \"cake\"",
        "~ policy.epsilon: 1.0 → 0.1",
        "+ gate.off_policy.margin: 0.02",
        "data: 1500 decisions are logged",
        "mood (category, context): in 100% since 2026-01-05T00:00:00Z, filled in 100%",
        "retraining: no model is live",
        "measured on the serving code",
        "is better than what was logged",
        "gate: passes",
        "experiments: none",
    ] {
        assert!(said.contains(words), "«{words}» in {said}");
    }
    let planned = json(&home, &["plan"]);
    let plan = &planned[0];
    assert_eq!(
        (&plan["strategy"], &plan["change"], &plan["n_decisions"]),
        (&"snack".into(), &"changed".into(), &1_500.into())
    );
    assert_eq!(plan["in_force"]["sequence"], 1);
    assert_eq!(plan["keys"][0]["key"], "decision.default");
    assert_eq!(
        (&plan["keys"][0]["old"], &plan["keys"][0]["new"]),
        (&"\"chips\"".into(), &"\"cake\"".into())
    );
    assert_eq!(plan["features"][0]["logged_share"], 1.0);
    assert_eq!(plan["retraining"]["needed"], true);
    assert!(plan["model"]["decision_p99_us"].as_f64().unwrap() > 0.0);
    assert_eq!(
        (&plan["off_policy"]["verdict"], &plan["gate"]["verdict"]),
        (&"better".into(), &"passes".into())
    );
    assert!(plan["off_policy"]["gain_low"].as_f64().unwrap() > 0.0);

    home.write("blueprints/snack.toml", &with("nuts", "0.1", GATE));
    home.run(&["plan"])
        .fails(1, &["would be refused by the off-policy gate", "it is worse"]);
    home.write("blueprints/snack.toml", &with("cake", "2", ""));
    home.run(&["plan"]).fails(1, &["snack.toml:13", "policy.epsilon"]);
    home.run(&["plan", "absent.toml"]).fails(1, &["absent.toml"]);
    // Planning writes nothing.
    let applied = json(&home, &["sql", "SELECT COUNT(*) AS n FROM blueprints"]);
    assert_eq!(applied[0]["n"], 1);
}

#[test]
fn apply_asks_the_gate_force_is_kept_and_rollback_brings_back() {
    let home = home();
    let in_force = || {
        json(
            &home,
            &[
                "sql",
                "SELECT version, sequence, reason FROM blueprints ORDER BY sequence",
            ],
        )
    };
    let first = in_force()[0]["version"].clone();

    home.write("blueprints/snack.toml", &with("nuts", "0.1", GATE));
    home.run(&["apply"]).fails(
        1,
        &[
            "the off-policy gate refuses `snack`: it is worse",
            "nothing was applied",
            "--force",
        ],
    );
    let pie = with("pie", "0.1", GATE).replace("\"nuts\"]", "\"nuts\", \"pie\"]");
    home.write("blueprints/snack.toml", &pie);
    home.run(&["apply"]).fails(1, &["the log cannot tell", "`pie`"]);
    assert_eq!(
        in_force().as_array().unwrap().len(),
        1,
        "a refused blueprint leaves no trace"
    );

    home.write("blueprints/snack.toml", &with("cake", "0.1", GATE));
    let applied = json(&home, &["apply"]);
    assert_eq!(
        (&applied[0]["what"], &applied[0]["gate"]),
        (&"applied".into(), &"passed".into())
    );

    home.write("blueprints/snack.toml", &with("nuts", "0.1", GATE));
    home.run(&["apply", "--force", " "]).fails(1, &["--force is empty"]);
    let forced = json(&home, &["apply", "--force", "the cakes are gone"]);
    assert_eq!(forced[0]["gate"], "forced");
    let reason = in_force()[2]["reason"].as_str().unwrap().to_owned();
    assert!(
        reason.starts_with("forced: the cakes are gone (the off-policy gate: it is worse"),
        "{reason}"
    );
    assert_eq!(json(&home, &["apply", "--force", "again"])[0]["what"], "unchanged");

    let second = in_force()[1]["version"].as_str().unwrap().to_owned();
    let back = json(&home, &["rollback", "snack", "--reason", "nobody eats nuts"]);
    assert_eq!(
        (&back[0]["version"], &back[0]["sequence"]),
        (&second.clone().into(), &4.into())
    );
    let first = first.as_str().unwrap();
    home.run(&["rollback", "snack", "--to", first, "--reason", "as it was"])
        .success();
    let history = in_force();
    assert_eq!(history.as_array().unwrap().len(), 5, "nothing is deleted");
    assert_eq!(
        (&history[4]["version"], history[4]["sequence"].as_u64()),
        (&first.into(), Some(5))
    );
    assert!(history[4]["reason"].as_str().unwrap().ends_with(": as it was"));

    home.run(&["rollback", "snack"]).fails(2, &["--reason"]);
    home.run(&["rollback", "snack", "--reason", " "])
        .fails(1, &["--reason is empty"]);
    home.run(&["rollback", "snack", "--to", "7", "--reason", "x"])
        .fails(1, &["never had a blueprint 7", "number 1"]);
    home.run(&["rollback", "supper", "--reason", "x"])
        .fails(1, &["no blueprint of `supper` was ever applied"]);
    home.run(&["rollback", "snack", "--model", "3", "--reason", "x"])
        .fails(1, &["no model 3 of `snack`"]);
    home.run(&["models", "rollback", "snack", "--reason", "x"])
        .fails(1, &["was live before is not known"]);
}
