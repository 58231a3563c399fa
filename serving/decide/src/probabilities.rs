//! Owns the whole distribution of a decision: how likely each action was, or each candidate at each position.
//!
//! The same scores and the same policy as in [`decide`](crate::decide()) and [`rank`](crate::rank()), without a draw: what
//! weighs logged decisions, and what shares traffic out, asks here.

use crate::bundle::{Bundle, Options};
use crate::decide;
use crate::model::{ScoreError, Scratch};
use crate::policy;
use crate::rank::{self, Offered};
use lakeloop_domain::NamedValue;

/// The probability with which `bundle` chooses each of its actions for these features: in the order of
/// [`Bundle::actions`], adding up to 1 but for rounding. Empty for numbers and rankings.
///
/// Each is, bit for bit, the propensity that a decision for this action logs. Without a model it is what the policy does
/// without one. An error is a model that gives no finite scores: the decision is then the default, with certainty.
/// Allocates nothing with a used scratch.
pub fn probabilities<'s>(
    bundle: &Bundle,
    features: &[NamedValue],
    scratch: &'s mut Scratch,
) -> Result<&'s [f64], ScoreError> {
    let Options::Actions(actions) = bundle.options() else {
        return Ok(&[]);
    };
    let n_scores = decide::score(bundle, actions, scratch, |encoder, row| encoder.fill(features, row))?;
    let Scratch {
        scores,
        policy: buffers,
        beliefs,
        ..
    } = scratch;
    let known = decide::known(bundle, actions, &scores[..n_scores], beliefs);
    Ok(policy::probabilities(bundle.policy(), &known, buffers))
}

/// [`probabilities`] where caps block the actions at these positions: theirs is the default's.
///
/// Each is, bit for bit, the propensity that a decision logs for which the same actions were blocked, in the same order.
pub fn probabilities_blocked<'s>(
    bundle: &Bundle,
    features: &[NamedValue],
    blocked: &[u32],
    scratch: &'s mut Scratch,
) -> Result<&'s [f64], ScoreError> {
    let Options::Actions(actions) = bundle.options() else {
        return Ok(&[]);
    };
    probabilities(bundle, features, scratch)?;
    Ok(scratch.policy.block(actions.default_idx, blocked))
}

/// [`probabilities`] by scores that the bundle's model gave before: finite ones, as a decision logs them; none while no model
/// was live.
pub fn probabilities_by_scores<'s>(bundle: &Bundle, scores: &[f64], scratch: &'s mut Scratch) -> &'s [f64] {
    let Options::Actions(actions) = bundle.options() else {
        return &[];
    };
    let Scratch {
        policy: buffers,
        beliefs,
        ..
    } = scratch;
    let known = decide::known(bundle, actions, scores, beliefs);
    policy::probabilities(bundle.policy(), &known, buffers)
}

/// The probability of each candidate at each position that is returned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Positions<'s> {
    n_candidates: usize,
    of_each: &'s [f64],
}

impl<'s> Positions<'s> {
    /// How many positions are returned.
    pub fn len(&self) -> usize {
        self.of_each.len().checked_div(self.n_candidates).unwrap_or(0)
    }

    /// True when none is.
    pub fn is_empty(&self) -> bool {
        self.of_each.is_empty()
    }

    /// The probability of each candidate, in the request's order, at a position counted from 0; they add up to 1 but for
    /// rounding. Empty beyond the last position.
    pub fn at(&self, position: usize) -> &'s [f64] {
        let from = position.saturating_mul(self.n_candidates);
        self.of_each
            .get(from..from.saturating_add(self.n_candidates))
            .unwrap_or(&[])
    }
}

/// The probability, over the policy's draws, with which `bundle` puts each candidate at each position that it returns.
/// Without positions for strategies that do not rank.
///
/// Each is, bit for bit, the propensity that a decision logs for this candidate at this position. An error is a model that
/// gives no finite scores: the order is then the request's, with certainty. Allocates nothing with a used scratch.
pub fn position_probabilities<'s>(
    bundle: &Bundle,
    offered: Offered<'_>,
    scratch: &'s mut Scratch,
) -> Result<Positions<'s>, ScoreError> {
    let Options::Candidates { at_most } = bundle.options() else {
        return Ok(Positions {
            n_candidates: 0,
            of_each: &[],
        });
    };
    let n_candidates = offered.candidates.len();
    let n_scores = rank::score(bundle, rank::rows(offered.features, offered.candidates), scratch)?;
    let Scratch { scores, order, .. } = scratch;
    let (policy, scores) = (bundle.policy(), &scores[..n_scores]);
    Ok(Positions {
        n_candidates,
        of_each: order.position_probabilities(policy, n_candidates, *at_most, scores),
    })
}
