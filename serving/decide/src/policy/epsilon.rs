//! Owns the policies of two steps: the best action, then, with probability ε, one drawn evenly from all.
//!
//! Threshold and greedy are those with ε = 0. The second step takes its randomness from outside, so that it can be made
//! again.

use super::{ACTION_DRAW, Pick};

/// The counter of the draw that decides whether to explore.
const EXPLORE_DRAW: u32 = 0;

/// Chooses among `n_actions` (at least 1) when `best_idx` is the best. `draw(counter)` is a number in [0, 1).
///
/// Draw 0 below ε explores; then action ⌊draw 1 · n⌋ is taken. With draws that are multiples of 2⁻⁵³ no action's
/// probability is off by more than 2⁻⁵³.
pub(super) fn choose(epsilon: f64, best_idx: usize, n_actions: usize, draw: impl Fn(u32) -> f64) -> Pick {
    let explored = explores(epsilon, &draw);
    let action_idx = if explored {
        // Rounding cannot lift the product to n: it is at most n − n · 2⁻⁵³, at least half a step below n.
        ((draw(ACTION_DRAW) * n_actions as f64) as usize).min(n_actions.saturating_sub(1))
    } else {
        best_idx
    };
    Pick {
        action_idx,
        propensity: one_of(epsilon, action_idx == best_idx, n_actions),
        explored,
    }
}

/// Whether the draws say that this decision explores.
pub(crate) fn explores(epsilon: f64, draw: &impl Fn(u32) -> f64) -> bool {
    epsilon > 0.0 && draw(EXPLORE_DRAW) < epsilon
}

/// The probability of one of `n` things, when it is the best one or not: (1 − ε) · [best] + ε / n.
pub(crate) fn one_of(epsilon: f64, is_best: bool, n: usize) -> f64 {
    probability(epsilon, is_best, |epsilon| epsilon / n as f64)
}

/// The probability of something that may be returned, when it is the best or not. `explored(epsilon)` is the
/// probability that exploring happens, which it does with `epsilon`, and then returns it.
pub(crate) fn probability(epsilon: f64, is_best: bool, explored: impl FnOnce(f64) -> f64) -> f64 {
    (1.0 - epsilon) * f64::from(u8::from(is_best)) + explored(epsilon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    #[test]
    fn exploring_takes_the_action_that_the_second_draw_names() {
        let with = |explore: f64, action: f64| choose(0.3, 2, 4, |counter| if counter == 0 { explore } else { action });
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
        assert!(!choose(0.0, 0, 2, |_| 0.0).explored);
        assert!(choose(1.0, 0, 2, |_| largest).explored);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(7),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn propensities_add_up_to_one(epsilon in 0.0..=1.0_f64, n_actions in 1..500_usize, best in 0..500_usize) {
            let best_idx = best % n_actions;
            let sum: f64 = (0..n_actions).map(|idx| one_of(epsilon, idx == best_idx, n_actions)).sum();
            prop_assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }

        #[test]
        fn whatever_is_chosen_could_be_chosen(
            epsilon in 0.0..=1.0_f64,
            n_actions in 1..500_usize,
            best in 0..500_usize,
            bits in 0..1_u64 << 53,
        ) {
            let draw = bits as f64 * 2.0_f64.powi(-53);
            let pick = choose(epsilon, best % n_actions, n_actions, |_| draw);
            prop_assert!(pick.action_idx < n_actions);
            prop_assert!(pick.propensity > 0.0 && pick.propensity <= 1.0, "{}", pick.propensity);
        }
    }
}
