//! What models learn of timestamps, in simulated worlds: what comes again, and never when a row was made.

use lakeloop_domain::{FeatureValue, Timestamp, TimestampPart};
use lakeloop_stats::Example;
use lakeloop_stats::metrics::auc;
use rand::RngExt as _;

use crate::held_out::{fit_first, served};
use crate::simulated::{Row, applied, training_rows};

const HOUR_US: i64 = 3_600_000_000;

/// A year of orders, one an hour, each placed up to two hours before it is decided about.
const N_ROWS: usize = 24 * 365;

/// The AUC on the last third of a year of a model of the first two thirds, which sees no more than a timestamp. `late` is the
/// probability of the label by the local hour, the weekday, the age in hours and the share of the year that is over.
fn auc_on_later_rows(late: impl Fn(f64, f64, f64, f64) -> f64) -> f64 {
    let applied = applied(
        r#"
name = "late"
description = "Will it be late?"
unit = "order"
decision = { kind = "yes_no", default = false }
outcome = { event = "arrived", aggregation = "last", type = "yes_no", window = "1us", absent = "exclude" }
schedule = { minimum_rows = 200, trials = 4 }
training = { allow_label_shift = true }
context = { placed = "timestamp" }
"#,
    );
    // 2026-01-01T00:00:00+01:00.
    let begin = Timestamp::parse("2026-01-01T00:00:00+01:00").unwrap();
    let mut idx = 0;
    let rows = training_rows(&applied, N_ROWS, 7, |rng| {
        let decided_at = begin.instant + idx * HOUR_US;
        let placed = Timestamp {
            instant: decided_at - rng.random_range(0..2 * HOUR_US),
            ..begin
        };
        idx += 1;
        let [_, hour, weekday, day, age] = TimestampPart::ALL.map(|part| placed.part(part, decided_at));
        let year = idx as f64 / N_ROWS as f64;
        let probability = late(hour, weekday, age / 3_600.0, year);
        let number = FeatureValue::Number;
        Row {
            values: vec![
                ("placed.hour", number(hour)),
                ("placed.weekday", number(weekday)),
                ("placed.day", number(day)),
                ("placed.age", number(age)),
            ],
            action: Some("no".into()),
            label: f64::from(u8::from(rng.random_bool(probability))),
        }
    });
    let from = N_ROWS * 2 / 3;
    let winner = fit_first(&applied, &rows, from).unwrap().winner.unwrap();
    let scores = served(&applied, &winner, &rows, from);
    let labels = (from..N_ROWS).map(|row_idx| rows.label(row_idx).unwrap() != 0.0);
    let examples: Vec<_> = scores
        .into_iter()
        .zip(labels)
        .map(|(score, label)| Example::new(score, label))
        .collect();
    auc(&examples).unwrap()
}

#[test]
fn rush_hours_weekends_and_waiting_are_learned() {
    let rush = |hour: f64, weekday: f64, age: f64, _: f64| {
        let rush: f64 = if (16.5..19.25).contains(&hour) && weekday < 5.0 {
            0.6
        } else {
            0.1
        };
        rush + 0.15 * age
    };
    // By the true probabilities the AUC is .70.
    let found = auc_on_later_rows(rush);
    assert!(found > 0.66, "{found}");
}

#[test]
fn when_a_row_was_made_is_not_learned() {
    // The rate rises through the year and depends on nothing else, so that of two later rows nothing tells which is late.
    let found = auc_on_later_rows(|_, _, _, year| 0.1 + 0.5 * year);
    assert!((found - 0.5).abs() < 0.04, "{found}");
}
