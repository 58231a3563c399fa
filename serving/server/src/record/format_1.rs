//! Owns the reading of decisions in format 1, which nothing writes any more: one postcard struct with every name in it.

use lakeloop_domain::{
    BlueprintVersion, Choice, DecisionId, DecisionReason, DecisionRecord, Micros, ModelVersion, NamedValue,
    StrategyName, UnitId,
};
use serde::Deserialize;

use super::Undecodable;

/// The first byte of such a record.
pub(super) const FORMAT: u8 = 1;

#[derive(Deserialize)]
enum EntryChoice<'a> {
    Action(&'a str),
    Number(f64),
}

#[derive(Deserialize)]
struct Entry<'a> {
    decision_id: &'a str,
    strategy: &'a str,
    blueprint_version: &'a str,
    model_version: Option<u32>,
    unit: &'a str,
    event_time: Micros,
    received_at: Micros,
    features: Vec<NamedValue>,
    feature_versions: Vec<(String, i64)>,
    actions: Vec<String>,
    scores: Vec<f64>,
    #[serde(borrow)]
    choice: EntryChoice<'a>,
    propensity: f64,
    reason: DecisionReason,
    /// JSON of the domain's policy.
    policy: Option<&'a str>,
    salt: &'a str,
}

/// Reads what follows the format byte.
pub(super) fn decision(body: &[u8]) -> Result<DecisionRecord, Undecodable> {
    let entry: Entry<'_> = postcard::from_bytes(body)?;
    let policy = entry.policy.map(serde_json::from_str).transpose();
    Ok(DecisionRecord {
        decision_id: DecisionId::new(entry.decision_id)?,
        strategy: StrategyName::new(entry.strategy)?,
        blueprint_version: BlueprintVersion::new(entry.blueprint_version)?,
        model_version: entry.model_version.map(ModelVersion),
        unit: UnitId::new(entry.unit)?,
        event_time: entry.event_time,
        received_at: entry.received_at,
        features: entry.features,
        feature_versions: entry.feature_versions,
        actions: entry.actions,
        scores: entry.scores,
        choice: match entry.choice {
            EntryChoice::Action(action) => Choice::Action(action.to_owned()),
            EntryChoice::Number(number) => Choice::Number(number),
        },
        propensity: entry.propensity,
        reason: entry.reason,
        policy: policy.map_err(Undecodable::Policy)?,
        salt: entry.salt.to_owned(),
        conditions: Default::default(),
    })
}
