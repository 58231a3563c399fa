//! Owns the decision: features and a decision id in, an action or a number with its propensity out.
//!
//! ```text
//! features ─► encode ─► score ─► best ─► explore? ─► decision
//!                │         └ not finite ─► fallback: the default
//!                └ no model ─► the default ─► explore?
//! ```
//!
//! Pure: the same bundle, features and decision id give the same decision, bit for bit, on the same machine. It never
//! fails, locks, logs or reads a clock, and with a used [`Scratch`] it allocates nothing. Across machines the scores
//! are equal as far as the C library's `exp` and `ln` are.

use lakeloop_domain::{Choice, DecisionReason, NamedValue, ValueRef};

use crate::bundle::{Bundle, Options};
use crate::draw::draw;
use crate::encode::Encoder;
use crate::model::{Model, ScoreError, Scratch};
use crate::policy::{self, Pick};

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Chosen {
    /// The action at this position of [`Bundle::actions`].
    Action(usize),
    /// This number.
    Number(f64),
}

/// A decision with all that its record needs besides the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'s> {
    /// What was chosen.
    pub chosen: Chosen,
    /// One score for each action in declared order, or a single one for thresholds and numbers; empty when no model
    /// scored.
    pub scores: &'s [f64],
    /// The probability with which the policy chose it given the features, in (0, 1].
    pub propensity: f64,
    /// Why.
    pub reason: DecisionReason,
    /// Why the model gave no scores, when the reason is `Fallback`.
    pub failure: Option<ScoreError>,
}

/// Decides.
///
/// - No model is live: the default with propensity 1 and reason `NoModel`. ε-greedy explores all the same, with the
///   default as its best action.
/// - The model scores: the policy chooses; reason `Exploit`, or `Explore` when the draws decided to explore, also when
///   exploring drew the best action.
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
    decide_by(bundle, decision_id, scratch, |encoder, row| encoder.fill(features, row))
}

/// [`decide()`] for values that stand in the order of [`Bundle::served`], all of them: the same decision, without a look at
/// a name.
pub fn decide_served<'s>(
    bundle: &Bundle,
    values: &[ValueRef<'_>],
    decision_id: &str,
    scratch: &'s mut Scratch,
) -> Decision<'s> {
    decide_by(bundle, decision_id, scratch, |encoder, row| {
        encoder.fill_at(bundle.positions(), values, row);
    })
}

/// Decides by a row that `fill` writes.
fn decide_by<'s>(
    bundle: &Bundle,
    decision_id: &str,
    scratch: &'s mut Scratch,
    fill: impl FnOnce(&Encoder, &mut [f32]),
) -> Decision<'s> {
    let Some(model) = bundle.model() else {
        return without_model(bundle, decision_id);
    };
    match score(bundle, model, scratch, fill) {
        Ok(scores) => by_scores(bundle, scores, decision_id),
        Err(failure) => fallback(bundle, failure),
    }
}

impl Decision<'_> {
    /// The word of the chosen action; `None` for numbers.
    pub fn action<'b>(&self, bundle: &'b Bundle) -> Option<&'b str> {
        match self.chosen {
            Chosen::Action(action_idx) => bundle.actions().get(action_idx).map(String::as_str),
            Chosen::Number(_) => None,
        }
    }

    /// The choice as records keep it.
    pub fn choice(&self, bundle: &Bundle) -> Choice {
        match self.chosen {
            Chosen::Action(action_idx) => Choice::Action(bundle.actions()[action_idx].clone()),
            Chosen::Number(number) => Choice::Number(number),
        }
    }
}

/// Scores one row, or one row for each action where the action is a feature: the features are encoded once.
fn score<'s>(
    bundle: &Bundle,
    model: &Model,
    scratch: &'s mut Scratch,
    fill: impl FnOnce(&Encoder, &mut [f32]),
) -> Result<&'s [f64], ScoreError> {
    let encoder = model.encoder();
    let width = encoder.n_columns();
    match (encoder.action_idx(), bundle.options()) {
        (Some(column_idx), Options::Actions { codes, .. }) => {
            scratch.rows.resize(codes.len() * width, f32::NAN);
            fill(encoder, &mut scratch.rows[..width]);
            for (action_idx, code) in codes.iter().enumerate() {
                let start = action_idx * width;
                scratch.rows.copy_within(..width, start);
                scratch.rows[start + column_idx] = *code;
            }
        }
        _ => {
            scratch.rows.resize(width, f32::NAN);
            fill(encoder, &mut scratch.rows);
        }
    }
    model.score_scratch(scratch)
}

fn by_scores<'s>(bundle: &Bundle, scores: &'s [f64], decision_id: &str) -> Decision<'s> {
    match bundle.options() {
        Options::Number { .. } => Decision {
            chosen: Chosen::Number(scores[0]),
            scores,
            propensity: 1.0,
            reason: DecisionReason::Exploit,
            failure: None,
        },
        Options::Actions { names, .. } => {
            let policy = &bundle.blueprint().policy;
            let best_idx = policy::best(policy, scores);
            let pick = choose(bundle, best_idx, names.len(), decision_id);
            Decision {
                scores,
                ..picked(pick, DecisionReason::Exploit)
            }
        }
    }
}

#[cold]
fn without_model(bundle: &Bundle, decision_id: &str) -> Decision<'static> {
    match bundle.options() {
        Options::Number { .. } => certain_default(bundle, DecisionReason::NoModel),
        Options::Actions { names, default_idx, .. } => picked(
            choose(bundle, *default_idx, names.len(), decision_id),
            DecisionReason::NoModel,
        ),
    }
}

#[cold]
fn fallback(bundle: &Bundle, failure: ScoreError) -> Decision<'static> {
    Decision {
        failure: Some(failure),
        ..certain_default(bundle, DecisionReason::Fallback)
    }
}

fn certain_default(bundle: &Bundle, reason: DecisionReason) -> Decision<'static> {
    let chosen = match bundle.options() {
        Options::Number { default } => Chosen::Number(*default),
        Options::Actions { default_idx, .. } => Chosen::Action(*default_idx),
    };
    Decision {
        chosen,
        scores: &[],
        propensity: 1.0,
        reason,
        failure: None,
    }
}

fn choose(bundle: &Bundle, best_idx: usize, n_actions: usize, decision_id: &str) -> Pick {
    let draw = |counter| draw(bundle.salt(), decision_id, counter);
    policy::choose(&bundle.blueprint().policy, best_idx, n_actions, draw)
}

/// The decision for what a policy chose, without scores; `otherwise` is the reason where it did not explore.
fn picked(pick: Pick, otherwise: DecisionReason) -> Decision<'static> {
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
    }
}
