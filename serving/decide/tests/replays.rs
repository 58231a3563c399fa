//! A decision can be made again from its record, and a record that does not hold is told apart by field.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lakeloop_decide::{Asked, Bundle, Offered, Replay, Scratch, rank, record, replay};
use lakeloop_domain::{
    BlueprintVersion, Candidate, Choice, DecisionId, DecisionReason, DecisionRecord, Features, ModelVersion,
    OutcomeType, Policy, UnitId,
};
use support::*;

fn decided(bundle: &Bundle, decision_id: &str, features: Features) -> DecisionRecord {
    ranked(bundle, decision_id, features, Vec::new())
}

fn ranked(bundle: &Bundle, decision_id: &str, features: Features, candidates: Vec<Candidate>) -> DecisionRecord {
    let mut scratch = Scratch::new();
    let offered = Offered {
        features: &features,
        candidates: &candidates,
    };
    let decision = rank(bundle, offered, decision_id, &mut scratch);
    let asked = Asked {
        decision_id: DecisionId::new(decision_id).unwrap(),
        unit: UnitId::new("guest-1").unwrap(),
        event_time: 1,
        received_at: 2,
        features,
        feature_versions: vec![("weather".into(), 5)],
        candidates,
    };
    record(bundle, asked, &decision)
}

fn bundles() -> Vec<Bundle> {
    let (yes_no, yes_no_model) = threshold();
    let (choosing, choosing_model) = choice(Policy::EpsilonGreedy { epsilon: 0.4 });
    let number = blueprint(number(7.5), OutcomeType::Number, Policy::Greedy);
    let infinite = artifact(
        "reg:squarederror",
        2,
        &[&[Stump(1, 30.0, 3e38, 0.1), Stump(1, 30.0, 3e38, 0.2)]],
    );
    let number_model = model_record(&number, encoding(None), infinite);
    vec![
        bundle(yes_no.clone(), None),
        bundle(yes_no, Some(&yes_no_model)),
        bundle(choosing.clone(), None),
        bundle(choosing, Some(&choosing_model)),
        bundle(number.clone(), None),
        bundle(number, Some(&number_model)),
    ]
}

#[test]
fn what_was_decided_is_decided_again() {
    for bundle in bundles() {
        for idx in 0..200 {
            let age = (idx % 5 != 0).then_some(f64::from(idx) / 3.0);
            let city = ["Oslo", "Lima", "Rome"].get(idx as usize % 4).copied();
            let record = decided(&bundle, &format!("d-{idx}"), features(age, city, Some(idx % 2 == 0)));
            assert_eq!(replay(&record, &bundle), Replay::Same);
            let mut by_name = record;
            by_name.features.sort_by(|a, b| b.name.cmp(&a.name));
            assert_eq!(replay(&by_name, &bundle), Replay::Same, "features in another order");
        }
    }
}

#[test]
fn a_record_holds_the_decision_and_the_request() {
    let (blueprint, model) = choice(Policy::Greedy);
    let bundle = bundle(blueprint, Some(&model));
    let record = decided(&bundle, "d-1", features(None, Some("Lima"), None));
    assert_eq!(record.choice, Choice::Action("tacos".into()));
    assert_eq!(
        (record.scores.as_slice(), record.propensity),
        ([1.5, 2.5, 2.5].as_slice(), 1.0)
    );
    assert_eq!(
        (record.model_version, record.reason),
        (Some(ModelVersion(3)), DecisionReason::Exploit)
    );
    assert_eq!(record.actions, MENU);
    assert_eq!(record.policy, Some(Policy::Greedy));
    assert_eq!(record.salt, format!("dinner:{}", record.blueprint_version));
    assert_eq!(
        (record.event_time, record.received_at, record.features.len()),
        (1, 2, 4)
    );
}

#[test]
fn the_first_field_that_differs_is_named() {
    let (blueprint, model) = choice(Policy::EpsilonGreedy { epsilon: 0.4 });
    let bundle = bundle(blueprint, Some(&model));
    let sound = decided(&bundle, "d-1", features(Some(20.0), None, None));
    let check = |change: &dyn Fn(&mut DecisionRecord), expected: &str| {
        let mut changed = sound.clone();
        change(&mut changed);
        let Replay::Differs {
            field,
            logged,
            replayed,
        } = replay(&changed, &bundle)
        else {
            panic!("{expected} was changed and not seen");
        };
        assert_eq!(field, expected);
        assert_ne!(logged, replayed);
    };
    check(
        &|r| r.blueprint_version = BlueprintVersion::new("0123456789abcdef").unwrap(),
        "blueprint_version",
    );
    check(&|r| r.model_version = None, "model_version");
    check(&|r| r.policy = Some(Policy::Greedy), "policy");
    check(&|r| r.salt.push('x'), "salt");
    check(&|r| r.actions.swap(0, 1), "actions");
    check(&|r| r.scores[1] = f64::from_bits(r.scores[1].to_bits() + 1), "scores");
    check(
        &|r| r.features[2] = features(None, Some("Lima"), None).remove(2),
        "scores",
    );
    check(&|r| r.choice = Choice::Action("cake".into()), "choice");
    check(&|r| r.propensity = 0.5, "propensity");
    check(&|r| r.reason = DecisionReason::Fallback, "reason");
}

#[test]
fn what_was_ranked_is_ranked_again() {
    let explore = Policy::EpsilonGreedy { epsilon: 0.5 };
    let (all, top) = (ranking(None, explore), ranking(Some(3), explore));
    let model = ranking_model(&all);
    let bundles = [
        bundle(all.clone(), None),
        bundle(all, Some(&model)),
        bundle(top, Some(&model)),
    ];
    for bundle in bundles {
        for idx in 0..200 {
            let age = (idx % 5 != 0).then_some(f64::from(idx) / 3.0);
            let id = format!("d-{idx}");
            let record = ranked(&bundle, &id, features(age, None, None), dishes());
            assert_eq!(replay(&record, &bundle), Replay::Same);
            let mut by_name = record;
            let Choice::Ranking(ranking) = &mut by_name.choice else {
                panic!()
            };
            for candidate in &mut ranking.candidates {
                candidate.features.sort_by(|a, b| b.name.cmp(&a.name));
            }
            assert_eq!(replay(&by_name, &bundle), Replay::Same, "features in another order");
        }
    }
}

#[test]
fn a_ranking_that_does_not_hold_is_told_apart() {
    let blueprint = ranking(None, Policy::EpsilonGreedy { epsilon: 0.5 });
    let bundle = bundle(blueprint.clone(), Some(&ranking_model(&blueprint)));
    let sound = ranked(&bundle, "d-1", features(None, None, None), dishes());
    let check = |change: &dyn Fn(&mut lakeloop_domain::Ranking), expected: &str| {
        let mut changed = sound.clone();
        let Choice::Ranking(ranking) = &mut changed.choice else {
            panic!()
        };
        change(ranking);
        let Replay::Differs { field, .. } = replay(&changed, &bundle) else {
            panic!("{expected} was changed and not seen");
        };
        assert_eq!(field, expected);
    };
    check(&|ranking| ranking.positions.swap(0, 1), "choice");
    check(&|ranking| ranking.positions.truncate(2), "choice");
    check(&|ranking| ranking.positions[4].propensity = 0.25, "choice");
    check(&|ranking| ranking.candidates.swap(1, 3), "scores");
    check(
        &|ranking| ranking.candidates[1] = candidate("b", Some(50.0), "Greek"),
        "scores",
    );
    check(&|ranking| drop(ranking.candidates.pop()), "scores");
}

#[test]
fn an_imported_decision_has_nothing_to_make_again() {
    let (blueprint, _) = threshold();
    let bundle = bundle(blueprint, None);
    let mut imported = decided(&bundle, "d-1", features(None, None, None));
    imported.reason = DecisionReason::Imported;
    assert_eq!(replay(&imported, &bundle), Replay::Imported);
}
