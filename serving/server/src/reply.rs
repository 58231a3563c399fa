//! Owns the answer to a request for a decision, and its JSON.
//!
//! The answer is a function of the decision's record alone (and of the blueprint for `missing_features`). That is what
//! makes it possible to give the *same* answer to a repeated decision id after a restart.

use std::borrow::Cow;

use lakeloop_domain::{Blueprint, Choice, DecisionReason, DecisionRecord, ValueRef};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// The answer to a request for a decision.
#[derive(Debug, Serialize)]
pub(crate) struct Reply<'a> {
    pub(crate) decision_id: &'a str,
    pub(crate) strategy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<f64>,
    /// The ids of the candidates, in the order returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ranking: Option<Vec<&'a str>>,
    pub(crate) scores: Scores<'a>,
    pub(crate) propensity: f64,
    pub(crate) reason: DecisionReason,
    pub(crate) blueprint_version: &'a str,
    pub(crate) model_version: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) missing_features: &'a [&'a str],
}

/// Scores by action or candidate where each has one, else a plain list.
#[derive(Debug)]
pub(crate) struct Scores<'a> {
    pub(crate) of: Scored<'a>,
    pub(crate) scores: &'a [f64],
}

/// What was scored.
#[derive(Debug)]
pub(crate) enum Scored<'a> {
    Actions(&'a [String]),
    /// Their ids, in the request's order.
    Candidates(Cow<'a, [&'a str]>),
}

impl Scored<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Actions(actions) => actions.len(),
            Self::Candidates(ids) => ids.len(),
        }
    }

    fn name(&self, idx: usize) -> &str {
        match self {
            Self::Actions(actions) => &actions[idx],
            Self::Candidates(ids) => ids[idx],
        }
    }
}

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.scores.is_empty() || self.scores.len() != self.of.len() {
            return self.scores.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(self.scores.len()))?;
        for (idx, score) in self.scores.iter().enumerate() {
            map.serialize_entry(self.of.name(idx), score)?;
        }
        map.end()
    }
}

impl<'a> Reply<'a> {
    /// The answer that a logged decision got.
    pub(crate) fn of(record: &'a DecisionRecord, missing_features: &'a [&'a str]) -> Self {
        let (action, value, ranking) = match &record.choice {
            Choice::Action(action) => (Some(action.as_str()), None, None),
            Choice::Number(number) => (None, Some(*number), None),
            Choice::Ranking(ranking) => (None, None, Some(ranking)),
        };
        Self {
            decision_id: record.decision_id.as_str(),
            strategy: record.strategy.as_str(),
            action,
            value,
            ranking: ranking.map(|ranking| {
                let positions = ranking.positions.iter();
                positions.map(|position| position.candidate.as_str()).collect()
            }),
            scores: Scores {
                of: match ranking {
                    None => Scored::Actions(&record.actions),
                    Some(ranking) => {
                        let candidates = ranking.candidates.iter();
                        Scored::Candidates(candidates.map(|candidate| candidate.id.as_str()).collect())
                    }
                },
                scores: &record.scores,
            },
            propensity: record.propensity,
            reason: record.reason,
            blueprint_version: record.blueprint_version.as_str(),
            model_version: record.model_version.map(|version| version.0),
            missing_features,
        }
    }

    /// The body of the answer.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = Vec::with_capacity(512);
        serde_json::to_writer(&mut bytes, self)?;
        Ok(bytes)
    }
}

/// The lake features that were not found: all of a view's columns where no row could be used (the view is not among those
/// `read`), and those that the row had no value for and the blueprint no default.
pub(crate) fn missing_features<'b, 'v>(
    blueprint: &'b Blueprint,
    read: impl Iterator<Item = &'v str> + Clone,
    value: impl Fn(&str) -> Option<ValueRef<'v>>,
) -> Vec<&'b str> {
    let mut missing = Vec::new();
    for view in &blueprint.features {
        let was_read = read.clone().any(|name| name == view.name.as_str());
        let columns = view.columns.iter().map(|column| column.name.as_ref());
        missing
            .extend(columns.filter(|column| !was_read || value(column).is_none_or(|value| value == ValueRef::Missing)));
    }
    missing
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use lakeloop_domain::{BlueprintVersion, DecisionId, ModelVersion, StrategyName, UnitId};

    use super::*;

    #[test]
    fn the_answer_has_scores_by_action_or_as_a_list() {
        let mut record = DecisionRecord {
            decision_id: DecisionId::new("d-1").unwrap(),
            strategy: StrategyName::new("menu").unwrap(),
            blueprint_version: BlueprintVersion::new("0123456789abcdef").unwrap(),
            model_version: Some(ModelVersion(3)),
            unit: UnitId::new("ada").unwrap(),
            event_time: 0,
            received_at: 0,
            features: Vec::new(),
            feature_versions: Vec::new(),
            actions: vec!["ramen".into(), "tacos".into()],
            scores: vec![0.1, 0.30000000000000004],
            choice: Choice::Action("tacos".into()),
            propensity: 0.95,
            reason: DecisionReason::Exploit,
            policy: None,
            salt: "menu:0123456789abcdef".into(),
            conditions: Default::default(),
        };
        let answer = |record: &DecisionRecord| {
            let bytes = Reply::of(record, &["temp"]).to_json().unwrap();
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
