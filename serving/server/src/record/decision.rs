//! Owns the bytes of a decision's record: format 2, which is written, and the reading of that and of format 1.
//!
//! ```text
//! 2 | length of common u32 | common | own | numbers f64 × n | texts
//! ```
//!
//! - *common* is what all decisions of one bundle share: versions, policy, salt, actions, names and types of the features.
//!   It is encoded once for each bundle and copied into every record, so that each record can be read alone; who reads
//!   many takes it apart once.
//! - *own* is the decision itself. Common and own have postcard's form.
//! - *numbers* are the values of the features that are numbers or booleans (1 and 0), in served order, little-endian;
//!   NaN is a missing one, for served numbers are finite. *texts* are those of the categories, each an optional text in
//!   postcard's form.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use lakeloop_decide::Bundle;
use lakeloop_domain::{
    BlueprintVersion, Choice, DecisionId, DecisionReason, DecisionRecord, FeatureType, Micros, ModelVersion,
    NamedValue, StrategyName, UnitId, ValueRef,
};
use lakeloop_lake::rows::{DecisionRow, RowChoice};
use serde::{Deserialize, Serialize};

use super::{Undecodable, Unencodable, format_1};

/// The first byte of a decision as it is written.
const FORMAT: u8 = 2;

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
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum OwnChoice {
    /// The action at this position of the bundle's.
    Action(u32),
    /// A number.
    Number(f64),
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
    pub(crate) choice: OwnChoice,
    pub(crate) propensity: f64,
    pub(crate) reason: DecisionReason,
}

/// How the decisions of one bundle are written.
#[derive(Debug)]
pub(crate) struct RecordForm {
    /// The beginning of every record: format, length of common, common.
    prefix: Vec<u8>,
    /// The types of the features, in served order.
    types: Vec<FeatureType>,
}

impl RecordForm {
    /// The form for a bundle's decisions.
    pub(crate) fn new(bundle: &Bundle) -> Result<Self, Unencodable> {
        let policy = serde_json::to_string(&bundle.blueprint().policy)?;
        let form = Self::of(&Common {
            strategy: bundle.blueprint().name.as_str(),
            blueprint_version: bundle.applied().version.as_str(),
            model_version: bundle.model_version().map(|version| version.0),
            policy: Some(&policy),
            salt: bundle.salt(),
            actions: bundle.actions().iter().map(String::as_str).collect(),
            features: bundle.served().map(|(name, of)| (&**name, of)).collect(),
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
        })
    }

    /// Writes a record to `bytes`, in place of what they hold. `values` are those of the bundle's features, all of them,
    /// in served order; each fits its feature's type.
    pub(crate) fn write(
        &self,
        own: &Own<'_>,
        values: &[ValueRef<'_>],
        bytes: &mut Vec<u8>,
    ) -> Result<(), postcard::Error> {
        bytes.clear();
        bytes.extend_from_slice(&self.prefix);
        let mut written = postcard::to_extend(own, std::mem::take(bytes))?;
        let each = || self.types.iter().zip(values);
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
        *bytes = written;
        Ok(())
    }
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
}

impl<'a> DecisionReader<'a> {
    /// Reads one record.
    pub(crate) fn read(&mut self, record: &'a [u8]) -> Result<Read<'_>, Undecodable> {
        match record.split_first() {
            None => Err(Undecodable::Empty),
            Some((&FORMAT, body)) => self.row(body).map(Read::Row),
            Some((&format_1::FORMAT, body)) => format_1::decision(body).map(Read::Record),
            Some((found, _)) => Err(Undecodable::Format {
                found: *found,
                known: FORMAT,
            }),
        }
    }

    fn row(&mut self, body: &'a [u8]) -> Result<DecisionRow<'_>, Undecodable> {
        let (n_bytes, rest) = body.split_first_chunk::<4>().ok_or(Undecodable::Short)?;
        let n_bytes = u32::from_le_bytes(*n_bytes) as usize;
        let (common, rest) = rest.split_at_checked(n_bytes).ok_or(Undecodable::Short)?;
        self.take_common(common)?;
        let (own, rest) = postcard::take_from_bytes::<Own<'a>>(rest)?;
        let Self {
            last: Some((_, common)),
            own: kept,
            values,
            ..
        } = self
        else {
            return Err(Undecodable::Short);
        };
        let common: &Common<'a> = common;
        read_values(&common.features, rest, values)?;
        let own = kept.insert(own);
        let choice = match own.choice {
            OwnChoice::Number(number) => RowChoice::Number(number),
            OwnChoice::Action(idx) => {
                let action = usize::try_from(idx).ok().and_then(|idx| common.actions.get(idx));
                RowChoice::Action(action.ok_or(Undecodable::Action { idx })?)
            }
        };
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

/// Reads the values of features, in place of what `values` hold.
fn read_values<'a>(
    features: &[(&'a str, FeatureType)],
    bytes: &'a [u8],
    values: &mut Vec<ValueRef<'a>>,
) -> Result<(), Undecodable> {
    let n_texts = features.iter().filter(|(_, of)| *of == FeatureType::Category).count();
    let n_number_bytes = (features.len() - n_texts) * size_of::<f64>();
    let (numbers, mut texts) = bytes.split_at_checked(n_number_bytes).ok_or(Undecodable::Short)?;
    let mut numbers = numbers
        .as_chunks::<8>()
        .0
        .iter()
        .map(|number| f64::from_le_bytes(*number));
    values.clear();
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
    match texts.is_empty() {
        true => Ok(()),
        false => Err(Undecodable::Long { n_bytes: texts.len() }),
    }
}

/// Reads one decision.
pub(crate) fn decode(record: &[u8]) -> Result<DecisionRecord, Undecodable> {
    match DecisionReader::default().read(record)? {
        Read::Record(record) => Ok(record),
        Read::Row(row) => to_record(&row),
    }
}

fn to_record(row: &DecisionRow<'_>) -> Result<DecisionRecord, Undecodable> {
    let features = row.features.iter().zip(row.values);
    let versions = row.feature_versions.iter();
    Ok(DecisionRecord {
        decision_id: DecisionId::new(row.decision_id)?,
        strategy: StrategyName::new(row.strategy)?,
        blueprint_version: BlueprintVersion::new(row.blueprint_version)?,
        model_version: row.model_version.map(ModelVersion),
        unit: UnitId::new(row.unit)?,
        event_time: row.event_time,
        received_at: row.received_at,
        features: features
            .map(|((name, feature_type), value)| NamedValue {
                name: (*name).into(),
                feature_type: *feature_type,
                value: (*value).into(),
            })
            .collect(),
        feature_versions: versions.map(|(view, version)| ((*view).to_owned(), *version)).collect(),
        actions: row.actions.iter().map(|action| (*action).to_owned()).collect(),
        scores: row.scores.to_vec(),
        choice: match row.choice {
            RowChoice::Action(action) => Choice::Action(action.to_owned()),
            RowChoice::Number(number) => Choice::Number(number),
        },
        propensity: row.propensity,
        reason: row.reason,
        policy: row
            .policy
            .map(serde_json::from_str)
            .transpose()
            .map_err(Undecodable::Policy)?,
        salt: row.salt.to_owned(),
    })
}
