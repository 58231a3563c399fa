//! What is chosen, why, and with which propensity, for every kind of decision.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lakeloop_decide::{Bundle, Chosen, Decision, Model, ScoreError, Scratch, TechniqueChoice, decide, decide_served};
use lakeloop_domain::{Calibration, DecisionReason, Features, OutcomeType, Policy, ValueRef};
use support::*;

/// Decides and compares: what was chosen (a word or a number), the scores to 1e-6, the propensity and the reason.
#[track_caller]
fn check(bundle: &Bundle, features: &Features, chosen: &str, scores: &[f64], propensity: f64, reason: DecisionReason) {
    let mut scratch = Scratch::new();
    let decision = decide(bundle, features, "d-1", &mut scratch);
    check_served(bundle, features, &decision);
    let found = match decision.chosen {
        Chosen::Action(_) => decision.action(bundle).unwrap().to_owned(),
        Chosen::Number(number) => number.to_string(),
        Chosen::Ranking { order, .. } => format!("{order:?}"),
    };
    assert_eq!(
        (found.as_str(), decision.reason, decision.propensity),
        (chosen, reason, propensity)
    );
    let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
    assert_eq!(decision.scores.len(), scores.len());
    assert!(
        decision.scores.iter().zip(scores).all(close),
        "{:?} instead of {scores:?}",
        decision.scores
    );
}

/// Values in served order give the same decision, bit for bit.
#[track_caller]
fn check_served(bundle: &Bundle, features: &Features, by_name: &Decision<'_>) {
    let value = |name: &str| {
        let feature = features.iter().find(|feature| *feature.name == *name);
        ValueRef::from(&feature.unwrap().value)
    };
    let values: Vec<ValueRef<'_>> = bundle.served().map(|(name, _)| value(name)).collect();
    let mut scratch = Scratch::new();
    let served = decide_served(bundle, &values, "d-1", &mut scratch);
    // Texts, because a score that is NaN equals itself.
    assert_eq!(format!("{served:?}"), format!("{by_name:?}"));
    let bits = |decision: &Decision<'_>| decision.scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&served), bits(by_name));
}

use DecisionReason::{Exploit, Explore, Fallback, NoModel};

fn young() -> Features {
    features(Some(20.0), Some("Oslo"), None)
}

fn old() -> Features {
    features(Some(70.0), Some("Lima"), Some(true))
}

#[test]
fn a_threshold_compares_the_calibrated_probability() {
    let (blueprint, mut record) = threshold();
    let plain = bundle(blueprint.clone(), Some(&record));
    check(&plain, &young(), "yes", &[0.8807970779778823], 1.0, Exploit);
    check(&plain, &old(), "no", &[0.2689414213699951], 1.0, Exploit);
    check(
        &plain,
        &features(None, None, None),
        "yes",
        &[0.8807970779778823],
        1.0,
        Exploit,
    );

    // log-odds 2 and −1 become −0.5 and 1: 1 / (1 + e^0.5) and 1 / (1 + e^−1)
    record.calibration = Calibration::Platt {
        slope: -0.5,
        intercept: 0.5,
    };
    let turned = bundle(blueprint.clone(), Some(&record));
    check(&turned, &young(), "no", &[0.3775406687981454], 1.0, Exploit);
    check(&turned, &old(), "yes", &[0.7310585786300049], 1.0, Exploit);

    // Knots at 0.25 and 0.75: beyond them the curve is level.
    record.calibration = Calibration::Isotonic {
        raw: vec![0.25, 0.75],
        calibrated: vec![0.125, 0.375],
    };
    let drawn_back = bundle(blueprint, Some(&record));
    check(&drawn_back, &young(), "no", &[0.375], 1.0, Exploit);
    check(
        &drawn_back,
        &old(),
        "no",
        &[0.125 + (0.2689414213699951 - 0.25) / 0.5 * 0.25],
        1.0,
        Exploit,
    );
}

#[test]
fn greedy_scores_each_action_and_takes_the_first_of_the_best() {
    let (blueprint, record) = choice(Policy::Greedy);
    let bundle = bundle(blueprint, Some(&record));
    check(&bundle, &young(), "tacos", &[1.0, 2.0, 2.0], 1.0, Exploit);
    check(&bundle, &old(), "tacos", &[1.5, 2.5, 2.5], 1.0, Exploit);
}

#[test]
fn an_action_that_the_model_does_not_know_is_scored_as_a_missing_one() {
    let (blueprint, mut record) = choice(Policy::Greedy);
    record.encoding = encoding(Some(&["ramen", "tacos"]));
    let bundle = bundle(blueprint, Some(&record));
    check(&bundle, &young(), "tacos", &[1.0, 2.0, 1.0], 1.0, Exploit);
}

#[test]
fn epsilon_greedy_says_whether_it_explored() {
    // Draw 0 of this salt and `d-1` decides. It is read here once, so that both sides of it are seen.
    let (blueprint, record) = choice(Policy::EpsilonGreedy { epsilon: 0.5 });
    let draw = lakeloop_decide::draw(bundle(blueprint, None).salt(), "d-1", 0);
    let action_draw = lakeloop_decide::draw(&format!("dinner:{}", applied(threshold().0).version), "d-1", 1);
    let drawn = MENU[(action_draw * 3.0) as usize];
    assert_ne!(drawn, "tacos", "the drawn action should differ from the best one");

    let below = bundle(choice(Policy::EpsilonGreedy { epsilon: draw }).0, Some(&record));
    check(
        &below,
        &young(),
        "tacos",
        &[1.0, 2.0, 2.0],
        (1.0 - draw) + draw / 3.0,
        Exploit,
    );
    let epsilon = draw + f64::EPSILON;
    let above = bundle(choice(Policy::EpsilonGreedy { epsilon }).0, Some(&record));
    check(&above, &young(), drawn, &[1.0, 2.0, 2.0], epsilon / 3.0, Explore);
}

#[test]
fn yes_no_decisions_can_score_both_answers() {
    let blueprint = blueprint(yes_no(true), OutcomeType::YesNo, Policy::Greedy);
    let trees = artifact("binary:logistic", 3, &[&[Stump(2, 0.5, 1.0, 0.0)]]);
    let record = model_record(&blueprint, encoding(Some(&["no", "yes"])), trees);
    let bundle = bundle(blueprint, Some(&record));
    check(&bundle, &young(), "no", &[0.7310585786300049, 0.5], 1.0, Exploit);
}

#[test]
fn class_probabilities_choose_the_likeliest_action() {
    let blueprint = blueprint(menu("ramen"), OutcomeType::Category, Policy::Greedy);
    let outputs: [&[Stump]; 3] = [
        &[Stump(1, 30.0, 0.0, 1.0)],
        &[Stump(1, 30.0, 2.0, 0.0)],
        &[Stump(1, 30.0, 1.0, 2.0)],
    ];
    let record = model_record(&blueprint, encoding(None), artifact("multi:softprob", 2, &outputs));
    let bundle = bundle(blueprint, Some(&record));
    // softmax(0, 2, 1) and softmax(1, 0, 2)
    check(
        &bundle,
        &young(),
        "tacos",
        &[0.0900305731703805, 0.6652409557748219, 0.2447284710547977],
        1.0,
        Exploit,
    );
    check(
        &bundle,
        &old(),
        "pho",
        &[0.2447284710547977, 0.0900305731703805, 0.6652409557748219],
        1.0,
        Exploit,
    );
}

#[test]
fn a_number_is_the_models_prediction() {
    let blueprint = blueprint(number(7.5), OutcomeType::Number, Policy::Greedy);
    let trees = artifact("reg:squarederror", 2, &[&[Stump(1, 30.0, 0.25, -4.0)]]);
    let record = model_record(&blueprint, encoding(None), trees);
    let with_model = bundle(blueprint.clone(), Some(&record));
    check(&with_model, &young(), "0.25", &[0.25], 1.0, Exploit);
    check(&with_model, &old(), "-4", &[-4.0], 1.0, Exploit);
    check(&bundle(blueprint, None), &old(), "7.5", &[], 1.0, NoModel);
}

#[test]
fn without_a_model_the_default_is_returned() {
    for (blueprint, chosen) in [
        (
            blueprint(yes_no(true), OutcomeType::YesNo, Policy::Threshold { at: 0.5 }),
            "yes",
        ),
        (
            blueprint(yes_no(false), OutcomeType::YesNo, Policy::Threshold { at: 0.5 }),
            "no",
        ),
        (blueprint(menu("pho"), OutcomeType::Number, Policy::Greedy), "pho"),
    ] {
        check(&bundle(blueprint, None), &young(), chosen, &[], 1.0, NoModel);
    }
    let unexploring = blueprint(menu("pho"), OutcomeType::Number, Policy::EpsilonGreedy { epsilon: 0.0 });
    check(&bundle(unexploring, None), &young(), "pho", &[], 1.0, NoModel);
}

#[test]
fn without_a_model_epsilon_greedy_explores_from_the_first_decision() {
    let always = blueprint(menu("pho"), OutcomeType::Number, Policy::EpsilonGreedy { epsilon: 1.0 });
    let bundle = bundle(always, None);
    let mut scratch = Scratch::new();
    for decision_id in 0..100 {
        let decision = decide(&bundle, &young(), &decision_id.to_string(), &mut scratch);
        assert_eq!((decision.reason, decision.propensity), (Explore, 1.0 / 3.0));
    }
}

#[test]
fn a_score_that_is_no_number_falls_back_to_the_default() {
    // Two leaves of 3e38 add up to an infinite f32.
    let infinite = |n_features| {
        artifact(
            "reg:squarederror",
            n_features,
            &[&[Stump(1, 30.0, 3e38, 0.0), Stump(1, 30.0, 3e38, 1.0)]],
        )
    };
    let (blueprint, mut record) = choice(Policy::EpsilonGreedy { epsilon: 1.0 });
    record.artifact = infinite(3);
    let choosing = bundle(blueprint, Some(&record));
    check(&choosing, &young(), "pho", &[], 1.0, Fallback);
    let mut scratch = Scratch::new();
    let failure = decide(&choosing, &young(), "d-1", &mut scratch).failure;
    assert_eq!(
        failure,
        Some(ScoreError::NotFinite {
            score_idx: 0,
            found: f64::INFINITY
        })
    );
    let sound = decide(&choosing, &old(), "d-1", &mut scratch);
    assert_eq!((sound.reason, sound.failure), (Explore, None));

    let blueprint = support::blueprint(number(7.5), OutcomeType::Number, Policy::Greedy);
    let record = model_record(&blueprint, encoding(None), infinite(2));
    check(&bundle(blueprint, Some(&record)), &young(), "7.5", &[], 1.0, Fallback);
}

#[test]
fn the_order_of_features_does_not_matter() {
    let (blueprint, record) = choice(Policy::Greedy);
    let bundle = bundle(blueprint, Some(&record));
    let mut reversed = old();
    reversed.reverse();
    check(&bundle, &reversed, "tacos", &[1.5, 2.5, 2.5], 1.0, Exploit);
}

#[test]
fn a_measured_choice_of_technique_asks_the_clock_and_changes_no_bit() {
    let (_, record) = choice(Policy::Greedy);
    let mut n_asked = 0;
    let mut clock = || {
        n_asked += 1;
        n_asked
    };
    let measured = Model::from_record_by(&record, TechniqueChoice::Measured(&mut clock)).unwrap();
    assert!(n_asked > 0);
    let estimated = Model::from_record(&record).unwrap();
    let (mut of_measured, mut of_estimated) = (Scratch::new(), Scratch::new());
    for features in [young(), old()] {
        for action in [Some("ramen"), Some("pho"), None] {
            let bits = |scores: &[f64]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                bits(measured.score_features(&features, action, &mut of_measured).unwrap()),
                bits(estimated.score_features(&features, action, &mut of_estimated).unwrap()),
            );
        }
    }
}

#[test]
fn scoring_rows_is_scoring_features() {
    let (_, record) = choice(Policy::Greedy);
    let model = Model::from_record(&record).unwrap();
    let mut scratch = Scratch::new();
    let mut rows = Vec::new();
    let mut expected = Vec::new();
    for features in [young(), old()] {
        for action in [Some("ramen"), Some("pho"), Some("cake"), None] {
            let mut row = [0.0; 3];
            model.encoder().encode_into(&features, action, &mut row).unwrap();
            rows.extend(row);
            expected.extend_from_slice(model.score_features(&features, action, &mut scratch).unwrap());
        }
    }
    assert_eq!(model.score_rows(&rows, &mut scratch).unwrap(), expected);
    assert!(matches!(
        model.score_rows(&rows[1..], &mut scratch),
        Err(ScoreError::Shape(_))
    ));
}
