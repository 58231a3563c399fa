//! Blocked actions and the steps of a ladder: exact propensities, and decisions that are made again.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lakeloop_decide::{
    Asked, Bundle, Chosen, Decision, Given, Offered, Replay, Scratch, probabilities_blocked, rank_given, record_given,
    replay,
};
use lakeloop_domain::{
    ApprenticeStep, Around, Blueprint, DecisionId, DecisionReason, DecisionRecord, ExplorationStep, Ladder, LadderStep,
    ModelStep, OutcomeType, Policy, UnitId,
};
use support::*;

const N_DECISIONS: usize = 200_000;

/// χ² that a true propensity exceeds with probability 1e-4, by degrees of freedom; scipy 1.17.1, `chi2.isf(1e-4, df)`.
const CRITICAL: [f64; 3] = [f64::NAN, 15.136705226623397, 18.420680743952364];

fn decided<'s>(bundle: &Bundle, given: &Given<'_>, id: &str, scratch: &'s mut Scratch) -> Decision<'s> {
    let features = features(Some(20.0), Some("Oslo"), None);
    let offered = Offered {
        features: &features,
        candidates: &[],
    };
    rank_given(bundle, offered, given, id, scratch)
}

/// Decides for the decision ids 0, 1, 2, … and compares how often each action came with its expected share, and each
/// logged propensity with the share of its action.
#[track_caller]
fn check(bundle: &Bundle, given: &Given<'_>, shares: &[f64]) {
    let mut scratch = Scratch::new();
    let mut counts = vec![0_usize; shares.len()];
    for id in 0..N_DECISIONS {
        let decision = decided(bundle, given, &id.to_string(), &mut scratch);
        let Chosen::Action(action_idx) = decision.chosen else {
            panic!("an action is chosen")
        };
        assert!((decision.propensity - shares[action_idx]).abs() < 1e-15, "{decision:?}");
        counts[action_idx] += 1;
    }
    let possible: Vec<(f64, f64)> = counts
        .iter()
        .zip(shares)
        .map(|(count, share)| (*count as f64, share * N_DECISIONS as f64))
        .filter(|(count, expected)| *expected > 0.0 || *count > 0.0)
        .collect();
    let chi_squared: f64 = possible
        .iter()
        .map(|(count, expected)| (count - expected).powi(2) / expected)
        .sum();
    match possible.len() {
        1 => assert_eq!(chi_squared, 0.0),
        n => assert!(chi_squared < CRITICAL[n - 1], "χ² = {chi_squared} for {counts:?}"),
    }
}

/// The menu, whose default is pho; the model's best is tacos.
fn exploring(with_model: bool) -> Bundle {
    let (blueprint, record) = choice(Policy::EpsilonGreedy { epsilon: 0.3 });
    bundle(blueprint, with_model.then_some(&record))
}

fn blocking(blocked: &[u32]) -> Given<'_> {
    Given {
        blocked,
        ..Given::default()
    }
}

#[test]
fn the_default_takes_over_the_probability_of_what_is_blocked() {
    let with_model = exploring(true);
    check(&with_model, &blocking(&[]), &[0.1, 0.8, 0.1]);
    check(&with_model, &blocking(&[0]), &[0.0, 0.8, 0.2]);
    check(&with_model, &blocking(&[1]), &[0.1, 0.0, 0.9]);
    check(&with_model, &blocking(&[0, 1]), &[0.0, 0.0, 1.0]);
    let without = exploring(false);
    check(&without, &blocking(&[1]), &[0.1, 0.0, 0.9]);
    // A default that is named among the blocked ones is free all the same.
    check(&with_model, &blocking(&[2]), &[0.1, 0.8, 0.1]);
}

#[test]
fn the_distribution_under_caps_is_what_is_logged_bit_for_bit() {
    let features = features(Some(20.0), Some("Oslo"), None);
    let (blueprint, record) = choice(Policy::Softmax { temperature: 0.7 });
    for bundle in [
        exploring(true),
        exploring(false),
        bundle(blueprint.clone(), Some(&record)),
        bundle(blueprint, None),
    ] {
        for blocked in [&[][..], &[0], &[1], &[0, 1], &[1, 0], &[2], &[7]] {
            let mut scratch = Scratch::new();
            let of_each = probabilities_blocked(&bundle, &features, blocked, &mut scratch);
            let of_each = of_each.unwrap().to_vec();
            assert!((of_each.iter().sum::<f64>() - 1.0).abs() < 1e-15, "{of_each:?}");
            let mut seen = [false; 3];
            for id in 0..500 {
                let decision = decided(&bundle, &blocking(blocked), &id.to_string(), &mut scratch);
                let Chosen::Action(action_idx) = decision.chosen else {
                    panic!("an action is chosen")
                };
                assert_eq!(decision.propensity.to_bits(), of_each[action_idx].to_bits());
                seen[action_idx] = true;
            }
            let possible: Vec<bool> = of_each.iter().map(|probability| *probability > 0.0).collect();
            assert_eq!(seen.to_vec(), possible, "{blocked:?}: {of_each:?}");
        }
    }
}

#[test]
fn a_threshold_that_is_blocked_says_no() {
    let (blueprint, record) = threshold();
    let bundle = bundle(blueprint, Some(&record));
    let mut scratch = Scratch::new();
    let free = decided(&bundle, &blocking(&[]), "d", &mut scratch);
    assert_eq!(
        (free.action(&bundle), free.reason),
        (Some("yes"), DecisionReason::Exploit)
    );
    let scores = free.scores.to_vec();
    let capped = decided(&bundle, &blocking(&[1]), "d", &mut scratch);
    assert_eq!(
        (capped.action(&bundle), capped.reason),
        (Some("no"), DecisionReason::Capped)
    );
    assert_eq!((capped.propensity, capped.scores), (1.0, scores.as_slice()));
}

#[test]
fn the_reason_is_capped_where_the_drawn_action_was_blocked_only() {
    let bundle = exploring(true);
    let mut scratch = Scratch::new();
    for id in 0..1000 {
        let id = id.to_string();
        let free = decided(&bundle, &blocking(&[]), &id, &mut scratch);
        let Chosen::Action(free_idx) = free.chosen else {
            panic!("an action is chosen")
        };
        let free_reason = free.reason;
        let capped = decided(&bundle, &blocking(&[1]), &id, &mut scratch);
        let expected = match free_idx {
            1 => (Chosen::Action(2), DecisionReason::Capped),
            _ => (Chosen::Action(free_idx), free_reason),
        };
        assert_eq!((capped.chosen, capped.reason), expected);
    }
}

fn climbing(around: Around, with_model: bool) -> Bundle {
    let (blueprint, record) = choice(Policy::EpsilonGreedy { epsilon: 0.3 });
    let blueprint = Blueprint {
        ladder: Some(Ladder {
            apprentice: Some(ApprenticeStep { after: 1 }),
            exploration: Some(ExplorationStep {
                after: 2,
                around,
                epsilon: 0.6,
            }),
            model: ModelStep { after: 3 },
        }),
        ..blueprint
    };
    bundle(blueprint, with_model.then_some(&record))
}

fn on(step: LadderStep, rule_idx: Option<u32>) -> Given<'static> {
    Given {
        step: Some(step),
        rule_idx,
        blocked: &[],
    }
}

#[test]
fn each_step_of_the_ladder_has_its_own_chooser() {
    for with_model in [false, true] {
        let by_rule = climbing(Around::Rule, with_model);
        check(&by_rule, &on(LadderStep::Default, Some(0)), &[0.0, 0.0, 1.0]);
        check(&by_rule, &on(LadderStep::Apprentice, Some(0)), &[1.0, 0.0, 0.0]);
        check(&by_rule, &on(LadderStep::Apprentice, None), &[0.0, 0.0, 1.0]);
        check(&by_rule, &on(LadderStep::Exploration, Some(0)), &[0.6, 0.2, 0.2]);
        check(&by_rule, &on(LadderStep::Exploration, None), &[0.2, 0.2, 0.6]);
        let by_default = climbing(Around::Default, with_model);
        check(&by_default, &on(LadderStep::Exploration, Some(0)), &[0.2, 0.2, 0.6]);
        let capped = Given {
            blocked: &[0],
            ..on(LadderStep::Exploration, Some(0))
        };
        check(&by_rule, &capped, &[0.0, 0.2, 0.8]);
        // The rule is the caller's: an apprentice never changes it.
        let ruled = Given {
            blocked: &[0, 1],
            ..on(LadderStep::Apprentice, Some(0))
        };
        check(&by_rule, &ruled, &[1.0, 0.0, 0.0]);
    }
    check(
        &climbing(Around::Rule, true),
        &on(LadderStep::Model, Some(0)),
        &[0.1, 0.8, 0.1],
    );
}

#[test]
fn the_models_choice_is_noted_where_something_else_decides() {
    let bundle = climbing(Around::Rule, true);
    let mut scratch = Scratch::new();
    let ruled = decided(&bundle, &on(LadderStep::Apprentice, Some(0)), "d", &mut scratch);
    assert_eq!(
        (ruled.action(&bundle), ruled.reason),
        (Some("ramen"), DecisionReason::Apprentice)
    );
    assert_eq!((ruled.model_action, ruled.scores.len()), (Some(1), 3));
    let model = decided(&bundle, &on(LadderStep::Model, Some(0)), "d", &mut scratch);
    assert_eq!(model.model_action, None);
    let untaught = climbing(Around::Rule, false);
    let ruled = decided(&untaught, &on(LadderStep::Apprentice, Some(0)), "d", &mut scratch);
    assert_eq!((ruled.model_action, ruled.scores.len()), (None, 0));
}

fn logged(bundle: &Bundle, given: &Given<'_>, id: &str) -> DecisionRecord {
    let mut scratch = Scratch::new();
    let decision = decided(bundle, given, id, &mut scratch);
    let asked = Asked {
        decision_id: DecisionId::new(id).unwrap(),
        unit: UnitId::new("guest-1").unwrap(),
        event_time: 1,
        received_at: 2,
        features: features(Some(20.0), Some("Oslo"), None),
        feature_versions: Vec::new(),
        candidates: Vec::new(),
    };
    record_given(bundle, asked, given, &decision)
}

#[test]
fn what_was_decided_under_caps_and_on_a_step_is_decided_again() {
    let bundle = climbing(Around::Rule, true);
    let steps = LadderStep::ALL.map(Some).into_iter().chain([None]);
    for step in steps {
        for blocked in [&[][..], &[0], &[1], &[0, 1]] {
            for rule_idx in [None, Some(0), Some(2)] {
                let given = Given {
                    blocked,
                    step,
                    rule_idx,
                };
                for id in 0..50 {
                    let record = logged(&bundle, &given, &format!("d-{id}"));
                    assert_eq!(replay(&record, &bundle), Replay::Same, "{given:?}");
                }
            }
        }
    }
}

#[test]
fn a_record_whose_conditions_do_not_hold_is_told_apart() {
    let bundle = exploring(true);
    let record = logged(&bundle, &blocking(&[0]), "d-1");
    assert_eq!(record.conditions.blocked, ["ramen"]);
    let field = |record: &DecisionRecord| match replay(record, &bundle) {
        Replay::Differs { field, .. } => field,
        other => panic!("{other:?}"),
    };
    let mut other = record.clone();
    other.conditions.blocked = vec!["tacos".into()];
    assert!(["choice", "propensity"].contains(&field(&other)));
    other.conditions.blocked = vec!["ramen".into(), "soup".into()];
    assert_eq!(field(&other), "conditions");
    let mut other = record;
    other.conditions.model_action = Some("ramen".into());
    assert_eq!(field(&other), "conditions");
}

#[test]
fn numbers_are_not_capped() {
    let blueprint = blueprint(number(7.5), OutcomeType::Number, Policy::Greedy);
    let mut scratch = Scratch::new();
    let bundle = bundle(blueprint, None);
    let decision = decided(&bundle, &blocking(&[0]), "d", &mut scratch);
    assert_eq!(
        (decision.chosen, decision.reason),
        (Chosen::Number(7.5), DecisionReason::NoModel)
    );
}
