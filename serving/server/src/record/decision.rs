//! Owns the bytes of a decision's record: formats 2 and 3, which are written, and the reading of these and of format 1.
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
use std::collections::HashMap;
use std::sync::Arc;

use lakeloop_decide::Bundle;
use lakeloop_domain::{
    BlueprintVersion, Candidate, CandidateId, Choice, Conditions, DecisionId, DecisionReason, DecisionRecord,
    FeatureType, Features, InvalidId, LadderStep, Micros, ModelVersion, NamedValue, Position, Ranking, StrategyName,
    UnitId, ValueRef,
};
use lakeloop_lake::rows::{DecisionRow, RankingRow, RowChoice, RowConditions};
use serde::{Deserialize, Serialize};

use super::{Undecodable, Unencodable, format_1};

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

/// A record as it was read.
pub(crate) enum Read<'r> {
    /// Of the present format.
    Row(DecisionRow<'r>),
    /// Of an earlier one.
    Record(DecisionRecord),
}

/// Reads the records of decisions, one after the other, and takes what many have in common apart once.
#[derive(Default)]
pub(crate) struct DecisionReader<'a> {
    /// What was in common last: decisions of one strategy tend to follow each other.
    last: Option<(&'a [u8], Arc<Common<'a>>)>,
    known: HashMap<&'a [u8], Arc<Common<'a>>>,
    /// The decision that was read last.
    own: Option<Own<'a>>,
    values: Vec<ValueRef<'a>>,
    candidate_values: Vec<ValueRef<'a>>,
    /// Its blocked actions.
    blocked: Vec<&'a str>,
}

impl<'a> DecisionReader<'a> {
    /// Reads one record.
    pub(crate) fn read(&mut self, record: &'a [u8]) -> Result<Read<'_>, Undecodable> {
        match record.split_first() {
            None => Err(Undecodable::Empty),
            Some((&FORMAT, body)) => self.row(body, false).map(Read::Row),
            Some((&FORMAT_CONDITIONS, body)) => self.row(body, true).map(Read::Row),
            Some((&format_1::FORMAT, body)) => format_1::decision(body).map(Read::Record),
            Some((found, _)) => Err(Undecodable::Format {
                found: *found,
                known: FORMAT_CONDITIONS,
            }),
        }
    }

    fn row(&mut self, body: &'a [u8], has_conditions: bool) -> Result<DecisionRow<'_>, Undecodable> {
        let (n_bytes, rest) = body.split_first_chunk::<4>().ok_or(Undecodable::Short)?;
        let n_bytes = u32::from_le_bytes(*n_bytes) as usize;
        let (common, rest) = rest.split_at_checked(n_bytes).ok_or(Undecodable::Short)?;
        self.take_common(common)?;
        let (own, rest) = postcard::take_from_bytes::<Own<'a>>(rest)?;
        let (conditions, rest) = match has_conditions {
            true => postcard::take_from_bytes::<OwnConditions<'a>>(rest)?,
            false => (OwnConditions::default(), rest),
        };
        let Self {
            last: Some((_, common)),
            own: kept,
            values,
            candidate_values,
            blocked,
            ..
        } = self
        else {
            return Err(Undecodable::Short);
        };
        let common: &Common<'a> = common;
        values.clear();
        candidate_values.clear();
        blocked.clear();
        for idx in conditions.blocked.iter() {
            blocked.push(common.action(*idx)?);
        }
        let mut rest = read_values(&common.features, rest, values)?;
        let own = kept.insert(own);
        let choice = match &own.choice {
            OwnChoice::Number(number) => RowChoice::Number(*number),
            OwnChoice::Action(idx) => RowChoice::Action(common.action(*idx)?),
            OwnChoice::Ranking(ranking) => {
                for _ in ranking.ids.iter() {
                    rest = read_values(&common.candidate_features, rest, candidate_values)?;
                }
                if let Some(idx) = ranking.order.iter().find(|idx| **idx as usize >= ranking.ids.len()) {
                    return Err(Undecodable::Candidate { idx: *idx });
                }
                RowChoice::Ranking(RankingRow {
                    ids: &ranking.ids,
                    features: &common.candidate_features,
                    values: candidate_values,
                    order: &ranking.order,
                    propensities: &ranking.propensities,
                })
            }
        };
        if !rest.is_empty() {
            return Err(Undecodable::Long { n_bytes: rest.len() });
        }
        Ok(DecisionRow {
            decision_id: own.decision_id,
            strategy: common.strategy,
            blueprint_version: common.blueprint_version,
            model_version: common.model_version,
            unit: own.unit,
            event_time: own.event_time,
            received_at: own.received_at,
            features: &common.features,
            values,
            feature_versions: &own.feature_versions,
            actions: &common.actions,
            scores: &own.scores,
            choice,
            propensity: own.propensity,
            reason: own.reason,
            policy: common.policy,
            salt: common.salt,
            conditions: RowConditions {
                blocked,
                step: conditions.step,
                rule_action: conditions.rule.map(|idx| common.action(idx)).transpose()?,
                model_action: conditions.model.map(|idx| common.action(idx)).transpose()?,
            },
        })
    }

    /// Makes the common part of a record the last one.
    fn take_common(&mut self, bytes: &'a [u8]) -> Result<(), Undecodable> {
        if self.last.as_ref().is_some_and(|(last, _)| *last == bytes) {
            return Ok(());
        }
        let common = match self.known.get(bytes) {
            Some(common) => Arc::clone(common),
            None => {
                let common: Arc<Common<'a>> = Arc::new(postcard::from_bytes(bytes)?);
                self.known.insert(bytes, Arc::clone(&common));
                common
            }
        };
        self.last = Some((bytes, common));
        Ok(())
    }
}

/// Reads the values of features, behind those that `values` hold; what follows them.
fn read_values<'a>(
    features: &[(&'a str, FeatureType)],
    bytes: &'a [u8],
    values: &mut Vec<ValueRef<'a>>,
) -> Result<&'a [u8], Undecodable> {
    let n_texts = features.iter().filter(|(_, of)| *of == FeatureType::Category).count();
    let n_number_bytes = (features.len() - n_texts) * size_of::<f64>();
    let (numbers, mut texts) = bytes.split_at_checked(n_number_bytes).ok_or(Undecodable::Short)?;
    let mut numbers = numbers
        .as_chunks::<8>()
        .0
        .iter()
        .map(|number| f64::from_le_bytes(*number));
    for (_, feature_type) in features {
        let value = match feature_type {
            FeatureType::Category => {
                let (text, rest) = postcard::take_from_bytes::<Option<&'a str>>(texts)?;
                texts = rest;
                text.map_or(ValueRef::Missing, ValueRef::Category)
            }
            FeatureType::Number | FeatureType::Boolean => match numbers.next().ok_or(Undecodable::Short)? {
                number if number.is_nan() => ValueRef::Missing,
                number if *feature_type == FeatureType::Boolean => ValueRef::Boolean(number != 0.0),
                number => ValueRef::Number(number),
            },
        };
        values.push(value);
    }
    Ok(texts)
}

/// Reads one decision.
pub(crate) fn decode(record: &[u8]) -> Result<DecisionRecord, Undecodable> {
    match DecisionReader::default().read(record)? {
        Read::Record(record) => Ok(record),
        Read::Row(row) => to_record(&row),
    }
}

fn to_features(features: &[(&str, FeatureType)], values: &[ValueRef<'_>]) -> Features {
    let named = features.iter().zip(values);
    named
        .map(|((name, feature_type), value)| NamedValue {
            name: (*name).into(),
            feature_type: *feature_type,
            value: (*value).into(),
        })
        .collect()
}

fn to_ranking(row: &RankingRow<'_>) -> Result<Ranking, InvalidId> {
    let n_features = row.features.len();
    let candidates = row.ids.iter().enumerate().map(|(idx, id)| {
        let values = &row.values[idx * n_features..(idx + 1) * n_features];
        Ok(Candidate {
            id: CandidateId::new(*id)?,
            features: to_features(row.features, values),
        })
    });
    let positions = row.order.iter().zip(row.propensities).map(|(idx, propensity)| {
        Ok(Position {
            candidate: CandidateId::new(row.ids[*idx as usize])?,
            propensity: *propensity,
        })
    });
    Ok(Ranking {
        candidates: candidates.collect::<Result<_, InvalidId>>()?,
        positions: positions.collect::<Result<_, InvalidId>>()?,
    })
}

fn to_record(row: &DecisionRow<'_>) -> Result<DecisionRecord, Undecodable> {
    let versions = row.feature_versions.iter();
    Ok(DecisionRecord {
        decision_id: DecisionId::new(row.decision_id)?,
        strategy: StrategyName::new(row.strategy)?,
        blueprint_version: BlueprintVersion::new(row.blueprint_version)?,
        model_version: row.model_version.map(ModelVersion),
        unit: UnitId::new(row.unit)?,
        event_time: row.event_time,
        received_at: row.received_at,
        features: to_features(row.features, row.values),
        feature_versions: versions.map(|(view, version)| ((*view).to_owned(), *version)).collect(),
        actions: row.actions.iter().map(|action| (*action).to_owned()).collect(),
        scores: row.scores.to_vec(),
        choice: match row.choice {
            RowChoice::Action(action) => Choice::Action(action.to_owned()),
            RowChoice::Number(number) => Choice::Number(number),
            RowChoice::Ranking(ranking) => Choice::Ranking(to_ranking(&ranking)?),
        },
        propensity: row.propensity,
        reason: row.reason,
        policy: row
            .policy
            .map(serde_json::from_str)
            .transpose()
            .map_err(Undecodable::Policy)?,
        salt: row.salt.to_owned(),
        conditions: Conditions {
            blocked: row
                .conditions
                .blocked
                .iter()
                .map(|action| (*action).to_owned())
                .collect(),
            step: row.conditions.step,
            rule_action: row.conditions.rule_action.map(str::to_owned),
            model_action: row.conditions.model_action.map(str::to_owned),
        },
    })
}
