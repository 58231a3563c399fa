//! Owns the reading of a decision's answer: the body of `/v1/decide` as values, for doors that write it in another form.
//!
//! The answer's bytes are what is remembered for repeats, also across restarts, so a door that reads them gives a repeat
//! the same decision as the first time.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::problem::Problem;

/// One decision, as its caller reads it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Decided<'a> {
    #[serde(borrow)]
    pub(crate) decision_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) strategy: Cow<'a, str>,
    /// The word of the action; none for numbers.
    #[serde(borrow, default)]
    pub(crate) action: Option<Cow<'a, str>>,
    /// The number; none for actions.
    #[serde(default)]
    pub(crate) value: Option<f64>,
    /// The ids of the candidates that were returned, in their order; empty where nothing was ranked.
    #[serde(default)]
    pub(crate) ranking: Vec<String>,
    pub(crate) scores: Scores,
    pub(crate) propensity: f64,
    #[serde(borrow)]
    pub(crate) reason: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) blueprint_version: Cow<'a, str>,
    pub(crate) model_version: Option<u32>,
    #[serde(default)]
    pub(crate) missing_features: Vec<String>,
}

impl<'a> Decided<'a> {
    /// Reads the body of an answer.
    pub(crate) fn read(answer: &'a [u8]) -> Result<Self, Problem> {
        serde_json::from_slice(answer).map_err(|error| Problem::internal("read the answer of a decision", &error))
    }
}

/// Scores with the actions that they belong to, in declared order; no actions where not each has one.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Scores {
    pub(crate) actions: Vec<String>,
    pub(crate) scores: Vec<f64>,
}

struct ScoresVisitor;

impl<'de> Visitor<'de> for ScoresVisitor {
    type Value = Scores;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("scores by action, or a list of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scores, A::Error> {
        let mut read = Scores::default();
        while let Some(score) = items.next_element()? {
            read.scores.push(score);
        }
        Ok(read)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Scores, A::Error> {
        let mut read = Scores::default();
        while let Some((action, score)) = entries.next_entry()? {
            read.actions.push(action);
            read.scores.push(score);
        }
        Ok(read)
    }
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScoresVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn actions_keep_their_order_and_numbers_have_none() {
        let by_action = br#"{"decision_id":"d","strategy":"s","action":"b","scores":{"b":0.1,"a":0.2},"propensity":1.0,
            "reason":"exploit","blueprint_version":"0123456789abcdef","model_version":3}"#;
        let decided = Decided::read(by_action).unwrap();
        assert_eq!(decided.scores.actions, ["b", "a"]);
        assert_eq!(decided.scores.scores, [0.1, 0.2]);
        assert_eq!((decided.action.as_deref(), decided.value), (Some("b"), None));
        let number = br#"{"decision_id":"d","strategy":"s","value":2.5,"scores":[2.5],"propensity":1.0,
            "reason":"exploit","blueprint_version":"0123456789abcdef","model_version":null,"missing_features":["t"]}"#;
        let decided = Decided::read(number).unwrap();
        assert_eq!((decided.scores.actions.len(), decided.scores.scores), (0, vec![2.5]));
        assert_eq!((decided.value, decided.model_version), (Some(2.5), None));
        assert_eq!(decided.missing_features, ["t"]);
    }

    #[test]
    fn a_ranking_keeps_its_order() {
        let ranked = br#"{"decision_id":"d","strategy":"s","ranking":["b","c"],"scores":{"a":0.1,"b":0.3,"c":0.2},
            "propensity":1.0,"reason":"exploit","blueprint_version":"0123456789abcdef","model_version":3}"#;
        let decided = Decided::read(ranked).unwrap();
        assert_eq!(decided.ranking, ["b", "c"]);
        assert_eq!(decided.scores.actions, ["a", "b", "c"]);
        assert_eq!((decided.action, decided.value), (None, None));
    }
}
