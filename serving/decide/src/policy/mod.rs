//! Owns how a policy chooses, and the probability of every choice it can make.
//!
//! ```text
//! threshold, greedy, ε-greedy │ the best action, or with probability ε one drawn evenly     (two draws, `epsilon.rs`)
//! all others                  │ probabilities of all actions ─► one action drawn from them  (one draw)
//! ```
//!
//! What is logged as the propensity is the probability that was drawn from, so it is exact whatever the probabilities
//! are an approximation of. Randomness comes from outside, so that a choice can be made again.
//!
//! Without scores, while no model is live, the policies of two steps have the default as their best action; to the others
//! all actions are alike then, and one is drawn evenly. So do Thompson and UCB with a model that does not say how sure it
//! is.

pub(crate) mod epsilon;

mod normal;
mod thompson;

use lakeloop_domain::Policy;

use thompson::Quadrature;

/// The counter of the draw that picks the action: when exploring, or from the probabilities of all.
const ACTION_DRAW: u32 = 1;

/// What a policy chose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pick {
    /// Which action.
    pub action_idx: usize,
    /// The probability with which the policy chooses this action, over its draws, for what it knows; in (0, 1].
    pub propensity: f64,
    /// True when a policy of two steps drew an action evenly from all, also when that gave the best one; for the others
    /// when another action than the best was drawn, or nothing was known to be best by.
    pub explored: bool,
}

/// How sure a model is: the expected label of each action as an independent normal variable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beliefs<'a> {
    /// The means, one for each action; finite.
    pub means: &'a [f64],
    /// The standard deviations, at least 0 and finite.
    pub deviations: &'a [f64],
}

impl PolicyScratch {
    /// The probabilities that were written last, with those of blocked actions added to the default's. The default is free
    /// whatever `blocked` says.
    pub(crate) fn block(&mut self, default_idx: usize, blocked: &[u32]) -> &[f64] {
        let of_default = with_blocked(&self.probabilities, default_idx, blocked);
        for idx in blocked.iter().map(|idx| *idx as usize) {
            if let Some(probability) = self.probabilities.get_mut(idx) {
                *probability = 0.0;
            }
        }
        self.probabilities[default_idx] = of_default;
        &self.probabilities
    }
}

/// The probability of the default where `blocked` may not be chosen: its own and theirs, added up in the order of `blocked`.
pub(crate) fn with_blocked(of_each: &[f64], default_idx: usize, blocked: &[u32]) -> f64 {
    let blocked = blocked.iter().map(|idx| *idx as usize);
    let of_blocked = blocked
        .filter(|idx| *idx != default_idx)
        .filter_map(|idx| of_each.get(idx));
    // A sum of probabilities may be above 1 by rounding.
    (of_each[default_idx] + of_blocked.sum::<f64>()).min(1.0)
}

/// What a policy knows of the actions that it chooses among.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known<'a> {
    /// The number of actions, at least 1.
    pub n_actions: usize,
    /// Which action is the default.
    pub default_idx: usize,
    /// Finite scores: one for each action, or a single one for a threshold; empty while no model is live.
    pub scores: &'a [f64],
    /// How sure the model is, where it says so.
    pub beliefs: Option<Beliefs<'a>>,
}

/// Buffers of a policy, reused from call to call.
#[derive(Debug, Default)]
pub struct PolicyScratch {
    probabilities: Vec<f64>,
    quadrature: Quadrature,
}

/// The best action by what is known: without scores the default; for a threshold 1 (`yes`) when `scores[0] >= at`, else
/// 0 (`no`); for Thompson and UCB the action with the highest mean, for the others with the highest score; the first
/// declared one among equals.
pub fn best(policy: &Policy, known: &Known<'_>) -> usize {
    match (known.scores, policy) {
        ([], _) => known.default_idx,
        ([score, ..], Policy::Threshold { at }) => usize::from(score >= at),
        (scores, Policy::Thompson { .. } | Policy::Ucb { .. }) => {
            highest(known.beliefs.map_or(scores, |beliefs| beliefs.means))
        }
        (scores, _) => highest(scores),
    }
}

/// Chooses by what is known. `draw(counter)` is a number in [0, 1).
///
/// A policy that draws from the probabilities of all actions takes the first one, in declared order, at which they add up
/// to more than draw 1. With draws that are multiples of 2⁻⁵³ no action's frequency is off by more than n · 2⁻⁵³.
pub fn choose(policy: &Policy, known: &Known<'_>, scratch: &mut PolicyScratch, draw: impl Fn(u32) -> f64) -> Pick {
    let best_idx = best(policy, known);
    if let Some(epsilon) = epsilon_of(policy) {
        return epsilon::choose(epsilon, best_idx, known.n_actions, draw);
    }
    let of_each = probabilities(policy, known, scratch);
    let action_idx = drawn(of_each, draw(ACTION_DRAW));
    Pick {
        action_idx,
        propensity: of_each[action_idx],
        explored: action_idx != best_idx || knows_nothing(policy, known),
    }
}

/// The probability of every action in declared order, over the policy's draws, for what is known; they add up to 1 but
/// for rounding, and [`choose`] draws from the very same ones.
///
/// - Threshold and greedy: [a = best]. ε-greedy: (1 − ε) · [a = best] + ε / n.
/// - Top k: 1 / k for the k highest scores.
/// - Softmax: exp((sₐ − max s) / T), divided by their sum; 0 where that is smaller than any positive f64.
/// - Thompson: the probability that the action's expected label is the highest, within 10⁻⁷ for up to 12 actions (see
///   `thompson.rs`).
/// - UCB: [a = the highest of mean + width · deviation].
/// - Thompson and UCB with an ε: (1 − ε) times that, plus ε / n.
///
/// ```
/// use lakeloop_decide::policy::{Known, PolicyScratch, probabilities};
/// use lakeloop_domain::Policy;
///
/// let known = Known { n_actions: 2, default_idx: 0, scores: &[0.1, 0.4], beliefs: None };
/// let mut scratch = PolicyScratch::default();
/// let of_each = probabilities(&Policy::EpsilonGreedy { epsilon: 0.5 }, &known, &mut scratch);
/// assert_eq!(of_each, [0.25, 0.75]);
/// ```
pub fn probabilities<'s>(policy: &Policy, known: &Known<'_>, scratch: &'s mut PolicyScratch) -> &'s [f64] {
    let PolicyScratch {
        probabilities,
        quadrature,
    } = scratch;
    let n_actions = known.n_actions;
    probabilities.clear();
    if let Some(epsilon) = epsilon_of(policy) {
        let best_idx = best(policy, known);
        probabilities.extend((0..n_actions).map(|idx| epsilon::one_of(epsilon, idx == best_idx, n_actions)));
        return probabilities;
    }
    probabilities.resize(n_actions, 1.0 / n_actions as f64);
    if knows_nothing(policy, known) {
        return probabilities;
    }
    match (*policy, known.beliefs) {
        (Policy::TopK { k }, _) => top_k(k as usize, known.scores, probabilities),
        (Policy::Softmax { temperature }, _) => softmax(temperature, known.scores, probabilities),
        (Policy::Thompson { epsilon }, Some(beliefs)) => {
            quadrature.best_of(beliefs, probabilities);
            mix(epsilon, probabilities);
        }
        (Policy::Ucb { width, epsilon }, Some(beliefs)) => {
            let bounds = probabilities.iter_mut().zip(beliefs.means).zip(beliefs.deviations);
            bounds.for_each(|((bound, mean), deviation)| *bound = mean + width * deviation);
            let best_idx = highest(probabilities);
            probabilities.fill(0.0);
            probabilities[best_idx] = 1.0;
            mix(epsilon, probabilities);
        }
        // The other policies are of two steps, or have no beliefs and know nothing.
        _ => {}
    }
    probabilities
}

/// The share of choices that explore, of a policy of two steps; `None` for those that draw from probabilities of all.
///
/// Slots are exploring within a ranking; among actions they would be greedy. A share that falls is that of a bundle's
/// policy in force, which is an ε-greedy one.
pub(crate) fn epsilon_of(policy: &Policy) -> Option<f64> {
    match policy {
        Policy::Threshold { .. } | Policy::Greedy | Policy::Slots { .. } => Some(0.0),
        Policy::EpsilonGreedy { epsilon } | Policy::EpsilonDecreasing { epsilon, .. } => Some(*epsilon),
        Policy::TopK { .. } | Policy::Softmax { .. } | Policy::Thompson { .. } | Policy::Ucb { .. } => None,
    }
}

/// True when a policy that draws from the probabilities of all has nothing to tell the actions apart by.
fn knows_nothing(policy: &Policy, known: &Known<'_>) -> bool {
    known.scores.is_empty() || policy.needs_uncertainty() && known.beliefs.is_none()
}

/// The first position at which the probabilities add up to more than `uniform`; never one of probability 0.
fn drawn(probabilities: &[f64], uniform: f64) -> usize {
    let (mut last_possible, mut sum) = (0, 0.0);
    for (idx, probability) in probabilities.iter().enumerate() {
        if *probability > 0.0 {
            last_possible = idx;
            sum += probability;
            if uniform < sum {
                break;
            }
        }
    }
    last_possible
}

/// Writes 1 / k for the k highest scores, the first ones among equals, and 0 for the others.
fn top_k(k: usize, scores: &[f64], probabilities: &mut [f64]) {
    let k = k.clamp(1, scores.len());
    probabilities.copy_from_slice(scores);
    let (_, least, _) = probabilities.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let least = *least;
    let n_above = scores.iter().filter(|score| **score > least).count();
    let mut n_equal = k.saturating_sub(n_above);
    for (probability, score) in probabilities.iter_mut().zip(scores) {
        let is_among = *score > least || *score == least && n_equal > 0;
        n_equal -= usize::from(*score == least && n_equal > 0);
        *probability = if is_among { 1.0 / k as f64 } else { 0.0 };
    }
}

/// Writes probabilities in proportion to exp(score / temperature). The largest exponent is 0, so nothing overflows.
pub(crate) fn softmax(temperature: f64, scores: &[f64], probabilities: &mut [f64]) {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for (probability, score) in probabilities.iter_mut().zip(scores) {
        *probability = ((score - highest) / temperature).exp();
        sum += *probability;
    }
    probabilities.iter_mut().for_each(|probability| *probability /= sum);
}

/// With a share of ε, evenly from all instead.
fn mix(epsilon: f64, probabilities: &mut [f64]) {
    if epsilon > 0.0 {
        let evenly = epsilon / probabilities.len() as f64;
        let mixed = |probability: &mut f64| *probability = (1.0 - epsilon) * *probability + evenly;
        probabilities.iter_mut().for_each(mixed);
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
mod tests;
