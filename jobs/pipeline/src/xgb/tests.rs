//! What a fit makes of small matrices, against what can be worked out by hand.

use lakeloop_domain::{LearningTarget, Monotone};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use xgb::Booster;

use super::saved::split_of;
use super::trainer::{Fit, patience};
use super::*;
use crate::parameters::Parameters;

fn number_column(name: &str) -> EncodedColumn {
    EncodedColumn {
        name: name.into(),
        feature_type: FeatureType::Number,
        vocabulary: Vec::new(),
    }
}

fn options<'a>(columns: &'a [EncodedColumn], target: &'a LearningTarget) -> TrainerOptions<'a> {
    TrainerOptions {
        columns,
        target,
        n_threads: 1,
        seed: 3,
    }
}

/// Rows that count alike.
fn labelled<'a>(rows: &'a Matrix, labels: &'a [f64]) -> LabelledMatrix<'a> {
    LabelledMatrix {
        rows,
        labels,
        weights: None,
        groups: &[],
    }
}

/// Fits one number column against labels: the first `n_train` rows are fitted on.
fn fit_one(values: &[f32], labels: &[f64], n_train: usize, target: &LearningTarget) -> Fit {
    let parameters = Parameters {
        subsample: 1.0,
        colsample_bytree: 1.0,
        ..Parameters::defaults(target)
    };
    let columns = [number_column("x")];
    let part = |range: std::ops::Range<usize>| Matrix::new(values[range.clone()].to_vec(), range.len());
    let (train, validation) = (part(0..n_train), part(n_train..values.len()));
    let train = labelled(&train, &labels[..n_train]);
    let validation = labelled(&validation, &labels[n_train..]);
    let trainer = Trainer::new(train, validation, &options(&columns, target)).unwrap();
    trainer.fit(&parameters).unwrap()
}

fn predict_one(fit: &Fit, value: f32) -> f32 {
    let predictor = Predictor::load(&fit.artifact, &[number_column("x")]).unwrap();
    predictor.predict(&Matrix::new(vec![value], 1)).unwrap()[0]
}

#[test]
fn a_fit_starts_from_the_mean_of_the_labels() {
    // Nothing can be split, so what remains is where the fit started, and Newton steps of size 0 from there.
    let values = [f32::NAN; 100];
    let labels: Vec<f64> = (0..100).map(|idx| f64::from(u8::from(idx % 5 == 0))).collect();
    let fit = fit_one(&values, &labels, 80, &LearningTarget::Binary);
    assert!((predict_one(&fit, f32::NAN) - 0.2).abs() < 1e-6);
    let labels: Vec<f64> = (0..100).map(|idx| 1000.0 + f64::from(idx % 2)).collect();
    let fit = fit_one(&values, &labels, 80, &LearningTarget::Regression);
    assert!((predict_one(&fit, f32::NAN) - 1000.5).abs() < 1e-3);
}

#[test]
fn a_fit_stops_when_validation_no_longer_improves_and_keeps_the_best_round() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let values: Vec<f32> = (0..600).map(|_| rng.random()).collect();
    let labels: Vec<f64> = (0..600).map(|_| f64::from(u8::from(rng.random_bool(0.5)))).collect();
    let fit = fit_one(&values, &labels, 400, &LearningTarget::Binary);
    assert!(fit.n_rounds_fitted < MAX_ROUNDS, "noise was fitted for all rounds");
    assert_eq!(fit.n_rounds_fitted, fit.n_rounds + patience(0.1));
    let kept = Booster::load_buffer(&fit.artifact).unwrap();
    let trees = kept.dump_model_vec(false).unwrap().len();
    assert_eq!(trees as u32, fit.n_rounds);

    let line: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
    let learned = fit_one(&values, &line, 400, &LearningTarget::Regression);
    assert!(learned.n_rounds > fit.n_rounds, "a line takes more rounds than noise");
    assert!((predict_one(&learned, 0.5) - 0.5).abs() < 0.05);
}

#[test]
fn importance_is_that_of_the_columns_that_are_used() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let category = EncodedColumn {
        feature_type: FeatureType::Category,
        vocabulary: vec!["a".into(), "b".into(), "c".into()],
        ..number_column("city")
    };
    let columns = [number_column("x"), category, number_column("idle")];
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for row_idx in 0..600_u16 {
        let (x, city) = (rng.random::<f32>(), f32::from(row_idx % 3));
        values.extend([x, city, 1.0]);
        labels.push(f64::from(2.0 * x + if city == 1.0 { 1.0 } else { 0.0 }));
    }
    let rows = Matrix::new(values, 600);
    let part = labelled(&rows, &labels);
    let options = TrainerOptions {
        columns: &columns,
        target: &LearningTarget::Regression,
        n_threads: 1,
        seed: 3,
    };
    let trainer = Trainer::new(part, part, &options).unwrap();
    let fit = trainer.fit(&Parameters::defaults(options.target)).unwrap();
    let predictor = Predictor::load(&fit.artifact, &columns).unwrap();
    let gains = predictor.gains().unwrap();
    assert!((gains[0] + gains[1] - 1.0).abs() < 1e-9 && gains[2] == 0.0, "{gains:?}");
    assert!(gains[0] > 0.3 && gains[1] > 0.2, "{gains:?}");
    // Of 2x, with x even on [0, 1], the SHAP value is 2x − 1: 1/2 in the mean. Of one city in three that is worth 1 it is 2/3
    // there and −1/3 elsewhere: 4/9 in the mean.
    let shap = predictor.mean_shap(&rows).unwrap();
    assert!(
        (shap[0] - 0.5).abs() < 0.04 && (shap[1] - 4.0 / 9.0).abs() < 0.04 && shap[2] == 0.0,
        "{shap:?}"
    );
}

#[test]
fn a_line_of_a_dumped_tree_names_column_and_gain() {
    assert_eq!(
        split_of("0:[x<0.5] yes=1,no=2,missing=1,gain=3.5,cover=80"),
        Some(("x", 3.5))
    );
    assert_eq!(
        split_of("\t2:[city:{0,2}] yes=5,no=6,missing=6,gain=0.25,cover=8"),
        Some(("city", 0.25))
    );
    assert_eq!(split_of("\t\t3:leaf=0.1,cover=4"), None);
}

#[test]
fn errors_say_what_was_being_done_in_one_line() {
    let error = Predictor::load(b"no model", &[]).err().unwrap().to_string();
    assert!(
        error.starts_with("libxgboost could not load the saved model: "),
        "{error}"
    );
    assert!(!error.contains('\n'), "{error}");
    let huge = fit_error();
    assert!(huge.contains("round 0"), "{huge}");
}

/// Labels beyond single precision make the loss infinite.
fn fit_error() -> String {
    let columns = [number_column("x")];
    let target = LearningTarget::Regression;
    let rows = Matrix::new((0..20u8).map(f32::from).collect(), 20);
    let labels: Vec<f64> = (0..20).map(|idx| if idx % 2 == 0 { 3e38 } else { -3e38 }).collect();
    let part = labelled(&rows, &labels);
    let trainer = Trainer::new(part, part, &options(&columns, &target)).unwrap();
    let failed = trainer.fit(&Parameters::defaults(&target));
    failed.err().unwrap().to_string()
}

#[test]
fn a_row_counts_as_often_as_its_weight_says() {
    // Nothing can be split: what is left is the weighted mean of the labels, 1.8 / (1.8 + 0.2).
    let rows = Matrix::new(vec![f32::NAN; 100], 100);
    let labels: Vec<f64> = (0..100).map(|idx| f64::from(u8::from(idx % 2 == 0))).collect();
    let weights: Vec<f64> = labels
        .iter()
        .map(|label| if *label == 1.0 { 1.8 } else { 0.2 })
        .collect();
    let columns = [number_column("x")];
    for (target, weights, expected) in [
        (LearningTarget::Binary, Some(weights.as_slice()), 0.9),
        (LearningTarget::Binary, None, 0.5),
        (LearningTarget::Regression, Some(weights.as_slice()), 0.9),
    ] {
        let options = TrainerOptions {
            columns: &columns,
            target: &target,
            n_threads: 1,
            seed: 3,
        };
        let part = LabelledMatrix {
            rows: &rows,
            labels: &labels,
            weights,
            groups: &[],
        };
        let trainer = Trainer::new(part, part, &options).unwrap();
        let fit = trainer.fit(&Parameters::defaults(&target)).unwrap();
        let found = predict_one(&fit, f32::NAN);
        assert!((found - expected).abs() < 1e-3, "{target:?}: {found} is not {expected}");
    }
}

#[test]
fn a_fit_that_pauses_ends_as_one_that_does_not() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let values: Vec<f32> = (0..400).map(|_| rng.random()).collect();
    let labels: Vec<f64> = values.iter().map(|value| f64::from(*value).sin()).collect();
    let (columns, target) = ([number_column("x")], LearningTarget::Regression);
    let rows = Matrix::new(values, 400);
    let part = labelled(&rows, &labels);
    let trainer = Trainer::new(part, part, &options(&columns, &target)).unwrap();
    let parameters = Parameters::defaults(&target);
    let mut paused = trainer.begin(&parameters).unwrap();
    for n_rounds in [1, 7, 30] {
        assert_eq!(paused.go_on(n_rounds, &|| false).unwrap(), Stand::Paused);
    }
    let mut straight = trainer.begin(&parameters).unwrap();
    straight.go_on(30, &|| false).unwrap();
    assert_eq!(paused.artifact(30).unwrap(), straight.artifact(30).unwrap());
    assert_eq!(straight.go_on(60, &|| true).unwrap(), Stand::Ended);
    assert_eq!(straight.n_rounds(), 30);
    let artifact = straight.artifact(30).unwrap();
    assert_eq!(cut_saved(&artifact, 10).unwrap(), straight.artifact(10).unwrap());
    assert!(cut_saved(&artifact, 31).is_err());
}

#[test]
fn a_monotone_column_never_moves_the_score_the_other_way() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let values: Vec<f32> = (0..600).map(|_| rng.random()).collect();
    // A wave: what goes down again must not be learned.
    let labels: Vec<f64> = values.iter().map(|value| (f64::from(*value) * 9.0).sin()).collect();
    let (columns, target) = ([number_column("x")], LearningTarget::Regression);
    let monotone = [("x".into(), Monotone::Increasing)];
    let rows = Matrix::new(values, 600);
    let part = labelled(&rows, &labels);
    let trainer = Trainer::new(part, part, &options(&columns, &target)).unwrap();
    let trainer = trainer.constrained(&columns, &monotone);
    let fit = trainer.fit(&Parameters::defaults(&target)).unwrap();
    let grid = Matrix::new((0..=100u8).map(|step| f32::from(step) / 100.0).collect(), 101);
    let predictor = Predictor::load(&fit.artifact, &columns).unwrap();
    let predicted = predictor.predict(&grid).unwrap();
    assert!(predicted.windows(2).all(|pair| pair[1] >= pair[0]), "{predicted:?}");
    assert!(predicted[100] > predicted[0]);
}

#[test]
fn quantiles_and_amounts_are_learned_as_such() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let values: Vec<f32> = vec![1.0; 4_000];
    let labels: Vec<f64> = (0..4_000).map(|_| rng.random_range(0.0..10.0)).collect();
    for quantile in [0.1, 0.5, 0.9] {
        let fit = fit_one(&values, &labels, 3_000, &LearningTarget::Quantile { quantile });
        let found = f64::from(predict_one(&fit, 1.0));
        assert!((found - 10.0 * quantile).abs() < 0.3, "quantile {quantile} is {found}");
    }
    for power in [1.5, 2.0] {
        let fit = fit_one(&values, &labels, 3_000, &LearningTarget::Amount { power });
        let found = predict_one(&fit, 1.0);
        assert!((found - 5.0).abs() < 0.2, "the mean by power {power} is {found}");
    }
}
