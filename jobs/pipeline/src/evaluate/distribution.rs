//! The whole distribution of a decision: how likely each action was, or each candidate at each position, by the scores and the
//! policy of the code that serves.

use lakeloop_decide::{Bundle, Offered, Scratch, decide, policy, rank};
use lakeloop_domain::{DecisionReason, Features};

/// The probability of each action of the bundle, in declared order; an error where the model fails, which makes the default
/// certain.
pub(super) fn probabilities(bundle: &Bundle, features: &Features, scratch: &mut Scratch) -> Result<Vec<f64>, ()> {
    let decision = decide(bundle, features, "", scratch);
    if decision.reason == DecisionReason::Fallback {
        return Err(());
    }
    let (rule, n) = (&bundle.blueprint().policy, bundle.actions().len());
    let default = bundle.blueprint().default_action().unwrap_or_default();
    let best = match decision.scores {
        [] => bundle.actions().iter().position(|a| a == default).unwrap_or(0),
        scores => policy::best(rule, scores),
    };
    Ok((0..n).map(|idx| policy::propensity(rule, best, n, idx)).collect())
}

/// The probability of each candidate at each position, `[n_positions][n_candidates]`.
pub(super) struct Positions(Vec<Vec<f64>>);

impl Positions {
    /// Of each candidate, in the request's order, at a position counted from 0.
    pub fn at(&self, position: usize) -> &[f64] {
        &self.0[position]
    }
}

/// The probability of each candidate at each position; an error where the model fails, which makes the request's order
/// certain.
pub(super) fn position_probabilities(
    bundle: &Bundle,
    offered: Offered<'_>,
    scratch: &mut Scratch,
) -> Result<Positions, ()> {
    let decision = rank(bundle, offered, "", scratch);
    if decision.reason == DecisionReason::Fallback {
        return Err(());
    }
    let n = offered.candidates.len();
    let mut best: Vec<usize> = (0..n).collect();
    if !decision.scores.is_empty() {
        best.sort_by(|a, b| decision.scores[*b].total_cmp(&decision.scores[*a]));
    }
    let rule = &bundle.blueprint().policy;
    let at = |k: usize| (0..n).map(|c| policy::propensity(rule, best[k], n, c)).collect();
    Ok(Positions((0..n).map(at).collect()))
}
