//! Owns the decision: features, candidates and a decision id in, an action, a number or a ranking with its propensity out.
//!
//! ```text
//! features ─► encode ─► score ─► best ─► explore? ─► decision
//!                │         └ not finite ─► fallback: the default
//!                └ no model ─► the default ─► explore?
//! ```
//!
//! For rankings the best is the order of the candidates by score, and the default is the order of the request.
//!
//! Pure: the same bundle, features and decision id give the same decision, bit for bit, on the same machine. It never
//! fails, locks, logs or reads a clock, and with a used [`Scratch`] it allocates nothing. Across machines the scores
//! are equal as far as the C library's `exp` and `ln` are.

use lakeloop_domain::{Candidate, Choice, DecisionReason, NamedValue, Position, Ranking, ValueRef};

use crate::beliefs::BeliefScratch;
use crate::bundle::{Actions, Bundle, Options};
use crate::draw::draw;
use crate::encode::Encoder;
use crate::given::{Given, governed};
use crate::model::{Model, ScoreError, Scratch};
use crate::policy::{self, Known, Pick};
use crate::rank::{Rows, in_order};

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Chosen<'s> {
    /// The action at this position of [`Bundle::actions`].
    Action(usize),
    /// This number.
    Number(f64),
    /// These candidates, in this order.
    Ranking {
        /// For each position returned, which of the candidates offered stands there.
        order: &'s [u32],
        /// For each position returned, the probability that this candidate stands there, in (0, 1].
        propensities: &'s [f64],
    },
}

/// A decision with all that its record needs besides the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'s> {
    /// What was chosen.
    pub chosen: Chosen<'s>,
    /// One score for each action in declared order or each candidate in the request's, or a single one for thresholds
    /// and numbers; empty when no model scored.
    pub scores: &'s [f64],
    /// The probability with which the policy chose it given the features, in (0, 1]; of a ranking, that of the whole
    /// order.
    pub propensity: f64,
    /// Why.
    pub reason: DecisionReason,
    /// Why the model gave no scores, when the reason is `Fallback`; also where something else decides and it failed.
    pub failure: Option<ScoreError>,
    /// The best action by the model's scores, where a rule or exploration decided.
    pub model_action: Option<usize>,
}

/// Decides without candidates: for every strategy that does not rank; one that does gets an empty ranking.
///
/// - No model is live: the default with propensity 1 and reason `NoModel`. ε-greedy explores all the same, with the
///   default as its best action. Top k, softmax, Thompson and UCB draw one action evenly from all, reason `Explore`.
/// - The model scores: the policy chooses; reason `Exploit`, or `Explore` when ε-greedy's draws decided to explore, also
///   when exploring drew the best action, and when one of the others chose another action than the best.
/// - A score is NaN or infinite: the default with propensity 1, reason `Fallback` and the failure. Nothing is explored
///   then, so the choice is certain given the features.
///
/// `features` may come in any order; in the order of the blueprint they are found fastest.
pub fn decide<'s>(
    bundle: &Bundle,
    features: &[NamedValue],
    decision_id: &str,
    scratch: &'s mut Scratch,
) -> Decision<'s> {
    decide_by(bundle, &Given::default(), decision_id, scratch, |encoder, row| {
        encoder.fill(features, row);
    })
}

/// [`decide()`] for values that stand in the order of [`Bundle::served`], all of them: the same decision, without a look at
/// a name.
pub fn decide_served<'s>(
    bundle: &Bundle,
    values: &[ValueRef<'_>],
    decision_id: &str,
    scratch: &'s mut Scratch,
) -> Decision<'s> {
    decide_by(bundle, &Given::default(), decision_id, scratch, |encoder, row| {
        encoder.fill_at(bundle.positions(), values, row);
    })
}

/// Decides by a row that `fill` writes.
pub(crate) fn decide_by<'s>(
    bundle: &Bundle,
    given: &Given<'_>,
    decision_id: &str,
    scratch: &'s mut Scratch,
    fill: impl FnOnce(&Encoder, &mut [f32]),
) -> Decision<'s> {
    match bundle.options() {
        Options::Number { default } => number(bundle, *default, scratch, fill),
        Options::Actions(actions) if given.is_plain() => action(bundle, actions, decision_id, scratch, fill),
        Options::Actions(actions) => governed(bundle, actions, given, decision_id, scratch, fill),
        Options::Candidates { at_most } => in_order(bundle, *at_most, Rows::none(fill), decision_id, scratch),
    }
}

impl Decision<'_> {
    /// The word of the chosen action; `None` for numbers and rankings.
    pub fn action<'b>(&self, bundle: &'b Bundle) -> Option<&'b str> {
        match self.chosen {
            Chosen::Action(action_idx) => bundle.actions().get(action_idx).map(String::as_str),
            Chosen::Number(_) | Chosen::Ranking { .. } => None,
        }
    }

    /// The choice as records keep it. `candidates` are those that were offered; none for strategies that do not rank.
    pub fn choice(&self, bundle: &Bundle, candidates: Vec<Candidate>) -> Choice {
        match self.chosen {
            Chosen::Action(action_idx) => Choice::Action(bundle.actions()[action_idx].clone()),
            Chosen::Number(number) => Choice::Number(number),
            Chosen::Ranking { order, propensities } => {
                let positions = order.iter().zip(propensities).map(|(idx, propensity)| Position {
                    candidate: candidates[*idx as usize].id.clone(),
                    propensity: *propensity,
                });
                let positions = positions.collect();
                Choice::Ranking(Ranking { candidates, positions })
            }
        }
    }
}

fn number<'s>(
    bundle: &Bundle,
    default: f64,
    scratch: &'s mut Scratch,
    fill: impl FnOnce(&Encoder, &mut [f32]),
) -> Decision<'s> {
    let Some(model) = bundle.model() else {
        return certain(Chosen::Number(default), DecisionReason::NoModel);
    };
    match score_one(model, scratch, fill) {
        Ok(scores) => Decision {
            scores,
            ..certain(Chosen::Number(scores[0]), DecisionReason::Exploit)
        },
        Err(failure) => fallback(Chosen::Number(default), failure),
    }
}

fn action<'s>(
    bundle: &Bundle,
    actions: &Actions,
    decision_id: &str,
    scratch: &'s mut Scratch,
    fill: impl FnOnce(&Encoder, &mut [f32]),
) -> Decision<'s> {
    match score(bundle, actions, scratch, fill) {
        Err(failure) => fallback(Chosen::Action(actions.default_idx), failure),
        Ok(n_scores) => {
            let Scratch {
                scores,
                policy: buffers,
                beliefs,
                ..
            } = scratch;
            let scores = &scores[..n_scores];
            let draw = |counter| draw(bundle.salt(), decision_id, counter);
            let known = known(bundle, actions, scores, beliefs);
            let pick = policy::choose(bundle.policy(), &known, buffers, draw);
            Decision {
                scores,
                ..picked(pick, undrawn(bundle))
            }
        }
    }
}

/// Why the policy's best action is chosen where no draw explores.
pub(crate) fn undrawn(bundle: &Bundle) -> DecisionReason {
    match bundle.model() {
        Some(_) => DecisionReason::Exploit,
        None => DecisionReason::NoModel,
    }
}

/// What a policy knows of some actions, by their scores.
pub(crate) fn known<'s>(
    bundle: &Bundle,
    actions: &Actions,
    scores: &'s [f64],
    beliefs: &'s mut BeliefScratch,
) -> Known<'s> {
    let beliefs = match &actions.beliefs {
        Some((center, of_each)) if bundle.policy().needs_uncertainty() => beliefs.of_scores(*center, of_each, scores),
        _ => None,
    };
    Known {
        n_actions: actions.names.len(),
        default_idx: actions.default_idx,
        scores,
        beliefs,
    }
}

/// Scores one row, or one row for each action where the action is a feature: the features are encoded once. Answers how
/// many scores stand in the scratch; none without a model.
pub(crate) fn score(
    bundle: &Bundle,
    actions: &Actions,
    scratch: &mut Scratch,
    fill: impl FnOnce(&Encoder, &mut [f32]),
) -> Result<usize, ScoreError> {
    let Some(model) = bundle.model() else { return Ok(0) };
    let encoder = model.encoder();
    let width = encoder.n_columns();
    let Some(column_idx) = encoder.action_idx() else {
        return score_one(model, scratch, fill).map(<[f64]>::len);
    };
    scratch.rows.resize(actions.codes.len() * width, f32::NAN);
    fill(encoder, &mut scratch.rows[..width]);
    for (action_idx, code) in actions.codes.iter().enumerate() {
        let start = action_idx * width;
        scratch.rows.copy_within(..width, start);
        scratch.rows[start + column_idx] = *code;
    }
    model.score_scratch(scratch).map(<[f64]>::len)
}

fn score_one<'s>(
    model: &Model,
    scratch: &'s mut Scratch,
    fill: impl FnOnce(&Encoder, &mut [f32]),
) -> Result<&'s [f64], ScoreError> {
    let encoder = model.encoder();
    scratch.rows.resize(encoder.n_columns(), f32::NAN);
    fill(encoder, &mut scratch.rows);
    model.score_scratch(scratch)
}

#[cold]
pub(crate) fn fallback(default: Chosen<'static>, failure: ScoreError) -> Decision<'static> {
    Decision {
        failure: Some(failure),
        ..certain(default, DecisionReason::Fallback)
    }
}

/// A decision that nothing else could have come of, without scores.
pub(crate) fn certain(chosen: Chosen<'static>, reason: DecisionReason) -> Decision<'static> {
    Decision {
        chosen,
        scores: &[],
        propensity: 1.0,
        reason,
        failure: None,
        model_action: None,
    }
}

/// The decision for what a policy chose, without scores; `otherwise` is the reason where it did not explore.
pub(crate) fn picked(pick: Pick, otherwise: DecisionReason) -> Decision<'static> {
    Decision {
        chosen: Chosen::Action(pick.action_idx),
        scores: &[],
        propensity: pick.propensity,
        reason: if pick.explored {
            DecisionReason::Explore
        } else {
            otherwise
        },
        failure: None,
        model_action: None,
    }
}
