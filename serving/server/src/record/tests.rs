//! Records as they are written and read, of this format and the one before.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use lakeloop_domain::{
    BlueprintVersion, Candidate, CandidateId, Choice, Conditions, DecisionId, DecisionReason, DecisionRecord,
    FeatureType, FeatureValue, LadderStep, ModelVersion, NamedValue, Policy, Position, Ranking, StrategyName, UnitId,
    ValueRef,
};

use super::decision::Common;
use super::*;

/// A decision of format 1, as postcard's specification says it is written; made with Python 3.11's `struct`.
const FORMAT_1: &str = "0103642d31046d656e7510303132333435363738396162636465660103036164618080f281838985068280f281838985\
    060403616765000100000000000000800a7665676574617269616e01020104636974790203054bc3b66c6e0474656d7000000107776561746865\
    7218020572616d656e057461636f73029a9999999999b93f343333333333d33f00057461636f73666666666666ee3f0101277b226b696e64223a\
    22657073696c6f6e5f677265656479222c22657073696c6f6e223a302e317d156d656e753a30313233343536373839616263646566";

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
        conditions: Default::default(),
    }
}

/// The record's bytes as the server writes them.
fn encoded(record: &DecisionRecord) -> Vec<u8> {
    let candidates: &[Candidate] = match &record.choice {
        Choice::Ranking(ranking) => &ranking.candidates,
        _ => &[],
    };
    let policy = record.policy.map(|policy| serde_json::to_string(&policy).unwrap());
    let form = RecordForm::of(&Common {
        strategy: record.strategy.as_str(),
        blueprint_version: record.blueprint_version.as_str(),
        model_version: record.model_version.map(|version| version.0),
        policy: policy.as_deref(),
        salt: &record.salt,
        actions: record.actions.iter().map(String::as_str).collect(),
        features: record
            .features
            .iter()
            .map(|one| (&*one.name, one.feature_type))
            .collect(),
        candidate_features: match candidates.first() {
            None => Vec::new(),
            Some(first) => first
                .features
                .iter()
                .map(|one| (&*one.name, one.feature_type))
                .collect(),
        },
    });
    let own = Own {
        decision_id: record.decision_id.as_str(),
        unit: record.unit.as_str(),
        event_time: record.event_time,
        received_at: record.received_at,
        feature_versions: record
            .feature_versions
            .iter()
            .map(|(view, version)| (view.as_str(), *version))
            .collect(),
        scores: Cow::Borrowed(&record.scores),
        choice: match &record.choice {
            Choice::Number(number) => OwnChoice::Number(*number),
            Choice::Action(action) => {
                let idx = record.actions.iter().position(|one| one == action).unwrap();
                OwnChoice::Action(idx as u32)
            }
            Choice::Ranking(ranking) => {
                let ids: Vec<&str> = candidates.iter().map(|candidate| candidate.id.as_str()).collect();
                let idx = |position: &Position| ids.iter().position(|id| *id == position.candidate.as_str()).unwrap();
                OwnChoice::Ranking(OwnRanking {
                    order: ranking.positions.iter().map(|position| idx(position) as u32).collect(),
                    propensities: ranking.positions.iter().map(|position| position.propensity).collect(),
                    ids: Cow::Owned(ids),
                })
            }
        },
        propensity: record.propensity,
        reason: record.reason,
    };
    let values: Vec<ValueRef<'_>> = record.features.iter().map(|one| (&one.value).into()).collect();
    let of_candidates = candidates.iter().flat_map(|candidate| &candidate.features);
    let candidate_values: Vec<ValueRef<'_>> = of_candidates.map(|one| (&one.value).into()).collect();
    let position = |action: &String| record.actions.iter().position(|one| one == action).unwrap() as u32;
    let conditions = OwnConditions {
        blocked: record.conditions.blocked.iter().map(position).collect(),
        step: record.conditions.step,
        rule: record.conditions.rule_action.as_ref().map(position),
        model: record.conditions.model_action.as_ref().map(position),
    };
    let mut bytes = vec![77; 3];
    form.unwrap()
        .write(&own, &conditions, &values, &candidate_values, &mut bytes)
        .unwrap();
    bytes
}

#[track_caller]
fn check(record: &DecisionRecord) {
    let read = decode_decision(&encoded(record)).unwrap();
    assert_eq!(&read, record);
    let bits = |record: &DecisionRecord| {
        let numbers = record.features.iter().filter_map(|one| one.value.as_number());
        numbers
            .chain(record.scores.iter().copied())
            .map(f64::to_bits)
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&read), bits(record));
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
        check(&record);
    }
    record.features[1].value = FeatureValue::Boolean(false);
    record.features[2].value = FeatureValue::Missing;
    check(&record);
    record.features[1].value = FeatureValue::Missing;
    record.choice = Choice::Number(f64::MIN_POSITIVE);
    check(&record);
    record.features.clear();
    record.actions.clear();
    record.scores.clear();
    record.feature_versions.clear();
    record.model_version = None;
    check(&record);
}

#[test]
fn conditions_come_back_and_cost_nothing_where_there_are_none() {
    let plain = encoded(&decision());
    assert_eq!(plain[0], 2);
    let every = Conditions {
        blocked: vec!["tacos".into()],
        step: Some(LadderStep::Exploration),
        rule_action: Some("ramen".into()),
        model_action: Some("tacos".into()),
    };
    for conditions in [
        Conditions {
            blocked: every.blocked.clone(),
            ..Conditions::default()
        },
        Conditions {
            step: Some(LadderStep::Default),
            ..Conditions::default()
        },
        every,
    ] {
        let record = DecisionRecord {
            reason: DecisionReason::Capped,
            conditions,
            ..decision()
        };
        check(&record);
        let bytes = encoded(&record);
        assert_eq!(bytes[0], 3);
        assert!(bytes.len() <= plain.len() + 8);
        for len in 1..bytes.len() {
            assert!(decode_decision(&bytes[..len]).is_err(), "cut to {len} bytes");
        }
    }
}

/// A decision that ranked three candidates and returned two.
fn ranking() -> DecisionRecord {
    let candidate = |id: &str, price: FeatureValue, brand: FeatureValue| Candidate {
        id: CandidateId::new(id).unwrap(),
        features: vec![
            NamedValue {
                name: "price".into(),
                feature_type: FeatureType::Number,
                value: price,
            },
            NamedValue {
                name: "brand".into(),
                feature_type: FeatureType::Category,
                value: brand,
            },
        ],
    };
    let position = |id: &str, propensity| Position {
        candidate: CandidateId::new(id).unwrap(),
        propensity,
    };
    DecisionRecord {
        actions: Vec::new(),
        scores: vec![0.1, 0.3, 0.2],
        choice: Choice::Ranking(Ranking {
            candidates: vec![
                candidate("sku 1", FeatureValue::Number(-0.0), FeatureValue::Missing),
                candidate("ß", FeatureValue::Missing, FeatureValue::Category("Köln".into())),
                candidate("3", FeatureValue::Number(1e300), FeatureValue::Category(String::new())),
            ],
            positions: vec![position("ß", 0.9), position("3", 0.1 + 0.2)],
        }),
        ..decision()
    }
}

#[test]
fn a_ranking_comes_back_bit_for_bit() {
    check(&ranking());
    let bytes = encoded(&ranking());
    for len in 1..bytes.len() {
        assert!(decode_decision(&bytes[..len]).is_err(), "cut to {len} bytes");
    }
    // A reader that meets it between others has their values out of the way.
    let records = [decision(), ranking(), decision(), ranking()];
    let bytes: Vec<Vec<u8>> = records.iter().map(encoded).collect();
    let mut reader = DecisionReader::default();
    for (record, bytes) in records.iter().zip(&bytes) {
        let Read::Row(row) = reader.read(bytes).unwrap() else {
            unreachable!("the record has the present format")
        };
        assert_eq!(row.values.len(), record.features.len());
        if let lakeloop_lake::rows::RowChoice::Ranking(ranking) = row.choice {
            assert_eq!(
                (ranking.ids, ranking.order, ranking.values.len()),
                (&["sku 1", "ß", "3"][..], &[1, 2][..], 6)
            );
        }
    }
}

#[test]
fn a_reader_tells_the_records_of_several_bundles_apart() {
    let mut other = decision();
    other.strategy = StrategyName::new("dinner").unwrap();
    other.features.pop();
    let records = [decision(), other, decision()];
    let bytes: Vec<Vec<u8>> = records.iter().map(encoded).collect();
    let mut reader = DecisionReader::default();
    for (record, bytes) in records.iter().zip(&bytes) {
        let Read::Row(row) = reader.read(bytes).unwrap() else {
            unreachable!("the record has the present format")
        };
        assert_eq!((row.strategy, row.decision_id), (record.strategy.as_str(), "d-1"));
        assert_eq!(row.features.len(), record.features.len());
        assert_eq!(row.values.len(), record.features.len());
    }
}

#[test]
fn what_format_1_wrote_is_read() {
    let bytes: Vec<u8> = (0..FORMAT_1.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&FORMAT_1[at..at + 2], 16).unwrap())
        .collect();
    assert_eq!(decode_decision(&bytes).unwrap(), decision());
    for len in 1..bytes.len() {
        assert!(decode_decision(&bytes[..len]).is_err(), "cut to {len} bytes");
    }
}

#[test]
fn an_outcome_comes_back() {
    let outcome = OutcomeEntry {
        outcome_id: "o",
        decision_id: None,
        strategy: Some("menu"),
        unit: Some("ada"),
        event: "ordered",
        value: EntryValue::Category("ramen"),
        event_time: -1,
        received_at: i64::MAX,
        candidate: None,
    };
    // Outcomes without a candidate are written as they were before there were any.
    for (candidate, format) in [(None, 1), (Some("sku 1"), 2)] {
        let outcome = OutcomeEntry { candidate, ..outcome };
        let mut bytes = Vec::new();
        outcome.write(&mut bytes).unwrap();
        assert_eq!((OutcomeEntry::read(&bytes).unwrap(), bytes[0]), (outcome, format));
        for len in 0..bytes.len() {
            assert!(OutcomeEntry::read(&bytes[..len]).is_err(), "cut to {len} bytes");
        }
    }
}

#[test]
fn what_is_no_record_is_told_apart() {
    let bytes = encoded(&decision());
    assert!(matches!(decode_decision(&[]), Err(Undecodable::Empty)));
    let mut other_format = bytes.clone();
    other_format[0] = 9;
    assert!(matches!(
        decode_decision(&other_format),
        Err(Undecodable::Format { found: 9, known: 3 })
    ));
    for len in 1..bytes.len() {
        assert!(decode_decision(&bytes[..len]).is_err(), "cut to {len} bytes");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(
        decode_decision(&longer),
        Err(Undecodable::Long { n_bytes: 1 })
    ));
}
