//! Isotonic curves, clustered errors, conformal bounds and corrections for many looks, next to independent tools
//! (scikit-learn 1.9.1, statsmodels 0.15.0, scipy 1.17.1, numpy 2.4.6) and in simulations of known truth.
#![allow(clippy::unwrap_used, clippy::panic)]

use lakeloop_stats::clustered::{clustered_auc, clustered_mean};
use lakeloop_stats::conformal::residual_bounds;
use lakeloop_stats::interval::auc_error;
use lakeloop_stats::isotonic::fit_isotonic;
use lakeloop_stats::looks::{holm, upper_tail};
use lakeloop_stats::reliability::{lift, reliability};
use lakeloop_stats::single_column::{
    ColumnKind, accuracy_of_column, explained_variance, line_of_column, scores_of_column,
};
use lakeloop_stats::{Example, normal_quantile};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SCORES: [f64; 12] = [0.1, 0.4, 0.35, 0.8, 0.4, 0.65, 0.9, 0.2, 0.55, 0.4, 0.7, 0.05];
const LABELS: [u8; 12] = [0, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 0];
const WEIGHTS: [f64; 12] = [1.0, 2.0, 0.5, 1.0, 3.0, 1.5, 1.0, 0.0, 2.0, 1.0, 0.25, 4.0];

fn rows(weights: [f64; 12]) -> Vec<Example<bool>> {
    let row = |((score, label), weight)| Example {
        score,
        label: label == 1,
        weight,
    };
    SCORES.into_iter().zip(LABELS).zip(weights).map(row).collect()
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} instead of {expected}");
}

fn gaussian(random: &mut ChaCha8Rng) -> f64 {
    normal_quantile(random.random::<f64>().max(f64::MIN_POSITIVE)).unwrap()
}

/// `IsotonicRegression(out_of_bounds="clip")` of scikit-learn 1.9.1.
#[test]
fn isotonic_curves_equal_those_of_scikit_learn() {
    let asked = [0.0, 0.12, 0.37, 0.4, 0.5, 0.6, 0.68, 0.75, 0.95];
    for (weights, knots, heights, expected) in [
        (
            [1.0; 12],
            vec![0.05, 0.2, 0.35, 0.65, 0.7, 0.9],
            vec![0.0, 0.0, 0.5, 0.5, 1.0, 1.0],
            [0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.8000000000000007, 1.0, 1.0],
        ),
        (
            WEIGHTS,
            vec![0.05, 0.1, 0.35, 0.4, 0.55, 0.65, 0.7, 0.9],
            vec![
                0.0,
                0.0,
                0.5384615384615384,
                0.5384615384615384,
                0.5714285714285714,
                0.5714285714285714,
                1.0,
                1.0,
            ],
            [
                0.0,
                0.04307692307692306,
                0.5384615384615384,
                0.5384615384615384,
                0.5604395604395604,
                0.5714285714285714,
                0.8285714285714292,
                1.0,
                1.0,
            ],
        ),
    ] {
        let curve = fit_isotonic(&rows(weights)).unwrap();
        assert_eq!(curve.scores, knots);
        for (found, expected) in curve.values.iter().zip(heights) {
            close(*found, expected, 1e-15);
        }
        for (score, expected) in asked.into_iter().zip(expected) {
            close(curve.at(score), expected, 1e-14);
        }
    }
    assert_eq!(fit_isotonic(&rows([1.0; 12])[..1]), None);
    assert_eq!(fit_isotonic(&[]), None);
    assert_eq!(
        fit_isotonic(&[Example::new(f64::NAN, true), Example::new(0.5, false)]),
        None
    );
}

/// The mean is that of statsmodels 0.15.0, `WLS(x, ones, weights).fit(cov_type="cluster", use_t=True)`: bse and conf_int.
#[test]
fn clustered_means_equal_those_of_statsmodels() {
    let (values, clusters) = ([1.0, 2.0, 4.0, 7.0, 3.0, 1.0], [0, 1, 0, 1, 2, 2]);
    let weights = [1.0, 2.0, 1.0, 0.5, 1.0, 3.0];
    let found = clustered_mean(&values, &clusters, None).unwrap();
    close(found.mean, 3.0, 1e-15);
    close(found.standard_error, 0.7637626158259733, 1e-14);
    let interval = found.interval(0.95).unwrap();
    close(interval.low, -0.2862053, 1e-6);
    close(interval.high, 6.2862053, 1e-6);
    let found = clustered_mean(&values, &clusters, Some(&weights)).unwrap();
    close(found.mean, 2.176470588235294, 1e-14);
    close(found.standard_error, 0.4987022345798331, 1e-14);
    assert_eq!(clustered_mean(&values, &[3; 6], None), None, "one cluster");
    assert_eq!(clustered_mean(&values, &clusters[..5], None), None);
    assert_eq!(clustered_mean(&[f64::INFINITY, 1.0], &[0, 1], None), None);
}

/// By hand, pair by pair, from the paper's equations with numpy 2.4.6; for one row a cluster it is DeLong's.
#[test]
fn the_clustered_auc_is_obuchowskis_and_delongs_for_single_rows() {
    let rows = rows([1.0; 12]);
    let pairs: Vec<usize> = (0..12).map(|idx| idx / 2).collect();
    let found = clustered_auc(&rows, &pairs).unwrap();
    close(found.auc, 0.8333333333333334, 1e-15);
    close(found.standard_error, 0.13241873818392252, 1e-14);
    let single: Vec<usize> = (0..12).collect();
    let found = clustered_auc(&rows, &single).unwrap();
    let delong = auc_error(&rows).unwrap();
    close(found.standard_error, delong.standard_error, 1e-14);
    close(found.standard_error, 0.11979921473804347, 1e-14);
    assert!(clustered_auc(&rows, &[0; 12]).is_none());
}

#[test]
fn clustered_intervals_cover_where_those_of_single_rows_do_not() {
    // Forty units with ten rows each; what a unit shares makes up most of the spread. Truth: AUC = Φ(1/√2) by the
    // symmetry of scores N(label, 1), and mean 0.
    let (mut covered, mut covered_by_rows, mut covered_mean) = (0, 0, 0);
    let n_rounds = 600;
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for _ in 0..n_rounds {
        let (mut rows, mut clusters, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for unit in 0..40 {
            let shared = 0.9 * gaussian(&mut random);
            let label = unit % 2 == 0;
            for _ in 0..10 {
                let own = (1.0_f64 - 0.81).sqrt() * gaussian(&mut random);
                rows.push(Example::new(shared + own + f64::from(u8::from(label)), label));
                values.push(shared + own);
                clusters.push(unit);
            }
        }
        let within = |auc: f64, error: f64| (auc - 0.7602499389065233).abs() <= 1.96 * error;
        let found = clustered_auc(&rows, &clusters).unwrap();
        covered += usize::from(within(found.auc, found.standard_error));
        let found = auc_error(&rows).unwrap();
        covered_by_rows += usize::from(within(found.auc, found.standard_error));
        let interval = clustered_mean(&values, &clusters, None)
            .unwrap()
            .interval(0.95)
            .unwrap();
        covered_mean += usize::from(interval.low <= 0.0 && interval.high >= 0.0);
    }
    let share = |n: usize| n as f64 / f64::from(n_rounds);
    assert!((0.91..=0.98).contains(&share(covered)), "{}", share(covered));
    assert!(
        (0.925..=0.975).contains(&share(covered_mean)),
        "{}",
        share(covered_mean)
    );
    assert!(share(covered_by_rows) < 0.7, "{}", share(covered_by_rows));
}

#[test]
fn conformal_bounds_cover_at_their_rate_whatever_the_noise() {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    // Skewed noise: an exponential variable to the power of 1.5.
    let noise = |random: &mut ChaCha8Rng| (-(1.0 - random.random::<f64>()).ln()).powf(1.5);
    for coverage in [0.5, 0.8, 0.9] {
        let (mut n_covered, mut n_low, n_rounds, n_new) = (0, 0, 400, 50);
        for _ in 0..n_rounds {
            let residuals: Vec<f64> = (0..99).map(|_| noise(&mut random)).collect();
            let bounds = residual_bounds(&residuals, coverage).unwrap();
            for _ in 0..n_new {
                let residual = noise(&mut random);
                n_low += usize::from(residual < bounds.low);
                n_covered += usize::from((bounds.low..=bounds.high).contains(&residual));
            }
        }
        let share = |n: usize| n as f64 / f64::from(n_rounds * n_new);
        close(share(n_covered), coverage, 0.012);
        close(share(n_low), (1.0 - coverage) / 2.0, 0.012);
    }
    assert_eq!(residual_bounds(&[1.0; 18], 0.9), None, "18 residuals know no 5 % tail");
    assert!(residual_bounds(&[1.0; 19], 0.9).is_some());
    assert_eq!(residual_bounds(&[f64::NAN; 50], 0.9), None);
    assert_eq!(residual_bounds(&[1.0; 50], 1.0), None);
}

/// `multipletests(p, method="holm")` of statsmodels 0.15.0; `scipy.stats.norm.sf` of scipy 1.17.1.
#[test]
fn many_looks_are_corrected_as_statsmodels_does_and_tails_are_those_of_scipy() {
    let found = holm(&[0.01, 0.2, 0.04, 0.03, 0.9, 0.001]);
    for (found, expected) in found.iter().zip([0.05, 0.4, 0.12, 0.12, 0.9, 0.006]) {
        close(*found, expected, 1e-15);
    }
    assert_eq!(holm(&[f64::NAN, 0.02]), [1.0, 0.04]);
    for (z, expected) in [
        (-3.0, 0.9986501019683699),
        (-0.5, 0.6914624612740131),
        (0.0, 0.5),
        (0.3, 0.3820885778110474),
        (1.0, 0.15865525393145707),
        (1.96, 0.024997895148220435),
        (2.49, 0.006387154764943171),
        (2.51, 0.006036558080412666),
        (4.0, 3.167124183311986e-05),
        (8.0, 6.22096057427174e-16),
    ] {
        let found = upper_tail(z);
        assert!(
            (found / expected - 1.0).abs() < 1e-9,
            "{z}: {found} instead of {expected}"
        );
    }
}

#[test]
fn one_column_tells_a_copied_label_from_a_good_feature() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let labels: Vec<f64> = (0..2_000)
        .map(|_| f64::from(u8::from(random.random_bool(0.3))))
        .collect();
    let copied: Vec<f32> = labels.iter().map(|label| *label as f32).collect();
    let filled_when_yes: Vec<f32> = copied
        .iter()
        .map(|value| if *value > 0.0 { random.random() } else { f32::NAN })
        .collect();
    let good: Vec<f32> = copied
        .iter()
        .map(|value| *value + gaussian(&mut random) as f32)
        .collect();
    let auc_of = |column: &[f32]| {
        let scores =
            scores_of_column(ColumnKind::Number, &column[..1_500], &labels[..1_500], &column[1_500..]).unwrap();
        let rows: Vec<_> = scores
            .iter()
            .zip(&labels[1_500..])
            .map(|(score, label)| Example::new(*score, *label > 0.0))
            .collect();
        lakeloop_stats::metrics::auc(&rows).unwrap()
    };
    assert!(auc_of(&copied) > 0.999 && auc_of(&filled_when_yes) > 0.999);
    assert!((0.68..0.85).contains(&auc_of(&good)), "{}", auc_of(&good));

    let codes: Vec<f32> = (0..2_000_u16).map(|idx| f32::from(idx % 3)).collect();
    let classes: Vec<f64> = codes.iter().map(|code| f64::from(2.0 - code)).collect();
    let accuracy = |column: &[f32]| {
        accuracy_of_column(
            ColumnKind::Category,
            (&column[..1_000], &classes[..1_000]),
            (&column[1_000..], &classes[1_000..]),
        )
    };
    assert_eq!(accuracy(&codes), Some(1.0));
    assert!(accuracy(&vec![f32::NAN; 2_000]).unwrap() < 0.4);
    assert_eq!(scores_of_column(ColumnKind::Number, &[], &[], &[1.0]), None);
    close(
        explained_variance(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).unwrap(),
        1.0,
        0.0,
    );
    assert_eq!(explained_variance(&[1.0], &[1.0]), None);
    let line = line_of_column(&[1.0, 2.0, f32::NAN, 4.0], &[3.0, 5.0, 50.0, 9.0], &[3.0, f32::NAN]).unwrap();
    close(line[0], 7.0, 1e-12);
    close(line[1], 17.0 / 3.0, 1e-12);
    assert_eq!(line_of_column(&[1.0, 1.0], &[0.0, 1.0], &[1.0]), None);
}

#[test]
fn reliability_and_lift_by_hand() {
    let rows: Vec<Example<bool>> = (0..100_u8)
        .map(|idx| Example::new(f64::from(idx) / 100.0, idx % 4 == 3))
        .collect();
    let points = reliability(&rows, 4);
    assert_eq!(points.len(), 4);
    close(points[0].predicted, 0.12, 1e-12);
    close(points[0].observed, 6.0 / 25.0, 1e-12);
    assert_eq!(points.iter().map(|point| point.n_rows).sum::<usize>(), 100);
    // Equal scores are one bin.
    assert_eq!(reliability(&vec![Example::new(0.5, true); 40], 10).len(), 1);
    assert!(reliability(&[], 10).is_empty());

    let amounts: Vec<Example<f64>> = [(0.9, 6.0), (0.8, 2.0), (0.2, 1.0), (0.1, 1.0)]
        .map(|(score, label)| Example::new(score, label))
        .to_vec();
    let curve = lift(&amounts, 4);
    close(curve[0].share_of_labels, 0.6, 1e-12);
    close(curve[0].lift, 2.4, 1e-12);
    close(curve[3].lift, 1.0, 1e-12);
    // A model that tells nothing apart is chance at every point.
    let equal: Vec<Example<f64>> = amounts.iter().map(|row| Example { score: 0.5, ..*row }).collect();
    assert!(lift(&equal, 4).iter().all(|point| (point.lift - 1.0).abs() < 1e-12));
    assert!(lift(&[Example::new(0.5, 0.0)], 4).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_isotonic_curve_rises_stays_within_the_labels_and_keeps_their_sum(
        rows in proptest::collection::vec((0.0..1.0_f64, any::<bool>(), 0.1..3.0_f64), 2..80),
    ) {
        let examples: Vec<Example<bool>> =
            rows.iter().map(|(score, label, weight)| Example { score: (score * 20.0).round(), label: *label, weight: *weight }).collect();
        let Some(curve) = fit_isotonic(&examples) else { return Ok(()) };
        prop_assert!(curve.scores.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(curve.values.windows(2).all(|pair| pair[0] <= pair[1]));
        prop_assert!(curve.values.iter().all(|value| (0.0..=1.0).contains(value)));
        let fitted: f64 = examples.iter().map(|row| row.weight * curve.at(row.score)).sum();
        let found: f64 = examples.iter().map(|row| row.weight * f64::from(u8::from(row.label))).sum();
        prop_assert!((fitted - found).abs() < 1e-9);
    }
}
