//! Owns how a policy orders candidates, and the exact probability of every order it can return.
//!
//! Of n candidates the first k positions are returned. An order has two steps, as a choice of an action has: the best
//! order (by score, or the request's own while there is no model), then, for policies that explore, perhaps another
//! one. Exploring draws k of the n candidates without replacement, each order with the same probability, so that also
//! those that the best order leaves out are learned about.
//!
//! For ε-greedy with the best order b, over the policy's draws:
//!
//! ```text
//! P(order o)                    = (1 − ε) · [o = b]        + ε · (n − k)! / n!
//! P(candidate c at position p)  = (1 − ε) · [c stands at p in b] + ε / n
//! ```
//!
//! With m exploration slots among the k positions, the other positions hold the first k − m candidates of the best order, in
//! this order, and the slots draw from the r = n − (k − m) others, evenly and without replacement:
//!
//! ```text
//! P(order o)                    = (r − m)! / r!   where the other positions are as in b, else 0
//! P(candidate c at a slot)      = 1 / r           for each of the r, else 0
//! ```

use std::cmp::Ordering;

use lakeloop_domain::{Policy, Slots};

use crate::policy::epsilon::{explores, one_of, probability};
use crate::policy::epsilon_of;

/// The counter of the draw for the first position; those of the others follow.
const FIRST_POSITION_DRAW: u32 = 1;

/// Buffers of an order, reused from call to call.
#[derive(Debug, Default)]
pub(crate) struct OrderScratch {
    /// Candidates by position; those from k on were not returned.
    order: Vec<u32>,
    /// For each of the k positions, the candidate that the best order has there.
    best: Vec<u32>,
    propensities: Vec<f64>,
    /// An order in the making.
    placed: Vec<u32>,
    /// Of each position the probability of each candidate.
    positions: Vec<f64>,
}

/// The order that a policy returned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Drawn<'s> {
    /// For each position returned, which candidate stands there.
    pub order: &'s [u32],
    /// For each position returned, the probability that this candidate stands there.
    pub propensities: &'s [f64],
    /// The probability of the whole order returned.
    pub propensity: f64,
    /// True when the draws decided that an order is drawn evenly from all, also when that gave the best one; with slots
    /// when there was more than one candidate to draw.
    pub explored: bool,
}

impl OrderScratch {
    /// Orders `n_candidates` by finite scores, the highest first and equals as the request has them, or leaves them as
    /// the request has them where there are no scores; then lets the policy explore. At most `at_most` positions are
    /// returned. `draw(counter)` is a number in [0, 1).
    ///
    /// Exploring takes draw 0 (whether) and one more for each position: of the m candidates not yet placed, the one at
    /// ⌊draw · m⌋ is next. With draws that are multiples of 2⁻⁵³ no candidate's probability is off by more than 2⁻⁵³.
    pub(crate) fn draw(
        &mut self,
        policy: &Policy,
        n_candidates: usize,
        at_most: usize,
        scores: &[f64],
        draw: impl Fn(u32) -> f64,
    ) -> Drawn<'_> {
        let n_returned = n_candidates.min(at_most);
        self.best_order(n_candidates, n_returned, scores);
        if let Policy::Slots { exploration_slots } = policy {
            return self.fill_slots(*exploration_slots, n_returned, draw);
        }
        let epsilon = share_of(policy);
        let explored = explores(epsilon, &draw);
        if explored {
            self.request_order(n_candidates);
            for position in 0..n_returned {
                let n_left = n_candidates - position;
                let counter = FIRST_POSITION_DRAW.saturating_add(position as u32);
                let next = ((draw(counter) * n_left as f64) as usize).min(n_left - 1);
                self.order.swap(position, position + next);
            }
        }
        self.order.truncate(n_returned);
        self.with_propensities(epsilon, n_candidates, explored)
    }

    /// The probability of each candidate at each position returned: `[n_returned, n_candidates]`, row-major.
    pub(crate) fn position_probabilities(
        &mut self,
        policy: &Policy,
        n_candidates: usize,
        at_most: usize,
        scores: &[f64],
    ) -> &[f64] {
        let n_returned = n_candidates.min(at_most);
        self.best_order(n_candidates, n_returned, scores);
        let Self {
            order, best, positions, ..
        } = self;
        positions.clear();
        if let Policy::Slots { exploration_slots } = policy {
            positions.resize(n_returned * n_candidates, 0.0);
            let (fixed, rest) = order.split_at(n_returned - exploration_slots.within(n_returned));
            let mut fixed = fixed.iter();
            for (position, of_each) in positions.chunks_exact_mut(n_candidates.max(1)).enumerate() {
                if exploration_slots.has(position) {
                    rest.iter()
                        .for_each(|idx| of_each[*idx as usize] = 1.0 / rest.len() as f64);
                } else if let Some(idx) = fixed.next() {
                    of_each[*idx as usize] = 1.0;
                }
            }
            return positions;
        }
        let epsilon = share_of(policy);
        for best in best.iter() {
            positions.extend((0..n_candidates).map(|idx| one_of(epsilon, idx as u32 == *best, n_candidates)));
        }
        positions
    }

    /// The first of the candidates as the request has them, with certainty: what is returned when the model failed.
    pub(crate) fn certain(&mut self, n_candidates: usize, at_most: usize) -> Drawn<'_> {
        self.request_order(n_candidates.min(at_most));
        self.best.clear();
        self.best.extend_from_slice(&self.order);
        self.with_propensities(0.0, n_candidates, false)
    }

    /// Puts the best candidates in order around the slots, and draws the rest into those.
    fn fill_slots(&mut self, slots: Slots, n_returned: usize, draw: impl Fn(u32) -> f64) -> Drawn<'_> {
        let Self {
            order,
            propensities,
            placed,
            ..
        } = self;
        let (fixed, rest) = order.split_at_mut(n_returned - slots.within(n_returned));
        let n_rest = rest.len();
        let (mut fixed, mut n_drawn, mut propensity) = (fixed.iter(), 0, 1.0);
        placed.clear();
        propensities.clear();
        for position in 0..n_returned {
            if slots.has(position) {
                let n_left = n_rest - n_drawn;
                let counter = FIRST_POSITION_DRAW.saturating_add(n_drawn as u32);
                let next = ((draw(counter) * n_left as f64) as usize).min(n_left.saturating_sub(1));
                rest.swap(n_drawn, n_drawn + next);
                placed.push(rest[n_drawn]);
                propensities.push(1.0 / n_rest as f64);
                propensity /= n_left as f64;
                n_drawn += 1;
            } else {
                placed.extend(fixed.next());
                propensities.push(1.0);
            }
        }
        Drawn {
            explored: n_drawn > 0 && n_rest > 1,
            order: placed,
            propensities,
            propensity: propensity.max(f64::MIN_POSITIVE),
        }
    }

    /// Puts all candidates into the best order, and remembers its first `n_returned`.
    fn best_order(&mut self, n_candidates: usize, n_returned: usize, scores: &[f64]) {
        self.request_order(n_candidates);
        if !scores.is_empty() {
            self.order.sort_unstable_by(|a, b| better_first(scores, *a, *b));
        }
        self.best.clear();
        self.best.extend_from_slice(&self.order[..n_returned]);
    }

    fn request_order(&mut self, n: usize) {
        self.order.clear();
        self.order.extend((0..n).map(|idx| idx as u32));
    }

    fn with_propensities(&mut self, epsilon: f64, n_candidates: usize, explored: bool) -> Drawn<'_> {
        let Self {
            order,
            best,
            propensities,
            ..
        } = self;
        let positions = order.iter().zip(best.iter());
        propensities.clear();
        propensities.extend(positions.map(|(candidate, best)| one_of(epsilon, candidate == best, n_candidates)));
        Drawn {
            propensity: of_order(epsilon, order == best, n_candidates, order.len()),
            order,
            propensities,
            explored,
        }
    }
}

/// The share of orders that are drawn from all.
fn share_of(policy: &Policy) -> f64 {
    epsilon_of(policy).unwrap_or_default()
}

/// The higher score first; equal ones as the request has them, so that the order is total.
fn better_first(scores: &[f64], a: u32, b: u32) -> Ordering {
    let score = |idx: u32| scores[idx as usize];
    score(b)
        .partial_cmp(&score(a))
        .unwrap_or(Ordering::Equal)
        .then(a.cmp(&b))
}

/// The probability of an order of `n_returned` out of `n_candidates` when it is the best one or not.
///
/// Orders of many candidates are so many that the probability of one is smaller than the smallest positive f64; it is
/// then given as that, because what was returned is never impossible.
fn of_order(epsilon: f64, is_best: bool, n_candidates: usize, n_returned: usize) -> f64 {
    let explored = |epsilon| (0..n_returned).fold(epsilon, |each, placed| each / (n_candidates - placed) as f64);
    probability(epsilon, is_best, explored).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::draw::draw;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    const EPSILON_GREEDY: Policy = Policy::EpsilonGreedy { epsilon: 0.3 };

    fn order(policy: &Policy, at_most: usize, scores: &[f64], draws: impl Fn(u32) -> f64) -> (Vec<u32>, f64, bool) {
        let mut scratch = OrderScratch::default();
        let drawn = scratch.draw(policy, scores.len(), at_most, scores, draws);
        (drawn.order.to_vec(), drawn.propensity, drawn.explored)
    }

    #[test]
    fn the_higher_score_comes_first_and_equals_stay_as_they_came() {
        let check = |scores: &[f64], at_most, expected: &[u32]| {
            assert_eq!(
                order(&Policy::Greedy, at_most, scores, |_| 0.0),
                (expected.to_vec(), 1.0, false)
            );
        };
        check(&[0.1, 0.9, 0.5], 9, &[1, 2, 0]);
        check(&[0.5, 0.5, 0.9, 0.5], 9, &[2, 0, 1, 3]);
        check(&[0.0, -0.0, 0.0], 9, &[0, 1, 2]);
        check(&[0.1, 0.9, 0.5], 2, &[1, 2]);
        check(&[7.0], 1, &[0]);
    }

    #[test]
    fn exploring_places_the_candidates_that_the_draws_name() {
        // Draw 0 explores; then ⌊0.5 · 4⌋ = 2 of [0 1 2 3], and ⌊0.99 · 3⌋ = 2 of what is left, [1 0 3].
        let draws = |counter: u32| [0.1, 0.5, 0.99][counter as usize];
        let (order, propensity, explored) = order(&EPSILON_GREEDY, 2, &[4.0, 3.0, 2.0, 1.0], draws);
        assert_eq!((order, explored), (vec![2, 3], true));
        assert_eq!(propensity, 0.3 / 4.0 / 3.0);
    }

    #[test]
    fn an_order_that_is_one_of_too_many_still_has_a_probability() {
        let greedy = of_order(0.3, true, 1000, 1000);
        let other = of_order(0.3, false, 1000, 1000);
        assert_eq!((greedy, other), (0.7, f64::MIN_POSITIVE));
    }

    /// Every order of 3 out of 4, and every candidate at every position, as often as its propensity says: within five
    /// standard errors over 20,000 decisions.
    #[test]
    fn orders_and_positions_come_as_often_as_their_propensities_say() {
        const N: usize = 20_000;
        let scores = [0.2, 0.9, 0.9, 0.4];
        let mut scratch = OrderScratch::default();
        let mut orders: HashMap<Vec<u32>, (usize, f64)> = HashMap::new();
        let mut positions: HashMap<(usize, u32), (usize, f64)> = HashMap::new();
        for decision in 0..N {
            let id = decision.to_string();
            let drawn = scratch.draw(&EPSILON_GREEDY, 4, 3, &scores, |counter| draw("s", &id, counter));
            orders.entry(drawn.order.to_vec()).or_insert((0, drawn.propensity)).0 += 1;
            for (position, candidate) in drawn.order.iter().enumerate() {
                let propensity = drawn.propensities[position];
                positions.entry((position, *candidate)).or_insert((0, propensity)).0 += 1;
            }
        }
        assert_eq!((orders.len(), positions.len()), (24, 12));
        for (n_seen, propensity) in orders.values().chain(positions.values()) {
            let expected = propensity * N as f64;
            let error = (expected * (1.0 - propensity)).sqrt();
            assert!(
                (*n_seen as f64 - expected).abs() < 5.0 * error,
                "{n_seen} instead of {expected}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(7),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn what_is_returned_is_a_part_of_the_candidates_in_some_order(
            scores in proptest::collection::vec(-1.0..1.0_f64, 1..60),
            at_most in 1..80_usize,
            epsilon in 0.0..=1.0_f64,
            bits in 0..1_u64 << 53,
        ) {
            let uniform = bits as f64 * 2.0_f64.powi(-53);
            let policy = Policy::EpsilonGreedy { epsilon };
            let mut scratch = OrderScratch::default();
            let drawn = scratch.draw(&policy, scores.len(), at_most, &scores, |_| uniform);
            let mut seen = drawn.order.to_vec();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), scores.len().min(at_most));
            prop_assert_eq!(drawn.propensities.len(), seen.len());
            prop_assert!(seen.iter().all(|idx| (*idx as usize) < scores.len()));
            for propensity in drawn.propensities.iter().chain([&drawn.propensity]) {
                prop_assert!(*propensity > 0.0 && *propensity <= 1.0, "{}", propensity);
            }
        }

        #[test]
        fn the_probabilities_of_a_position_add_up_to_one(epsilon in 0.0..=1.0_f64, n in 1..500_usize) {
            let policy = Policy::EpsilonGreedy { epsilon };
            let mut scratch = OrderScratch::default();
            let of_each = scratch.position_probabilities(&policy, n, 3, &[]);
            prop_assert_eq!(of_each.len(), n * n.min(3));
            for position in of_each.chunks_exact(n) {
                let sum: f64 = position.iter().sum();
                prop_assert!((sum - 1.0).abs() < 1e-12, "{sum}");
            }
        }
    }
}
