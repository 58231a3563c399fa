//! In a world with known truth, the cost of exploring grows more slowly than the number of decisions.
//!
//! Four kinds of visitor, ten actions, yes/no rewards. What is known of each action for each kind is learned from logged
//! decisions every 250 decisions, as a scheduled job would; between two of them the policy decides by what was known.
#![allow(clippy::unwrap_used)]

use lakeloop_decide::policy::{Beliefs, Known, PolicyScratch, choose};
use lakeloop_domain::Policy;
use lakeloop_stats::posterior::{Scored, lines};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const N_KINDS: usize = 4;
const N_ACTIONS: usize = 10;
const N_DECISIONS: usize = 40_000;
const LEARN_EVERY: usize = 250;
const N_WORLDS: u64 = 8;

/// What is expected of an action of which nothing is known.
const PRIOR: f64 = 0.5;

#[derive(Clone, Copy)]
struct Belief {
    mean: f64,
    deviation: f64,
}

/// What is known of each action for one kind of visitor.
fn learn(rows: &[Scored]) -> Option<[Belief; N_ACTIONS]> {
    let learned = lines(rows, &[0; N_ACTIONS], 1.0)?;
    let mut beliefs = [Belief {
        mean: PRIOR,
        deviation: 0.0,
    }; N_ACTIONS];
    for (belief, line) in beliefs.iter_mut().zip(&learned.of_each) {
        *belief = Belief {
            mean: PRIOR + line.offset,
            deviation: line.offset_variance.sqrt(),
        };
    }
    Some(beliefs)
}

/// The summed difference between the best action's probability and the chosen one's, after a quarter of the decisions and
/// after all.
fn regret(policy: &Policy, seed: u64) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let truth: [[f64; N_ACTIONS]; N_KINDS] =
        std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(0.05..0.6)));
    let mut rows: [Vec<Scored>; N_KINDS] = std::array::from_fn(|_| Vec::new());
    let mut known: [Option<[Belief; N_ACTIONS]>; N_KINDS] = [None; N_KINDS];
    let mut in_force = policy.in_force(0);
    let mut scratch = PolicyScratch::default();
    let (mut regret, mut after_a_quarter) = (0.0, 0.0);
    for decision in 0..N_DECISIONS {
        if decision > 0 && decision % LEARN_EVERY == 0 {
            known = std::array::from_fn(|kind| learn(&rows[kind]));
            in_force = policy.in_force(decision as u64);
        }
        if decision == N_DECISIONS / 4 {
            after_a_quarter = regret;
        }
        let kind = rng.random_range(0..N_KINDS);
        let beliefs = known[kind].unwrap_or(
            [Belief {
                mean: PRIOR,
                deviation: 0.0,
            }; N_ACTIONS],
        );
        let (means, deviations) = (
            beliefs.map(|belief| belief.mean),
            beliefs.map(|belief| belief.deviation),
        );
        let scores: &[f64] = if known[kind].is_some() { &means } else { &[] };
        let beliefs = Beliefs {
            means: &means,
            deviations: &deviations,
        };
        let draws: [f64; 2] = [rng.random(), rng.random()];
        let known = Known {
            n_actions: N_ACTIONS,
            default_idx: 0,
            scores,
            beliefs: known[kind].map(|_| beliefs),
        };
        let pick = choose(&in_force, &known, &mut scratch, |counter| draws[counter as usize]);
        let best = truth[kind].iter().copied().fold(0.0, f64::max);
        regret += best - truth[kind][pick.action_idx];
        rows[kind].push(Scored {
            action_idx: pick.action_idx,
            score: PRIOR,
            label: f64::from(u8::from(rng.random_bool(truth[kind][pick.action_idx]))),
        });
    }
    (after_a_quarter, regret)
}

/// Means over the worlds.
fn mean_regret(policy: Policy) -> (f64, f64) {
    let each = (0..N_WORLDS).map(|seed| regret(&policy, seed));
    let sums = each.fold((0.0, 0.0), |sums, one| (sums.0 + one.0, sums.1 + one.1));
    (sums.0 / N_WORLDS as f64, sums.1 / N_WORLDS as f64)
}

const UNIFORM: Policy = Policy::EpsilonGreedy { epsilon: 1.0 };

/// Four times the decisions: a regret that grows linearly is 4 times as large, with the square root 2 times, with the
/// logarithm less. Thompson's may be 1.7 times; it is a tenth of uniform's at most.
#[test]
fn thompsons_regret_grows_more_slowly_than_the_square_root() {
    let (quarter, all) = mean_regret(Policy::Thompson { epsilon: 0.0 });
    let (_, uniform) = mean_regret(UNIFORM);
    assert!(all < 1.7 * quarter, "{quarter} after a quarter, {all} after all");
    assert!(all < 0.1 * uniform, "{all} against {uniform}");
}

/// With a share that falls with the cube root, regret is of order n^(2/3): 4^(2/3) is 2.52.
#[test]
fn the_regret_of_a_falling_share_grows_like_the_power_two_thirds() {
    let (quarter, all) = mean_regret(Policy::EpsilonDecreasing {
        epsilon: 0.3,
        halved_after: 1_000,
        minimum: 0.0,
    });
    let (_, uniform) = mean_regret(UNIFORM);
    assert!(all < 2.7 * quarter, "{quarter} after a quarter, {all} after all");
    assert!(all < 0.2 * uniform, "{all} against {uniform}");
}

/// For comparison: with a share that stays, the regret of n decisions is of order n.
#[test]
fn the_regret_of_a_share_that_stays_grows_linearly_and_uniforms_too() {
    let (quarter, all) = mean_regret(Policy::EpsilonGreedy { epsilon: 0.2 });
    assert!(
        (3.0..4.1).contains(&(all / quarter)),
        "{quarter} after a quarter, {all} after all"
    );
    let (quarter, all) = mean_regret(UNIFORM);
    assert!(
        (3.9..4.1).contains(&(all / quarter)),
        "{quarter} after a quarter, {all} after all"
    );
}
