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

use lakeloop_domain::{EncodedColumn, FeatureType, LearningTarget, Monotone};
use xgb::parameters::BoosterParameters;
use xgb::{Booster, DMatrix, XGBError};

use crate::loss::Metric;
use crate::matrix::Matrix;
use crate::parameters::Parameters;

/// Rounds of boosting that are fitted at most. With early stopping only tiny learning rates come near.
pub(crate) const MAX_ROUNDS: u32 = 2_000;

/// A fit stops when the validation loss has not improved for so many rounds that they add up to this, times the learning
/// rate, so that slow learners are not given up sooner than fast ones; but for at least [`LEAST_PATIENCE`] rounds.
const PATIENCE: f64 = 2.0;

/// See [`PATIENCE`].
const LEAST_PATIENCE: u32 = 20;

/// The rounds without improvement after which a fit of this learning rate stops.
pub(crate) fn patience(eta: f64) -> u32 {
    LEAST_PATIENCE.max((PATIENCE / eta).ceil() as u32)
}

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

/// Training and validation rows inside libxgboost, shared by the fits of one thread: their quantised form is made by the
/// first fit and used by all.
pub(crate) struct Trainer {
    train: DMatrix,
    validation: Option<DMatrix>,
    names: Vec<String>,
    types: Vec<&'static str>,
    monotone: Option<String>,
    target: LearningTarget,
    metric: Metric,
    n_threads: u32,
    seed: u64,
}

/// A model as fitted, cut to its best round.
pub(crate) struct Fit {
    /// The model in XGBoost's UBJSON form.
    pub artifact: Vec<u8>,
    /// The rounds it keeps.
    #[cfg(test)]
    pub n_rounds: u32,
    /// The rounds that were fitted before it stopped.
    #[cfg(test)]
    pub n_rounds_fitted: u32,
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
    /// The number of rows of each ranking, in the rows' order; empty where no order is learned.
    pub groups: &'a [u32],
}

impl Trainer {
    /// Copies the rows into libxgboost. Fits are watched by the target's own metric on the validation rows.
    pub fn new(
        train: LabelledMatrix<'_>,
        validation: LabelledMatrix<'_>,
        options: &TrainerOptions<'_>,
    ) -> Result<Self, XgbError> {
        Self::made(train, Some(validation), options)
    }

    /// The same without validation rows: fits are not watched and run for as many rounds as they are told.
    pub fn unwatched(train: LabelledMatrix<'_>, options: &TrainerOptions<'_>) -> Result<Self, XgbError> {
        Self::made(train, None, options)
    }

    /// The same, watched by another metric.
    #[must_use]
    pub fn watching(self, metric: Metric) -> Self {
        Self { metric, ..self }
    }

    /// The same, where the effect of some columns may only go one way.
    #[must_use]
    pub fn constrained(self, columns: &[EncodedColumn], monotone: &[(std::sync::Arc<str>, Monotone)]) -> Self {
        Self {
            monotone: constraints(columns, monotone),
            ..self
        }
    }

    fn made(
        train: LabelledMatrix<'_>,
        validation: Option<LabelledMatrix<'_>>,
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
            if !part.groups.is_empty() {
                matrix.set_group(part.groups).map_err(call("take the rankings' rows"))?;
            }
            Ok::<_, XgbError>(matrix)
        };
        Ok(Self {
            train: labelled(train)?,
            validation: validation.map(labelled).transpose()?,
            names: options.columns.iter().map(|column| column.name.clone()).collect(),
            types: options.columns.iter().map(type_word).collect(),
            monotone: None,
            target: options.target.clone(),
            metric: Metric::of(options.target, None),
            n_threads: options.n_threads.max(1),
            seed: options.seed,
        })
    }

    /// Begins a fit.
    pub fn begin(&self, parameters: &Parameters) -> Result<Training<'_>, XgbError> {
        let begun = Instant::now();
        let booster = self.booster(parameters)?;
        Ok(Training {
            trainer: self,
            booster,
            patience: patience(parameters.eta),
            n_rounds: 0,
            best: None,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// Fits one model until validation improves no more, and cuts it to its best round.
    pub fn fit(&self, parameters: &Parameters) -> Result<Fit, XgbError> {
        let mut training = self.begin(parameters)?;
        training.go_on(MAX_ROUNDS, &|| false)?;
        Ok(Fit {
            artifact: training.artifact(training.best_rounds())?,
            #[cfg(test)]
            n_rounds: training.best_rounds(),
            #[cfg(test)]
            n_rounds_fitted: training.n_rounds,
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
        let mut booster = self.booster(parameters)?;
        for (name, value) in changed {
            booster.set_param(name, value).map_err(call("take a parameter"))?;
        }
        for round in 0..n_rounds {
            booster
                .update(&self.train, round as i32)
                .map_err(call("fit a round of boosting"))?;
        }
        match &self.validation {
            Some(validation) => booster.predict(validation).map_err(call("predict")),
            None => Ok(Vec::new()),
        }
    }

    /// An empty model with every parameter set.
    fn booster(&self, parameters: &Parameters) -> Result<Booster, XgbError> {
        let defaults = BoosterParameters::default();
        let cached: Vec<&DMatrix> = std::iter::once(&self.train).chain(&self.validation).collect();
        let mut booster = Booster::new_with_cached_dmats(&defaults, &cached).map_err(call("create a model"))?;
        let mut settings = objective(&self.target);
        settings.extend([
            ("eval_metric", watched(self.metric, &self.target)),
            // Takes back the base score that the binding has sent.
            ("boost_from_average", "1".to_owned()),
            ("tree_method", "hist".to_owned()),
            ("nthread", self.n_threads.to_string()),
            ("seed", self.seed.to_string()),
            ("verbosity", "0".to_owned()),
        ]);
        settings.extend(self.monotone.clone().map(|ways| ("monotone_constraints", ways)));
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
        Ok(booster)
    }
}

/// The settings that say what is minimised.
fn objective(target: &LearningTarget) -> Vec<(&'static str, String)> {
    let of = |name: &str| ("objective", name.to_owned());
    match target {
        LearningTarget::Binary => vec![of("binary:logistic")],
        LearningTarget::Regression => vec![of("reg:squarederror")],
        LearningTarget::Quantile { quantile } if *quantile == 0.5 => vec![of("reg:absoluteerror")],
        LearningTarget::Quantile { quantile } => {
            vec![of("reg:quantileerror"), ("quantile_alpha", quantile.to_string())]
        }
        LearningTarget::Amount { power } if *power >= 2.0 => vec![of("reg:gamma")],
        LearningTarget::Amount { power } => vec![of("reg:tweedie"), ("tweedie_variance_power", power.to_string())],
        LearningTarget::MultiClass { classes } => {
            vec![of("multi:softprob"), ("num_class", classes.len().to_string())]
        }
        LearningTarget::Order => vec![of("rank:ndcg"), ("lambdarank_pair_method", "topk".to_owned())],
    }
}

/// libxgboost's name of the metric that a fit is watched by; where it has none of ours, of the nearest.
fn watched(metric: Metric, target: &LearningTarget) -> String {
    match metric {
        Metric::LogLoss => "logloss".into(),
        Metric::Auc => "auc".into(),
        Metric::MultiLogLoss => "mlogloss".into(),
        Metric::Rmse => "rmse".into(),
        Metric::Mae => "mae".into(),
        Metric::Pinball if *target == (LearningTarget::Quantile { quantile: 0.5 }) => "mae".into(),
        Metric::Pinball => "quantile".into(),
        Metric::GammaDeviance => "gamma-deviance".into(),
        Metric::TweedieDeviance => match target {
            LearningTarget::Amount { power } => format!("tweedie-nloglik@{power}"),
            _ => "rmse".into(),
        },
        Metric::Ndcg => "ndcg".into(),
    }
}

/// The ways of all columns as libxgboost takes them; `None` when no column has one.
fn constraints(columns: &[EncodedColumn], monotone: &[(std::sync::Arc<str>, Monotone)]) -> Option<String> {
    let way = |column: &EncodedColumn| {
        let declared = monotone.iter().find(|(name, _)| **name == *column.name);
        match declared.map(|(_, way)| way) {
            None => "0",
            Some(Monotone::Increasing) => "1",
            Some(Monotone::Decreasing) => "-1",
        }
    };
    let ways: Vec<&str> = columns.iter().map(way).collect();
    ways.iter()
        .any(|way| *way != "0")
        .then(|| format!("({})", ways.join(",")))
}

/// How a fit stands after it was asked to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    /// It has as many rounds as it was asked for and may go on.
    Paused,
    /// The validation loss improves no more, or there are as many rounds as there may be.
    Converged,
    /// It was told to end.
    Ended,
}

/// A fit under way. It can pause at any round and go on later.
pub(crate) struct Training<'t> {
    trainer: &'t Trainer,
    booster: Booster,
    patience: u32,
    n_rounds: u32,
    best: Option<(f64, u32)>,
    seconds: f64,
}

impl Training<'_> {
    /// Goes on until there are `n_rounds` rounds, or validation improves no more, or `is_over` says so before a round.
    pub fn go_on(&mut self, n_rounds: u32, is_over: &dyn Fn() -> bool) -> Result<Stand, XgbError> {
        let begun = Instant::now();
        let stand = self.rounds_until(n_rounds, is_over);
        self.seconds += begun.elapsed().as_secs_f64();
        stand
    }

    fn rounds_until(&mut self, n_rounds: u32, is_over: &dyn Fn() -> bool) -> Result<Stand, XgbError> {
        while self.n_rounds < n_rounds {
            if self.n_rounds > 0 && is_over() {
                return Ok(Stand::Ended);
            }
            // At most 2,000 rounds: the position fits any integer.
            self.booster
                .update(&self.trainer.train, self.n_rounds as i32)
                .map_err(call("fit a round of boosting"))?;
            self.n_rounds += 1;
            let Some(loss) = self.validation_loss()? else { continue };
            match self.best {
                Some((least, best_round)) if loss >= least => {
                    if self.n_rounds - best_round >= self.patience {
                        return Ok(Stand::Converged);
                    }
                }
                _ => self.best = Some((loss, self.n_rounds)),
            }
        }
        Ok(if self.n_rounds >= MAX_ROUNDS {
            Stand::Converged
        } else {
            Stand::Paused
        })
    }

    /// The least validation loss so far, by libxgboost; higher is never better.
    pub fn least_loss(&self) -> f64 {
        self.best.map_or(f64::NAN, |(loss, _)| loss)
    }

    /// The rounds up to the least validation loss; all of them without validation rows.
    pub fn best_rounds(&self) -> u32 {
        self.best.map_or(self.n_rounds, |(_, round)| round)
    }

    /// Wall-clock seconds so far times the threads: an upper bound of the processor time.
    pub fn cpu_seconds(&self) -> f64 {
        self.seconds * f64::from(self.trainer.n_threads)
    }

    /// The model cut to its first rounds, in XGBoost's UBJSON form.
    pub fn artifact(&self, n_rounds: u32) -> Result<Vec<u8>, XgbError> {
        cut(&self.booster, n_rounds)
    }

    fn validation_loss(&self) -> Result<Option<f64>, XgbError> {
        let Some(validation) = &self.trainer.validation else {
            return Ok(None);
        };
        let evaluated = self.booster.evaluate(validation);
        let evaluated = evaluated.map_err(call("evaluate a round of boosting"))?;
        let (round, metric) = (self.n_rounds - 1, self.trainer.metric.as_str());
        let found = evaluated.values().next().copied();
        let found = found.ok_or(XgbError::NoMetric { round, metric })?;
        if !found.is_finite() {
            return Err(XgbError::NotFinite { round, metric, found });
        }
        let sign = if self.trainer.metric.higher_is_better() {
            -1.0
        } else {
            1.0
        };
        Ok(Some(sign * f64::from(found)))
    }
}

fn cut(booster: &Booster, n_rounds: u32) -> Result<Vec<u8>, XgbError> {
    let kept = booster
        .slice(0, n_rounds as i32)
        .map_err(call("cut the model to its best round"))?;
    kept.save_buffer(true).map_err(call("save the model"))
}

/// A saved model cut to its first rounds, of which it has at least as many.
pub(crate) fn cut_saved(artifact: &[u8], n_rounds: u32) -> Result<Vec<u8>, XgbError> {
    cut(
        &Booster::load_buffer(artifact).map_err(call("load the saved model"))?,
        n_rounds,
    )
}

/// How much each column lowers the loss in all splits together, by name; columns that no split uses are absent.
pub(crate) fn total_gains(artifact: &[u8]) -> Result<std::collections::HashMap<String, f64>, XgbError> {
    let booster = Booster::load_buffer(artifact).map_err(call("load the saved model"))?;
    let dumped = booster.dump_model_vec(true).map_err(call("list the splits"))?;
    let mut gains = std::collections::HashMap::new();
    for (column, gain) in dumped.iter().flat_map(|tree| tree.lines()).filter_map(split_of) {
        *gains.entry(column.to_owned()).or_insert(0.0) += gain;
    }
    Ok(gains)
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

    fn options<'a>(columns: &'a [EncodedColumn], target: &'a LearningTarget) -> TrainerOptions<'a> {
        TrainerOptions {
            columns,
            target,
            n_threads: 1,
            seed: 3,
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
        let labelled = |rows, labels| LabelledMatrix {
            rows,
            labels,
            weights: None,
            groups: &[],
        };
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
        let part = LabelledMatrix {
            rows: &rows,
            labels: &labels,
            weights: None,
            groups: &[],
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
        let target = LearningTarget::Regression;
        let rows = Matrix::new((0..20u8).map(f32::from).collect(), 20);
        let labels: Vec<f64> = (0..20).map(|idx| if idx % 2 == 0 { 3e38 } else { -3e38 }).collect();
        let part = LabelledMatrix {
            rows: &rows,
            labels: &labels,
            weights: None,
            groups: &[],
        };
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
        let part = LabelledMatrix {
            rows: &rows,
            labels: &labels,
            weights: None,
            groups: &[],
        };
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
        assert_eq!(straight.n_rounds, 30);
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
        let part = LabelledMatrix {
            rows: &rows,
            labels: &labels,
            weights: None,
            groups: &[],
        };
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

    #[test]
    fn gains_are_told_by_column() {
        let values: Vec<f32> = (0..800).map(|idx| idx as f32).collect();
        let labels: Vec<f64> = (0..800).map(|idx| f64::from(u8::from(idx % 100 >= 50))).collect();
        let fit = fit_one(&values, &labels, 700, &LearningTarget::Binary);
        let gains = total_gains(&fit.artifact).unwrap();
        assert_eq!(gains.len(), 1);
        assert!(gains["x"] > 0.0);
    }
}
