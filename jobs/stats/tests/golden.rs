//! Metrics, calibration and intervals next to independent tools: scikit-learn 1.9.1, scipy 1.17.1, statsmodels 0.15.0,
//! confidenceinterval 1.0.5, numpy 2.4.6. Each value says which of them made it.
#![allow(clippy::unwrap_used, clippy::panic)]

use lakeloop_stats::calibrate::fit_platt;
use lakeloop_stats::interval::{auc_error, wilson};
use lakeloop_stats::metrics::{auc, expected_calibration_error, log_loss, multi_log_loss, rmse};
use lakeloop_stats::{ClassExample, Example, Moments};

const SCORES: [f64; 12] = [0.1, 0.4, 0.35, 0.8, 0.4, 0.65, 0.9, 0.2, 0.55, 0.4, 0.7, 0.05];
const LABELS: [u8; 12] = [0, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 0];
const WEIGHTS: [f64; 12] = [1.0, 2.0, 0.5, 1.0, 3.0, 1.5, 1.0, 0.0, 2.0, 1.0, 0.25, 4.0];

fn unweighted() -> Vec<Example<bool>> {
    SCORES
        .into_iter()
        .zip(LABELS)
        .map(|(score, label)| Example::new(score, label == 1))
        .collect()
}

fn weighted() -> Vec<Example<bool>> {
    let reweighted = |(example, weight)| Example { weight, ..example };
    unweighted().into_iter().zip(WEIGHTS).map(reweighted).collect()
}

fn with_scores(examples: Vec<Example<bool>>, score: impl Fn(f64) -> f64) -> Vec<Example<bool>> {
    examples
        .into_iter()
        .map(|example| Example {
            score: score(example.score),
            ..example
        })
        .collect()
}

#[track_caller]
fn check(found: Option<f64>, expected: f64, tolerance: f64) {
    let found = found.unwrap();
    assert!((found - expected).abs() <= tolerance, "{found} instead of {expected}");
}

#[test]
fn auc_equals_that_of_scikit_learn() {
    check(auc(&unweighted()), 0.8333333333333333, 1e-15);
    check(auc(&weighted()), 0.8064516129032258, 1e-15);
}

#[test]
fn auc_orders_only_and_a_tie_counts_half() {
    check(
        auc(&with_scores(weighted(), |score| score.powi(3) - 7.0)),
        0.8064516129032258,
        1e-15,
    );
    check(auc(&[Example::new(0.0, false), Example::new(-0.0, true)]), 0.5, 0.0);
    check(auc(&with_scores(unweighted(), |_| 0.3)), 0.5, 0.0);
}

#[test]
fn log_losses_equal_those_of_scikit_learn() {
    check(log_loss(&unweighted()), 0.47503330011912226, 1e-15);
    check(log_loss(&weighted()), 0.48144196020833513, 1e-15);
    let mut certain_error = unweighted();
    certain_error[0].score = 1.0;
    check(log_loss(&certain_error), 3.469891039574066, 1e-12);

    let rows = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5], [0.05, 0.9, 0.05]];
    let examples = |weights: [f64; 4]| {
        let rows = rows.iter().zip([0, 2, 2, 1]).zip(weights);
        rows.map(|((probabilities, class), weight)| ClassExample {
            probabilities,
            class,
            weight,
        })
    };
    check(multi_log_loss(examples([1.0; 4])), 0.58978886112061, 1e-15);
    check(
        multi_log_loss(examples([1.0, 2.0, 0.5, 4.0])),
        0.4710181607335843,
        1e-15,
    );
}

#[test]
fn rmse_equals_that_of_scikit_learn() {
    let examples = |weights: [f64; 4]| {
        let pairs = [(1.0, 1.5), (-1.0, -2.0), (0.5, 0.25), (2.0, 4.0)]
            .into_iter()
            .zip(weights);
        pairs
            .map(|((score, label), weight)| Example { score, label, weight })
            .collect::<Vec<_>>()
    };
    check(rmse(&examples([1.0; 4])), 1.1524430571616109, 1e-15);
    check(rmse(&examples([1.0, 2.0, 0.5, 4.0])), 1.5612494995995996, 1e-15);
}

/// From the bins of scikit-learn's `calibration_curve`; no score lies on the edge of a bin.
#[test]
fn calibration_error_equals_that_of_scikit_learns_bins() {
    let inside = with_scores(unweighted(), |score| score + 0.01);
    check(expected_calibration_error(&inside, 5), 0.12166666666666666, 1e-15);
    check(expected_calibration_error(&inside, 10), 0.24333333333333332, 1e-15);
    check(
        expected_calibration_error(&[Example::new(1.0, true), Example::new(0.0, false)], 3),
        0.0,
        0.0,
    );
}

/// Expected: scipy's trust-exact minimiser on Platt's loss, then Newton steps to a gradient of 1e-16. scikit-learn's
/// `_SigmoidCalibration` agrees to 4e-7.
#[test]
fn platt_scaling_equals_a_minimiser_of_scipy() {
    let log_odds = |score: f64| (score / (1.0 - score)).ln();
    let fitted = |examples: Vec<Example<bool>>, slope, intercept| {
        let platt = fit_platt(&examples).unwrap();
        check(Some(platt.slope), slope, 1e-9);
        check(Some(platt.intercept), intercept, 1e-9);
    };
    fitted(
        with_scores(unweighted(), log_odds),
        0.8279867715848851,
        0.19522970245476742,
    );
    fitted(
        with_scores(weighted(), log_odds),
        0.8147965331364733,
        0.25044656176093943,
    );
    let scores = [-2.0, -1.0, -0.5, 0.5, 1.0, 3.0];
    let separated = scores.map(|score| Example::new(score, score > 0.0)).to_vec();
    fitted(separated, 0.8025961628120538, -0.07550465498662);
}

#[test]
fn platt_scaling_of_equal_scores_gives_the_share_of_positives() {
    let rows: Vec<_> = (0..10).map(|idx| Example::new(0.6, idx < 3)).collect();
    let platt = fit_platt(&rows).unwrap();
    // Platt's targets: (3 · 4/5 + 7 · 1/9) / 10
    check(Some(1.0 / (1.0 + (-platt.intercept).exp())), 0.3177777777777778, 1e-9);
    check(Some(platt.slope), 0.0, 1e-9);
}

/// Expected: scipy `binomtest(k, n).proportion_ci(confidence, "wilson")`; statsmodels agrees.
#[test]
fn wilson_intervals_equal_those_of_scipy() {
    for (n_successes, n_rows, confidence, low, high) in [
        (0, 10, 0.95, 0.0, 0.27753279986288926),
        (10, 10, 0.95, 0.7224672001371109, 1.0),
        (3, 10, 0.95, 0.10779126740630102, 0.6032218525388546),
        (1, 2, 0.5, 0.2847588845819623, 0.7152411154180377),
        (37, 1000, 0.99, 0.02442600211406373, 0.05567741658649099),
        (999_999, 1_000_000, 0.9, 0.9999955175615293, 0.9999997769077477),
    ] {
        let interval = wilson(n_successes, n_rows, confidence).unwrap();
        check(Some(interval.low), low, 1e-14);
        check(Some(interval.high), high, 1e-14);
    }
}

/// Expected: the definition over all pairs in numpy; confidenceinterval's `delong_roc_variance`, whose AUC is an f32,
/// agrees to 3e-10 in the variance.
#[test]
fn delongs_error_equals_the_definition_over_all_pairs() {
    let found = auc_error(&unweighted()).unwrap();
    check(Some(found.auc), 0.8333333333333334, 1e-15);
    check(Some(found.standard_error), 0.11979921473804347, 1e-15);
}

/// Expected: numpy `var(ddof=1)`, scipy `sem` and `norm.interval`.
#[test]
fn moments_equal_those_of_numpy() {
    let moments: Moments = [2.5, -1.0, 4.0, 0.5, 3.25].into_iter().collect();
    check(moments.mean(), 1.85, 1e-15);
    check(moments.variance(), 4.2375, 1e-14);
    check(moments.standard_error(), 0.9205976319760983, 1e-15);
    let interval = moments.interval(0.9).unwrap();
    check(Some(interval.low), 0.3357516460811776, 1e-14);
    check(Some(interval.high), 3.364248353918822, 1e-14);

    let far: Moments = [0.1, 0.2, 0.4, -0.7].map(|x| 1e9 + x).into_iter().collect();
    check(far.variance(), 0.23333335717519313, 1e-7);
}
