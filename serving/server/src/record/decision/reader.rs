//! Owns the reading of the records of decisions, of all formats.

use std::collections::HashMap;
use std::sync::Arc;

use lakeloop_domain::{
    BlueprintVersion, Candidate, CandidateId, Choice, Conditions, DecisionId, DecisionRecord, FeatureType, Features,
    InvalidId, ModelVersion, NamedValue, Position, Ranking, StrategyName, UnitId, ValueRef,
};
use lakeloop_lake::rows::{DecisionRow, RankingRow, RowChoice, RowConditions};

use super::{Common, FORMAT, FORMAT_CONDITIONS, Own, OwnChoice, OwnConditions};
use crate::record::{Undecodable, format_1};

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
