//! Whole searches on simulated worlds of known truth and on public data, judged on rows that come after all of theirs.

use std::path::{Path, PathBuf};

use lakeloop_domain::{AppliedBlueprint, FeatureValue};
use lakeloop_stats::Example;
use lakeloop_stats::metrics::{auc, expected_calibration_error};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::error::PipelineError;
use crate::fit::{Fitted, fit_unfollowed};
use crate::promote::{Verdict, judge};
use crate::provisional::provisional;
use crate::rows::{FeatureLayout, TrainingRows};
use crate::scoring::score;
use crate::simulated::{LATE, Row, applied, late, number, training_data, training_rows, work};
use crate::winner::Winner;

/// Fits on the first rows only.
pub(crate) fn fit_first(
    applied: &AppliedBlueprint,
    rows: &TrainingRows,
    n_rows: usize,
) -> Result<Fitted, PipelineError> {
    fit_rows(applied, TrainingRows::new(&[rows.batch().slice(0, n_rows)]).unwrap())
}

fn fit_rows(applied: &AppliedBlueprint, rows: TrainingRows) -> Result<Fitted, PipelineError> {
    let data = training_data(applied, rows);
    fit_unfollowed(&work(applied, &data))
}

/// Scores of the rows from a position on, as they would be served.
pub(crate) fn served(applied: &AppliedBlueprint, winner: &Winner, rows: &TrainingRows, from: usize) -> Vec<f64> {
    let bundle = provisional(
        applied,
        &winner.target,
        &winner.encoding,
        &winner.calibration,
        &winner.artifact,
    )
    .unwrap();
    let layout = FeatureLayout::new(&applied.blueprint);
    score(bundle.model().unwrap(), &layout, rows, from..rows.len()).unwrap()
}

fn told(fitted: Result<Fitted, PipelineError>) -> String {
    fitted.err().map(|error| error.to_string()).unwrap_or_default()
}

const WAIT: &str = r#"
name = "wait"
description = "How long will it take?"
unit = "order"
decision = { kind = "number", default = 20.0 }
outcome = { event = "arrived", type = "number", aggregation = "last", window = "1us", absent = "exclude" }
schedule = { minimum_rows = 200, trials = 2 }
[context]
distance = "number"
rush = "boolean"
"#;

#[test]
fn the_interval_of_a_number_covers_at_its_rate_on_later_rows() {
    let applied = applied(WAIT);
    let (mut n_covered, mut n_rows) = (0, 0);
    for seed in 0..3 {
        // Skewed noise: mostly little, now and then much.
        let rows = training_rows(&applied, 4_000, seed, |rng| {
            let (distance, rush): (f64, bool) = (rng.random_range(0.0..10.0), rng.random_bool(0.3));
            let noise = -3.0 * (1.0 - rng.random::<f64>()).ln();
            Row {
                values: vec![
                    ("distance", FeatureValue::Number(distance)),
                    ("rush", FeatureValue::Boolean(rush)),
                ],
                action: None,
                label: 10.0 + 3.0 * distance + if rush { 15.0 } else { 0.0 } + noise,
            }
        });
        let winner = fit_first(&applied, &rows, 2_500).unwrap().winner.unwrap();
        let interval = winner.interval.unwrap();
        for (idx, score) in served(&applied, &winner, &rows, 2_500).iter().enumerate() {
            let residual = rows.label(2_500 + idx).unwrap() - score;
            n_covered += usize::from((interval.low..=interval.high).contains(&residual));
            n_rows += 1;
        }
        let card = winner.card.interval.unwrap();
        assert!((card.covered - 0.9).abs() < 0.06, "{card:?}");
    }
    let share = f64::from(n_covered as u32) / f64::from(n_rows as u32);
    assert!(
        (0.88..=0.92).contains(&share),
        "{share} of {n_rows} later rows were covered"
    );
}

#[test]
fn a_unit_that_repeats_itself_is_a_baseline_that_no_model_of_noise_beats() {
    // Each unit's label is nearly always its last one; the features say nothing.
    let applied = applied(&LATE.replace("trials = 3", "trials = 1"));
    let mut n_calls = 0;
    let rows = training_rows(&applied, 1_200, 4, |rng| {
        n_calls += 1;
        let kept = (n_calls - 1) % 60 % 3 == 0;
        Row {
            label: f64::from(u8::from(kept != rng.random_bool(0.05))),
            ..late(rng)
        }
    });
    let rows = rows.with_units(|row_idx| row_idx % 60);
    let winner = fit_rows(&applied, rows).unwrap().winner.unwrap();
    let rung = winner
        .card
        .baselines
        .iter()
        .find(|rung| rung.baseline == lakeloop_domain::Baseline::LastValue);
    let rung = rung.unwrap();
    assert!(rung.value < 0.4 && rung.gain < 0.0, "{rung:?}");
    assert_eq!(winner.card.data.share_of_known_units, 1.0);
    assert!(matches!(
        judge(&winner.facts, applied.blueprint.training.must_beat()),
        Verdict::Refuse { .. }
    ));
}

#[test]
fn a_linear_world_is_told_by_the_ladder() {
    let applied = applied(WAIT);
    let rows = training_rows(&applied, 1_500, 6, |rng| {
        let (distance, rush): (f64, bool) = (rng.random_range(0.0..10.0), rng.random_bool(0.3));
        Row {
            values: vec![
                ("distance", FeatureValue::Number(distance)),
                ("rush", FeatureValue::Boolean(rush)),
            ],
            action: None,
            label: 10.0 + 3.0 * distance + if rush { 15.0 } else { 0.0 } + rng.random_range(-2.0..2.0),
        }
    });
    let card = fit_first(&applied, &rows, 1_500).unwrap().winner.unwrap().card;
    let value = |name: &str| {
        card.baselines
            .iter()
            .find(|rung| rung.baseline.as_str() == name)
            .unwrap()
            .value
    };
    // The noise alone has a standard deviation of 4 / √12 = 1.155.
    assert!((1.05..1.3).contains(&value("linear")), "{:?}", card.baselines);
    assert!(value("constant") > 9.0 && value("stump") > 4.0 && value("stump") < value("constant"));
}

#[test]
fn a_weak_slice_is_found_and_an_even_world_has_none() {
    let world = |is_even: bool| {
        move |rng: &mut ChaCha8Rng| {
            let mut row = late(rng);
            let is_oslo = matches!(&row.values[3].1, FeatureValue::Category(city) if city == "Oslo");
            let x = row.values[0].1.as_number().unwrap_or(0.5);
            // In Oslo everything is left to chance, elsewhere hardly anything.
            let probability = if is_oslo && !is_even {
                0.5
            } else if x > 0.5 {
                0.92
            } else {
                0.08
            };
            row.label = f64::from(u8::from(rng.random_bool(probability)));
            row
        }
    };
    let applied = applied(LATE);
    let uneven = training_rows(&applied, 3_000, 8, world(false));
    let card = fit_first(&applied, &uneven, 3_000).unwrap().winner.unwrap().card;
    let first = &card.weak_slices[0];
    assert_eq!(
        (first.column.as_str(), first.values.as_str()),
        ("city", "Oslo"),
        "{:?}",
        card.weak_slices
    );
    assert!(first.value > 1.5 * first.elsewhere && first.p_value < 1e-4, "{first:?}");
    let even = training_rows(&applied, 3_000, 9, world(true));
    let card = fit_first(&applied, &even, 3_000).unwrap().winner.unwrap().card;
    let cities: Vec<_> = card.weak_slices.iter().filter(|slice| slice.column == "city").collect();
    assert!(cities.is_empty() && card.n_slices > 10, "{cities:?}");
}

#[test]
fn a_hundred_thousand_categories_are_told() {
    let applied = applied(&LATE.replace("trials = 3", "trials = 1"));
    let mut n_calls = 0;
    let rows = training_rows(&applied, 125_000, 3, |rng| {
        n_calls += 1;
        let mut row = late(rng);
        row.values[3].1 = FeatureValue::Category(format!("c{n_calls}"));
        row
    });
    let winner = fit_first(&applied, &rows, 125_000).unwrap().winner.unwrap();
    assert_eq!(winner.notes.len(), 1, "{:?}", winner.notes);
    assert!(
        winner.notes[0].starts_with(
            "`city` has 100000 different values; the model knows the 256 most frequent ones, 0.3 % of the rows"
        ),
        "{}",
        winner.notes[0]
    );
}

#[test]
fn five_thousand_columns_are_fitted_and_labels_of_noise_pass_none_of_them_for_a_leak() {
    let names: Vec<String> = (0..5_000).map(|idx| format!("f{idx:04}")).collect();
    let context: String = names.iter().map(|name| format!("{name} = \"number\"\n")).collect();
    let (head, _) = LATE.split_once("[context]").unwrap();
    let applied = applied(&format!("{head}[context]\n{context}").replace("trials = 3", "trials = 1"));
    let names: Vec<&'static str> = names.into_iter().map(|name| &*name.leak()).collect();
    let rows = training_rows(&applied, 200, 2, |rng| Row {
        values: names
            .iter()
            .map(|name| (*name, FeatureValue::Number(rng.random())))
            .collect(),
        action: Some("no".into()),
        label: f64::from(u8::from(rng.random_bool(0.4))),
    });
    let winner = fit_first(&applied, &rows, 200).unwrap().winner.unwrap();
    assert!(matches!(
        judge(&winner.facts, applied.blueprint.training.must_beat()),
        Verdict::Refuse { .. }
    ));
    // The search may have dropped most of them.
    assert!((1..=5_000).contains(&winner.card.importance.len()));
}

#[test]
fn leaks_of_numbers_and_classes_are_named_too() {
    let applied_wait = applied(WAIT);
    let rows = training_rows(&applied_wait, 400, 6, |rng| {
        let label: f64 = rng.random_range(0.0..100.0);
        Row {
            values: vec![
                ("distance", FeatureValue::Number(3.0 * label + 1.0)),
                ("rush", FeatureValue::Boolean(rng.random_bool(0.5))),
            ],
            action: None,
            label,
        }
    });
    let said = told(fit_first(&applied_wait, &rows, 400));
    assert!(
        said.contains("`distance` alone predicts the label with a share of the label's variance of"),
        "{said}"
    );
    assert!(!said.contains("`rush`"), "{said}");

    let applied_late = applied(LATE);
    let filled = training_rows(&applied_late, 400, 6, |rng| {
        let mut row = late(rng);
        row.values[1].1 = if row.label == 0.0 {
            FeatureValue::Missing
        } else {
            number(rng)
        };
        row
    });
    // Filled for nine in ten positives and for no negative: an AUC of 0.95, which honest columns can have.
    assert_eq!(told(fit_first(&applied_late, &filled, 400)), "");
}

/// A public data set; `None`, saying so, where it is absent.
#[allow(clippy::print_stdout)]
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let found = std::env::var_os("LAKELOOP_SHARED")
        .map_or(beside, PathBuf::from)
        .join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: {} is not there", found.display());
    None
}

/// Adult (UCI), in the order of its files: 12,000 rows to fit on, and the whole test file later.
#[test]
#[allow(clippy::print_stdout)]
fn probabilities_of_public_data_are_calibrated_on_rows_that_come_later() {
    let Some(folder) = shared("data/adult") else { return };
    let text = r#"
name = "adult"
description = "Does this person earn more than 50,000 dollars?"
unit = "person"
decision = { kind = "yes_no", default = false }
outcome = { event = "earned", aggregation = "last", type = "yes_no", window = "1us", absent = "exclude" }
schedule = { minimum_rows = 200, trials = 3 }
[context]
age = "number"
workclass = "category"
education_num = "number"
marital = "category"
occupation = "category"
relationship = "category"
sex = "category"
cap_gain = "number"
cap_loss = "number"
hours = "number"
country = "category"
"#;
    let names = [
        "age",
        "workclass",
        "",
        "",
        "education_num",
        "marital",
        "occupation",
        "relationship",
        "",
        "sex",
        "cap_gain",
        "cap_loss",
        "hours",
        "country",
    ];
    let lines = |part: &str, most: usize| -> Vec<Row> {
        let text = std::fs::read_to_string(folder.join(format!("adult-{part}.csv"))).unwrap();
        let rows = text.lines().filter(|line| line.matches(',').count() == 14).take(most);
        rows.map(|line| {
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            let value = |(name, cell): (&'static str, &&str)| {
                let number = cell.parse().map(FeatureValue::Number);
                (
                    name,
                    number.unwrap_or_else(|_| FeatureValue::Category((*cell).to_owned())),
                )
            };
            Row {
                values: names
                    .into_iter()
                    .zip(&cells)
                    .filter(|(name, _)| !name.is_empty())
                    .map(value)
                    .collect(),
                action: Some("no".into()),
                label: f64::from(u8::from(cells[14].starts_with(">50K"))),
            }
        })
        .collect()
    };
    let mut all = lines("train", 12_000)
        .into_iter()
        .chain(lines("test", usize::MAX))
        .collect::<Vec<Row>>()
        .into_iter();
    let applied = applied(text);
    let n_rows = all.len();
    let rows = training_rows(&applied, n_rows, 0, |_| all.next().unwrap());
    let winner = fit_first(&applied, &rows, 12_000).unwrap().winner.unwrap();
    let judged: Vec<Example<bool>> = served(&applied, &winner, &rows, 12_000)
        .into_iter()
        .enumerate()
        .map(|(idx, score)| Example::new(score, rows.label(12_000 + idx).unwrap() != 0.0))
        .collect();
    let error = expected_calibration_error(&judged, 10).unwrap();
    println!(
        "adult: calibration error {error:.4}, AUC {:.4} on {} later rows; {:?}",
        auc(&judged).unwrap(),
        judged.len(),
        winner.card.calibration.map(|found| found.reason)
    );
    assert!(error <= 0.01, "expected calibration error {error}");
}
