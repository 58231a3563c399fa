//! Predictions against libxgboost's own, for models of ten versions of it; `golden/make_golden.py` made them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use lakeloop_trees::{Choice, Ensemble, Objective, Technique};
use serde::Deserialize;

/// What libxgboost said. A missing value is null.
#[derive(Deserialize)]
struct Expected {
    rows: Vec<Vec<Option<f32>>>,
    margins: Vec<Vec<f32>>,
    predictions: Vec<Vec<f32>>,
}

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)
}

/// Both formats of a case, those that are there, by the default choice and by each technique.
fn models(case: &str) -> Vec<Ensemble> {
    let files = ["json", "ubj"].map(|extension| golden(&format!("{case}.{extension}")));
    let mut ensembles = Vec::new();
    for file in files.iter().filter(|file| file.exists()) {
        let model = std::fs::read(file).unwrap();
        let techniques = Technique::available().into_iter().map(Choice::Only);
        for choice in std::iter::once(Choice::Estimated).chain(techniques) {
            ensembles.push(Ensemble::from_bytes_by(&model, choice).unwrap_or_else(|e| panic!("{file:?}: {e:?}")));
        }
    }
    assert!(!ensembles.is_empty(), "no model of {case}");
    ensembles
}

/// How margins must agree.
#[derive(Clone, Copy, PartialEq)]
enum Margins {
    Equal,
    /// XGBoost before 1.3 added the base score after the leaves, not before them, which rounds otherwise.
    Close,
}

/// Margins must be equal bit for bit, predictions within 1e-6.
fn check(case: &str, objective: Objective, n_outputs: usize) {
    check_margins(case, objective, n_outputs, Margins::Equal);
}

fn check_margins(case: &str, objective: Objective, n_outputs: usize, agreement: Margins) {
    let expected: Expected =
        serde_json::from_slice(&std::fs::read(golden(&format!("{case}.expected.json"))).unwrap()).unwrap();
    let rows: Vec<f32> = expected
        .rows
        .concat()
        .into_iter()
        .map(|value| value.unwrap_or(f32::NAN))
        .collect();
    for ensemble in models(case) {
        assert_eq!(
            (ensemble.objective(), ensemble.n_outputs(), ensemble.n_features()),
            (objective, n_outputs, 5)
        );
        let mut out = vec![0.0; expected.rows.len() * n_outputs];

        ensemble.margins_into(&rows, &mut out).unwrap();
        check_close(case, &out, &expected.margins.concat());
        assert!(
            agreement == Margins::Close || bits(&out) == bits(&expected.margins.concat()),
            "margins of {case}"
        );

        ensemble.predict_into(&rows, &mut out).unwrap();
        check_close(case, &out, &expected.predictions.concat());
        check_row_by_row(&ensemble, &rows, &out);
    }
}

fn check_version(case: &str, version: &str, objective: Objective, n_outputs: usize) {
    let agreement = if version == "1_0" {
        Margins::Close
    } else {
        Margins::Equal
    };
    check_margins(&format!("{case}_{version}"), objective, n_outputs, agreement);
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Within 1e-6, relative to values above 1.
fn check_close(case: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let bound = 1e-6 * expected.abs().max(1.0);
        assert!(
            (found - expected).abs() <= bound,
            "{case}: {found} is not within {bound} of {expected}"
        );
    }
}

/// A row alone gives what it gives among others.
fn check_row_by_row(ensemble: &Ensemble, rows: &[f32], together: &[f32]) {
    let mut out = vec![0.0; ensemble.n_outputs()];
    for (row, expected) in rows
        .chunks(ensemble.n_features())
        .zip(together.chunks(ensemble.n_outputs()))
    {
        ensemble.predict_into(row, &mut out).unwrap();
        assert_eq!(bits(&out), bits(expected));
    }
}

#[test]
fn yes_and_no() {
    check("binary_logistic", Objective::BinaryLogistic, 1);
    check("binary_logitraw", Objective::BinaryLogitRaw, 1);
    check("binary_hinge", Objective::BinaryHinge, 1);
    check("reg_logistic", Objective::RegLogistic, 1);
}

#[test]
fn numbers() {
    check("reg_squarederror", Objective::RegSquaredError, 1);
    check("reg_absoluteerror", Objective::RegAbsoluteError, 1);
    check("reg_squaredlogerror", Objective::RegSquaredLogError, 1);
    check("reg_pseudohubererror", Objective::RegPseudoHuberError, 1);
}

#[test]
fn positive_numbers() {
    check("reg_gamma", Objective::RegGamma, 1);
    check("reg_tweedie", Objective::RegTweedie, 1);
    check("count_poisson", Objective::CountPoisson, 1);
}

#[test]
fn classes() {
    check("multi_softprob", Objective::MultiSoftprob, 3);
    check("multi_softmax", Objective::MultiSoftmax, 3);
}

#[test]
fn quantiles_in_order() {
    check("quantile_one", Objective::RegQuantileError, 1);
    check("quantile_two", Objective::RegQuantileError, 2);
    check("quantile_crossing", Objective::RegQuantileError, 3);
}

#[test]
fn rankings() {
    check("rank_ndcg", Objective::RankNdcg, 1);
    check("rank_map", Objective::RankMap, 1);
    check("rank_pairwise", Objective::RankPairwise, 1);
}

#[test]
fn times_until_an_event() {
    check("survival_aft", Objective::SurvivalAft, 1);
    check("survival_cox", Objective::SurvivalCox, 1);
}

/// With codes that training never saw, missing ones, fractions, and numbers that are no codes.
#[test]
fn categories() {
    check("categorical_onehot", Objective::RegSquaredError, 1);
    check("categorical_partition", Objective::RegSquaredError, 1);
}

#[test]
fn several_targets() {
    check("two_targets", Objective::RegSquaredError, 2);
}

#[test]
fn other_ways_to_grow() {
    check("dart", Objective::BinaryLogistic, 1);
    check("forest", Objective::BinaryLogistic, 1);
    check("leaf_wise", Objective::RegSquaredError, 1);
    check("pruned", Objective::RegSquaredError, 1);
    check("no_rounds", Objective::CountPoisson, 1);
}

#[test]
fn infinite_thresholds() {
    check("missing_split", Objective::RegSquaredError, 1);
}

#[test]
fn base_scores() {
    check("base_score_given", Objective::BinaryLogistic, 1);
    // All labels are 1, and so is the base score.
    check("base_score_edge", Objective::BinaryLogistic, 1);
}

#[test]
fn models_of_older_versions() {
    for version in ["1_0", "1_3", "1_5", "1_6", "1_7", "2_1", "3_0", "3_1", "3_2"] {
        let check = |case: &str, objective, n_outputs| check_version(case, version, objective, n_outputs);
        check("binary_logistic", Objective::BinaryLogistic, 1);
        check("binary_logitraw", Objective::BinaryLogitRaw, 1);
        check("count_poisson", Objective::CountPoisson, 1);
        check("multi_softprob", Objective::MultiSoftprob, 3);
        check("dart", Objective::BinaryLogistic, 1);
    }
}

#[test]
fn categories_of_older_versions() {
    for version in ["1_5", "1_6", "1_7", "2_1", "3_0", "3_1", "3_2"] {
        check(&format!("categorical_{version}"), Objective::RegSquaredError, 1);
    }
}

#[test]
fn several_outputs_of_older_versions() {
    for version in ["1_6", "1_7", "2_1", "3_0", "3_1", "3_2"] {
        check(&format!("two_targets_{version}"), Objective::RegSquaredError, 2);
    }
    for version in ["2_1", "3_0", "3_1", "3_2"] {
        check(&format!("quantile_{version}"), Objective::RegQuantileError, 2);
    }
}

/// The oldest forms of what later ones count or name differently.
#[test]
fn older_ways_to_grow() {
    for version in ["1_0", "1_3", "1_5", "1_6"] {
        let check = |case: &str, objective, n_outputs| check_version(case, version, objective, n_outputs);
        check("pruned", Objective::RegSquaredError, 1);
        check("rank_pairwise", Objective::RankPairwise, 1);
    }
}
