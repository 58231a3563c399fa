//! Planted traps: training sets that make a model look better than it is, and those that hold too little. Each is caught by
//! a sentence with the column and its numbers, and nothing is registered.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lakeloop_domain::{Choice, FeatureValue, ModelStage, OutcomeValue, RunState};
use lakeloop_lake::registry;
use lakeloop_pipeline::{PipelineError, RunEnd, RunOutcome};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use support::{Case, Home, number, yes_no};

/// Late with a probability that grows with `x`. What else is in the context is the trap.
fn blueprint(context: &str, training: &str) -> String {
    format!(
        r#"
name = "late"
description = "Will it be late?"
unit = "flight"
decision = {{ kind = "yes_no", default = false }}
outcome = {{ event = "arrived", aggregation = "last", type = "yes_no", window = "2m", absent = "exclude" }}
schedule = {{ minimum_rows = 1, trials = 2 }}
[context]
x = {{ type = "number", missing = "allowed" }}
{context}
[training]
{training}
"#
    )
}

/// A decision with its label: the label is drawn first, so that a trap can look at it.
fn case(rng: &mut ChaCha8Rng, trap: impl FnOnce(&mut ChaCha8Rng, bool) -> Vec<(&'static str, FeatureValue)>) -> Case {
    let x = number(rng);
    let is_late = rng.random_bool(0.1 + 0.7 * x.as_number().unwrap_or(0.3));
    let mut values = vec![("x", x)];
    values.extend(trap(rng, is_late));
    Case {
        values,
        choice: Choice::Action("no".into()),
        outcome: yes_no(is_late),
    }
}

/// The values and the outcome of a decision that comes again.
type Seen = (Vec<(&'static str, FeatureValue)>, Option<OutcomeValue>);

async fn train(
    text: &str,
    n_rows: usize,
    next: impl FnMut(&mut ChaCha8Rng) -> Case,
) -> (Home, Result<RunOutcome, PipelineError>) {
    let home = Home::new(text, "").await;
    let closed = home.live_through(n_rows, 1, next).await;
    let outcome = home.train(closed).await;
    (home, outcome)
}

/// The run failed with a sentence that says this, nothing was registered, and `job_runs` says the same.
#[track_caller]
fn stopped(outcome: &Result<RunOutcome, PipelineError>, parts: &[&str]) -> String {
    let Err(error @ PipelineError::Guards { .. }) = outcome else {
        panic!("{:?}", outcome.as_ref().map(|outcome| &outcome.detail))
    };
    let said = error.to_string();
    for part in parts {
        assert!(said.contains(part), "{said:?} does not say {part:?}");
    }
    said
}

async fn nothing_is_registered(home: &Home, said: &str) {
    assert!(registry::list(&home.lake, None).await.unwrap().is_empty());
    assert!(
        home.ask("SELECT trial FROM trials").await.is_empty(),
        "nothing was fitted"
    );
    let runs = home
        .ask("SELECT state, detail FROM job_runs WHERE state = 'failed'")
        .await;
    assert_eq!(runs, [format!("failed|{said}")]);
}

#[tokio::test]
async fn a_copied_label_is_named_and_stops_the_run_unless_it_is_let_pass() {
    let copied = |rng: &mut ChaCha8Rng| case(rng, |_, is_late| vec![("copied", FeatureValue::Boolean(is_late))]);
    let (home, outcome) = train(&blueprint("copied = \"boolean\"", ""), 600, copied).await;
    let said = stopped(
        &outcome,
        &[
            "`copied` alone predicts the label with an AUC of 1.000 on 120 later rows",
            "allow_leak = [\"copied\"]",
        ],
    );
    assert!(!said.contains("`x`"), "{said}");
    nothing_is_registered(&home, &said).await;

    let allowed = blueprint("copied = \"boolean\"", "allow_leak = [\"copied\"]");
    let (home, outcome) = train(&allowed, 600, copied).await;
    let outcome = outcome.unwrap();
    assert!(outcome.model.is_some(), "{}", outcome.detail);
    assert!(
        outcome
            .detail
            .contains("let pass by [training] allow_leak = [\"copied\"]"),
        "{}",
        outcome.detail
    );
    let told = home
        .ask("SELECT detail LIKE '%let pass by [training]%' FROM job_runs WHERE state = 'succeeded'")
        .await;
    assert_eq!(told, ["true"], "job_runs says what was let pass");
}

#[tokio::test]
async fn a_column_known_only_after_the_fact_is_named() {
    // One decision in five never has an outcome, and then the actual arrival is not known either.
    let after_the_fact = |rng: &mut ChaCha8Rng| {
        let is_cancelled = rng.random_bool(0.2);
        let mut case = case(rng, |rng, is_late| {
            let minutes = if is_late { 20.0 } else { 5.0 } + rng.random_range(-15.0..15.0);
            vec![(
                "arr_time",
                if is_cancelled {
                    FeatureValue::Missing
                } else {
                    FeatureValue::Number(minutes)
                },
            )]
        });
        if is_cancelled {
            case.outcome = None;
        }
        case
    };
    let context = "arr_time = { type = \"number\", missing = \"allowed\" }";
    let (home, outcome) = train(&blueprint(context, ""), 800, after_the_fact).await;
    let said = stopped(
        &outcome,
        &[
            "`arr_time` is filled for 100 % of the decisions with an outcome but for 0 % of the",
            "known only after the fact",
        ],
    );
    nothing_is_registered(&home, &said).await;
}

#[tokio::test]
async fn rows_that_repeat_across_the_split_stop_the_run() {
    // The second half of the history is the first half again, under other ids: a file imported twice.
    let mut seen: Vec<Seen> = Vec::new();
    let mut n_calls = 0_usize;
    // Units repeat every 97 rows, so that a copy 485 rows later has its unit.
    let copies = move |rng: &mut ChaCha8Rng| {
        let case = case(rng, |_, _| Vec::new());
        n_calls += 1;
        if n_calls <= 485 {
            seen.push((case.values.clone(), case.outcome.clone()));
            return case;
        }
        let (values, outcome) = seen[n_calls - 486].clone();
        Case {
            values,
            outcome,
            ..case
        }
    };
    let (home, outcome) = train(&blueprint("", ""), 970, copies).await;
    let said = stopped(
        &outcome,
        &[
            "of 194 validation rows (",
            "are copies of rows fitted on: the same unit and features",
            "allow_duplicates = true",
        ],
    );
    nothing_is_registered(&home, &said).await;
}

#[tokio::test]
async fn labels_that_turn_over_at_the_split_stop_the_run() {
    let mut n_calls = 0;
    let turned = move |rng: &mut ChaCha8Rng| {
        n_calls += 1;
        let is_late = rng.random_bool(if n_calls <= 480 { 0.1 } else { 0.9 });
        Case {
            outcome: yes_no(is_late),
            ..case(rng, |_, _| Vec::new())
        }
    };
    let (_, outcome) = train(&blueprint("", ""), 600, turned).await;
    stopped(&outcome, &["the share of label `", "allow_label_shift = true"]);
}

#[tokio::test]
async fn twelve_rows_one_class_and_too_few_positives_are_skipped_with_what_is_missing() {
    let skipped = |outcome: Result<RunOutcome, PipelineError>| {
        let outcome = outcome.unwrap();
        assert_eq!(outcome.end, RunEnd::Ran(RunState::Skipped), "{}", outcome.detail);
        outcome.detail
    };
    let (_, outcome) = train(&blueprint("", ""), 12, |rng| case(rng, |_, _| Vec::new())).await;
    assert_eq!(
        skipped(outcome),
        "12 decisions leave 3 to validate on, and 30 are needed: about 108 more decisions with an outcome"
    );
    let never = |rng: &mut ChaCha8Rng| Case {
        outcome: yes_no(false),
        ..case(rng, |_, _| Vec::new())
    };
    let (_, outcome) = train(&blueprint("", ""), 400, never).await;
    let detail = skipped(outcome);
    assert!(detail.contains("labels to fit on are `no`"), "{detail}");
    let mut n_calls = 0;
    let rarely = move |rng: &mut ChaCha8Rng| {
        n_calls += 1;
        Case {
            outcome: yes_no(n_calls % 150 == 0),
            ..case(rng, |_, _| Vec::new())
        }
    };
    let (_, outcome) = train(&blueprint("", ""), 1_000, rarely).await;
    let detail = skipped(outcome);
    assert!(
        detail.contains("are `yes`, and 10 and 5 are needed: at this rate about"),
        "{detail}"
    );
}

#[tokio::test]
async fn categories_without_end_and_columns_without_values_are_told_and_do_no_harm() {
    let mut n_calls = 0;
    let wide = move |rng: &mut ChaCha8Rng| {
        n_calls += 1;
        case(rng, |_, _| {
            vec![
                ("zip", FeatureValue::Category(format!("z{}", n_calls % 1_500))),
                ("never", FeatureValue::Missing),
            ]
        })
    };
    let context = "zip = \"category\"\nnever = { type = \"number\", missing = \"allowed\" }";
    let (home, outcome) = train(&blueprint(context, ""), 2_000, wide).await;
    let detail = outcome.unwrap().detail;
    assert!(
        detail.contains("`zip` has 1500 different values; the model knows the 256 most frequent ones"),
        "{detail}"
    );
    assert!(detail.contains("`never` has no value in any of the"), "{detail}");
    let models = registry::list(&home.lake, None).await.unwrap();
    assert_eq!(models[0].stage, ModelStage::Live, "{detail}");

    // The card tells the same, and is in the table in both forms.
    let card = registry::card(&home.lake, home.strategy(), models[0].version)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(card.version, Some(models[0].version));
    assert_eq!(card.guards.len(), 2, "{:?}", card.guards);
    assert_eq!(card.importance[0].column, "x");
    assert!(card.importance[0].shap > 0.1, "{:?}", card.importance);
    assert_eq!(card.folds.len(), 3);
    let (low, high) = card.metrics[0].interval.unwrap();
    assert!(low < card.metrics[0].value && card.metrics[0].value < high);
    let markdown = home.ask("SELECT card_markdown FROM models").await.join("\n");
    assert_eq!(markdown, card.to_markdown());
    for part in [
        "# Model 1 of `late`",
        "| auc |",
        "## Calibration",
        "## Lift",
        "| `zip` |",
        "## What it costs",
    ] {
        assert!(markdown.contains(part), "no {part} in\n{markdown}");
    }
}

/// One row of the flights that the traps are planted in.
fn flight(fields: &BTreeMap<String, String>) -> Case {
    let number = |name: &str| fields[name].parse().map_or(FeatureValue::Missing, FeatureValue::Number);
    let late = fields["arr_delay"].parse::<f64>().ok().map(|minutes| minutes > 15.0);
    Case {
        values: vec![
            ("x", number("hour")),
            ("dep_delay", number("dep_delay")),
            ("arr_time", number("arr_time")),
            ("sched_arr_time", number("sched_arr_time")),
        ],
        choice: Choice::Action("no".into()),
        outcome: late.and_then(yes_no),
    }
}

#[tokio::test]
#[allow(clippy::print_stdout)]
async fn departure_delay_and_arrival_time_of_real_flights_are_named() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("LAKELOOP_SHARED").map_or(beside, PathBuf::from);
    let file = shared.join("data/rdu_flights17/flights.csv");
    let Ok(mut reader) = csv::Reader::from_path(&file) else {
        println!("skipped: {} is not there", file.display());
        return;
    };
    let mut rows = reader.deserialize::<BTreeMap<String, String>>();
    let column = |name: &str| format!("{name} = {{ type = \"number\", missing = \"allowed\" }}\n");
    let context = ["dep_delay", "arr_time", "sched_arr_time"].map(column).concat();
    let (home, outcome) = train(&blueprint(&context, ""), 6_000, |_| {
        flight(&rows.next().unwrap().unwrap())
    })
    .await;
    let said = stopped(&outcome, &["`dep_delay` is filled for", "`arr_time` is filled for"]);
    assert!(!said.contains("`sched_arr_time`") && !said.contains("`x`"), "{said}");
    nothing_is_registered(&home, &said).await;
}
