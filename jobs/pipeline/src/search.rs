//! Searches for the best model within a blueprint's limits and within a budget of trials, of time, or of both.
//!
//! Parameters are proposed by [`crate::tpe`] from what earlier trials came to, beginning with the defaults and the
//! strategy's earlier winners; [`crate::race`] stops what is hopeless; [`crate::choice`] chooses among what is left.
//!
//! With a budget of trials a search is a function of rows, seed and number of trials: trial `i` knows of the trials up to
//! `i` − [`LOOKBACK`] and of no others, however many threads there are and whichever was faster. So a search that broke off
//! goes on from the trials that were written down and reaches the same winner; only a latency limit judges by what was
//! measured. With a budget of time a trial knows of all that have ended.
//!
//! Threads are spread over trials, one thread a fit: fits then never wait for each other, which on a busy machine is
//! many times faster than threads that meet after every level of a tree, and the models do not depend on the number of
//! threads.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use lakeloop_domain::{AppliedBlueprint, Encoding, LearningTarget};

use crate::choice::{Choice, choose};
use crate::context::Clock;
use crate::error::PipelineError;
use crate::limits::over_limit;
use crate::loss::Metric;
use crate::parameters::{Parameters, Space};
use crate::race::Rungs;
use crate::scoring::Sample;
use crate::selection;
use crate::tpe::{Observation, propose};
use crate::trial::{FittedTrial, Fold, Trial};
use crate::workers::{Board, run_all};
use crate::xgb::LabelledMatrix;

/// With a budget of trials, a trial knows of those that many places before it and of earlier ones.
pub(crate) const LOOKBACK: usize = 4;

/// The share of a budget of time that is left for dropping features and for the choice.
const SHARE_AFTER_TRIALS: f64 = 0.1;

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

/// What all trials have in common.
pub(crate) struct Problem<'a> {
    /// The blueprint.
    pub applied: &'a AppliedBlueprint,
    /// What is predicted.
    pub target: &'a LearningTarget,
    /// What trials are chosen by.
    pub metric: Metric,
    /// How rows are encoded.
    pub encoding: &'a Encoding,
    /// The rows that the model is fitted on.
    pub train: LabelledMatrix<'a>,
    /// The later rows that it is judged by.
    pub validation: LabelledMatrix<'a>,
    /// What trials are fitted on and compared by: the two above, which are the last fold, and before them what else was asked for.
    pub folds: &'a [Fold<'a>],
    /// For each validation row, fold after fold, which decision it stems from, as numbers that change from one to the next.
    pub decisions: &'a [usize],
    /// How much each of these rows counts; `None`: all count the same.
    pub weights: Option<&'a [f64]>,
    /// Fewer rows of the first fold, where it has many; a hopeless trial is stopped after these.
    pub sample: Option<Fold<'a>>,
    /// Some validation rows as they are served, to measure latency on.
    pub samples: &'a [Sample],
    /// Seed of the proposals and of the fits.
    pub seed: u64,
    /// Threads to use at most.
    pub max_threads: u32,
    /// Threads that one fit uses.
    pub threads_a_fit: u32,
    /// Tells when trials begin.
    pub clock: &'a Clock,
    /// When the search has to have ended; `None`: when its trials have.
    pub deadline: Option<Deadline>,
    /// Parameters of the strategy's earlier winners, the latest first.
    pub earlier_winners: &'a [Parameters],
    /// Trials of this very search that had ended before it broke off, by their positions.
    pub ended_before: &'a [(usize, Trial)],
}

/// A budget of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    /// When the time began to count.
    pub begun: Instant,
    /// How long it is.
    pub budget: Duration,
    /// How many times as long as its fit in the search the winner's last fits take: on folds, and perhaps on all rows.
    pub last_fit: f64,
}

impl Deadline {
    /// True when no time is left but for what follows the trials, the last fit of a model that took `fit_seconds` included.
    pub fn is_near(&self, fit_seconds: f64) -> bool {
        let budget = self.budget.as_secs_f64();
        self.begun.elapsed().as_secs_f64() + budget * SHARE_AFTER_TRIALS + fit_seconds * self.last_fit >= budget
    }

    /// The seconds that are left in all.
    pub fn seconds_left(&self) -> f64 {
        (self.budget.as_secs_f64() - self.begun.elapsed().as_secs_f64()).max(0.0)
    }
}

/// What came of a search.
pub(crate) struct Search {
    /// The trials in the order of their positions.
    pub trials: Vec<Trial>,
    /// The chosen model, or why there is none.
    pub winner: Result<Choice, SearchError>,
}

/// How far a search has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SoFar {
    /// Trials that have ended.
    pub n_done: u32,
    /// Trials at most.
    pub n_trials: u32,
    /// The best value of the metric; `None` until a trial has one.
    pub best: Option<f64>,
    /// What is left of a budget of time.
    pub seconds_left: Option<f64>,
}

/// Whether a search goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It does.
    GoOn,
    /// It ends, and the best model so far is chosen.
    ChooseNow,
    /// It ends with nothing.
    Stop,
}

/// Whoever watches a search.
pub(crate) struct Watcher<'w> {
    /// Hears how far it has come: before the first trial, and whenever one has ended.
    pub so_far: &'w mut dyn FnMut(SoFar) -> ControlFlow<()>,
    /// Hears of each trial that has ended, with its position.
    pub ended: &'w mut dyn FnMut(usize, &Trial) -> Result<(), PipelineError>,
    /// Is asked several times a second.
    pub asked: &'w dyn Fn() -> Asked,
}

/// Runs trials until the budget is spent, and chooses.
pub(crate) fn search(problem: &Problem<'_>, watcher: &mut Watcher<'_>) -> Result<Search, PipelineError> {
    let n_trials = problem.applied.blueprint.schedule.trials.max(1) as usize;
    let board = Board::new(n_trials, problem.ended_before);
    run_all(problem, &board, watcher)?;
    let mut trials: Vec<Trial> = board.into_trials();
    let best = trials
        .iter()
        .filter(|trial| is_eligible(trial))
        .filter_map(|trial| Some((problem.metric.badness(trial.fitted.as_ref().ok()?.value), trial)))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, trial)| trial.clone());
    if let Some(best) = best {
        let fit_seconds = best.fitted.as_ref().map_or(0.0, |fitted| fitted.cpu_seconds);
        let is_over = || (watcher.asked)() != Asked::GoOn || out_of_time(problem, fit_seconds);
        for trial in selection::with_fewer_features(problem, (&best, n_trials), &is_over)? {
            (watcher.ended)(trial.idx, &trial)?;
            trials.push(trial);
        }
    }
    let winner = match choose(problem, &trials)? {
        Some(choice) => Ok(choice),
        None => Err(why_none(&trials)),
    };
    Ok(Search { trials, winner })
}

/// True for trials whose model may be chosen.
pub(crate) fn is_eligible(trial: &Trial) -> bool {
    trial.over_limit.is_none() && trial.complete_value().is_some()
}

fn out_of_time(problem: &Problem<'_>, fit_seconds: f64) -> bool {
    problem.deadline.is_some_and(|deadline| {
        // Dropping features may use half of what the trials leave.
        let reserved = deadline.budget.as_secs_f64() * SHARE_AFTER_TRIALS / 2.0 + fit_seconds * deadline.last_fit;
        deadline.seconds_left() <= reserved
    })
}

/// A trial that has ended.
pub(crate) fn ended(
    problem: &Problem<'_>,
    (idx, parameters): (usize, Parameters),
    started_at: lakeloop_domain::Micros,
    rungs: Rungs,
    fitted: Result<FittedTrial, PipelineError>,
) -> Trial {
    let limits = &problem.applied.blueprint.limits;
    let fitted = fitted.map_err(|error| error.to_string());
    let exceeded = |fitted: &FittedTrial| over_limit(limits, fitted.artifact_bytes, fitted.latency.p99_us);
    Trial {
        idx,
        parameters,
        started_at,
        rungs,
        over_limit: fitted.as_ref().ok().and_then(exceeded),
        fitted,
    }
}

/// The parameters of a trial: the defaults, the earlier winners, then proposals.
pub(crate) fn parameters_of(problem: &Problem<'_>, space: &Space, idx: usize, known: &[Trial]) -> Parameters {
    if idx == 0 {
        return space.defaults();
    }
    if let Some(earlier) = problem.earlier_winners.get(idx - 1) {
        return space.at(&space.point(earlier));
    }
    let observed: Vec<Observation> = known
        .iter()
        .filter_map(|trial| {
            let fitted = trial.fitted.as_ref().ok()?;
            // The first fold is what every trial has been fitted on.
            let value = *fitted.fold_values.first()?;
            Some(Observation {
                point: space.point(&trial.parameters),
                badness: problem.metric.badness(value),
            })
        })
        .collect();
    let start = problem
        .earlier_winners
        .first()
        .cloned()
        .unwrap_or_else(|| space.defaults());
    space.at(&propose(problem.seed, idx as u64, &space.point(&start), &observed))
}

fn why_none(trials: &[Trial]) -> SearchError {
    let fitted: Vec<&FittedTrial> = trials.iter().filter_map(|trial| trial.fitted.as_ref().ok()).collect();
    if fitted.is_empty() {
        let first = trials.iter().find_map(|trial| trial.fitted.as_ref().err());
        return SearchError::AllFailed {
            n_trials: trials.len(),
            first: first.cloned().unwrap_or_default(),
        };
    }
    SearchError::NoneWithinLimits {
        n_trials: trials.len(),
        least_bytes: fitted
            .iter()
            .map(|fitted| fitted.artifact_bytes)
            .min()
            .unwrap_or_default(),
        least_p99_us: fitted
            .iter()
            .map(|fitted| fitted.latency.p99_us)
            .fold(f64::INFINITY, f64::min),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::simulated::ended_trial;

    fn trial(value: f64, over_limit: Option<&str>) -> Trial {
        Trial {
            over_limit: over_limit.map(str::to_owned),
            ..ended_trial(value)
        }
    }

    fn failed(reason: &str) -> Trial {
        Trial {
            fitted: Err(reason.to_owned()),
            ..trial(0.0, None)
        }
    }

    #[test]
    fn what_failed_is_over_a_limit_or_is_no_number_is_not_eligible() {
        assert!(is_eligible(&trial(0.5, None)));
        assert!(!is_eligible(&trial(0.1, Some("too large"))));
        assert!(!is_eligible(&trial(f64::NAN, None)));
        assert!(!is_eligible(&failed("x")));
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
}
