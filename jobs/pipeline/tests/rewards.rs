//! Labels over time and rows that weigh: reports that come late change the next training set and no earlier one, and rows count
//! by the inverse of their propensity where that is declared.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lakeloop_domain::{
    Choice, DecisionId, DecisionRecord, FeatureValue, Micros, OutcomeId, OutcomeRecord, OutcomeValue, RunState,
};
use lakeloop_lake::rows::{decisions_from_batch, decisions_to_batch, outcomes_to_batch, training_rows_from_batch};
use lakeloop_lake::{TableName, registry};
use lakeloop_pipeline::RunEnd;
use lakeloop_sql::{Pins, session};
use rand::RngExt as _;
use support::{Case, Home, MINUTE, START, number};

/// What an offer is worth: 2 for an order within two minutes, −1 for each unit sent back within ten.
const OFFER: &str = r#"
name = "offer"
unit = "user"
decision = { kind = "yes_no", default = false }
outcome = { event = "ordered", aggregation = "any", window = "2m" }
policy = { kind = "epsilon_greedy", epsilon = 0.5 }
schedule = { minimum_rows = 200, trials = 2 }
[outcomes.returned]
event = "sent_back"
aggregation = "sum"
window = "10m"
[reward]
weights = { ordered = 2.0, returned = -1.0 }
[context]
x = { type = "number", missing = "allowed" }
"#;

fn report(id: &str, decision_idx: usize, event: &str, value: f64, at: Micros, received_at: Micros) -> OutcomeRecord {
    OutcomeRecord {
        outcome_id: OutcomeId::new(id).unwrap(),
        decision_id: Some(DecisionId::new(format!("d{decision_idx:06}")).unwrap()),
        strategy: None,
        unit: None,
        candidate: None,
        event: event.into(),
        value: OutcomeValue::Number(value),
        event_time: at,
        received_at,
    }
}

#[tokio::test]
async fn what_is_reported_late_changes_the_next_training_set_and_no_earlier_one() {
    let home = Home::new(OFFER, "").await;
    let closed = home
        .live_through(600, 1, |rng| {
            let x = number(rng);
            let likes = rng.random_bool(0.1 + 0.8 * x.as_number().unwrap_or(0.3));
            Case {
                values: vec![("x", x)],
                choice: Choice::Action("yes".into()),
                outcome: likes.then_some(OutcomeValue::Number(1.0)),
            }
        })
        .await;
    let decided_at = START + 100 * MINUTE;
    let first = home.train(closed).await.unwrap();
    assert_eq!(first.end, RunEnd::Ran(RunState::Succeeded), "{}", first.detail);
    assert!(!first.detail.contains("after it"), "{}", first.detail);

    // In its window, but told an hour after the first training; and two that came too late for theirs.
    let later = closed + 60 * MINUTE;
    let reports = [
        report("late", 100, "sent_back", 7.0, decided_at + 9 * MINUTE, later),
        report("missed", 101, "sent_back", 70.0, decided_at + 12 * MINUTE, later),
        report(
            "missed by far",
            101,
            "sent_back",
            70.0,
            decided_at + 200 * MINUTE,
            later,
        ),
    ];
    home.append(TableName::Outcomes, outcomes_to_batch(&reports).unwrap())
        .await;
    let second = home.train(later).await.unwrap();
    assert!(
        second.detail.ends_with(
            "; of `returned` 1 reports came in their window and 2 after it, 1 of these within twice the window"
        ),
        "{}",
        second.detail
    );

    let counted = home
        .ask("SELECT n_late_outcomes, n_missed_outcomes FROM training_sets ORDER BY built_at")
        .await;
    assert_eq!(counted, ["0|0", "1|2"]);

    let labels = async |set: &str, idx: usize| {
        let query =
            format!("SELECT label FROM training_rows WHERE training_set_id = '{set}' AND decision_id = 'd{idx:06}'");
        home.ask(&query).await.remove(0).parse::<f64>().unwrap()
    };
    let (first, second) = (first.training_set_id.unwrap(), second.training_set_id.unwrap());
    for idx in [99, 101, 102] {
        assert_eq!(labels(first.as_str(), idx).await, labels(second.as_str(), idx).await);
    }
    assert_eq!(
        labels(second.as_str(), 100).await,
        labels(first.as_str(), 100).await - 7.0,
        "the next set has what was reported late"
    );
}

#[tokio::test]
async fn a_row_is_never_used_before_its_longest_window_has_closed() {
    let home = Home::new(OFFER, "").await;
    home.live_through(600, 1, |rng| {
        let x = number(rng);
        let likes = rng.random_bool(0.1 + 0.8 * x.as_number().unwrap_or(0.3));
        Case {
            values: vec![("x", x)],
            choice: Choice::Action("yes".into()),
            outcome: likes.then_some(OutcomeValue::Number(1.0)),
        }
    })
    .await;
    // One decision a minute, and a longest window of ten: at minute 500 those of minutes 0 to 490 are known.
    let run = home.train(START + 500 * MINUTE).await.unwrap();
    let found = home
        .ask(&format!(
            "SELECT COUNT(*), MAX(decision_id) FROM training_rows WHERE training_set_id = '{}'",
            run.training_set_id.unwrap()
        ))
        .await;
    assert_eq!(found, ["491|d000490"]);
}

/// Decisions as the home logged them, with the propensities that a policy would have had which says yes more often to large x.
async fn with_propensities(home: &Home) -> Vec<DecisionRecord> {
    let (ctx, _) = session(&home.lake, &Pins::default()).await.unwrap();
    let batches = ctx
        .sql("SELECT * FROM decisions")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let mut decisions: Vec<DecisionRecord> = batches
        .iter()
        .flat_map(|batch| decisions_from_batch(batch).unwrap())
        .collect();
    for decision in &mut decisions {
        let x = decision.features[0].value.as_number().unwrap_or(0.0);
        decision.propensity = if x > 0.5 { 0.9 } else { 0.02 };
    }
    decisions
}

#[tokio::test]
async fn rows_weigh_by_the_inverse_of_their_propensity_where_that_is_declared() {
    let mut baselines = Vec::new();
    for training in ["", "\n[training]\nweights = \"inverse_propensity\"\nclip = 10\n"] {
        let logged = Home::new(&format!("{OFFER}{training}"), "").await;
        let closed = logged
            .live_through(800, 1, |rng| {
                let x = number(rng);
                let likes = rng.random_bool(if x.as_number().unwrap_or(0.0) > 0.25 {
                    0.95
                } else {
                    0.05
                });
                Case {
                    values: vec![("x", x)],
                    choice: Choice::Action("yes".into()),
                    outcome: likes.then_some(OutcomeValue::Number(1.0)),
                }
            })
            .await;
        // The same rows with other propensities, in a lake of their own.
        let home = Home::new(&format!("{OFFER}{training}"), "").await;
        home.append(
            TableName::Decisions,
            decisions_to_batch(&with_propensities(&logged).await).unwrap(),
        )
        .await;
        let (ctx, _) = session(&logged.lake, &Pins::default()).await.unwrap();
        for outcomes in ctx
            .sql("SELECT * FROM outcomes")
            .await
            .unwrap()
            .collect()
            .await
            .unwrap()
        {
            let outcomes = lakeloop_lake::rows::outcomes_from_batch(&outcomes).unwrap();
            home.append(TableName::Outcomes, outcomes_to_batch(&outcomes).unwrap())
                .await;
        }
        let run = home.train(closed).await.unwrap();
        assert_eq!(run.end, RunEnd::Ran(RunState::Succeeded), "{}", run.detail);
        let models = registry::list(&home.lake, Some(home.strategy())).await.unwrap();
        let model = models.last().unwrap_or_else(|| panic!("{}", run.detail));

        // The constant's error, made again from the rows of the set and the formula of the weights.
        let (ctx, _) = session(&home.lake, &Pins::default()).await.unwrap();
        let batches = ctx
            .sql("SELECT * FROM training_rows")
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        let rows: Vec<_> = batches
            .iter()
            .flat_map(|batch| training_rows_from_batch(batch).unwrap())
            .collect();
        let weight = |propensity: f64| {
            if training.is_empty() {
                1.0
            } else {
                (1.0 / propensity).min(10.0)
            }
        };
        let mean = |split: &str, value: &dyn Fn(f64) -> f64| {
            let of = rows.iter().filter(|row| row.split.as_str() == split);
            let weighed = of.map(|row| (weight(row.propensity), value(row.label.unwrap())));
            let (total, weights) = weighed.fold((0.0, 0.0), |sum, (w, value)| (sum.0 + w * value, sum.1 + w));
            total / weights
        };
        let constant = mean("train", &|label| label);
        let expected = mean("validation", &|label| (label - constant).powi(2)).sqrt();
        let found = model.metrics.baseline.unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        baselines.push(found);
    }
    assert!((baselines[0] - baselines[1]).abs() > 1e-3, "{baselines:?}");
}

#[tokio::test]
async fn features_without_a_value_and_rewards_without_a_report_are_learned_from() {
    let home = Home::new(OFFER, "").await;
    let closed = home
        .live_through(400, 2, |rng| Case {
            values: vec![("x", FeatureValue::Missing)],
            choice: Choice::Action(if rng.random_bool(0.5) { "yes" } else { "no" }.into()),
            outcome: rng.random_bool(0.4).then_some(OutcomeValue::Number(1.0)),
        })
        .await;
    let run = home.train(closed).await.unwrap();
    let found = home
        .ask(&format!(
            "SELECT DISTINCT label FROM training_rows WHERE training_set_id = '{}' ORDER BY label",
            run.training_set_id.unwrap()
        ))
        .await;
    assert_eq!(found, ["0.0", "2.0"], "nothing sent back is 0, not ordered is 0");
}
