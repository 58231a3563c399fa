//! Owns what else bears on a decision: the actions that caps block, and the step of the ladder with the caller's rule.
//!
//! ```text
//! step         who chooses                                         reason
//! none, model  the policy by the model's scores                    as without a ladder
//! default      nobody: the default                                 default
//! apprentice   the caller's rule; the default where it is silent   apprentice, default
//! exploration  mostly the rule or the default, drawn now and then  apprentice or default, explore
//! ```
//!
//! Where a rule or exploration chooses, a live model scores all the same, and the best action by its scores is noted; that it
//! fails changes nothing but the scores. Only the rule of an apprentice is beyond caps: it is returned unchanged.
//!
//! Caps come last. With p the probabilities of the choice so far, d the default and B the blocked actions:
//!
//! ```text
//! P(d) = p(d) + Σ_{b ∈ B} p(b)      P(a) = p(a) for the others      P(b) = 0 for b ∈ B
//! ```

use lakeloop_domain::{Around, DecisionReason, LadderStep, Policy};

use crate::bundle::{Actions, Bundle};
use crate::decide::{Chosen, Decision, certain, fallback, known, picked, score, undrawn};
use crate::draw::draw;
use crate::encode::Encoder;
use crate::model::Scratch;
use crate::policy::{self, Known, Pick};

/// What bears on a decision besides features, bundle and decision id. The default is that of a strategy without caps and
/// ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Given<'a> {
    /// Positions of the actions that may not be chosen. The default counts as free whatever stands here; of numbers and
    /// rankings nothing is blocked.
    pub blocked: &'a [u32],
    /// Where the strategy stands on its ladder; `None` without one.
    pub step: Option<LadderStep>,
    /// The position of the action that the caller's rule gives.
    pub rule_idx: Option<u32>,
}

impl Given<'_> {
    /// True when the policy decides freely.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.blocked.is_empty() && matches!(self.step, None | Some(LadderStep::Model))
    }

    fn blocks(&self, action_idx: usize) -> bool {
        self.blocked.iter().any(|blocked| *blocked as usize == action_idx)
    }
}

/// Who chooses.
enum Chooser {
    /// The declared policy.
    Policy,
    /// Nobody: the default.
    Nobody,
    /// The caller's rule.
    Rule(usize),
    /// With probability `epsilon` an action drawn evenly from all, else `around`.
    Exploration {
        around: usize,
        epsilon: f64,
        otherwise: DecisionReason,
    },
}

impl Chooser {
    fn of(bundle: &Bundle, actions: &Actions, given: &Given<'_>) -> Self {
        let rule = given
            .rule_idx
            .map(|idx| idx as usize)
            .filter(|idx| *idx < actions.names.len());
        let exploration = bundle.blueprint().ladder.and_then(|ladder| ladder.exploration);
        match (given.step, rule, exploration) {
            (None | Some(LadderStep::Model), _, _) | (Some(LadderStep::Exploration), _, None) => Self::Policy,
            (Some(LadderStep::Apprentice), Some(rule), _) => Self::Rule(rule),
            (Some(LadderStep::Default | LadderStep::Apprentice), _, _) => Self::Nobody,
            (Some(LadderStep::Exploration), rule, Some(step)) => {
                let (around, otherwise) = match (step.around, rule) {
                    (Around::Rule, Some(rule)) => (rule, DecisionReason::Apprentice),
                    _ => (actions.default_idx, DecisionReason::Default),
                };
                Self::Exploration {
                    around,
                    epsilon: step.epsilon,
                    otherwise,
                }
            }
        }
    }
}

/// Decides by what is given.
#[inline(never)]
pub(crate) fn governed<'s>(
    bundle: &Bundle,
    actions: &Actions,
    given: &Given<'_>,
    decision_id: &str,
    scratch: &'s mut Scratch,
    fill: impl FnOnce(&Encoder, &mut [f32]),
) -> Decision<'s> {
    let chooser = Chooser::of(bundle, actions, given);
    if matches!(chooser, Chooser::Nobody) {
        return certain(Chosen::Action(actions.default_idx), DecisionReason::Default);
    }
    let (n_scores, failure) = match score(bundle, actions, scratch, fill) {
        Ok(n_scores) => (n_scores, None),
        Err(failure) => (0, Some(failure)),
    };
    let Scratch {
        scores,
        policy: buffers,
        beliefs,
        ..
    } = scratch;
    let scores = &scores[..n_scores];
    let (declared, known) = (bundle.policy(), known(bundle, actions, scores, beliefs));
    let best_idx = (!scores.is_empty()).then(|| policy::best(declared, &known));
    let draw = |counter| draw(bundle.salt(), decision_id, counter);
    match (chooser, failure) {
        (Chooser::Policy, Some(failure)) => fallback(Chosen::Action(actions.default_idx), failure),
        (Chooser::Policy, None) => {
            let pick = policy::choose(declared, &known, buffers, draw);
            Decision {
                scores,
                ..capped(picked(pick, undrawn(bundle)), actions, given, || {
                    policy::probabilities(declared, &known, buffers)
                })
            }
        }
        (
            Chooser::Exploration {
                around,
                epsilon,
                otherwise,
            },
            failure,
        ) => {
            let policy = Policy::EpsilonGreedy { epsilon };
            // Without scores the best action is the default, which is here what exploration goes out from.
            let around = Known {
                default_idx: around,
                scores: &[],
                beliefs: None,
                ..known
            };
            let pick = policy::choose(&policy, &around, buffers, draw);
            Decision {
                scores,
                failure,
                model_action: best_idx,
                ..capped(picked(pick, otherwise), actions, given, || {
                    policy::probabilities(&policy, &around, buffers)
                })
            }
        }
        (Chooser::Rule(rule), failure) => {
            let pick = Pick {
                action_idx: rule,
                propensity: 1.0,
                explored: false,
            };
            Decision {
                scores,
                failure,
                model_action: best_idx,
                ..picked(pick, DecisionReason::Apprentice)
            }
        }
        (Chooser::Nobody, _) => certain(Chosen::Action(actions.default_idx), DecisionReason::Default),
    }
}

/// The decision with the default in place of an action that is blocked. `of_each` gives the probabilities before caps; it is
/// asked only where they matter.
fn capped<'s, 'p>(
    decision: Decision<'s>,
    actions: &Actions,
    given: &Given<'_>,
    of_each: impl FnOnce() -> &'p [f64],
) -> Decision<'s> {
    let default_idx = actions.default_idx;
    let Chosen::Action(chosen_idx) = decision.chosen else {
        return decision;
    };
    let is_blocked = chosen_idx != default_idx && given.blocks(chosen_idx);
    if !is_blocked && chosen_idx != default_idx || given.blocked.is_empty() {
        return decision;
    }
    Decision {
        chosen: Chosen::Action(default_idx),
        propensity: policy::with_blocked(of_each(), default_idx, given.blocked),
        reason: if is_blocked {
            DecisionReason::Capped
        } else {
            decision.reason
        },
        ..decision
    }
}
