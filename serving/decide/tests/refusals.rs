//! What does not fit is refused before it decides, by a message that names what to mend.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lakeloop_decide::{Bundle, Model, ModelProblem};
use lakeloop_domain::{
    Blueprint, Calibration, Encoding, FeatureType, LearningTarget, ModelRecord, OutcomeType, Policy, StrategyName,
};
use support::*;

#[track_caller]
fn refused(blueprint: Blueprint, record: Option<&ModelRecord>, message: &str) {
    let model = record.map(|record| Model::from_record(record).unwrap());
    let error = Bundle::new(applied(blueprint), model).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[track_caller]
fn unloadable(record: &ModelRecord, message: &str) {
    let error = Model::from_record(record).unwrap_err();
    assert_eq!(error.to_string(), "model 3 of strategy `dinner` cannot be loaded");
    assert_eq!(error.problem.to_string(), message);
}

#[test]
fn a_model_must_read_features_that_the_blueprint_has() {
    let (blueprint, record) = threshold();
    let renamed = |name: &str, feature_type| ModelRecord {
        encoding: Encoding {
            columns: vec![
                column("city", FeatureType::Category, &[]),
                column(name, feature_type, &[]),
            ],
        },
        ..record.clone()
    };
    refused(
        blueprint.clone(),
        Some(&renamed("height", FeatureType::Number)),
        "strategy `dinner`: model 3 reads the feature `height`, which the blueprint does not declare as one; declare it \
         or train a new model",
    );
    refused(
        blueprint.clone(),
        Some(&renamed("table", FeatureType::Number)),
        "strategy `dinner`: model 3 reads the feature `table`, which the blueprint does not declare as one; declare it \
         or train a new model",
    );
    refused(
        blueprint,
        Some(&renamed("age", FeatureType::Boolean)),
        "strategy `dinner`: model 3 reads the feature `age` as a boolean, the blueprint declares a number; train a new \
         model",
    );
}

#[test]
fn a_model_must_predict_what_the_blueprint_asks_for() {
    let (asked, record) = threshold();
    let mut other = record.clone();
    other.strategy = StrategyName::new("lunch").unwrap();
    refused(
        asked.clone(),
        Some(&other),
        "strategy `dinner`: model 3 belongs to strategy `lunch`",
    );

    let mut regression = record.clone();
    regression.target = LearningTarget::Regression;
    refused(
        asked,
        Some(&regression),
        "strategy `dinner`: model 3 predicts Regression, the blueprint asks for Binary",
    );

    let greedy = blueprint(yes_no(false), OutcomeType::YesNo, Policy::Greedy);
    refused(
        greedy,
        Some(&record),
        "strategy `dinner`: model 3 lacks the action as a feature, the blueprint's policy and outcome ask for a model \
         that has it",
    );

    let classes = blueprint(menu("pho"), OutcomeType::Category, Policy::Greedy);
    let outputs: [&[Stump]; 3] = [&[], &[], &[Stump(0, 0.5, 0.0, 1.0)]];
    let mut reordered = model_record(&classes, encoding(None), artifact("multi:softprob", 2, &outputs));
    reordered.target = LearningTarget::MultiClass {
        classes: ["pho", "ramen", "tacos"].map(String::from).to_vec(),
    };
    refused(
        classes,
        Some(&reordered),
        "strategy `dinner`: model 3 predicts MultiClass { classes: [\"pho\", \"ramen\", \"tacos\"] }, the blueprint asks \
         for MultiClass { classes: [\"ramen\", \"tacos\", \"pho\"] }",
    );
}

#[test]
fn a_policy_must_fit_its_decision() {
    let threshold = |at| Policy::Threshold { at };
    let fits_threshold = "expected a yes/no decision with a yes/no outcome and a threshold between 0 and 1";
    for (decision, outcome, at) in [
        (menu("pho"), OutcomeType::YesNo, 0.5),
        (yes_no(true), OutcomeType::Number, 0.5),
        (number(1.0), OutcomeType::YesNo, 0.5),
        (yes_no(true), OutcomeType::YesNo, 1.5),
    ] {
        let message =
            format!("strategy `dinner`: the policy Threshold {{ at: {at:?} }} does not fit; {fits_threshold}");
        refused(blueprint(decision, outcome, threshold(at)), None, &message);
    }
    let explore = |epsilon| Policy::EpsilonGreedy { epsilon };
    for (decision, epsilon) in [(number(1.0), 0.1), (menu("pho"), -0.1), (menu("pho"), f64::NAN)] {
        let message = format!(
            "strategy `dinner`: the policy EpsilonGreedy {{ epsilon: {epsilon:?} }} does not fit; expected actions or candidates \
             to explore, an epsilon between 0 and 1, and for rankings an outcome that is a number or yes/no"
        );
        refused(
            blueprint(decision, OutcomeType::Number, explore(epsilon)),
            None,
            &message,
        );
    }
}

#[test]
fn a_blueprint_must_have_a_default_and_leave_the_reserved_name() {
    refused(
        blueprint(menu("cake"), OutcomeType::Number, Policy::Greedy),
        None,
        "strategy `dinner`: the default `cake` cannot be chosen; expected one of ramen, tacos, pho",
    );
    refused(
        blueprint(number(f64::NAN), OutcomeType::Number, Policy::Greedy),
        None,
        "strategy `dinner`: the default `NaN` cannot be chosen; expected a finite number",
    );
    let mut reserved = threshold().0;
    reserved.context[0].name = "action".into();
    refused(
        reserved,
        None,
        "strategy `dinner`: a feature is named `action`, which is reserved for the action being scored",
    );
}

#[test]
fn the_parts_of_a_model_must_fit_each_other() {
    let (_, record) = threshold();
    let with = |change: &dyn Fn(&mut ModelRecord)| {
        let mut changed = record.clone();
        change(&mut changed);
        changed
    };
    unloadable(
        &with(&|r| r.encoding.columns.push(column("rain", FeatureType::Boolean, &[]))),
        "its encoding has 3 columns, its ensemble reads 2",
    );
    unloadable(
        &with(&|r| r.action_is_feature = true),
        "it declares action_is_feature = true, and its encoding lacks the column `action`",
    );
    unloadable(
        &with(&|r| r.encoding.columns[1] = column("action", FeatureType::Category, &[])),
        "it declares action_is_feature = false, and its encoding has the column `action`",
    );
    unloadable(
        &with(&|r| r.encoding.columns[1].name = "city".into()),
        "its encoding is not valid",
    );
    unloadable(&with(&|r| r.artifact.truncate(40)), "its artifact cannot serve");
    unloadable(
        &with(&|r| r.artifact = artifact("reg:squarederror", 2, &[&[]])),
        "its objective `reg:squarederror` does not predict a probability",
    );
    unloadable(
        &with(&|r| {
            let classes = vec!["a".into(), "b".into()];
            r.target = LearningTarget::MultiClass { classes };
            r.artifact = artifact("multi:softprob", 2, &[&[], &[], &[]]);
        }),
        "its ensemble has 3 outputs, its target has 2",
    );
    let infinite = Calibration::Platt {
        slope: f64::INFINITY,
        intercept: 0.0,
    };
    unloadable(
        &with(&|r| r.calibration = infinite.clone()),
        "its calibration Platt { slope: inf, intercept: 0.0 } cannot be applied: Platt scaling takes a binary target and \
         finite parameters, an isotonic curve a binary target and knots that rise within [0, 1], a \
         shift a quantile and a finite number",
    );
    let falling = Calibration::Isotonic {
        raw: vec![0.1, 0.5],
        calibrated: vec![0.4, 0.3],
    };
    unloadable(
        &with(&|r| r.calibration = falling.clone()),
        "its calibration Isotonic { raw: [0.1, 0.5], calibrated: [0.4, 0.3] } cannot be applied: Platt scaling takes a binary \
         target and finite parameters, an isotonic curve a binary target and knots that rise within [0, 1], a \
         shift a quantile and a finite number",
    );
}

#[test]
fn columns_must_stand_in_the_order_that_the_ensemble_was_trained_on() {
    let (_, mut record) = threshold();
    let mut model: serde_json::Value = serde_json::from_slice(&record.artifact).unwrap();
    model["learner"]["feature_names"] = serde_json::json!(["age", "city"]);
    record.artifact = serde_json::to_vec(&model).unwrap();
    let problem = Model::from_record(&record).unwrap_err().problem;
    assert!(
        matches!(problem, ModelProblem::ColumnName { column_idx: 0, .. }),
        "{problem}"
    );
    record.encoding.columns.swap(0, 1);
    assert!(Model::from_record(&record).is_ok());
}
