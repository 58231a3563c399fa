//! Fits under way inside libxgboost: rows that are there once, and rounds that are watched and may pause.

use std::time::Instant;

use lakeloop_domain::{EncodedColumn, LearningTarget, Monotone};
use xgb::parameters::BoosterParameters;
use xgb::{Booster, DMatrix};

use super::saved::cut;
use super::{LabelledMatrix, XgbError, call, dense, type_word};
use crate::loss::Metric;
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

    /// The rounds so far.
    pub fn n_rounds(&self) -> u32 {
        self.n_rounds
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
