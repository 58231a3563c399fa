//! Searches for the best model within a blueprint's limits.
//!
//! Every trial is fitted on the train rows, stopped early on the validation rows, loaded into the serving code and
//! measured there: its metric, its size, its latency. The smallest metric within the limits wins; the first one among
//! equals. The winner stays as it was fitted, on the train rows alone, so that its metrics are those of the very model
//! that serves. For a seed the search is deterministic, except that a latency limit judges by what was measured.
//!
//! Threads are spread over trials, one thread a fit: fits then never wait for each other, which on a busy machine is
//! many times faster than threads that meet after every level of a tree, and the models do not depend on the number of
//! threads. Latency is measured when all fits have ended and the processor is quiet.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use lakeloop_decide::{Bundle, Model, ModelParts, Scratch};
use lakeloop_domain::{AppliedBlueprint, Calibration, Encoding, LearningTarget, Micros, ModelLimits, ModelVersion};

use crate::context::Clock;
use crate::error::PipelineError;
use crate::latency::{Latency, measure};
use crate::loss::{losses, metric};
use crate::matrix::Matrix;
use crate::parameters::{Parameters, design};
use crate::scoring::Sample;
use crate::xgb::{Fit, LabelledMatrix, Trainer, TrainerOptions};

/// Up to this many encoded values every thread gets a copy of the train rows of its own (80 MB); beyond it, one fit at a
/// time uses all threads, and the model depends in its last bits on how many they are.
const MAX_COPIED_VALUES: usize = 20_000_000;

/// Why a search found nothing to register.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// No trial ended with a model.
    #[error("all {n_trials} trials failed; the first one: {first}")]
    AllFailed {
        /// How many were tried.
        n_trials: usize,
        /// Why the first one failed.
        first: String,
    },
    /// No model is small or fast enough.
    #[error(
        "none of {n_trials} models is within the blueprint's limits; the smallest has {least_bytes} bytes, the fastest \
         scores a row in {least_p99_us:.1} µs (p99): raise [model] max_size or max_latency"
    )]
    NoneWithinLimits {
        /// How many were tried.
        n_trials: usize,
        /// The size of the smallest.
        least_bytes: u64,
        /// The latency of the fastest.
        least_p99_us: f64,
    },
}

/// One trial: what was tried, and how it did.
pub(crate) struct Trial {
    /// What it was fitted with.
    pub parameters: Parameters,
    /// When it began.
    pub started_at: Micros,
    /// The model, or why there is none.
    pub fitted: Result<FittedTrial, String>,
    /// Which limit it is over, in one clause.
    pub over_limit: Option<String>,
}

/// A model that a trial ended with.
pub(crate) struct FittedTrial {
    /// The model as libxgboost saved it.
    pub fit: Fit,
    /// The metric on the validation rows, as the serving code predicts them.
    pub value: f64,
    /// How long the serving code takes for a row.
    pub latency: Latency,
}

/// What all trials have in common.
pub(crate) struct Problem<'a> {
    /// The blueprint.
    pub applied: &'a AppliedBlueprint,
    /// What is predicted.
    pub target: &'a LearningTarget,
    /// How rows are encoded.
    pub encoding: &'a Encoding,
    /// The rows fitted on.
    pub train: LabelledMatrix<'a>,
    /// The rows validated on.
    pub validation: LabelledMatrix<'a>,
    /// Some validation rows as they are served, to measure latency on.
    pub samples: &'a [Sample],
    /// Seed of the design and of the fits.
    pub seed: u64,
    /// Threads to use at most.
    pub max_threads: u32,
    /// Tells when trials begin.
    pub clock: &'a Clock,
}

/// All trials, with the position of the winner.
pub(crate) struct Search {
    /// The trials in the order they were made.
    pub trials: Vec<Trial>,
    /// The winner, or why there is none.
    pub winner: Result<usize, SearchError>,
}

/// Runs the trials that the blueprint asks for. `after_each` hears how many have ended, of how many, and the best value
/// so far: before the first trial, between two, and after the last one. It may end the search.
pub(crate) fn search(
    problem: &Problem<'_>,
    mut after_each: impl FnMut(u32, u32, Option<f64>) -> ControlFlow<()>,
) -> Result<Search, PipelineError> {
    let blueprint = &problem.applied.blueprint;
    let designed = design(problem.target, blueprint.schedule.trials, problem.seed);
    let fits = fit_all(problem, &designed, &mut after_each)?;
    let trials: Vec<Trial> = designed
        .into_iter()
        .zip(fits)
        .map(|(parameters, attempt)| {
            let fitted = attempt.fitted.and_then(|fitted| with_latency(problem, fitted));
            let over_limit = fitted
                .as_ref()
                .ok()
                .and_then(|fitted| over_limit(&blueprint.limits, fitted));
            Trial {
                parameters,
                started_at: attempt.started_at,
                fitted: fitted.map_err(|error| error.to_string()),
                over_limit,
            }
        })
        .collect();
    let winner = best_of(&trials).ok_or_else(|| why_none(&trials));
    Ok(Search { trials, winner })
}

/// A fit that was tried, before its latency is measured.
struct Attempt {
    started_at: Micros,
    fitted: Result<(Fit, f64), PipelineError>,
}

/// Fits every trial, several at a time; the attempts are in the order of the trials.
fn fit_all(
    problem: &Problem<'_>,
    designed: &[Parameters],
    after_each: &mut impl FnMut(u32, u32, Option<f64>) -> ControlFlow<()>,
) -> Result<Vec<Attempt>, PipelineError> {
    let n_trials = designed.len();
    let (n_workers, n_threads) = workers(problem, n_trials);
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut attempts: Vec<Option<Attempt>> = designed.iter().map(|_| None).collect();
    let mut best: Option<f64> = None;
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..n_workers {
            let (sender, next, stopped) = (sender.clone(), &next, &stopped);
            scope.spawn(move || work(problem, n_threads, designed, next, stopped, &sender));
        }
        drop(sender);
        let mut n_done = 0;
        loop {
            if after_each(n_done, n_trials as u32, best).is_break() {
                stopped.store(true, Ordering::Relaxed);
                return;
            }
            let Ok((idx, attempt)) = receiver.recv() else { return };
            let value = attempt
                .fitted
                .as_ref()
                .ok()
                .map(|(_, value)| *value)
                .filter(|value| value.is_finite());
            best = [best, value].into_iter().flatten().min_by(f64::total_cmp);
            attempts[idx] = Some(attempt);
            n_done += 1;
        }
    });
    // A gap means that the search was stopped before that trial began.
    attempts
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .ok_or(PipelineError::Stopped)
}

/// How many fits run at a time, and with how many threads each.
fn workers(problem: &Problem<'_>, n_trials: usize) -> (usize, u32) {
    if problem.train.rows.values().len() > MAX_COPIED_VALUES {
        return (1, problem.max_threads);
    }
    ((problem.max_threads as usize).clamp(1, n_trials.max(1)), 1)
}

/// Takes one trial after the other until none is left. libxgboost's copy of the rows belongs to this thread.
fn work(
    problem: &Problem<'_>,
    n_threads: u32,
    designed: &[Parameters],
    next: &AtomicUsize,
    stopped: &AtomicBool,
    sender: &mpsc::Sender<(usize, Attempt)>,
) {
    let options = TrainerOptions {
        columns: &problem.encoding.columns,
        target: problem.target,
        n_threads,
        seed: problem.seed,
    };
    let mut trainer: Option<Trainer> = None;
    while !stopped.load(Ordering::Relaxed) {
        let idx = next.fetch_add(1, Ordering::Relaxed);
        let Some(parameters) = designed.get(idx) else { return };
        let started_at = (problem.clock)();
        let made = || Trainer::new(problem.train, problem.validation, &options).map_err(PipelineError::from);
        let fitted = trainer.take().map_or_else(made, Ok).and_then(|ready| {
            let tried = try_once(problem, &ready, parameters);
            trainer = Some(ready);
            tried
        });
        if sender.send((idx, Attempt { started_at, fitted })).is_err() {
            return;
        }
    }
}

/// Fits one model and takes its metric on the serving code.
fn try_once(problem: &Problem<'_>, trainer: &Trainer, parameters: &Parameters) -> Result<(Fit, f64), PipelineError> {
    let fit = trainer.fit(parameters)?;
    let bundle = provisional(problem.applied, problem.encoding, &Calibration::Identity, &fit.artifact)?;
    let value = value(problem, bundle.model().ok_or(PipelineError::NoModelInBundle)?)?;
    tracing::debug!(
        strategy = %problem.applied.blueprint.name, parameters = parameters.to_json(), value,
        n_rounds = fit.n_rounds, n_rounds_fitted = fit.n_rounds_fitted, "trial"
    );
    Ok((fit, value))
}

/// Measures how long the serving code takes for a row.
fn with_latency(problem: &Problem<'_>, (fit, value): (Fit, f64)) -> Result<FittedTrial, PipelineError> {
    let bundle = provisional(problem.applied, problem.encoding, &Calibration::Identity, &fit.artifact)?;
    let latency = measure(bundle.model().ok_or(PipelineError::NoModelInBundle)?, problem.samples)?;
    Ok(FittedTrial { fit, value, latency })
}

fn value(problem: &Problem<'_>, model: &Model) -> Result<f64, PipelineError> {
    let mut scratch = Scratch::new();
    let rows: &Matrix = problem.validation.rows;
    let scores = model.score_rows(rows.values(), &mut scratch)?;
    let losses = losses(problem.target, scores, problem.validation.labels);
    Ok(metric(problem.target, &losses, problem.validation.weights).unwrap_or(f64::NAN))
}

/// A model that is not registered yet, in the bundle that would serve it. Fails when the two do not fit.
pub(crate) fn provisional(
    applied: &AppliedBlueprint,
    encoding: &Encoding,
    calibration: &Calibration,
    artifact: &[u8],
) -> Result<Bundle, PipelineError> {
    let model = Model::from_parts(ModelParts {
        strategy: &applied.blueprint.name,
        version: ModelVersion(0),
        target: &applied.blueprint.learning_target(),
        action_is_feature: applied.blueprint.action_is_feature(),
        encoding,
        calibration,
        artifact,
    })?;
    Ok(Bundle::new(applied.clone(), Some(model))?)
}

fn over_limit(limits: &ModelLimits, fitted: &FittedTrial) -> Option<String> {
    let bytes = fitted.fit.artifact.len() as u64;
    let p99_us = fitted.latency.p99_us;
    if let Some(max_bytes) = limits.max_bytes.filter(|max_bytes| bytes > *max_bytes) {
        return Some(format!("{bytes} bytes are over the limit of {max_bytes}"));
    }
    let max_us = limits.max_latency_us.filter(|max_us| p99_us > *max_us)?;
    Some(format!("{p99_us:.1} µs a row (p99) are over the limit of {max_us}"))
}

fn value_of(trial: &Trial) -> Option<f64> {
    trial
        .fitted
        .as_ref()
        .ok()
        .map(|fitted| fitted.value)
        .filter(|value| value.is_finite())
}

/// The position of the smallest value within the limits.
fn best_of(trials: &[Trial]) -> Option<usize> {
    let eligible = trials
        .iter()
        .enumerate()
        .filter(|(_, trial)| trial.over_limit.is_none());
    let valued = eligible.filter_map(|(idx, trial)| Some((idx, value_of(trial)?)));
    valued.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(idx, _)| idx)
}

fn why_none(trials: &[Trial]) -> SearchError {
    let fitted: Vec<&FittedTrial> = trials.iter().filter_map(|trial| trial.fitted.as_ref().ok()).collect();
    if fitted.is_empty() {
        let first = trials
            .iter()
            .find_map(|trial| trial.fitted.as_ref().err())
            .cloned()
            .unwrap_or_default();
        return SearchError::AllFailed {
            n_trials: trials.len(),
            first,
        };
    }
    SearchError::NoneWithinLimits {
        n_trials: trials.len(),
        least_bytes: fitted
            .iter()
            .map(|fitted| fitted.fit.artifact.len() as u64)
            .min()
            .unwrap_or_default(),
        least_p99_us: fitted
            .iter()
            .map(|fitted| fitted.latency.p99_us)
            .fold(f64::INFINITY, f64::min),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(value: f64, over_limit: Option<&str>) -> Trial {
        let fit = Fit {
            artifact: vec![0; 10],
            n_rounds: 1,
            n_rounds_fitted: 1,
            cpu_seconds: 0.0,
        };
        let latency = Latency {
            p50_us: 1.0,
            p99_us: 2.0,
        };
        Trial {
            parameters: Parameters::defaults(&LearningTarget::Binary),
            started_at: 0,
            fitted: Ok(FittedTrial { fit, value, latency }),
            over_limit: over_limit.map(str::to_owned),
        }
    }

    fn failed(reason: &str) -> Trial {
        Trial {
            fitted: Err(reason.to_owned()),
            ..trial(0.0, None)
        }
    }

    #[test]
    fn the_smallest_value_within_the_limits_wins() {
        let trials = [
            trial(0.5, None),
            trial(0.1, Some("too large")),
            trial(0.3, None),
            trial(0.3, None),
            failed("x"),
        ];
        assert_eq!(best_of(&trials), Some(2));
        assert_eq!(best_of(&[trial(f64::NAN, None), failed("x")]), None);
    }

    #[test]
    fn a_search_without_a_winner_says_why() {
        assert_eq!(
            why_none(&[failed("no memory"), failed("y")]).to_string(),
            "all 2 trials failed; the first one: no memory"
        );
        assert_eq!(
            why_none(&[trial(0.1, Some("too large")), failed("y")]).to_string(),
            "none of 2 models is within the blueprint's limits; the smallest has 10 bytes, the fastest scores a row in \
             2.0 µs (p99): raise [model] max_size or max_latency"
        );
    }

    #[test]
    fn limits_name_what_is_exceeded() {
        let limits = ModelLimits {
            max_latency_us: Some(1.5),
            max_bytes: Some(10),
        };
        let fitted = |trial: Trial| trial.fitted.ok().and_then(|fitted| over_limit(&limits, &fitted));
        assert_eq!(
            fitted(trial(0.1, None)).as_deref(),
            Some("2.0 µs a row (p99) are over the limit of 1.5")
        );
    }
}
