//! Owns how a policy chooses, and the exact probability of every choice it can make.
//!
//! A choice has two steps: the best action by the scores (or the default, while there is no model), then, for policies
//! that explore, perhaps another one. The second step takes its randomness from outside, so that it can be made again.

use lakeloop_domain::Policy;

/// The counter of the draw that decides whether to explore.
const EXPLORE_DRAW: u32 = 0;
/// The counter of the draw that picks the action when exploring.
const ACTION_DRAW: u32 = 1;

/// What a policy chose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pick {
    /// Which action.
    pub action_idx: usize,
    /// The probability with which the policy chooses this action, over its draws, for these scores; in (0, 1].
    pub propensity: f64,
    /// True when the draws decided that an action is drawn evenly from all, also when that gave the best one.
    pub explored: bool,
}

/// The best action by finite scores: for a threshold 1 (`yes`) when `scores[0] >= at`, else 0 (`no`); for the others
/// the action with the highest score, the first declared one among equals.
pub fn best(policy: &Policy, scores: &[f64]) -> usize {
    match policy {
        Policy::Threshold { at } => usize::from(scores.first().is_some_and(|score| score >= at)),
        Policy::Greedy | Policy::EpsilonGreedy { .. } => highest(scores),
    }
}

/// Chooses among `n_actions` (at least 1) when `best_idx` is the best. `draw(counter)` is a number in [0, 1).
///
/// ε-greedy: draw 0 below ε explores; then action ⌊draw 1 · n⌋ is taken. With draws that are multiples of 2⁻⁵³ no
/// action's probability is off by more than 2⁻⁵³.
pub fn choose(policy: &Policy, best_idx: usize, n_actions: usize, draw: impl Fn(u32) -> f64) -> Pick {
    let explored = explores(policy, &draw);
    let action_idx = if explored {
        // Rounding cannot lift the product to n: it is at most n − n · 2⁻⁵³, at least half a step below n.
        ((draw(ACTION_DRAW) * n_actions as f64) as usize).min(n_actions.saturating_sub(1))
    } else {
        best_idx
    };
    Pick {
        action_idx,
        propensity: propensity(policy, best_idx, n_actions, action_idx),
        explored,
    }
}

/// Whether the draws say that this decision explores.
pub(crate) fn explores(policy: &Policy, draw: &impl Fn(u32) -> f64) -> bool {
    match policy {
        Policy::Threshold { .. } | Policy::Greedy => false,
        Policy::EpsilonGreedy { epsilon } => draw(EXPLORE_DRAW) < *epsilon,
    }
}

/// The probability that `action_idx` is chosen among `n_actions` when `best_idx` is the best.
///
/// Threshold and greedy: [a = best]. ε-greedy: (1 − ε) · [a = best] + ε / n.
pub fn propensity(policy: &Policy, best_idx: usize, n_actions: usize, action_idx: usize) -> f64 {
    one_of(policy, action_idx == best_idx, n_actions)
}

/// The probability of one of `n` things, when it is the best one or not.
pub(crate) fn one_of(policy: &Policy, is_best: bool, n: usize) -> f64 {
    probability(policy, is_best, |epsilon| epsilon / n as f64)
}

/// The probability of something that a policy may return, when it is the best or not. `explored(epsilon)` is the
/// probability that the policy explores, which it does with `epsilon`, and then returns it.
pub(crate) fn probability(policy: &Policy, is_best: bool, explored: impl FnOnce(f64) -> f64) -> f64 {
    let is_best = f64::from(u8::from(is_best));
    match policy {
        Policy::Threshold { .. } | Policy::Greedy => is_best,
        Policy::EpsilonGreedy { epsilon } => (1.0 - epsilon) * is_best + explored(*epsilon),
    }
}

fn highest(scores: &[f64]) -> usize {
    let mut best_idx = 0;
    for (idx, score) in scores.iter().enumerate().skip(1) {
        if *score > scores[best_idx] {
            best_idx = idx;
        }
    }
    best_idx
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    const EPSILON_GREEDY: Policy = Policy::EpsilonGreedy { epsilon: 0.3 };

    #[test]
    fn the_first_declared_of_equal_scores_is_best() {
        assert_eq!(best(&Policy::Greedy, &[0.2, 0.5, 0.5, 0.1]), 1);
        assert_eq!(best(&Policy::Greedy, &[0.0, -0.0]), 0);
        assert_eq!(best(&Policy::Greedy, &[-0.0, 0.0]), 0);
        assert_eq!(best(&EPSILON_GREEDY, &[-3.0, -2.0, -2.0]), 1);
    }

    #[test]
    fn a_threshold_says_yes_from_its_value_on() {
        let policy = Policy::Threshold { at: 0.5 };
        assert_eq!(best(&policy, &[0.5]), 1);
        assert_eq!(best(&policy, &[0.5 - f64::EPSILON]), 0);
        assert_eq!(best(&Policy::Threshold { at: 0.0 }, &[0.0]), 1);
    }

    #[test]
    fn exploring_takes_the_action_that_the_second_draw_names() {
        let with = |explore: f64, action: f64| {
            choose(
                &EPSILON_GREEDY,
                2,
                4,
                |counter| if counter == 0 { explore } else { action },
            )
        };
        assert_eq!(
            with(0.3, 0.0),
            Pick {
                action_idx: 2,
                propensity: 0.7 + 0.3 / 4.0,
                explored: false
            }
        );
        assert_eq!(
            with(0.2, 0.0),
            Pick {
                action_idx: 0,
                propensity: 0.3 / 4.0,
                explored: true
            }
        );
        assert_eq!(
            with(0.2, 0.5),
            Pick {
                action_idx: 2,
                propensity: 0.7 + 0.3 / 4.0,
                explored: true
            }
        );
        assert_eq!(with(0.0, 1.0 - f64::EPSILON / 2.0).action_idx, 3);
    }

    #[test]
    fn an_epsilon_of_zero_never_explores_and_of_one_always_does() {
        let largest = 1.0 - f64::EPSILON / 2.0;
        assert!(!choose(&Policy::EpsilonGreedy { epsilon: 0.0 }, 0, 2, |_| 0.0).explored);
        assert!(choose(&Policy::EpsilonGreedy { epsilon: 1.0 }, 0, 2, |_| largest).explored);
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        prop_oneof![
            Just(Policy::Greedy),
            (0.0..=1.0).prop_map(|at| Policy::Threshold { at }),
            (0.0..=1.0).prop_map(|epsilon| Policy::EpsilonGreedy { epsilon }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(7),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn propensities_add_up_to_one(policy in any_policy(), n_actions in 1..500_usize, best in 0..500_usize) {
            let best_idx = best % n_actions;
            let sum: f64 = (0..n_actions).map(|idx| propensity(&policy, best_idx, n_actions, idx)).sum();
            prop_assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }

        #[test]
        fn whatever_is_chosen_could_be_chosen(
            policy in any_policy(),
            n_actions in 1..500_usize,
            best in 0..500_usize,
            bits in 0..1_u64 << 53,
        ) {
            let draw = bits as f64 * 2.0_f64.powi(-53);
            let pick = choose(&policy, best % n_actions, n_actions, |_| draw);
            prop_assert!(pick.action_idx < n_actions);
            prop_assert!(pick.propensity > 0.0 && pick.propensity <= 1.0, "{}", pick.propensity);
        }
    }
}
