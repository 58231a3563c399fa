//! What is not defined is `None`, never a number; and what is defined keeps its promises for any input.
#![allow(clippy::unwrap_used, clippy::panic)]

use lakeloop_stats::calibrate::fit_platt;
use lakeloop_stats::interval::{auc_error, wilson};
use lakeloop_stats::metrics::{auc, expected_calibration_error, log_loss, multi_log_loss, rmse};
use lakeloop_stats::{ClassExample, Example, Moments};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn examples(rows: &[(f64, bool, f64)]) -> Vec<Example<bool>> {
    rows.iter()
        .map(|&(score, label, weight)| Example { score, label, weight })
        .collect()
}

#[test]
fn nothing_is_measured_without_rows_or_weight() {
    for rows in [examples(&[]), examples(&[(0.5, true, 0.0), (0.5, false, 0.0)])] {
        assert_eq!(auc(&rows), None);
        assert_eq!(log_loss(&rows), None);
        assert_eq!(expected_calibration_error(&rows, 10), None);
        assert_eq!(fit_platt(&rows), None);
    }
    assert_eq!(rmse(&[]), None);
    assert_eq!(multi_log_loss([]), None);
    assert_eq!(auc_error(&[]), None);
    assert_eq!(wilson(0, 0, 0.95), None);
    assert_eq!(Moments::default().mean(), None);
    assert_eq!(Moments::default().interval(0.95), None);
}

#[test]
fn one_class_has_no_order_and_no_curve() {
    for label in [false, true] {
        let rows = examples(&[(0.2, label, 1.0), (0.7, label, 1.0), (0.4, !label, 0.0)]);
        assert_eq!(auc(&rows), None);
        assert_eq!(fit_platt(&rows), None);
        assert!(log_loss(&rows).is_some());
        assert_eq!(auc_error(&rows[..2]), None);
        assert_eq!(auc_error(&rows), None, "one row of a class has no spread");
    }
    let one: Moments = [4.0].into_iter().collect();
    assert_eq!(
        (one.mean(), one.variance(), one.standard_error()),
        (Some(4.0), None, None)
    );
}

#[test]
fn numbers_that_are_none_give_no_metric() {
    for bad in [f64::NAN, f64::INFINITY] {
        for row in [(bad, true, 1.0), (0.5, true, bad), (0.5, true, -1.0)] {
            let rows = examples(&[(0.5, false, 1.0), (0.4, true, 1.0), row]);
            assert_eq!(auc(&rows), None, "{row:?}");
            assert_eq!(log_loss(&rows), None, "{row:?}");
            assert_eq!(expected_calibration_error(&rows, 10), None, "{row:?}");
            assert_eq!(fit_platt(&rows), None, "{row:?}");
        }
        assert_eq!(rmse(&[Example::new(bad, 1.0)]), None);
        assert_eq!(rmse(&[Example::new(1.0, bad)]), None);
        let broken: Moments = [1.0, bad, 3.0].into_iter().collect();
        assert_eq!((broken.mean(), broken.variance()), (None, None));
    }
}

#[test]
fn what_is_no_probability_has_no_loss() {
    for score in [-0.1, 1.1] {
        assert_eq!(log_loss(&[Example::new(score, true)]), None);
        assert_eq!(expected_calibration_error(&[Example::new(score, true)], 10), None);
        let probabilities = &[score];
        assert_eq!(
            multi_log_loss([ClassExample {
                probabilities,
                class: 0,
                weight: 1.0
            }]),
            None
        );
    }
    assert_eq!(
        multi_log_loss([ClassExample {
            probabilities: &[0.5, 0.5],
            class: 2,
            weight: 1.0
        }]),
        None
    );
    assert_eq!(expected_calibration_error(&[Example::new(0.5, true)], 0), None);
    assert_eq!(wilson(3, 2, 0.95), None);
    assert_eq!(wilson(1, 2, 1.0), None);
    assert_eq!(wilson(1, 2, f64::NAN), None);
}

fn any_rows() -> impl Strategy<Value = Vec<Example<bool>>> {
    let row = (0..=20_u8, any::<bool>(), 0..5_u8);
    let rows = proptest::collection::vec(row, 1..40);
    rows.prop_map(|rows| {
        let example = |(score, label, weight)| Example {
            score: f64::from(score) / 20.0,
            label,
            weight: f64::from(weight),
        };
        rows.into_iter().map(example).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn auc_is_the_share_of_pairs_in_order(rows in any_rows()) {
        let (mut won, mut pairs) = (0.0, 0.0);
        for positive in rows.iter().filter(|row| row.label) {
            for negative in rows.iter().filter(|row| !row.label) {
                let weight = positive.weight * negative.weight;
                pairs += weight;
                won += weight * match positive.score.total_cmp(&negative.score) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        match auc(&rows) {
            Some(found) => prop_assert!((found - won / pairs).abs() < 1e-12),
            None => prop_assert_eq!(pairs, 0.0),
        }
    }

    #[test]
    fn a_weight_counts_like_so_many_rows(rows in any_rows()) {
        let repeated: Vec<_> = rows
            .iter()
            .flat_map(|row| std::iter::repeat_n(Example { weight: 1.0, ..*row }, row.weight as usize))
            .collect();
        let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9,
            (a, b) => a == b,
        };
        prop_assert!(close(auc(&rows), auc(&repeated)));
        prop_assert!(close(log_loss(&rows), log_loss(&repeated)));
        prop_assert!(close(expected_calibration_error(&rows, 7), expected_calibration_error(&repeated, 7)));
        prop_assert!(close(fit_platt(&rows).map(|p| p.slope), fit_platt(&repeated).map(|p| p.slope)));
    }

    #[test]
    fn platt_scaling_finds_a_curve_whenever_both_classes_are_there(rows in any_rows(), scale in 0.01..1000.0_f64) {
        let scaled: Vec<_> = rows.iter().map(|row| Example { score: (row.score - 0.5) * scale, ..*row }).collect();
        let both = |label| scaled.iter().any(|row| row.label == label && row.weight > 0.0);
        prop_assert_eq!(fit_platt(&scaled).is_some(), both(false) && both(true));
    }

    #[test]
    fn merged_moments_are_those_of_all_numbers(
        left in proptest::collection::vec(-1e6..1e6_f64, 0..30),
        right in proptest::collection::vec(-1e6..1e6_f64, 0..30),
    ) {
        let mut merged: Moments = left.iter().copied().collect();
        merged.merge(&right.iter().copied().collect());
        let all: Moments = left.iter().chain(&right).copied().collect();
        prop_assert_eq!(merged.n(), all.n());
        let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * (1.0 + b.abs()),
            (a, b) => a == b,
        };
        prop_assert!(close(merged.mean(), all.mean()));
        prop_assert!(close(merged.variance(), all.variance()));
    }
}
