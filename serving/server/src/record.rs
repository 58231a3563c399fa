//! Owns the bytes of one journal record, and the answer that a decision record stands for.
//!
//! A record is a format byte followed by the postcard form of one decision or outcome. Records outlive the process that
//! wrote them, so a format, once released, is read for ever: a change of fields takes a new byte. A byte or body that
//! cannot be read is [`Undecodable`]; what becomes of it is the flush's business.
//!
//! [`DecisionEntry`] borrows everything from the request and the bundle, because it is written for each decision, and is
//! also what is read back. It differs from the domain's `DecisionRecord` in one point: the policy stands there as JSON,
//! the form that the `decisions` table keeps, since postcard cannot read the domain's tagged form.
//!
//! The answer to a caller is a function of the entry alone (and of the blueprint for `missing_features`). That is what
//! makes it possible to give the *same* answer to a repeated decision id after a restart.

use std::borrow::Cow;

use lakeloop_domain::{
    Blueprint, BlueprintVersion, Choice, DecisionId, DecisionReason, DecisionRecord, FeatureValue, Micros,
    ModelVersion, NamedValue, OutcomeRecord, StrategyName, UnitId,
};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

/// The first byte of a decision.
const DECISION_FORMAT: u8 = 1;

/// The first byte of an outcome.
const OUTCOME_FORMAT: u8 = 1;

/// Why a journal record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// The record holds no bytes.
    #[error("the record is empty")]
    Empty,
    /// The record was written in another format.
    #[error("the record has format {found}, this version reads format {known}; start the version that wrote it")]
    Format {
        /// Its first byte.
        found: u8,
        /// What this version reads.
        known: u8,
    },
    /// The bytes are no record of that format.
    #[error("the record is damaged: {0}")]
    Body(#[from] postcard::Error),
    /// The record's policy is not one that this version knows.
    #[error("the record's policy cannot be read")]
    Policy(#[source] serde_json::Error),
    /// The record names something in a way that is not allowed.
    #[error(transparent)]
    Id(#[from] lakeloop_domain::InvalidId),
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum EntryChoice<'a> {
    Action(&'a str),
    Number(f64),
}

/// One decision, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DecisionEntry<'a> {
    pub(crate) decision_id: &'a str,
    pub(crate) strategy: &'a str,
    pub(crate) blueprint_version: &'a str,
    pub(crate) model_version: Option<u32>,
    pub(crate) unit: &'a str,
    pub(crate) event_time: Micros,
    pub(crate) received_at: Micros,
    pub(crate) features: Cow<'a, [NamedValue]>,
    pub(crate) feature_versions: Cow<'a, [(String, i64)]>,
    pub(crate) actions: Cow<'a, [String]>,
    pub(crate) scores: Cow<'a, [f64]>,
    #[serde(borrow)]
    pub(crate) choice: EntryChoice<'a>,
    pub(crate) propensity: f64,
    pub(crate) reason: DecisionReason,
    /// JSON of the domain's policy.
    pub(crate) policy: Option<Cow<'a, str>>,
    pub(crate) salt: &'a str,
}

impl<'a> DecisionEntry<'a> {
    /// The bytes to journal.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        // A decision with a dozen features and actions takes about as much.
        let mut bytes = Vec::with_capacity(1024);
        bytes.push(DECISION_FORMAT);
        postcard::to_io(self, bytes)
    }

    /// Reads what was journalled.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Undecodable> {
        Ok(postcard::from_bytes(body(bytes, DECISION_FORMAT)?)?)
    }

    /// The entry of a decision that comes from the lake.
    pub(crate) fn from_record(record: &'a DecisionRecord) -> Self {
        Self {
            decision_id: record.decision_id.as_str(),
            strategy: record.strategy.as_str(),
            blueprint_version: record.blueprint_version.as_str(),
            model_version: record.model_version.map(|version| version.0),
            unit: record.unit.as_str(),
            event_time: record.event_time,
            received_at: record.received_at,
            features: Cow::Borrowed(&record.features),
            feature_versions: Cow::Borrowed(&record.feature_versions),
            actions: Cow::Borrowed(&record.actions),
            scores: Cow::Borrowed(&record.scores),
            choice: match &record.choice {
                Choice::Action(action) => EntryChoice::Action(action),
                Choice::Number(number) => EntryChoice::Number(*number),
            },
            propensity: record.propensity,
            reason: record.reason,
            policy: record
                .policy
                .and_then(|policy| serde_json::to_string(&policy).ok())
                .map(Cow::Owned),
            salt: &record.salt,
        }
    }

    /// The record for the lake.
    pub(crate) fn into_record(self) -> Result<DecisionRecord, Undecodable> {
        let policy = self.policy.as_deref().map(serde_json::from_str).transpose();
        Ok(DecisionRecord {
            decision_id: DecisionId::new(self.decision_id)?,
            strategy: StrategyName::new(self.strategy)?,
            blueprint_version: BlueprintVersion::new(self.blueprint_version)?,
            model_version: self.model_version.map(ModelVersion),
            unit: UnitId::new(self.unit)?,
            event_time: self.event_time,
            received_at: self.received_at,
            features: self.features.into_owned(),
            feature_versions: self.feature_versions.into_owned(),
            actions: self.actions.into_owned(),
            scores: self.scores.into_owned(),
            choice: match self.choice {
                EntryChoice::Action(action) => Choice::Action(action.to_owned()),
                EntryChoice::Number(number) => Choice::Number(number),
            },
            propensity: self.propensity,
            reason: self.reason,
            policy: policy.map_err(Undecodable::Policy)?,
            salt: self.salt.to_owned(),
        })
    }

    /// The lake features that were not found: all of a view's columns where no row could be used, and those that the
    /// row had no value for and the blueprint no default.
    pub(crate) fn missing_features<'b>(&self, blueprint: &'b Blueprint) -> Vec<&'b str> {
        let mut missing = Vec::new();
        for view in &blueprint.features {
            let was_read = self.feature_versions.iter().any(|(name, _)| name == view.name.as_str());
            for column in &view.columns {
                let value = self.features.iter().find(|feature| feature.name == column.name);
                if !was_read || value.is_none_or(|feature| feature.value == FeatureValue::Missing) {
                    missing.push(column.name.as_ref());
                }
            }
        }
        missing
    }

    /// The answer to the caller, as JSON.
    pub(crate) fn answer(&self, missing_features: &[&str]) -> Result<Vec<u8>, serde_json::Error> {
        let (action, value) = match self.choice {
            EntryChoice::Action(action) => (Some(action), None),
            EntryChoice::Number(number) => (None, Some(number)),
        };
        let answer = DecideAnswer {
            decision_id: self.decision_id,
            strategy: self.strategy,
            action,
            value,
            scores: Scores {
                actions: &self.actions,
                scores: &self.scores,
            },
            propensity: self.propensity,
            reason: self.reason,
            blueprint_version: self.blueprint_version,
            model_version: self.model_version,
            missing_features,
        };
        let mut bytes = Vec::with_capacity(512);
        serde_json::to_writer(&mut bytes, &answer)?;
        Ok(bytes)
    }
}

/// The answer to a request for a decision.
#[derive(Serialize)]
struct DecideAnswer<'a> {
    decision_id: &'a str,
    strategy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    scores: Scores<'a>,
    propensity: f64,
    reason: DecisionReason,
    blueprint_version: &'a str,
    model_version: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    missing_features: &'a [&'a str],
}

/// Scores by action where each action has one, else a plain list.
struct Scores<'a> {
    actions: &'a [String],
    scores: &'a [f64],
}

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.scores.is_empty() || self.scores.len() != self.actions.len() {
            return self.scores.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(self.scores.len()))?;
        for (action, score) in self.actions.iter().zip(self.scores) {
            map.serialize_entry(action, score)?;
        }
        map.end()
    }
}

/// The bytes of an outcome to journal.
pub(crate) fn encode_outcome(outcome: &OutcomeRecord) -> Result<Vec<u8>, postcard::Error> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(OUTCOME_FORMAT);
    postcard::to_io(outcome, bytes)
}

/// Reads an outcome that was journalled.
pub(crate) fn decode_outcome(bytes: &[u8]) -> Result<OutcomeRecord, Undecodable> {
    Ok(postcard::from_bytes(body(bytes, OUTCOME_FORMAT)?)?)
}

/// Reads a decision that was journalled.
pub(crate) fn decode_decision(bytes: &[u8]) -> Result<DecisionRecord, Undecodable> {
    DecisionEntry::decode(bytes)?.into_record()
}

/// What follows the format byte.
fn body(bytes: &[u8], known: u8) -> Result<&[u8], Undecodable> {
    match bytes.split_first() {
        None => Err(Undecodable::Empty),
        Some((found, _)) if *found != known => Err(Undecodable::Format { found: *found, known }),
        Some((_, body)) => Ok(body),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use lakeloop_domain::{FeatureType, OutcomeId, OutcomeValue, Policy};

    use super::*;

    fn decision() -> DecisionRecord {
        let named = |name: &str, feature_type, value| NamedValue {
            name: name.into(),
            feature_type,
            value,
        };
        DecisionRecord {
            decision_id: DecisionId::new("d-1").unwrap(),
            strategy: StrategyName::new("menu").unwrap(),
            blueprint_version: BlueprintVersion::new("0123456789abcdef").unwrap(),
            model_version: Some(ModelVersion(3)),
            unit: UnitId::new("ada").unwrap(),
            event_time: 1_700_000_000_000_000,
            received_at: 1_700_000_000_000_001,
            features: vec![
                named("age", FeatureType::Number, FeatureValue::Number(-0.0)),
                named("vegetarian", FeatureType::Boolean, FeatureValue::Boolean(true)),
                named("city", FeatureType::Category, FeatureValue::Category("Köln".into())),
                named("temp", FeatureType::Number, FeatureValue::Missing),
            ],
            feature_versions: vec![("weather".into(), 12)],
            actions: vec!["ramen".into(), "tacos".into()],
            scores: vec![0.1, 0.30000000000000004],
            choice: Choice::Action("tacos".into()),
            propensity: 0.95,
            reason: DecisionReason::Exploit,
            policy: Some(Policy::EpsilonGreedy { epsilon: 0.1 }),
            salt: "menu:0123456789abcdef".into(),
        }
    }

    #[test]
    fn a_decision_comes_back_bit_for_bit() {
        let mut record = decision();
        for policy in [
            None,
            Some(Policy::Greedy),
            Some(Policy::Threshold { at: 0.1 + 0.2 }),
            Some(Policy::EpsilonGreedy { epsilon: 1e-300 }),
        ] {
            record.policy = policy;
            let bytes = DecisionEntry::from_record(&record).encode().unwrap();
            let read = decode_decision(&bytes).unwrap();
            assert_eq!(read, record);
            let FeatureValue::Number(zero) = read.features[0].value else {
                unreachable!("a number was written")
            };
            assert!(zero.is_sign_negative());
        }
        record.choice = Choice::Number(f64::MIN_POSITIVE);
        let bytes = DecisionEntry::from_record(&record).encode().unwrap();
        assert_eq!(decode_decision(&bytes).unwrap(), record);
    }

    #[test]
    fn an_outcome_comes_back() {
        let outcome = OutcomeRecord {
            outcome_id: OutcomeId::new("o").unwrap(),
            decision_id: None,
            strategy: Some(StrategyName::new("menu").unwrap()),
            unit: Some(UnitId::new("ada").unwrap()),
            event: "ordered".into(),
            value: OutcomeValue::Category("ramen".into()),
            event_time: -1,
            received_at: i64::MAX,
        };
        assert_eq!(decode_outcome(&encode_outcome(&outcome).unwrap()).unwrap(), outcome);
    }

    #[test]
    fn what_is_no_record_is_told_apart() {
        let bytes = DecisionEntry::from_record(&decision()).encode().unwrap();
        assert!(matches!(decode_decision(&[]), Err(Undecodable::Empty)));
        let mut other_format = bytes.clone();
        other_format[0] = 9;
        assert!(matches!(
            decode_decision(&other_format),
            Err(Undecodable::Format { found: 9, known: 1 })
        ));
        for len in 1..bytes.len() {
            assert!(decode_decision(&bytes[..len]).is_err(), "cut to {len} bytes");
        }
    }

    #[test]
    fn the_answer_has_scores_by_action_or_as_a_list() {
        let mut record = decision();
        let answer = |record: &DecisionRecord| {
            let bytes = DecisionEntry::from_record(record).answer(&["temp"]).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(
            answer(&record),
            r#"{"decision_id":"d-1","strategy":"menu","action":"tacos","scores":{"ramen":0.1,"tacos":0.30000000000000004},"propensity":0.95,"reason":"exploit","blueprint_version":"0123456789abcdef","model_version":3,"missing_features":["temp"]}"#
        );
        record.actions.clear();
        record.scores = vec![2.5];
        record.choice = Choice::Number(2.5);
        record.model_version = None;
        assert_eq!(
            answer(&record),
            r#"{"decision_id":"d-1","strategy":"menu","value":2.5,"scores":[2.5],"propensity":0.95,"reason":"exploit","blueprint_version":"0123456789abcdef","model_version":null,"missing_features":["temp"]}"#
        );
    }
}
