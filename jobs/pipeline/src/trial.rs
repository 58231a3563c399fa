//! One trial of a search: a set of parameters, fitted as far as it is worth it, and measured on the serving code.
//!
//! ```text
//!  sample of the rows ─► rungs of rounds ─► end of fold 1 ─► … ─► end of the last fold ─► complete
//!        │                   │                  │
//!        └───────────────────┴──────────────────┴─ in the worse half of those before it: stopped
//! ```

use std::sync::Arc;

use lakeloop_decide::{Bundle, Scratch};
use lakeloop_domain::{Encoding, LearningTarget, Micros};

use crate::error::PipelineError;
use crate::latency::Latency;
use crate::limits::{is_beyond, longest_within};
use crate::loss::{Metric, losses};
use crate::matrix::Matrix;
use crate::parameters::Parameters;
use crate::race::{Rungs, rungs_of_rounds};
use crate::search::Problem;
use crate::xgb::{LabelledMatrix, MAX_ROUNDS, Stand, Trainer, TrainerOptions, Training};

/// Rounds after which a fold's fit is first looked at for the blueprint's limits; then after twice as many, and so on.
const FIRST_LOOK: u32 = 64;

/// One trial: what was tried, and how it did.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// Its position: trials are counted from 0; those without some features from the number of trials on.
    pub idx: usize,
    /// What it was fitted with.
    pub parameters: Parameters,
    /// When it began.
    pub started_at: Micros,
    /// Where it stood at each rung.
    pub rungs: Rungs,
    /// The model, or why there is none.
    pub fitted: Result<FittedTrial, String>,
    /// Which limit it is over, in one clause.
    pub over_limit: Option<String>,
}

impl Trial {
    /// What it came to; `None` where it failed, was stopped, or came to no number.
    pub fn complete_value(&self) -> Option<f64> {
        let fitted = self.fitted.as_ref().ok()?;
        Some(fitted.value).filter(|value| value.is_finite() && fitted.is_complete)
    }
}

/// A model that a trial ended with.
#[derive(Debug, Clone)]
pub(crate) struct FittedTrial {
    /// The metric over the folds that were fitted, as the serving code predicts them: their mean.
    pub value: f64,
    /// The metric of each fold that was fitted.
    pub fold_values: Vec<f64>,
    /// The rounds that validated best within the blueprint's limits; over several folds their mean.
    pub n_rounds: u32,
    /// Size of the saved model as the registry would keep it.
    pub artifact_bytes: u64,
    /// How long the serving code takes for a row.
    pub latency: Latency,
    /// An upper bound of the processor time of all fits.
    pub cpu_seconds: f64,
    /// What reading its features costs a decision, as the blueprint declares it.
    pub feature_cost_us: f64,
    /// False when it was stopped at a rung.
    pub is_complete: bool,
    /// The model of each fold; empty for a trial that was stopped, or that was read back after a crash.
    pub artifacts: Vec<Arc<[u8]>>,
    /// The losses of the validation rows, fold after fold; empty where there are no artifacts.
    pub losses: Arc<[f64]>,
}

/// One fold: rows to fit on, and later ones to validate on.
#[derive(Clone, Copy)]
pub(crate) struct Fold<'a> {
    /// The rows fitted on.
    pub train: LabelledMatrix<'a>,
    /// The rows validated on.
    pub validation: LabelledMatrix<'a>,
}

/// The rows of all folds inside libxgboost, for the trials of one thread. Each part is copied when it is first needed.
pub(crate) struct Trainers<'p> {
    encoding: &'p Encoding,
    sample: Option<Fold<'p>>,
    folds: &'p [Fold<'p>],
    in_sample: Option<Trainer>,
    in_folds: Vec<Option<Trainer>>,
}

impl<'p> Trainers<'p> {
    /// Nothing is copied yet.
    pub fn new(encoding: &'p Encoding, sample: Option<Fold<'p>>, folds: &'p [Fold<'p>]) -> Self {
        Self {
            encoding,
            sample,
            folds,
            in_sample: None,
            in_folds: folds.iter().map(|_| None).collect(),
        }
    }

    fn fold(&mut self, problem: &Problem<'_>, fold_idx: usize) -> Result<&Trainer, PipelineError> {
        ready(
            &mut self.in_folds[fold_idx],
            self.encoding,
            problem,
            self.folds[fold_idx],
        )
    }

    fn sample(&mut self, problem: &Problem<'_>) -> Result<Option<&Trainer>, PipelineError> {
        match self.sample {
            None => Ok(None),
            Some(fold) => ready(&mut self.in_sample, self.encoding, problem, fold).map(Some),
        }
    }
}

fn ready<'t>(
    kept: &'t mut Option<Trainer>,
    encoding: &Encoding,
    problem: &Problem<'_>,
    fold: Fold<'_>,
) -> Result<&'t Trainer, PipelineError> {
    let made = match kept.take() {
        Some(trainer) => trainer,
        None => configured(
            problem,
            encoding,
            Trainer::new(fold.train, fold.validation, &options(problem, encoding))?,
        ),
    };
    Ok(kept.insert(made))
}

/// What all fits of a problem have in common.
pub(crate) fn options<'p>(problem: &'p Problem<'_>, encoding: &'p Encoding) -> TrainerOptions<'p> {
    TrainerOptions {
        columns: &encoding.columns,
        target: problem.target,
        n_threads: problem.threads_a_fit,
        seed: problem.seed,
    }
}

/// A trainer that is watched by the search's metric and keeps to the blueprint's constraints.
pub(crate) fn configured(problem: &Problem<'_>, encoding: &Encoding, trainer: Trainer) -> Trainer {
    let monotone = &problem.applied.blueprint.learning.monotone;
    trainer
        .watching(problem.metric)
        .constrained(&encoding.columns, monotone)
}

/// Runs a trial, judged at its rungs by earlier ones. `is_over` ends it where it stands, with what it has.
pub(crate) fn run(
    problem: &Problem<'_>,
    trainers: &mut Trainers<'_>,
    parameters: &Parameters,
    earlier: &[&Rungs],
    is_over: &dyn Fn() -> bool,
) -> (Rungs, Result<FittedTrial, PipelineError>) {
    let mut rungs = Rungs::default();
    let fitted = run_rungs(problem, trainers, parameters, earlier, is_over, &mut rungs);
    (rungs, fitted)
}

fn run_rungs(
    problem: &Problem<'_>,
    trainers: &mut Trainers<'_>,
    parameters: &Parameters,
    earlier: &[&Rungs],
    is_over: &dyn Fn() -> bool,
    rungs: &mut Rungs,
) -> Result<FittedTrial, PipelineError> {
    let mut run = Run::new(problem, trainers.encoding);
    let folds = trainers.folds;
    if let Some(trainer) = trainers.sample(problem)? {
        let mut training = trainer.begin(parameters)?;
        training.go_on(MAX_ROUNDS, is_over)?;
        run.cpu_seconds += training.cpu_seconds();
        if !rungs.pass(training.least_loss(), earlier) {
            run.take(folds[0], &training, parameters)?;
            return run.stopped();
        }
    }
    for (fold_idx, fold) in folds.iter().copied().enumerate() {
        let trainer = trainers.fold(problem, fold_idx)?;
        let mut training = trainer.begin(parameters)?;
        let stand = match fold_idx {
            0 => climb(&run, &mut training, parameters, earlier, is_over, rungs)?,
            _ => Some(Stand::Paused),
        };
        if stand == Some(Stand::Paused) {
            go_on_to_the_end(&run, &mut training, is_over)?;
        }
        run.cpu_seconds += training.cpu_seconds();
        run.take(fold, &training, parameters)?;
        let is_last = fold_idx + 1 == folds.len();
        if stand.is_none() || !is_last && !rungs.pass(training.least_loss(), earlier) {
            return run.stopped();
        }
    }
    run.complete()
}

/// Fits from rung to rung of rounds; `None` when the trial is to stop.
fn climb(
    run: &Run<'_>,
    training: &mut Training<'_>,
    parameters: &Parameters,
    earlier: &[&Rungs],
    is_over: &dyn Fn() -> bool,
    rungs: &mut Rungs,
) -> Result<Option<Stand>, PipelineError> {
    let mut stand = Stand::Paused;
    for n_rounds in rungs_of_rounds(parameters.eta) {
        // A fit that has ended stands at all later rungs where it ended.
        if stand == Stand::Paused {
            stand = go_on_within(run, training, n_rounds.min(MAX_ROUNDS), is_over)?;
        }
        let passes = rungs.pass(training.least_loss(), earlier);
        if stand == Stand::Paused && !passes {
            return Ok(None);
        }
    }
    Ok(Some(stand))
}

/// Fits until validation improves no more, or the model is beyond the limits of what may serve.
fn go_on_to_the_end(
    run: &Run<'_>,
    training: &mut Training<'_>,
    is_over: &dyn Fn() -> bool,
) -> Result<(), PipelineError> {
    let mut stand = Stand::Paused;
    while stand == Stand::Paused {
        let n_rounds = (2 * training.n_rounds()).clamp(FIRST_LOOK, MAX_ROUNDS);
        stand = go_on_within(run, training, n_rounds, is_over)?;
    }
    Ok(())
}

/// Goes on to so many rounds. A model that is beyond the limits then has ended.
fn go_on_within(
    run: &Run<'_>,
    training: &mut Training<'_>,
    n_rounds: u32,
    is_over: &dyn Fn() -> bool,
) -> Result<Stand, PipelineError> {
    let stand = training.go_on(n_rounds, is_over)?;
    let ends = stand == Stand::Paused && is_beyond(run.problem, run.encoding, training)?;
    Ok(if ends { Stand::Ended } else { stand })
}

/// What a trial has gathered so far.
struct Run<'r> {
    problem: &'r Problem<'r>,
    encoding: &'r Encoding,
    fold_values: Vec<f64>,
    n_rounds: Vec<u32>,
    artifacts: Vec<Arc<[u8]>>,
    /// The size and the latency of the latest of these.
    latest: Option<(u64, Latency)>,
    losses: Vec<f64>,
    cpu_seconds: f64,
}

impl<'r> Run<'r> {
    fn new(problem: &'r Problem<'r>, encoding: &'r Encoding) -> Self {
        Self {
            problem,
            encoding,
            fold_values: Vec::new(),
            n_rounds: Vec::new(),
            artifacts: Vec::new(),
            latest: None,
            losses: Vec::new(),
            cpu_seconds: 0.0,
        }
    }

    /// Takes the model of a fold at its best round within the limits, and its metric on the serving code.
    fn take(&mut self, fold: Fold<'_>, training: &Training<'_>, parameters: &Parameters) -> Result<(), PipelineError> {
        let problem = self.problem;
        let within = longest_within(problem, self.encoding, training)?;
        let judged = judged(problem, &within.bundle, fold)?;
        tracing::debug!(
            strategy = %problem.applied.blueprint.name, parameters = parameters.to_json(), value = judged.value,
            n_rounds = within.n_rounds, "trial"
        );
        self.fold_values.push(judged.value);
        self.losses.extend(judged.losses);
        self.n_rounds.push(within.n_rounds);
        self.artifacts.push(within.artifact.into());
        self.latest = Some((within.bytes, within.latency));
        Ok(())
    }

    fn stopped(mut self) -> Result<FittedTrial, PipelineError> {
        let fitted = self.ended(false);
        self.artifacts.clear();
        fitted
    }

    fn complete(mut self) -> Result<FittedTrial, PipelineError> {
        self.ended(true)
    }

    fn ended(&mut self, is_complete: bool) -> Result<FittedTrial, PipelineError> {
        let (artifact_bytes, latency) = self.latest.ok_or(PipelineError::NoModelInBundle)?;
        let n_folds = self.fold_values.len();
        Ok(FittedTrial {
            value: self.fold_values.iter().sum::<f64>() / n_folds as f64,
            n_rounds: (self.n_rounds.iter().sum::<u32>() / n_folds as u32).max(1),
            artifact_bytes,
            latency,
            cpu_seconds: self.cpu_seconds,
            feature_cost_us: feature_cost_us(self.problem, self.encoding),
            is_complete,
            fold_values: std::mem::take(&mut self.fold_values),
            artifacts: if is_complete {
                std::mem::take(&mut self.artifacts)
            } else {
                Vec::new()
            },
            losses: if is_complete {
                std::mem::take(&mut self.losses).into()
            } else {
                Arc::new([])
            },
        })
    }
}

/// How a model does on validation rows.
pub(crate) struct Judged {
    /// The metric.
    pub value: f64,
    /// The loss of each row.
    pub losses: Vec<f64>,
}

/// Predicts the validation rows of a fold with the serving code.
pub(crate) fn judged(problem: &Problem<'_>, bundle: &Bundle, fold: Fold<'_>) -> Result<Judged, PipelineError> {
    let model = bundle.model().ok_or(PipelineError::NoModelInBundle)?;
    let mut scratch = Scratch::new();
    let (rows, labels): (&Matrix, _) = (fold.validation.rows, fold.validation.labels);
    let scores = model.score_rows(rows.values(), &mut scratch)?;
    let value = match problem.metric {
        Metric::Ndcg => crate::order::ndcg(scores, labels, fold.validation.groups),
        metric => metric.value(problem.target, scores, labels, fold.validation.weights),
    };
    let losses = match problem.target {
        LearningTarget::Order => crate::order::losses(scores, labels, fold.validation.groups),
        target => losses(target, scores, labels),
    };
    Ok(Judged {
        value: value.unwrap_or(f64::NAN),
        losses,
    })
}

/// The losses of the problem's validation rows, by which models are compared in pairs.
pub(crate) fn losses_of(problem: &Problem<'_>, scores: &[f64]) -> Vec<f64> {
    let LabelledMatrix { labels, groups, .. } = problem.validation;
    match problem.target {
        LearningTarget::Order => crate::order::losses(scores, labels, groups),
        target => losses(target, scores, labels),
    }
}

/// What the blueprint declares that reading the views of these columns costs, together.
fn feature_cost_us(problem: &Problem<'_>, encoding: &Encoding) -> f64 {
    let is_used = |name: &str| encoding.columns.iter().any(|column| column.name == name);
    let views = problem.applied.blueprint.features.iter();
    let used = views.filter(|view| view.columns.iter().any(|column| is_used(&column.name)));
    used.filter_map(|view| view.cost_us)
        .fold(0.0, |sum, cost_us| sum + cost_us)
}
