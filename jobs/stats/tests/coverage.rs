//! Intervals cover what they claim: simulations of known truth, seeded.
#![allow(clippy::unwrap_used, clippy::panic)]

use lakeloop_stats::calibrate::fit_platt;
use lakeloop_stats::interval::{Interval, auc_error, wilson};
use lakeloop_stats::{Example, Moments, normal_quantile};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const N_ROUNDS: usize = 4000;

/// A standard normal number.
fn gaussian(random: &mut ChaCha8Rng) -> f64 {
    let inside = random.random::<f64>().max(f64::MIN_POSITIVE);
    normal_quantile(inside).unwrap()
}

/// Counts how often the interval of a round holds the truth. The share of 4000 rounds at 95 % has a standard error of
/// 0.0034; `slack` is what the method's approximation may add.
#[track_caller]
fn check_coverage(truth: f64, slack: f64, mut round: impl FnMut() -> Interval) {
    let covers = |interval: Interval| interval.low <= truth && truth <= interval.high;
    let share = (0..N_ROUNDS).filter(|_| covers(round())).count() as f64 / N_ROUNDS as f64;
    assert!(
        (share - 0.95).abs() <= slack + 3.0 * 0.0034,
        "{truth} was covered in {share} of rounds"
    );
}

#[test]
fn wilson_covers_small_and_even_shares() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    // The binomial has steps, so that the coverage at one n and p swings around the nominal one.
    for (truth, n_rows) in [(0.02, 100), (0.1, 50), (0.5, 40), (0.9, 500)] {
        check_coverage(truth, 0.02, || {
            let n_successes = (0..n_rows).filter(|_| random.random::<f64>() < truth).count() as u64;
            wilson(n_successes, n_rows, 0.95).unwrap()
        });
    }
}

#[test]
fn delong_covers_the_auc_of_two_normals() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let z = normal_quantile(0.975).unwrap();
    // Positives one standard deviation above: AUC = Φ(1/√2), by scipy 1.17.1.
    check_coverage(0.7602499389065233, 0.01, || {
        let row = |label, random: &mut ChaCha8Rng| Example::new(gaussian(random) + f64::from(u8::from(label)), label);
        let rows: Vec<_> = (0..150).map(|idx| row(idx < 60, &mut random)).collect();
        let found = auc_error(&rows).unwrap();
        let half = z * found.standard_error;
        Interval {
            low: found.auc - half,
            high: found.auc + half,
        }
    });
}

#[test]
fn the_interval_of_a_mean_covers_it_also_for_skewed_numbers() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    check_coverage(3.0, 0.005, || {
        (0..100)
            .map(|_| 3.0 + gaussian(&mut random))
            .collect::<Moments>()
            .interval(0.95)
            .unwrap()
    });
    // Exponential with mean 1.
    check_coverage(1.0, 0.015, || {
        let exponential = |random: &mut ChaCha8Rng| -(1.0 - random.random::<f64>()).ln();
        (0..200)
            .map(|_| exponential(&mut random))
            .collect::<Moments>()
            .interval(0.95)
            .unwrap()
    });
}

#[test]
fn platt_scaling_finds_the_curve_that_made_the_labels() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let (slope, intercept) = (0.6, -1.5);
    let rows: Vec<_> = (0..100_000)
        .map(|_| {
            let score = 2.0 * gaussian(&mut random);
            let probability = 1.0 / (1.0 + (-(slope * score + intercept)).exp());
            Example::new(score, random.random::<f64>() < probability)
        })
        .collect();
    let platt = fit_platt(&rows).unwrap();
    assert!(
        (platt.slope - slope).abs() < 0.02 && (platt.intercept - intercept).abs() < 0.03,
        "{platt:?}"
    );
}
