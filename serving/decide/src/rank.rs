//! Owns the decision that puts candidates in order: all of them are scored in one call, and the policy orders them.
//!
//! Pure and free of allocation like every decision (see `decide.rs`); how a policy orders stands in `ranking.rs`.

use lakeloop_domain::{Candidate, DecisionReason, NamedValue, ValueRef};

use crate::bundle::{Bundle, Options};
use crate::decide::{Chosen, Decision, decide_by};
use crate::draw::draw;
use crate::encode::Encoder;
use crate::given::Given;
use crate::model::{ScoreError, Scratch};
use crate::ranking::Drawn;

/// What a ranking is made of.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'a> {
    /// The features that all candidates share: of the context and of the lake.
    pub features: &'a [NamedValue],
    /// The candidates, in the request's order, at most 2³².
    pub candidates: &'a [Candidate],
}

/// The same as values in served order, without names.
#[derive(Debug, Clone, Copy)]
pub struct OfferedValues<'a> {
    /// The values that all candidates share, in the order of [`Bundle::served`].
    pub shared: &'a [ValueRef<'a>],
    /// The number of candidates, at most 2³².
    pub n_candidates: usize,
    /// Their values, `[n_candidates, n_fields]`, row-major: the candidates in the request's order, and of each the fields in
    /// the order of the blueprint's candidates.
    pub candidates: &'a [ValueRef<'a>],
}

/// Decides with candidates: puts them in order, for strategies that rank; for others it is [`decide`](crate::decide()), whatever is offered.
///
/// - No model is live: the order of the request with reason `NoModel`. ε-greedy explores all the same, with this order as
///   its best one.
/// - The model scores each candidate together with the shared features: the highest first, equals in the request's order;
///   reason `Exploit`, or `Explore` when the draws decided to explore.
/// - A score is NaN or infinite: the order of the request with propensity 1, reason `Fallback` and the failure.
///
/// At most as many positions are returned as the blueprint allows.
pub fn rank<'s>(bundle: &Bundle, offered: Offered<'_>, decision_id: &str, scratch: &'s mut Scratch) -> Decision<'s> {
    rank_given(bundle, offered, &Given::default(), decision_id, scratch)
}

/// [`rank`] where caps or a ladder bear on the decision, which they do where it chooses among actions.
pub fn rank_given<'s>(
    bundle: &Bundle,
    offered: Offered<'_>,
    given: &Given<'_>,
    decision_id: &str,
    scratch: &'s mut Scratch,
) -> Decision<'s> {
    let Offered { features, candidates } = offered;
    let Options::Candidates { at_most } = bundle.options() else {
        return decide_by(bundle, given, decision_id, scratch, |encoder, row| {
            encoder.fill(features, row)
        });
    };
    in_order(bundle, *at_most, rows(features, candidates), decision_id, scratch)
}

/// The rows of candidates by name.
#[allow(clippy::type_complexity)] // Two closures, named nowhere else.
pub(crate) fn rows<'a>(
    features: &'a [NamedValue],
    candidates: &'a [Candidate],
) -> Rows<impl FnOnce(&Encoder, &mut [f32]) + 'a, impl Fn(&Encoder, usize, &mut [f32]) + 'a> {
    Rows {
        n_candidates: candidates.len(),
        shared: move |encoder: &Encoder, row: &mut [f32]| encoder.fill_shared(features, row),
        own: move |encoder: &Encoder, idx: usize, row: &mut [f32]| {
            encoder.fill_candidate(&candidates[idx].features, row)
        },
    }
}

/// [`rank`] for values in served order: the same decision, without a look at a name.
pub fn rank_served<'s>(
    bundle: &Bundle,
    offered: OfferedValues<'_>,
    decision_id: &str,
    scratch: &'s mut Scratch,
) -> Decision<'s> {
    rank_served_given(bundle, offered, &Given::default(), decision_id, scratch)
}

/// [`rank_given`] for values in served order.
pub fn rank_served_given<'s>(
    bundle: &Bundle,
    offered: OfferedValues<'_>,
    given: &Given<'_>,
    decision_id: &str,
    scratch: &'s mut Scratch,
) -> Decision<'s> {
    let Options::Candidates { at_most } = bundle.options() else {
        return decide_by(bundle, given, decision_id, scratch, |encoder, row| {
            encoder.fill_at(bundle.positions(), offered.shared, row);
        });
    };
    let n_fields = offered.candidates.len() / offered.n_candidates.max(1);
    let rows = Rows {
        n_candidates: offered.n_candidates,
        shared: |encoder: &Encoder, row: &mut [f32]| encoder.fill_at(bundle.positions(), offered.shared, row),
        own: |encoder: &Encoder, idx: usize, row: &mut [f32]| {
            let values = &offered.candidates[idx * n_fields..(idx + 1) * n_fields];
            encoder.fill_candidate_at(bundle.candidate_positions(), values, row);
        },
    };
    in_order(bundle, *at_most, rows, decision_id, scratch)
}

/// How the rows of candidates are written.
pub(crate) struct Rows<S, O> {
    n_candidates: usize,
    /// Writes what all candidates share, with their own columns missing.
    shared: S,
    /// Writes what is a candidate's own into a row that holds the rest.
    own: O,
}

impl<S> Rows<S, fn(&Encoder, usize, &mut [f32])> {
    /// No candidates.
    pub(crate) fn none(shared: S) -> Self {
        Self {
            n_candidates: 0,
            shared,
            own: |_, _, _| {},
        }
    }
}

/// Puts candidates in order.
pub(crate) fn in_order<'s>(
    bundle: &Bundle,
    at_most: usize,
    rows: Rows<impl FnOnce(&Encoder, &mut [f32]), impl Fn(&Encoder, usize, &mut [f32])>,
    decision_id: &str,
    scratch: &'s mut Scratch,
) -> Decision<'s> {
    let n_candidates = rows.n_candidates;
    let scored = score(bundle, rows, scratch);
    let Scratch { scores, order, .. } = scratch;
    match scored {
        Ok(n_scores) => {
            let (scores, policy) = (&scores[..n_scores], bundle.policy());
            let draw = |counter| draw(bundle.salt(), decision_id, counter);
            let drawn = order.draw(policy, n_candidates, at_most, scores, draw);
            let reason = match (drawn.explored, bundle.model()) {
                (true, _) => DecisionReason::Explore,
                (false, Some(_)) => DecisionReason::Exploit,
                (false, None) => DecisionReason::NoModel,
            };
            returned(drawn, scores, reason)
        }
        Err(failure) => Decision {
            failure: Some(failure),
            ..returned(order.certain(n_candidates, at_most), &[], DecisionReason::Fallback)
        },
    }
}

/// Scores one row for each candidate: what they share is encoded once. Answers how many scores stand in the
/// scratch; none without a model.
pub(crate) fn score(
    bundle: &Bundle,
    rows: Rows<impl FnOnce(&Encoder, &mut [f32]), impl Fn(&Encoder, usize, &mut [f32])>,
    scratch: &mut Scratch,
) -> Result<usize, ScoreError> {
    let Some(model) = bundle.model() else { return Ok(0) };
    let encoder = model.encoder();
    let width = encoder.n_columns();
    scratch.rows.resize(rows.n_candidates * width, f32::NAN);
    let Some(first) = scratch.rows.get_mut(..width).filter(|row| !row.is_empty()) else {
        return Ok(0);
    };
    (rows.shared)(encoder, first);
    // The first row is what the others begin from, so it is the last one to be completed.
    for candidate_idx in (0..rows.n_candidates).rev() {
        let start = candidate_idx * width;
        scratch.rows.copy_within(..width, start);
        (rows.own)(encoder, candidate_idx, &mut scratch.rows[start..start + width]);
    }
    model.score_scratch(scratch).map(<[f64]>::len)
}

fn returned<'s>(drawn: Drawn<'s>, scores: &'s [f64], reason: DecisionReason) -> Decision<'s> {
    Decision {
        chosen: Chosen::Ranking {
            order: drawn.order,
            propensities: drawn.propensities,
        },
        scores,
        propensity: drawn.propensity,
        reason,
        failure: None,
        model_action: None,
    }
}
