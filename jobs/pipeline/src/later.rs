//! What models promise of rows that come after all of theirs, held to it: in a simulated world that does not drift, and on a
//! year of flights, which does.

use std::collections::HashMap;

use chrono::{Datelike as _, NaiveDate};
use lakeloop_domain::{Calibration, FeatureValue};
use lakeloop_stats::Example;
use lakeloop_stats::metrics::{auc, expected_calibration_error};
use rand::RngExt as _;

use crate::held_out::{fit_first, served, shared};
use crate::simulated::{Row, applied, training_rows};
use crate::winner::Winner;

const P90: &str = r#"
name = "wait"
description = "How long will it take at most, nine times in ten?"
unit = "order"
decision = { kind = "number", default = 20.0, quantile = 0.9 }
outcome = { event = "arrived", type = "number", aggregation = "last", window = "1us", absent = "exclude" }
schedule = { minimum_rows = 200, trials = 6 }
[context]
distance = "number"
hour = "number"
rush = "boolean"
"#;

#[test]
fn nine_in_ten_later_labels_lie_below_the_quantile_nine_tenths() {
    let applied = applied(P90);
    let (mut n_below, mut n_near, mut n_near_below, mut n_rows) = (0, 0, 0, 0);
    for seed in 0..3 {
        let rows = training_rows(&applied, 9_000, seed, |rng| {
            let distance: f64 = rng.random_range(0.0..10.0);
            let (hour, rush): (f64, bool) = (rng.random_range(0.0..24.0), rng.random_bool(0.3));
            // Skewed noise that grows with the distance, so that no shift of the mean is the quantile.
            let noise = -(0.5 + 0.5 * distance) * (1.0 - rng.random::<f64>()).ln();
            let mean = 10.0 + 3.0 * distance + (hour / 24.0 * std::f64::consts::TAU).sin() * 4.0;
            Row {
                values: vec![
                    ("distance", FeatureValue::Number(distance)),
                    ("hour", FeatureValue::Number(hour)),
                    ("rush", FeatureValue::Boolean(rush)),
                ],
                action: None,
                label: mean + if rush { 15.0 } else { 0.0 } + noise,
            }
        });
        let winner = fit_first(&applied, &rows, 6_000).unwrap().winner.unwrap();
        for (idx, score) in served(&applied, &winner, &rows, 6_000).iter().enumerate() {
            let row_idx = 6_000 + idx;
            let is_below = usize::from(rows.label(row_idx).unwrap() <= *score);
            n_below += is_below;
            n_rows += 1;
            // The quantile of a row, not that of all rows: near ones are covered as often as others.
            if *score < 20.0 {
                n_near += 1;
                n_near_below += is_below;
            }
        }
    }
    let share = |n: usize, of: usize| n as f64 / of as f64;
    let covered = share(n_below, n_rows);
    assert!((0.88..=0.92).contains(&covered), "{covered} of {n_rows} later rows");
    let covered = share(n_near_below, n_near);
    assert!(
        n_near > 500 && (0.85..=0.95).contains(&covered),
        "{covered} of {n_near} low ones"
    );
}

/// Numbers of a table of flights or weather, by column.
type Columns<'a> = HashMap<&'a str, usize>;

fn columns(header: &str) -> Columns<'_> {
    header
        .split(',')
        .enumerate()
        .map(|(idx, name)| (name.trim(), idx))
        .collect()
}

const OBSERVED: [&str; 7] = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"];

/// A flight as it is foretold.
struct Flight {
    /// Month, day and hour.
    at: [u32; 3],
    values: Vec<(&'static str, FeatureValue)>,
    /// Minutes.
    delay: f64,
}

/// The flights of 2017 from Raleigh-Durham in the order of their hours, with the weather observed last, and the minutes of their
/// delay; `None`, saying so, where they are not there.
fn flights() -> Option<Vec<Flight>> {
    let folder = shared("data/rdu_flights17")?;
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (flights, weather) = (text("flights.csv"), text("weather.csv"));
    let number = |cells: &[&str], idx: usize| cells.get(idx).and_then(|cell| cell.parse::<f64>().ok());
    let at = |names: &Columns<'_>, cells: &[&str]| {
        ["month", "day", "hour"].map(|part| number(cells, names[part]).unwrap_or(0.0) as u32)
    };
    let names = columns(weather.lines().next()?);
    let mut observed: Vec<([u32; 3], [Option<f64>; 7])> = weather
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            (at(&names, &cells), OBSERVED.map(|column| number(&cells, names[column])))
        })
        .collect();
    observed.sort_by_key(|(hour, _)| *hour);
    let names = columns(flights.lines().next()?);
    let mut rows: Vec<Flight> = flights
        .lines()
        .skip(1)
        .filter_map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let delay = number(&cells, names["arr_delay"])?;
            let hour = at(&names, &cells);
            let weather = observed
                .partition_point(|(seen, _)| *seen <= hour)
                .checked_sub(1)
                .map(|idx| observed[idx].1);
            let value = |found: Option<f64>| found.map_or(FeatureValue::Missing, FeatureValue::Number);
            let mut values = vec![
                ("wday", value(weekday(hour))),
                ("hour", value(number(&cells, names["hour"]))),
                ("minute", value(number(&cells, names["minute"]))),
                ("distance", value(number(&cells, names["distance"]))),
                ("sched_arr_time", value(number(&cells, names["sched_arr_time"]))),
                ("carrier", FeatureValue::Category(cells[names["carrier"]].to_owned())),
                ("dest", FeatureValue::Category(cells[names["dest"]].to_owned())),
            ];
            values.extend(
                OBSERVED
                    .iter()
                    .enumerate()
                    .map(|(idx, name)| (*name, value(weather.and_then(|seen| seen[idx])))),
            );
            Some(Flight {
                at: hour,
                values,
                delay,
            })
        })
        .collect();
    rows.sort_by_key(|flight| flight.at);
    Some(rows)
}

/// The day of the week of a day of 2017, 0 on Mondays.
fn weekday([month, day, _]: [u32; 3]) -> Option<f64> {
    let date = NaiveDate::from_ymd_opt(2017, month, day)?;
    Some(f64::from(date.weekday().num_days_from_monday()))
}

/// A blueprint over the flights' features.
fn over_flights(decision: &str, outcome: &str) -> String {
    let numbers: String = ["wday", "hour", "minute", "distance", "sched_arr_time"]
        .iter()
        .chain(&OBSERVED)
        .map(|name| format!("{name} = {{ type = \"number\", missing = \"allowed\" }}\n"))
        .collect();
    format!(
        "name = \"flight\"\nunit = \"flight\"\ndecision = {decision}\noutcome = {{ event = \"arrived\", aggregation = \"last\", \
         type = \"{outcome}\", window = \"1us\", absent = \"exclude\" }}\nschedule = {{ minimum_rows = 200, trials = 6 }}\n\
         [context]\ncarrier = \"category\"\ndest = \"category\"\n{numbers}"
    )
}

/// What models say of flights after all of theirs.
#[derive(Default)]
struct Foretold {
    /// As served.
    calibrated: Vec<f64>,
    /// Before calibration.
    raw: Vec<f64>,
    labels: Vec<f64>,
}

/// The third, fourth and last fifth of the year, each foretold by a model of all flights before it; labels are made of the delay.
fn later_fifths(decision: &str, outcome: &str, label: impl Fn(f64) -> f64) -> Option<[Foretold; 3]> {
    let flights = flights()?;
    let applied = applied(&over_flights(decision, outcome));
    let n_rows = flights.len();
    let mut all = flights.into_iter();
    let rows = training_rows(&applied, n_rows, 0, |_| {
        let Flight { values, delay, .. } = all.next().unwrap();
        let action = (outcome == "yes_no").then(|| "no".into());
        Row {
            values,
            action,
            label: label(delay),
        }
    });
    Some([2, 3, 4].map(|n_fifths| {
        let (from, to) = (n_rows * n_fifths / 5, n_rows * (n_fifths + 1) / 5);
        let mut winner = fit_first(&applied, &rows, from).unwrap().winner.unwrap();
        let scores_of = |winner: &Winner| {
            let mut scores = served(&applied, winner, &rows, from);
            scores.truncate(to - from);
            scores
        };
        let calibrated = scores_of(&winner);
        winner.calibration = Calibration::Identity;
        Foretold {
            calibrated,
            raw: scores_of(&winner),
            labels: (from..to).map(|row_idx| rows.label(row_idx).unwrap()).collect(),
        }
    }))
}

/// All of them as one.
fn pooled(parts: &[Foretold]) -> Foretold {
    let all = |of: fn(&Foretold) -> &Vec<f64>| parts.iter().flat_map(of).copied().collect();
    Foretold {
        calibrated: all(|part| &part.calibrated),
        raw: all(|part| &part.raw),
        labels: all(|part| &part.labels),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn examples(scores: &[f64], labels: &[f64]) -> Vec<Example<bool>> {
    let rows = scores.iter().zip(labels);
    rows.map(|(score, label)| Example::new(*score, *label != 0.0)).collect()
}

#[test]
#[allow(clippy::print_stdout)]
fn calibration_does_no_harm_where_the_rate_of_delays_drifts() {
    let is_late = |delay: f64| f64::from(u8::from(delay > 15.0));
    let found = later_fifths("{ kind = \"yes_no\", default = false }", "yes_no", is_late);
    let Some(fifths) = found else { return };
    let told = |name: &str, part: &Foretold| {
        let error = |scores: &[f64]| expected_calibration_error(&examples(scores, &part.labels), 10).unwrap();
        let (calibrated, raw) = (error(&part.calibrated), error(&part.raw));
        println!(
            "flights, {name}: calibration error {calibrated:.4}, {raw:.4} before calibration; AUC {:.4}; {:.4} late, {:.4} foretold",
            auc(&examples(&part.calibrated, &part.labels)).unwrap(),
            mean(&part.labels),
            mean(&part.calibrated)
        );
        (calibrated, raw)
    };
    for (part, name) in fifths.iter().zip(["third fifth", "fourth fifth", "last fifth"]) {
        let (calibrated, raw) = told(name, part);
        assert!(calibrated <= raw + 0.002, "{name}");
        // The share of late flights swings between 8 and 25 % from month to month: what is left is the drift of the rate, which
        // no curve fitted on the past takes away.
        let drift = (mean(&part.calibrated) - mean(&part.labels)).abs();
        assert!(
            calibrated <= drift + 0.015,
            "{name}: {calibrated} beside a drift of {drift}"
        );
    }
    told("all three", &pooled(&fifths));
}

#[test]
#[allow(clippy::print_stdout)]
fn nine_in_ten_later_delays_lie_below_the_quantile_nine_tenths() {
    let decision = "{ kind = \"number\", default = 20.0, quantile = 0.9 }";
    let Some(fifths) = later_fifths(decision, "number", |delay| delay) else {
        return;
    };
    let covered = |scores: &[f64], labels: &[f64]| {
        let below = scores.iter().zip(labels).filter(|(score, label)| label <= score);
        below.count() as f64 / labels.len() as f64
    };
    let told = |name: &str, part: &Foretold| {
        let (calibrated, raw) = (
            covered(&part.calibrated, &part.labels),
            covered(&part.raw, &part.labels),
        );
        let n_rows = part.labels.len();
        println!(
            "flights, {name}: {calibrated:.4} of {n_rows} later delays lie below the quantile 0.9, {raw:.4} before calibration"
        );
        calibrated
    };
    for (part, name) in fifths.iter().zip(["third fifth", "fourth fifth", "last fifth"]) {
        told(name, part);
    }
    let covered = told("all three", &pooled(&fifths));
    assert!((0.88..=0.92).contains(&covered), "{covered}");
}
