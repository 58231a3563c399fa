//! A log that cannot speak for a policy says so, with a reason; and estimates keep their promises for any log.
#![allow(clippy::unwrap_used, clippy::panic)]

use lakeloop_stats::Independent;
use lakeloop_stats::off_policy::{
    Behaviour, Estimator, Log, LogError, LoggedRow, Refusal, Rules, SlateEstimator, SlateLog, SlateProbability,
    SlateWeight, Slot,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const IPS: Estimator = Estimator::Ips { clip: None };
const SNIPS: Estimator = Estimator::Snips { clip: None };
const DR: Estimator = Estimator::DoublyRobust { clip: None };

/// A row of weight 1 for two actions that were equally likely.
fn row<'a>(action_idx: usize, reward: f64, target: &'a [f64]) -> LoggedRow<'a> {
    LoggedRow {
        action_idx,
        position: 0,
        reward,
        behaviour: Behaviour::Chosen(0.5),
        target,
        q_hat: None,
        unit: None,
        weight: 1.0,
    }
}

fn log<'a>(rows: impl IntoIterator<Item = LoggedRow<'a>>) -> Log {
    let mut log = Log::new();
    rows.into_iter().for_each(|row| log.push(&row).unwrap());
    log
}

/// 1000 rows of two equally likely actions with rewards 0, 1, 2, 3 in turn.
fn even<'a>(target: &'a [f64]) -> impl Iterator<Item = LoggedRow<'a>> {
    (0..1000).map(move |idx| row(idx % 2, (idx / 2 % 4) as f64, target))
}

#[track_caller]
fn check_refusal(log: &Log, expected: &str) {
    let refusal = log.supported(&Rules::default()).unwrap_err().to_string();
    assert!(refusal.contains(expected), "{refusal}");
}

#[test]
fn nothing_is_said_without_rows_or_weight() {
    assert_eq!(Log::new().supported(&Rules::lenient()).unwrap_err(), Refusal::NoRows);
    let weightless = log(even(&[0.5, 0.5]).map(|row| LoggedRow { weight: 0.0, ..row }));
    assert_eq!(weightless.supported(&Rules::lenient()).unwrap_err(), Refusal::NoRows);
    let found = weightless.diagnose();
    assert_eq!(
        (found.effective_rows, found.mean_weight, found.overlap),
        (None, None, None)
    );
    assert_eq!((found.max_share, found.unsupported), (None, None));
    assert_eq!(Log::new().diagnose().max_weight, None);
}

#[test]
fn a_log_speaks_for_the_policy_that_made_it() {
    let log = log(even(&[0.5, 0.5]));
    let supported = log.supported(&Rules::default()).unwrap();
    let found = supported.diagnostics();
    assert_eq!(found.effective_rows, Some(1000.0));
    assert_eq!(
        (found.max_weight, found.overlap, found.unsupported),
        (Some(1.0), Some(1.0), Some(0.0))
    );
    for estimator in [IPS, SNIPS] {
        assert_eq!(supported.estimate(estimator).unwrap().value(), 1.5);
    }
    let gain = supported
        .estimate(SNIPS)
        .unwrap()
        .minus(&supported.logged_value().unwrap())
        .unwrap();
    assert_eq!((gain.value(), gain.standard_error(Independent::Rows)), (0.0, Some(0.0)));
}

#[test]
fn an_action_that_was_never_logged_has_no_support() {
    let target = [0.45, 0.45, 0.1];
    let log = log(even(&target));
    check_refusal(
        &log,
        "0.1000 of the target policy's choices are actions that the log has no support for",
    );
    check_refusal(&log, "by action 2 at position 0");
    let lenient = Rules {
        max_unsupported: 0.2,
        max_mean_weight_errors: f64::INFINITY,
        ..Rules::default()
    };
    assert!(log.supported(&lenient).is_ok());
}

#[test]
fn support_is_counted_for_each_position() {
    let target = [0.5, 0.5];
    let both = even(&target).map(|row| LoggedRow { position: 0, ..row });
    let one = even(&target).filter(|row| row.action_idx == 0);
    let log = log(both.chain(one.map(|row| LoggedRow { position: 2, ..row })));
    check_refusal(&log, "by action 1 at position 2");
}

/// Every action was logged somewhere, but not where the target policy takes it.
#[test]
fn known_probabilities_of_0_have_no_support_row_by_row() {
    let (logged, target) = ([[1.0, 0.0], [0.0, 1.0]], [0.9, 0.1]);
    let rows = even(&target).map(|row| LoggedRow {
        behaviour: Behaviour::All(&logged[row.action_idx]),
        ..row
    });
    check_refusal(&log(rows), "0.5000 of the target policy's choices");
}

/// The same when only the chosen action's probability was logged: the weights give it away.
#[test]
fn weights_that_do_not_average_1_are_refused() {
    let target = [0.9, 0.1];
    let rows = even(&target).map(|row| LoggedRow {
        behaviour: Behaviour::Chosen(1.0),
        ..row
    });
    check_refusal(&log(rows), "the importance weights average 0.5000");
}

#[test]
fn a_target_policy_that_shares_no_choice_is_refused() {
    let target = [0.0, 1.0];
    let rows = even(&target).filter(|row| row.action_idx == 0);
    let lenient = log(rows);
    assert_eq!(lenient.supported(&Rules::lenient()).unwrap_err(), Refusal::NoOverlap);
}

#[test]
fn a_few_rows_that_carry_everything_are_refused() {
    let target = [0.02, 0.98];
    let rare = (0..1000).map(|idx| LoggedRow {
        behaviour: Behaviour::Chosen(if idx % 50 == 0 { 0.02 } else { 0.98 }),
        ..row(usize::from(idx % 50 == 0), 1.0, &target)
    });
    // 20 rows of weight 49, 980 of weight 0.02.
    check_refusal(&log(rare), "the log is worth 20.8 rows of the target policy");
}

#[test]
fn rewards_that_do_not_vary_or_hardly_ever_come_say_nothing() {
    let target = [0.4, 0.6];
    let estimate = |reward: fn(usize) -> f64| {
        let rows = even(&target).enumerate();
        let log = log(rows.map(|(idx, row)| LoggedRow {
            reward: reward(idx),
            ..row
        }));
        log.supported(&Rules::default()).unwrap().estimate(SNIPS).unwrap_err()
    };
    assert_eq!(estimate(|_| 0.0), Refusal::NoSpread { n: 1000 });
    assert_eq!(estimate(|_| 0.1), Refusal::NoSpread { n: 1000 });
    let rare = estimate(|idx| f64::from(u8::from(idx % 100 == 0)));
    assert!(
        matches!(rare, Refusal::Skewed { n: 1000, needed, .. } if needed > 1000.0),
        "{rare}"
    );
}

#[test]
fn estimators_ask_for_what_they_need() {
    let log = log(even(&[0.4, 0.6]));
    let supported = log.supported(&Rules::default()).unwrap();
    let refusal = supported.estimate(DR).unwrap_err();
    assert_eq!(refusal, Refusal::NoPredictions { estimator: "DR" });
    for estimator in [
        Estimator::Snips { clip: Some(0.0) },
        Estimator::Ips { clip: Some(f64::NAN) },
        Estimator::SwitchDoublyRobust { threshold: -1.0 },
        Estimator::ShrunkDoublyRobust { lambda: 0.0 },
    ] {
        let refusal = supported.estimate(estimator).unwrap_err();
        assert!(matches!(refusal, Refusal::Parameter { .. }), "{refusal}");
    }
}

#[test]
fn a_row_that_is_wrong_is_named_and_changes_nothing() {
    let target = [0.5, 0.5];
    let good = row(0, 1.0, &target);
    let mut log = log([good]);
    let before = log.diagnose();
    let mut check = |row: LoggedRow<'_>, expected: &str| {
        let error = log.push(&row).unwrap_err().to_string();
        assert!(error.contains("row 1") && error.contains(expected), "{error}");
    };
    check(row(2, 1.0, &target), "action is number 2 of 2");
    check(row(0, f64::NAN, &target), "`reward` is NaN");
    check(
        row(0, 1.0, &[0.5, 0.6]),
        "`target` is 1.1; expected probabilities that sum to 1",
    );
    check(row(0, 1.0, &[1.5, -0.5]), "`target` is 1.5");
    for behaviour in [0.0, -0.1, 1.1, f64::NAN] {
        let behaviour = Behaviour::Chosen(behaviour);
        check(
            LoggedRow { behaviour, ..good },
            "the probability of the logged action, above 0 and at most 1",
        );
    }
    let all = |all| LoggedRow {
        behaviour: Behaviour::All(all),
        ..good
    };
    check(
        all(&[0.0, 1.0]),
        "`behaviour` is 0; expected the probability of the logged action",
    );
    check(all(&[1.0]), "`behaviour` has 1 numbers; expected 2");
    check(LoggedRow { weight: -1.0, ..good }, "`weight` is -1");
    let with = |q_hat| LoggedRow {
        q_hat: Some(q_hat),
        ..good
    };
    check(with(&[1.0, 2.0]), "`q_hat` must be there in all rows or in none");
    check(with(&[1.0]), "`q_hat` has 1 numbers");
    check(with(&[f64::INFINITY, 1.0]), "`q_hat` is inf");
    assert_eq!(log.diagnose(), before);
    assert_eq!(
        log.push(&with(&[1.0, 2.0])),
        Err(LogError::SomePredictions { row_idx: 1 })
    );
}

#[test]
fn differences_are_only_taken_within_one_log() {
    let (one, other) = (log(even(&[0.4, 0.6])), log(even(&[0.4, 0.6])));
    let estimate = |log: &Log| {
        log.supported(&Rules::default())
            .unwrap()
            .estimate(SNIPS)
            .unwrap()
            .value()
    };
    assert_eq!(estimate(&one), estimate(&other));
    let rules = Rules::default();
    let (one, other) = (one.supported(&rules).unwrap(), other.supported(&rules).unwrap());
    assert!(
        one.estimate(SNIPS)
            .unwrap()
            .minus(&other.estimate(SNIPS).unwrap())
            .is_none()
    );
}

fn slates(probability: SlateProbability, slots: [Slot; 2]) -> SlateLog {
    let mut log = SlateLog::new(probability);
    for idx in 0..400 {
        let [first, second] = slots;
        let reward = f64::from(idx % 4);
        log.push(&[Slot { reward, ..first }, second], None, 1.0).unwrap();
    }
    log
}

#[test]
fn slates_are_refused_position_by_position() {
    let slot = |behaviour, target| Slot {
        reward: 1.0,
        behaviour,
        target,
    };
    let weight = SlateWeight::PositionWise;
    let refusal = |log: &SlateLog, estimator| log.estimate(estimator, &Rules::default()).unwrap_err().to_string();
    let beside = slates(SlateProbability::Marginal, [slot(0.5, 0.5), slot(0.5, 0.25)]);
    let found = refusal(&beside, SlateEstimator::Snips { weight });
    assert!(
        found.contains("average 0.5000") && found.contains("position 1"),
        "{found}"
    );
    let weight = SlateWeight::RewardInteraction;
    let found = refusal(&beside, SlateEstimator::Ips { weight });
    assert!(
        found.contains("weighs by probabilities given the actions above"),
        "{found}"
    );

    let log = slates(SlateProbability::Independent, [slot(0.5, 0.5), slot(0.5, 0.5)]);
    assert_eq!(
        log.estimate(SlateEstimator::Ips { weight }, &Rules::default())
            .unwrap()
            .value(),
        2.5
    );
    let empty = SlateLog::new(SlateProbability::Independent);
    let refusal = empty
        .estimate(SlateEstimator::Ips { weight }, &Rules::default())
        .unwrap_err();
    assert_eq!(refusal, Refusal::NoRows);
}

#[test]
fn a_log_of_slates_without_a_slot_supports_nothing() {
    for n_slates in [0, 1] {
        let mut log = SlateLog::new(SlateProbability::Independent);
        for _ in 0..n_slates {
            log.push(&[], None, 1.0).unwrap();
        }
        for weight in [
            SlateWeight::PositionWise,
            SlateWeight::RewardInteraction,
            SlateWeight::Standard,
        ] {
            assert_eq!(log.diagnose(weight), []);
            let refusal = log.estimate(SlateEstimator::Snips { weight }, &Rules::default());
            assert_eq!(refusal.unwrap_err(), Refusal::NoRows);
        }
    }
}

/// A slate that is too short for a position counts as one that both policies leave empty.
#[test]
fn short_slates_count_with_what_they_have() {
    let mut log = SlateLog::new(SlateProbability::Independent);
    let slot = |reward| Slot {
        reward,
        behaviour: 0.5,
        target: 0.5,
    };
    log.push(&[slot(1.0), slot(4.0)], None, 1.0).unwrap();
    log.push(&[slot(3.0)], None, 1.0).unwrap();
    for weight in [
        SlateWeight::PositionWise,
        SlateWeight::RewardInteraction,
        SlateWeight::Standard,
    ] {
        for estimator in [SlateEstimator::Ips { weight }, SlateEstimator::Snips { weight }] {
            assert_eq!(log.estimate(estimator, &Rules::lenient()).unwrap().value(), 4.0);
        }
    }
}

/// Action, reward, logging policy, target policy, expected rewards.
type AnyRow = (usize, f64, [f64; 3], [f64; 3], [f64; 3]);

fn any_rows() -> impl Strategy<Value = Vec<AnyRow>> {
    let distribution = || {
        [1..20_u8, 1..20_u8, 1..20_u8].prop_map(|parts| {
            let sum: f64 = parts.iter().map(|part| f64::from(*part)).sum();
            parts.map(|part| f64::from(part) / sum)
        })
    };
    let q_hat = [-9..9_i8, -9..9_i8, -9..9_i8].prop_map(|q_hat| q_hat.map(f64::from));
    let row = (0..3_usize, -9.0..9.0_f64, distribution(), distribution(), q_hat);
    proptest::collection::vec(row, 2..40)
}

fn any_log(rows: &[AnyRow]) -> Log {
    log(rows
        .iter()
        .map(|(action_idx, reward, behaviour, target, q_hat)| LoggedRow {
            action_idx: *action_idx,
            position: 0,
            reward: *reward,
            behaviour: Behaviour::All(behaviour),
            target,
            q_hat: Some(q_hat),
            unit: None,
            weight: 1.0,
        }))
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn snips_stays_within_the_rewards_and_follows_their_shift(rows in any_rows(), shift in -5.0..5.0_f64) {
        let value = |rows: &[_]| any_log(rows).supported(&Rules::lenient()).unwrap().estimate(SNIPS).unwrap().value();
        let found = value(&rows);
        let rewards = || rows.iter().map(|row| row.1);
        prop_assert!(rewards().fold(f64::INFINITY, f64::min) <= found + 1e-9);
        prop_assert!(rewards().fold(f64::NEG_INFINITY, f64::max) >= found - 1e-9);
        let shifted: Vec<_> = rows.iter().map(|row| (row.0, row.1 + shift, row.2, row.3, row.4)).collect();
        prop_assert!((value(&shifted) - found - shift).abs() < 1e-9);
    }

    #[test]
    fn the_ends_of_each_estimator_are_the_others(rows in any_rows()) {
        let log = any_log(&rows);
        let supported = log.supported(&Rules::lenient()).unwrap();
        let value = |estimator| supported.estimate(estimator).unwrap().value();
        let mean = rows.iter().map(|row| row.1).sum::<f64>() / rows.len() as f64;
        let (dr, dm) = (value(DR), value(Estimator::DirectMethod));
        for (end, expected) in [
            (Estimator::ShrunkDoublyRobust { lambda: f64::INFINITY }, dr),
            (Estimator::ShrunkDoublyRobust { lambda: 1e-12 }, dm),
            (Estimator::SwitchDoublyRobust { threshold: f64::INFINITY }, dr),
            (Estimator::SwitchDoublyRobust { threshold: 1e-12 }, dm),
            (Estimator::DoublyRobust { clip: Some(1e-12) }, dm),
            (Estimator::Ips { clip: Some(1e-12) }, 0.0),
            (Estimator::Snips { clip: Some(1e-12) }, mean),
        ] {
            let found = value(end);
            prop_assert!((found - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "{:?}: {} instead of {}", end, found, expected);
        }
    }

    #[test]
    fn a_unit_for_each_row_is_no_unit(rows in any_rows()) {
        let log = any_log(&rows);
        let estimate = log.supported(&Rules::lenient()).unwrap().estimate(DR).unwrap();
        prop_assert_eq!(estimate.standard_error(Independent::Rows), estimate.standard_error(Independent::Units));
        prop_assert_eq!(estimate.interval(0.9, Independent::Rows), estimate.interval(0.9, Independent::Units));
    }
}
