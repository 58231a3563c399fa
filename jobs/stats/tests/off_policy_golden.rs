//! Off-policy values next to obp 0.5.5 (estimates and bootstrap intervals) and statsmodels 0.15.0 (standard errors and
//! intervals of weighted means, by rows and by clusters), both on numpy 2.4.6.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lakeloop_stats::off_policy::{
    Behaviour, Estimator, Log, LoggedRow, Rules, SlateEstimator, SlateLog, SlateProbability, SlateWeight, Slot,
};
use lakeloop_stats::{Bootstrap, Independent};
use support::open_bandit::{self, CASES};

/// Action, reward, logging policy, target policy, expected rewards, unit.
type Row = (usize, f64, [f64; 3], [f64; 3], [f64; 3], u64);

const ROWS: [Row; 12] = [
    (0, 1.16, [0.21, 0.5, 0.29], [0.18, 0.27, 0.55], [0.5, 1.77, 0.68], 1),
    (0, 1.82, [0.43, 0.55, 0.02], [0.2, 0.63, 0.17], [2.17, 0.89, 0.92], 1),
    (2, 3.31, [0.51, 0.12, 0.37], [0.43, 0.32, 0.25], [1.19, 3.58, 1.54], 2),
    (1, 2.74, [0.32, 0.33, 0.35], [0.01, 0.57, 0.42], [2.24, 3.01, 1.15], 3),
    (1, 0.56, [0.23, 0.37, 0.4], [0.32, 0.37, 0.31], [0.71, 0.69, 1.18], 3),
    (2, 0.81, [0.02, 0.19, 0.79], [0.26, 0.55, 0.19], [0.89, 5.0, 3.16], 3),
    (2, 3.07, [0.32, 0.33, 0.35], [0.01, 0.57, 0.42], [1.04, 1.01, 0.53], 4),
    (1, 1.71, [0.43, 0.55, 0.02], [0.2, 0.63, 0.17], [0.88, 2.12, 1.34], 5),
    (0, 0.54, [0.02, 0.19, 0.79], [0.26, 0.55, 0.19], [2.93, 1.84, 1.45], 5),
    (2, 1.28, [0.02, 0.19, 0.79], [0.26, 0.55, 0.19], [1.86, 2.27, 2.69], 6),
    (0, 0.54, [0.51, 0.12, 0.37], [0.43, 0.32, 0.25], [1.26, 1.84, 2.69], 6),
    (0, 0.67, [0.32, 0.33, 0.35], [0.01, 0.57, 0.42], [1.96, 1.84, 0.46], 7),
];
const WEIGHTS: [f64; 12] = [1.0, 2.0, 0.5, 1.0, 0.0, 3.0, 1.0, 1.0, 2.0, 1.0, 0.25, 1.0];

fn log(weights: [f64; 12]) -> Log {
    let mut log = Log::new();
    for ((action_idx, reward, behaviour, target, q_hat, unit), weight) in ROWS.iter().zip(weights) {
        log.push(&LoggedRow {
            action_idx: *action_idx,
            position: 0,
            reward: *reward,
            behaviour: Behaviour::All(behaviour),
            target,
            q_hat: Some(q_hat),
            unit: Some(*unit),
            weight,
        })
        .unwrap();
    }
    log
}

#[track_caller]
fn check(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} instead of {expected}");
}

#[test]
fn estimates_equal_those_of_obp() {
    let log = log([1.0; 12]);
    let clip = Some(1.0);
    for (estimator, expected) in [
        (Estimator::Ips { clip: None }, 1.9176356849690734),
        (Estimator::Ips { clip }, 1.139681139514528),
        (Estimator::Snips { clip: None }, 1.0740017564613762),
        (Estimator::DirectMethod, 1.7243166666666667),
        (Estimator::DoublyRobust { clip: None }, -0.6957504655843295),
        (Estimator::DoublyRobust { clip }, 1.6732495344156704),
        (Estimator::SelfNormalisedDoublyRobust { clip: None }, 0.3689203465184354),
        (Estimator::SwitchDoublyRobust { threshold: 1.0 }, 1.7174162010823373),
        (Estimator::ShrunkDoublyRobust { lambda: 1.0 }, 1.7613694775673814),
        (Estimator::ShrunkDoublyRobust { lambda: 10.0 }, 1.7277533802968688),
    ] {
        check(open_bandit::estimate(&log, estimator).value(), expected, 1e-14);
    }
}

/// Expected: WLS on a constant, `cov_type` HC1 and cluster; a weighted mean is such a regression.
#[test]
fn standard_errors_equal_those_of_statsmodels() {
    let check = |log: &Log, estimator, value, rows, units| {
        let estimate = open_bandit::estimate(log, estimator);
        check(estimate.value(), value, 1e-14);
        check(estimate.standard_error(Independent::Rows).unwrap(), rows, 1e-14);
        check(estimate.standard_error(Independent::Units).unwrap(), units, 1e-14);
    };
    let (ips, snips) = (Estimator::Ips { clip: None }, Estimator::Snips { clip: None });
    let dr = Estimator::DoublyRobust { clip: None };
    let even = log([1.0; 12]);
    check(&even, ips, 1.9176356849690739, 0.6295787847365945, 0.6155060926199861);
    check(&even, snips, 1.074001756461376, 0.3948907065423862, 0.3644160946546893);
    check(&even, dr, -0.6957504655843297, 2.5905672775206963, 2.5890942150630063);
    check(
        &even,
        Estimator::DirectMethod,
        1.7243166666666674,
        0.22929501304008015,
        0.21394045287542796,
    );
    let weighted = log(WEIGHTS);
    check(
        &weighted,
        ips,
        2.1271306377615913,
        0.9437958554405934,
        0.8894094038060459,
    );
    check(
        &weighted,
        snips,
        0.8756375705825188,
        0.3062100072195767,
        0.28800690226396547,
    );
}

/// Expected: the same regression with `use_t=True`: 6 degrees of freedom for 7 clusters.
#[test]
fn clustered_intervals_use_students_t_as_statsmodels_does() {
    let log = log([1.0; 12]);
    let estimate = open_bandit::estimate(&log, Estimator::Snips { clip: None });
    let interval = estimate.interval(0.95, Independent::Units).unwrap();
    check(interval.low, 0.1823077, 5e-9);
    check(interval.high, 1.96569582, 5e-9);
}

/// Expected: the definitions in numpy.
#[test]
fn diagnostics_equal_their_definitions() {
    let found = log([1.0; 12]).diagnose();
    assert_eq!((found.n_rows, found.n_units), (12, 7));
    check(found.effective_rows.unwrap(), 2.5795047921795855, 1e-14);
    check(found.max_weight.unwrap(), 13.0, 1e-14);
    check(found.mean_weight.unwrap(), 1.7855051664787818, 1e-15);
    check(found.overlap.unwrap(), 0.6961112270848425, 1e-15);
    check(found.max_share.unwrap(), 0.6067377197624072, 1e-15);
    check(log(WEIGHTS).diagnose().effective_rows.unwrap(), 1.63095566934117, 1e-14);
}

/// Expected: `SlateIndependentIPS`, `SlateRewardInteractionIPS`, `SlateStandardIPS` and their self-normalised forms. The
/// probabilities (reward, logging policy, target policy of each slot) are of slots that are drawn for themselves.
#[test]
fn slates_equal_those_of_obp() {
    let slates = [
        [(0.12, 0.48, 0.77), (0.05, 0.47, 0.18), (1.32, 0.26, 0.62)],
        [(0.46, 0.61, 0.35), (0.45, 0.69, 0.7), (2.09, 0.58, 0.53)],
        [(0.4, 0.35, 0.47), (2.2, 0.67, 0.82), (1.03, 0.29, 0.15)],
        [(0.4, 0.7, 0.55), (0.06, 0.55, 0.36), (0.28, 0.37, 0.13)],
        [(3.46, 0.51, 0.7), (0.52, 0.58, 0.55), (0.17, 0.36, 0.82)],
        [(0.35, 0.71, 0.58), (2.3, 0.45, 0.37), (0.18, 0.74, 0.89)],
    ];
    let mut log = SlateLog::new(SlateProbability::Independent);
    for slate in slates {
        let slots = slate.map(|(reward, behaviour, target)| Slot {
            reward,
            behaviour,
            target,
        });
        log.push(&slots, None, 1.0).unwrap();
    }
    let check = |estimator, expected| {
        check(
            log.estimate(estimator, &Rules::lenient()).unwrap().value(),
            expected,
            1e-14,
        )
    };
    for (weight, ips, snips) in [
        (SlateWeight::PositionWise, 3.0378098292546825, 2.9072816891058277),
        (SlateWeight::RewardInteraction, 2.8541252813723155, 2.8124118050293805),
        (SlateWeight::Standard, 3.5979282130459747, 3.1745584625671976),
    ] {
        check(SlateEstimator::Ips { weight }, ips);
        check(SlateEstimator::Snips { weight }, snips);
    }
}

/// Estimators that read q̂ are compared within 1e-7: it was stored as f32, and the expected values were computed before.
#[test]
fn estimates_on_open_bandit_data_equal_those_of_obp() {
    let Some(folder) = open_bandit::folder() else { return };
    for case in CASES {
        let log = open_bandit::log(&folder, case);
        let all = open_bandit::expected(&folder, case);
        assert_eq!(all.len(), 12, "{case:?}");
        for expected in all {
            let tolerance = match expected.estimator {
                Estimator::Ips { .. } | Estimator::Snips { .. } => 1e-9,
                _ => 1e-7,
            };
            check(
                open_bandit::estimate(&log, expected.estimator).value(),
                expected.value,
                tolerance,
            );
        }
    }
}

/// Expected: obp on the files as they are, with the stored q̂. A weight that is exactly the threshold is still trusted.
#[test]
fn switching_on_open_bandit_data_equals_that_of_obp_also_on_the_threshold() {
    let Some(folder) = open_bandit::folder() else { return };
    let log = open_bandit::log(&folder, CASES[0]);
    let estimate = open_bandit::estimate(&log, Estimator::SwitchDoublyRobust { threshold: 1.0 });
    check(estimate.value(), 0.0064672136306071736, 1e-15);
}

/// An end of a percentile interval from B resamples has a standard error of √(0.025 · 0.975 / B) / φ(1.96) standard errors
/// of the estimate: 0.267 of one for obp's B = 100. Three of them are allowed.
#[test]
fn intervals_on_open_bandit_data_are_within_the_noise_of_obps_bootstrap() {
    let Some(folder) = open_bandit::folder() else { return };
    for case in CASES {
        let log = open_bandit::log(&folder, case);
        for expected in open_bandit::expected(&folder, case) {
            let estimate = open_bandit::estimate(&log, expected.estimator);
            let noise = 3.0 * 0.267 * estimate.standard_error(Independent::Rows).unwrap();
            let how = Bootstrap {
                n_resamples: 1000,
                seed: 1,
            };
            let resampled = estimate.bootstrap_interval(0.95, Independent::Rows, &how).unwrap();
            let linearised = estimate.interval(0.95, Independent::Rows).unwrap();
            for interval in [resampled, linearised] {
                check(interval.low, expected.interval.0, noise);
                check(interval.high, expected.interval.1, noise);
            }
        }
    }
}

/// Expected: obp with 10,000 resamples and seed 12345, whose ends are known to 0.03 standard errors. obp keeps the mean
/// weight of the whole log when it resamples SNIPS and SNDR, so only the others are compared.
#[test]
fn long_bootstraps_on_open_bandit_data_equal_those_of_obp() {
    let Some(folder) = open_bandit::folder() else { return };
    let ips = Estimator::Ips { clip: None };
    let dr = Estimator::DoublyRobust { clip: None };
    let switch = Estimator::SwitchDoublyRobust { threshold: 10.0 };
    let shrunk = Estimator::ShrunkDoublyRobust { lambda: 100.0 };
    let expected = [
        [
            (ips, 0.0016178318335852038, 0.0046369582170994),
            (Estimator::DirectMethod, 0.006488589373948709, 0.0068096762673964875),
            (dr, 0.001574837897002458, 0.005310577046799156),
            (switch, 0.003995480092525367, 0.007142478829280731),
            (shrunk, 0.003963912134589476, 0.006762971474702674),
        ],
        [
            (ips, 0.0024501913000000005, 0.0070844168),
            (Estimator::DirectMethod, 0.0041113459703561745, 0.004400294024946684),
            (dr, 0.002489389627102213, 0.007149289478007159),
            (switch, 0.002718879260703863, 0.007381759710638245),
            (shrunk, 0.002955225178640254, 0.006690361632312245),
        ],
    ];
    for (case, expected) in CASES.into_iter().zip(expected) {
        let log = open_bandit::log(&folder, case);
        for (estimator, low, high) in expected {
            let estimate = open_bandit::estimate(&log, estimator);
            let how = Bootstrap {
                n_resamples: 4000,
                seed: 2,
            };
            let found = estimate.bootstrap_interval(0.95, Independent::Rows, &how).unwrap();
            // Ours is known to 0.042 standard errors: the difference to 0.05, four of which are allowed.
            let noise = 0.2 * estimate.standard_error(Independent::Rows).unwrap();
            check(found.low, low, noise);
            check(found.high, high, noise);
        }
    }
}
