//! The propensity that is logged is the frequency that happens: a million decisions for each policy.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lakeloop_decide::{Bundle, Chosen, Scratch, decide};
use lakeloop_domain::{DecisionReason, OutcomeType, Policy};
use support::*;

const N_DECISIONS: usize = 1_000_000;

/// χ² that a true propensity exceeds with probability 1e-4, by degrees of freedom; scipy 1.17.1, `chi2.isf(1e-4, df)`.
const CRITICAL: [f64; 4] = [f64::NAN, 15.136705226623397, 18.420680743952364, 21.10751346616021];

/// Decides for the decision ids 0, 1, 2, … and compares how often each action came with its expected share, and
/// each logged propensity with the share of its action. Shares of 0 and 1 must hold exactly.
#[track_caller]
fn check(bundle: &Bundle, shares: &[f64], explored: f64) {
    let features = features(Some(20.0), Some("Oslo"), None);
    let mut scratch = Scratch::new();
    let mut counts = vec![0_usize; shares.len()];
    let mut n_explored = 0_usize;
    for decision_id in 0..N_DECISIONS {
        let decision = decide(bundle, &features, &decision_id.to_string(), &mut scratch);
        let Chosen::Action(action_idx) = decision.chosen else {
            panic!("an action is chosen")
        };
        assert!((decision.propensity - shares[action_idx]).abs() < 1e-15);
        counts[action_idx] += 1;
        n_explored += usize::from(decision.reason == DecisionReason::Explore);
    }
    check_shares(&counts, shares);
    check_shares(&[n_explored, N_DECISIONS - n_explored], &[explored, 1.0 - explored]);
}

#[track_caller]
fn check_shares(counts: &[usize], shares: &[f64]) {
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let mut chi_squared = 0.0;
    let mut n_possible = 0;
    for (count, share) in counts.iter().zip(shares) {
        let expected = share * N_DECISIONS as f64;
        if expected == 0.0 {
            assert_eq!(*count, 0, "an action of propensity 0 was chosen");
        } else {
            chi_squared += (*count as f64 - expected).powi(2) / expected;
            n_possible += 1;
        }
    }
    if n_possible > 1 {
        assert!(
            chi_squared < CRITICAL[n_possible - 1],
            "χ² = {chi_squared} for {counts:?} against {shares:?}"
        );
    } else {
        assert_eq!(chi_squared, 0.0);
    }
}

#[test]
fn threshold_and_greedy_are_certain() {
    let (blueprint, record) = threshold();
    check(&bundle(blueprint, Some(&record)), &[0.0, 1.0], 0.0);
    let (blueprint, record) = choice(Policy::Greedy);
    check(&bundle(blueprint, Some(&record)), &[0.0, 1.0, 0.0], 0.0);
}

#[test]
fn epsilon_greedy_with_a_model_explores_evenly_around_the_best() {
    for epsilon in [0.1, 0.37] {
        let (blueprint, record) = choice(Policy::EpsilonGreedy { epsilon });
        let other = epsilon / 3.0;
        check(
            &bundle(blueprint, Some(&record)),
            &[other, 1.0 - 2.0 * other, other],
            epsilon,
        );
    }
}

#[test]
fn epsilon_greedy_without_a_model_explores_evenly_around_the_default() {
    for (decision, shares) in [
        (menu("pho"), vec![0.05 / 3.0, 0.05 / 3.0, 0.95 + 0.05 / 3.0]),
        (yes_no(false), vec![0.975, 0.025]),
    ] {
        let blueprint = blueprint(decision, OutcomeType::YesNo, Policy::EpsilonGreedy { epsilon: 0.05 });
        check(&bundle(blueprint, None), &shares, 0.05);
    }
    let always = blueprint(menu("pho"), OutcomeType::YesNo, Policy::EpsilonGreedy { epsilon: 1.0 });
    check(&bundle(always, None), &[1.0 / 3.0; 3], 1.0);
}
