//! Owns the bytes of a decision's record: formats 2 and 3.
//!
//! ```text
//! 2 | length of common u32 | common | own | numbers f64 × n | texts | numbers and texts of each candidate
//! 3 | length of common u32 | common | own | conditions | numbers …
//! ```
//!
//! - *common* is what all decisions of one bundle share: versions, policy, salt, actions, names and types of the features.
//!   It is encoded once for each bundle and copied into every record, so that each record can be read alone; who reads
//!   many takes it apart once.
//! - *own* is the decision itself. Common and own have postcard's form.
//! - *conditions* are what caps and a ladder had to do with it, in postcard's form. Decisions without any of that, which is
//!   all of most strategies, have format 2.
//! - *numbers* are the values of the features that are numbers or booleans (1 and 0), in served order, little-endian;
//!   NaN is a missing one, for served numbers are finite. *texts* are those of the categories, each an optional text in
//!   postcard's form.

use std::borrow::Cow;

use lakeloop_decide::Bundle;
use lakeloop_domain::{DecisionReason, FeatureType, LadderStep, Micros, ValueRef};
use serde::{Deserialize, Serialize};

use super::{Undecodable, Unencodable};

mod reader;

pub(crate) use reader::{DecisionReader, Read, decode};

/// The first byte of a decision as it is written.
const FORMAT: u8 = 2;
/// The first byte of one with conditions.
const FORMAT_CONDITIONS: u8 = 3;

/// What all decisions of one bundle have in common.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Common<'a> {
    pub(super) strategy: &'a str,
    pub(super) blueprint_version: &'a str,
    pub(super) model_version: Option<u32>,
    /// JSON of the domain's policy.
    pub(super) policy: Option<&'a str>,
    pub(super) salt: &'a str,
    #[serde(borrow)]
    pub(super) actions: Vec<&'a str>,
    /// In served order.
    #[serde(borrow)]
    pub(super) features: Vec<(&'a str, FeatureType)>,
    /// What each candidate of a ranking has, in the blueprint's order.
    #[serde(borrow)]
    pub(super) candidate_features: Vec<(&'a str, FeatureType)>,
}

impl<'a> Common<'a> {
    /// The action at a position.
    fn action(&self, idx: u32) -> Result<&'a str, Undecodable> {
        let action = usize::try_from(idx).ok().and_then(|idx| self.actions.get(idx));
        action.copied().ok_or(Undecodable::Action { idx })
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum OwnChoice<'a> {
    /// The action at this position of the bundle's.
    Action(u32),
    /// A number.
    Number(f64),
    /// An order of candidates, whose values stand at the end of the record.
    #[serde(borrow)]
    Ranking(OwnRanking<'a>),
}

/// A ranking, besides the values of its candidates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OwnRanking<'a> {
    /// The ids of the candidates, in the request's order.
    #[serde(borrow)]
    pub(crate) ids: Cow<'a, [&'a str]>,
    /// For each position returned, which candidate stands there.
    pub(crate) order: Cow<'a, [u32]>,
    /// For each position returned, the probability of that.
    pub(crate) propensities: Cow<'a, [f64]>,
}

/// What belongs to one decision, besides the values of its features.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Own<'a> {
    pub(crate) decision_id: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) event_time: Micros,
    pub(crate) received_at: Micros,
    #[serde(borrow)]
    pub(crate) feature_versions: Cow<'a, [(&'a str, i64)]>,
    pub(crate) scores: Cow<'a, [f64]>,
    #[serde(borrow)]
    pub(crate) choice: OwnChoice<'a>,
    pub(crate) propensity: f64,
    pub(crate) reason: DecisionReason,
}

/// What a decision depended on besides features and versions, by position of the bundle's actions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct OwnConditions<'a> {
    pub(crate) blocked: Cow<'a, [u32]>,
    pub(crate) step: Option<LadderStep>,
    pub(crate) rule: Option<u32>,
    pub(crate) model: Option<u32>,
}

impl OwnConditions<'_> {
    #[inline]
    fn are_none(&self) -> bool {
        self.blocked.is_empty() && self.step.is_none() && self.rule.is_none() && self.model.is_none()
    }
}

/// How the decisions of one bundle are written.
#[derive(Debug)]
pub(crate) struct RecordForm {
    /// The beginning of every record: format, length of common, common.
    prefix: Vec<u8>,
    /// The types of the features, in served order.
    types: Vec<FeatureType>,
    /// The types of a candidate's features.
    candidate_types: Vec<FeatureType>,
}

impl RecordForm {
    /// The form for a bundle's decisions.
    pub(crate) fn new(bundle: &Bundle) -> Result<Self, Unencodable> {
        let policy = serde_json::to_string(&bundle.blueprint().policy)?;
        let candidates = bundle.blueprint().candidates.iter();
        let form = Self::of(&Common {
            strategy: bundle.blueprint().name.as_str(),
            blueprint_version: bundle.applied().version.as_str(),
            model_version: bundle.model_version().map(|version| version.0),
            policy: Some(&policy),
            salt: bundle.salt(),
            actions: bundle.actions().iter().map(String::as_str).collect(),
            features: bundle.served().map(|(name, of)| (&**name, of)).collect(),
            candidate_features: candidates.map(|field| (&*field.name, field.feature_type)).collect(),
        })?;
        Ok(form)
    }

    pub(super) fn of(common: &Common<'_>) -> Result<Self, postcard::Error> {
        let encoded = postcard::to_allocvec(common)?;
        let n_bytes = u32::try_from(encoded.len()).map_err(|_| postcard::Error::SerializeBufferFull)?;
        let mut prefix = vec![FORMAT];
        prefix.extend_from_slice(&n_bytes.to_le_bytes());
        prefix.extend_from_slice(&encoded);
        Ok(Self {
            prefix,
            types: common.features.iter().map(|(_, feature_type)| *feature_type).collect(),
            candidate_types: common.candidate_features.iter().map(|(_, of)| *of).collect(),
        })
    }

    /// Writes a record to `bytes`, in place of what they hold. `values` are those of the bundle's features, all of them,
    /// in served order, and `candidate_values` those of a ranking's candidates, row-major; each fits its feature's type.
    pub(crate) fn write(
        &self,
        own: &Own<'_>,
        conditions: &OwnConditions<'_>,
        values: &[ValueRef<'_>],
        candidate_values: &[ValueRef<'_>],
        bytes: &mut Vec<u8>,
    ) -> Result<(), postcard::Error> {
        bytes.clear();
        bytes.extend_from_slice(&self.prefix);
        let mut written = postcard::to_extend(own, std::mem::take(bytes))?;
        if !conditions.are_none() {
            written[0] = FORMAT_CONDITIONS;
            written = postcard::to_extend(conditions, written)?;
        }
        written = write_values(&self.types, values, written)?;
        for candidate in candidate_values.chunks_exact(self.candidate_types.len().max(1)) {
            written = write_values(&self.candidate_types, candidate, written)?;
        }
        *bytes = written;
        Ok(())
    }
}

/// Adds the values of features with these types: the numbers, and then the texts.
fn write_values(
    types: &[FeatureType],
    values: &[ValueRef<'_>],
    mut written: Vec<u8>,
) -> Result<Vec<u8>, postcard::Error> {
    let each = || types.iter().zip(values);
    for (_, value) in each().filter(|(of, _)| **of != FeatureType::Category) {
        written.extend_from_slice(&value.as_number().unwrap_or(f64::NAN).to_le_bytes());
    }
    for (_, value) in each().filter(|(of, _)| **of == FeatureType::Category) {
        let text = match value {
            ValueRef::Category(text) => Some(*text),
            _ => None,
        };
        written = postcard::to_extend(&text, written)?;
    }
    Ok(written)
}
