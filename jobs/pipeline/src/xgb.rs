//! Fits and evaluates gradient-boosted trees with libxgboost: the only file that touches it.
//!
//! libxgboost keeps its objects in memory of its own and reports failures as text, so everything here is made, used
//! and dropped within one blocking call on one thread; only plain numbers and bytes come out. Parameters are set by
//! name: the binding's own parameter types always send a base score of 0.5, which is taken back here so that
//! libxgboost starts from the mean of the labels.
//!
//! A fit is a function of matrix, parameters, seed and thread count. The thread count matters because partial sums of
//! gradients are added in the order of the threads' blocks.

use std::time::Instant;

use lakeloop_domain::{EncodedColumn, FeatureType, LearningTarget};
use xgb::parameters::BoosterParameters;
use xgb::{Booster, DMatrix, XGBError};

use crate::matrix::Matrix;
use crate::parameters::Parameters;

/// Rounds of boosting that are fitted at most. With early stopping only tiny learning rates come near.
pub(crate) const MAX_ROUNDS: u32 = 400;

/// A fit stops when the validation loss has not improved for this many rounds.
pub(crate) const PATIENCE_ROUNDS: u32 = 20;

/// Why libxgboost could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XgbError {
    /// A call failed.
    #[error("libxgboost could not {doing}: {}", first_line(source))]
    Call {
        /// What was being done.
        doing: &'static str,
        /// What libxgboost said.
        source: XGBError,
    },
    /// The evaluation did not name the metric that was asked for.
    #[error("libxgboost's evaluation of round {round} holds no `{metric}`")]
    NoMetric {
        /// The round.
        round: u32,
        /// The metric.
        metric: &'static str,
    },
    /// The loss is not a number: the fit went astray.
    #[error("the validation {metric} of round {round} is {found}; the labels are too large or the fit diverged")]
    NotFinite {
        /// The round.
        round: u32,
        /// The metric.
        metric: &'static str,
        /// The value.
        found: f32,
    },
}

/// libxgboost appends a stack trace to its message; only the message is of use.
fn first_line(error: &XGBError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn call(doing: &'static str) -> impl FnOnce(XGBError) -> XgbError {
    move |source| XgbError::Call { doing, source }
}

/// A model as fitted, cut to its best round.
pub(crate) struct Fit {
    /// The model in XGBoost's UBJSON form.
    pub artifact: Vec<u8>,
    /// The rounds it keeps.
    pub n_rounds: u32,
    /// The rounds that were fitted before it stopped.
    pub n_rounds_fitted: u32,
    /// Wall-clock seconds of the fit times its threads: an upper bound of the processor time it used.
    pub cpu_seconds: f64,
}

/// Training and validation rows inside libxgboost, shared by the fits of one thread.
pub(crate) struct Trainer {
    train: DMatrix,
    validation: DMatrix,
    names: Vec<String>,
    types: Vec<&'static str>,
    target: LearningTarget,
    n_threads: u32,
    seed: u64,
}

/// What all fits of a search have in common.
pub(crate) struct TrainerOptions<'a> {
    /// The columns of both matrices.
    pub columns: &'a [EncodedColumn],
    /// What is predicted.
    pub target: &'a LearningTarget,
    /// Threads to use.
    pub n_threads: u32,
    /// Seed of row and column sampling.
    pub seed: u64,
}

/// Rows with their labels; for several classes the label is the class's position.
#[derive(Clone, Copy)]
pub(crate) struct LabelledMatrix<'a> {
    /// The rows.
    pub rows: &'a Matrix,
    /// One label a row; libxgboost keeps it in single precision.
    pub labels: &'a [f64],
    /// How much each row counts, above 0; `None`: all count the same.
    pub weights: Option<&'a [f64]>,
}

impl Trainer {
    /// Copies the rows into libxgboost.
    pub fn new(
        train: LabelledMatrix<'_>,
        validation: LabelledMatrix<'_>,
        options: &TrainerOptions<'_>,
    ) -> Result<Self, XgbError> {
        let labelled = |part: LabelledMatrix<'_>| {
            let mut matrix = dense(part.rows, options.columns)?;
            let labels: Vec<f32> = part.labels.iter().map(|label| *label as f32).collect();
            matrix.set_labels(&labels).map_err(call("take labels"))?;
            if let Some(weights) = part.weights {
                let weights: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
                matrix.set_weights(&weights).map_err(call("take weights"))?;
            }
            Ok::<_, XgbError>(matrix)
        };
        Ok(Self {
            train: labelled(train)?,
            validation: labelled(validation)?,
            names: options.columns.iter().map(|column| column.name.clone()).collect(),
            types: options.columns.iter().map(type_word).collect(),
            target: options.target.clone(),
            n_threads: options.n_threads.max(1),
            seed: options.seed,
        })
    }

    /// Fits one model with early stopping on the validation rows.
    pub fn fit(&self, parameters: &Parameters) -> Result<Fit, XgbError> {
        let started = Instant::now();
        let (metric, mut booster) = self.booster(parameters)?;
        let mut best = (f32::INFINITY, 0);
        let mut n_rounds_fitted = 0;
        for round in 0..MAX_ROUNDS {
            // At most 400 rounds: the position fits any integer.
            booster
                .update(&self.train, round as i32)
                .map_err(call("fit a round of boosting"))?;
            n_rounds_fitted = round + 1;
            let loss = self.validation_loss(&booster, round, metric)?;
            if loss < best.0 {
                best = (loss, round);
            } else if round - best.1 >= PATIENCE_ROUNDS {
                break;
            }
        }
        let n_rounds = best.1 + 1;
        let kept = booster
            .slice(0, n_rounds as i32)
            .map_err(call("cut the model to its best round"))?;
        let artifact = kept.save_buffer(true).map_err(call("save the model"))?;
        let cpu_seconds = started.elapsed().as_secs_f64() * f64::from(self.n_threads);
        Ok(Fit {
            artifact,
            n_rounds,
            n_rounds_fitted,
            cpu_seconds,
        })
    }

    /// Fits a number of rounds without early stopping, with some settings changed, and predicts the validation rows after
    /// the link: `[n_rows, n_outputs]`.
    pub fn predictions_after(
        &self,
        parameters: &Parameters,
        changed: &[(&'static str, &str)],
        n_rounds: u32,
    ) -> Result<Vec<f32>, XgbError> {
        let (_, mut booster) = self.booster(parameters)?;
        for (name, value) in changed {
            booster.set_param(name, value).map_err(call("take a parameter"))?;
        }
        for round in 0..n_rounds {
            booster
                .update(&self.train, round as i32)
                .map_err(call("fit a round of boosting"))?;
        }
        booster.predict(&self.validation).map_err(call("predict"))
    }

    /// An empty model with every parameter set, and the metric it is watched by.
    fn booster(&self, parameters: &Parameters) -> Result<(&'static str, Booster), XgbError> {
        let defaults = BoosterParameters::default();
        let mut booster = Booster::new_with_cached_dmats(&defaults, &[&self.train, &self.validation])
            .map_err(call("create a model"))?;
        let (objective, metric) = match self.target {
            LearningTarget::Binary => ("binary:logistic", "logloss"),
            LearningTarget::Regression => ("reg:squarederror", "rmse"),
            LearningTarget::MultiClass { .. } => ("multi:softprob", "mlogloss"),
        };
        let mut settings = vec![
            ("objective", objective.to_owned()),
            ("eval_metric", metric.to_owned()),
            // Takes back the base score that the binding has sent.
            ("boost_from_average", "1".to_owned()),
            ("tree_method", "hist".to_owned()),
            ("nthread", self.n_threads.to_string()),
            ("seed", self.seed.to_string()),
            ("verbosity", "0".to_owned()),
        ];
        if let LearningTarget::MultiClass { classes } = &self.target {
            settings.push(("num_class", classes.len().to_string()));
        }
        settings.extend(parameters.settings());
        for (name, value) in settings {
            booster.set_param(name, &value).map_err(call("take a parameter"))?;
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        booster
            .set_feature_info("feature_name", &names)
            .map_err(call("take the names of features"))?;
        booster
            .set_feature_info("feature_type", &self.types)
            .map_err(call("take the types of features"))?;
        Ok((metric, booster))
    }

    fn validation_loss(&self, booster: &Booster, round: u32, metric: &'static str) -> Result<f32, XgbError> {
        let evaluated = booster
            .evaluate(&self.validation)
            .map_err(call("evaluate a round of boosting"))?;
        let found = evaluated.get(metric).copied();
        let found = found.ok_or(XgbError::NoMetric { round, metric })?;
        if found.is_finite() {
            Ok(found)
        } else {
            Err(XgbError::NotFinite { round, metric, found })
        }
    }
}

/// A saved model, loaded back into libxgboost.
pub(crate) struct Predictor {
    booster: Booster,
    columns: Vec<EncodedColumn>,
}

impl Predictor {
    /// Loads a saved model whose rows have these columns.
    pub fn load(artifact: &[u8], columns: &[EncodedColumn]) -> Result<Self, XgbError> {
        let mut booster = Booster::load_buffer(artifact).map_err(call("load the saved model"))?;
        for (name, value) in [("verbosity", "0"), ("nthread", "1")] {
            booster.set_param(name, value).map_err(call("take a parameter"))?;
        }
        Ok(Self {
            booster,
            columns: columns.to_vec(),
        })
    }

    /// Predicts: `[n_rows, n_outputs]`, after the link.
    pub fn predict(&self, rows: &Matrix) -> Result<Vec<f32>, XgbError> {
        if rows.n_rows() == 0 {
            return Ok(Vec::new());
        }
        self.booster
            .predict(&dense(rows, &self.columns)?)
            .map_err(call("predict"))
    }
}

impl Predictor {
    /// For each column its share of the gain of all splits; all 0 for a model without splits.
    pub fn gains(&self) -> Result<Vec<f64>, XgbError> {
        let mut gains = vec![0.0; self.columns.len()];
        for tree in self
            .booster
            .dump_model_vec(true)
            .map_err(call("write the model as text"))?
        {
            for (column, gain) in tree.lines().filter_map(split_of) {
                let by_name = self.columns.iter().position(|known| known.name == column);
                let by_position = || column.strip_prefix('f').and_then(|digits| digits.parse().ok());
                if let Some(sum) = by_name.or_else(by_position).and_then(|idx: usize| gains.get_mut(idx)) {
                    *sum += gain;
                }
            }
        }
        let total: f64 = gains.iter().sum();
        gains.iter_mut().filter(|_| total > 0.0).for_each(|gain| *gain /= total);
        Ok(gains)
    }

    /// For each column the mean over rows, and over outputs, of the size of its SHAP value (Lundberg et al. 2020, TreeSHAP), in units of
    /// the margin.
    pub fn mean_shap(&self, rows: &Matrix) -> Result<Vec<f64>, XgbError> {
        let n_columns = self.columns.len();
        let mut sums = vec![0.0; n_columns];
        if rows.n_rows() == 0 {
            return Ok(sums);
        }
        let (contributions, _) = self
            .booster
            .predict_contributions(&dense(rows, &self.columns)?)
            .map_err(call("explain predictions"))?;
        // Each output has one value a column and then its bias.
        let mut n_outputs = 0.0;
        for output in contributions.chunks_exact(n_columns + 1) {
            sums.iter_mut()
                .zip(output)
                .for_each(|(sum, value)| *sum += f64::from(value.abs()));
            n_outputs += 1.0;
        }
        Ok(sums.into_iter().map(|sum| sum / n_outputs).collect())
    }
}

/// The column and the gain of a line of a dumped tree, such as `0:[x<0.5] yes=1,no=2,missing=1,gain=3.5,cover=80`; `None`
/// for a leaf.
fn split_of(line: &str) -> Option<(&str, f64)> {
    let (_, condition) = line.split_once('[')?;
    let column = &condition[..condition.find(['<', ':', ']'])?];
    let (_, gain) = condition.split_once("gain=")?;
    let gain = gain.split(',').next()?.trim().parse().ok()?;
    Some((column, gain))
}

fn type_word(column: &EncodedColumn) -> &'static str {
    match column.feature_type {
        FeatureType::Category => "c",
        FeatureType::Number | FeatureType::Boolean => "float",
    }
}

fn dense(rows: &Matrix, columns: &[EncodedColumn]) -> Result<DMatrix, XgbError> {
    let mut matrix = DMatrix::from_dense(rows.values(), rows.n_rows()).map_err(call("take rows"))?;
    let types: Vec<&str> = columns.iter().map(type_word).collect();
    matrix
        .set_feature_types(&types)
        .map_err(call("take the types of columns"))?;
    Ok(matrix)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn number_column(name: &str) -> EncodedColumn {
        EncodedColumn {
            name: name.into(),
            feature_type: FeatureType::Number,
            vocabulary: Vec::new(),
        }
    }

    /// Fits one number column against labels: the first `n_train` rows are fitted on.
    fn fit_one(values: &[f32], labels: &[f64], n_train: usize, target: &LearningTarget) -> Fit {
        let parameters = Parameters {
            subsample: 1.0,
            ..Parameters::defaults(target)
        };
        let columns = [number_column("x")];
        let options = TrainerOptions {
            columns: &columns,
            target,
            n_threads: 1,
            seed: 3,
        };
        let part = |range: std::ops::Range<usize>| Matrix::new(values[range.clone()].to_vec(), range.len());
        let (train, validation) = (part(0..n_train), part(n_train..values.len()));
        let labelled = |rows, labels| LabelledMatrix {
            rows,
            labels,
            weights: None,
        };
        let train = labelled(&train, &labels[..n_train]);
        let trainer = Trainer::new(train, labelled(&validation, &labels[n_train..]), &options).unwrap();
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
            };
            let fit = Trainer::new(part, part, &options)
                .unwrap()
                .fit(&Parameters::defaults(&target))
                .unwrap();
            let found = predict_one(&fit, f32::NAN);
            assert!((found - expected).abs() < 1e-3, "{target:?}: {found} is not {expected}");
        }
    }

    #[test]
    fn a_fit_stops_when_validation_no_longer_improves_and_keeps_the_best_round() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let values: Vec<f32> = (0..600).map(|_| rng.random()).collect();
        let labels: Vec<f64> = (0..600).map(|_| f64::from(u8::from(rng.random_bool(0.5)))).collect();
        let fit = fit_one(&values, &labels, 400, &LearningTarget::Binary);
        assert!(fit.n_rounds_fitted < MAX_ROUNDS, "noise was fitted for all rounds");
        assert_eq!(fit.n_rounds_fitted, fit.n_rounds + PATIENCE_ROUNDS);
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
        let part = LabelledMatrix {
            rows: &rows,
            labels: &labels,
            weights: None,
        };
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
        let options = TrainerOptions {
            columns: &columns,
            target: &LearningTarget::Regression,
            n_threads: 1,
            seed: 3,
        };
        let rows = Matrix::new((0..20u8).map(f32::from).collect(), 20);
        let labels: Vec<f64> = (0..20).map(|idx| if idx % 2 == 0 { 3e38 } else { -3e38 }).collect();
        let part = LabelledMatrix {
            rows: &rows,
            labels: &labels,
            weights: None,
        };
        let trainer = Trainer::new(part, part, &options).unwrap();
        trainer
            .fit(&Parameters::defaults(options.target))
            .err()
            .unwrap()
            .to_string()
    }
}
