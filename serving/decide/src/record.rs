//! Owns how a decision becomes the record that journals and tables keep.

use lakeloop_domain::{Candidate, Conditions, DecisionId, DecisionRecord, Features, Micros, UnitId};

use crate::bundle::Bundle;
use crate::decide::Decision;
use crate::given::Given;

/// What was asked: the part of a record that does not come from the bundle or the decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Names the decision; the draws were made with it.
    pub decision_id: DecisionId,
    /// For whom.
    pub unit: UnitId,
    /// When, in the world's time.
    pub event_time: Micros,
    /// When the server received the request.
    pub received_at: Micros,
    /// The features that were decided by.
    pub features: Features,
    /// The version of each feature view's table that they were read from.
    pub feature_versions: Vec<(String, i64)>,
    /// The candidates that were put in order; empty unless the strategy ranks.
    pub candidates: Vec<Candidate>,
}

/// The record of a decision that `bundle` made by `asked.features`, `asked.candidates` and `asked.decision_id`.
pub fn record(bundle: &Bundle, asked: Asked, decision: &Decision<'_>) -> DecisionRecord {
    record_given(bundle, asked, &Given::default(), decision)
}

/// [`record`] of a decision on which `given` bore.
pub fn record_given(bundle: &Bundle, asked: Asked, given: &Given<'_>, decision: &Decision<'_>) -> DecisionRecord {
    let applied = bundle.applied();
    DecisionRecord {
        decision_id: asked.decision_id,
        strategy: applied.blueprint.name.clone(),
        blueprint_version: applied.version.clone(),
        model_version: bundle.model_version(),
        unit: asked.unit,
        event_time: asked.event_time,
        received_at: asked.received_at,
        features: asked.features,
        feature_versions: asked.feature_versions,
        actions: bundle.actions().to_vec(),
        scores: decision.scores.to_vec(),
        choice: decision.choice(bundle, asked.candidates),
        propensity: decision.propensity,
        reason: decision.reason,
        policy: Some(applied.blueprint.policy),
        salt: bundle.salt().to_owned(),
        conditions: conditions(bundle, given, decision),
    }
}

/// What bore on a decision, in the words of its actions.
pub(crate) fn conditions(bundle: &Bundle, given: &Given<'_>, decision: &Decision<'_>) -> Conditions {
    let action = |idx: usize| bundle.actions().get(idx).cloned();
    Conditions {
        blocked: given.blocked.iter().filter_map(|idx| action(*idx as usize)).collect(),
        step: given.step,
        rule_action: given.rule_idx.and_then(|idx| action(idx as usize)),
        model_action: decision.model_action.and_then(action),
    }
}
