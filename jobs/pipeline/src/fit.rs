//! From a training set to a model that may be registered: guard, encode, search, check, calibrate, compare, describe.
//!
//! One blocking piece of work without any input or output but its progress, so that it can run on a thread of its own
//! and be tested without a lake.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use lakeloop_decide::encode::Encoder;
use lakeloop_domain::{AppliedBlueprint, LearningTarget, ModelRecord};

use crate::choice::Choice;
use crate::context::Clock;
use crate::error::PipelineError;
use crate::fold_rows::FoldRows;
use crate::folds;
use crate::guards::guard;
use crate::loss::Metric;
use crate::matrix::{encode, learn_encoding};
use crate::parameters::Parameters;
use crate::rows::FeatureLayout;
use crate::scoring::samples;
use crate::search::{Asked, Deadline, Problem, Search, SoFar, Watcher, search};
use crate::selection::Columns;
use crate::target::choose_target;
use crate::training_set::TrainingData;
use crate::trial::{Fold, Trial};
use crate::winner::{Known, Winner, fit_all_rows, winner_of};
use crate::workers::threads_a_fit;
use crate::xgb::LabelledMatrix;

/// Validation rows that latency is measured on.
const N_LATENCY_ROWS: usize = 500;

/// What to fit, and with what.
pub(crate) struct Work<'a> {
    /// The blueprint in force.
    pub applied: &'a AppliedBlueprint,
    /// The training set.
    pub data: &'a TrainingData,
    /// The model that is live, to compare with.
    pub live: Option<&'a ModelRecord>,
    /// Seed of the search.
    pub seed: u64,
    /// Threads to use at most.
    pub max_threads: u32,
    /// Tells when trials begin.
    pub clock: &'a Clock,
    /// What the search begins with.
    pub start: Start,
}

/// What a search begins with.
#[derive(Default)]
pub(crate) struct Start {
    /// Parameters of the strategy's earlier winners, the latest first.
    pub earlier_winners: Vec<Parameters>,
    /// Trials of this very search that had ended before it broke off, by their positions.
    pub ended_before: Vec<(usize, Trial)>,
}

/// Whoever follows a search while it runs.
pub(crate) struct Follower<'f> {
    /// Hears of each trial that has ended, with its position and the metric's name.
    pub ended: &'f mut dyn FnMut(usize, &Trial, &'static str) -> Result<(), PipelineError>,
    /// Is asked several times a second whether to go on.
    pub asked: &'f dyn Fn() -> Asked,
}

/// What came of it.
pub(crate) struct Fitted {
    /// Every trial.
    pub search: Search,
    /// The best model, checked; `None` when the search has none.
    pub winner: Option<Winner>,
}

/// Rows beyond which a hopeless trial is stopped after a sample of them.
const MANY_ROWS: usize = 60_000;

/// The rows of that sample, about.
const N_SAMPLED: usize = 15_000;

/// Searches for a model, and checks and compares the winner. `after_each` hears how far the search has come: before the
/// first trial, and whenever one has ended. It may end it.
pub(crate) fn fit(
    work: &Work<'_>,
    mut after_each: impl FnMut(SoFar) -> ControlFlow<()>,
    follower: &mut Follower<'_>,
) -> Result<Fitted, PipelineError> {
    let begun = Instant::now();
    let (data, blueprint) = (work.data, &work.applied.blueprint);
    let labels = &data.labels[data.train()];
    let chosen = choose_target(blueprint, labels);
    let target = chosen.target;
    let learning = &blueprint.learning;
    let metric = Metric::of(&target, learning.metric);
    let layout = FeatureLayout::new(blueprint);
    let encoding = learn_encoding(blueprint, &layout, &data.rows, data.train())?;
    let encoder = Encoder::new(&encoding)?;
    let train = encode(&layout, &data.rows, data.train(), &encoder)?;
    let validation = encode(&layout, &data.rows, data.validation(), &encoder)?;
    let latency_rows = data.validation().start..data.validation().end.min(data.validation().start + N_LATENCY_ROWS);
    let (train_groups, validation_groups) = match &target {
        LearningTarget::Order => (groups(data, data.train()), groups(data, data.validation())),
        _ => Default::default(),
    };
    // An order is learned from whole rankings, whose rows have no weights of their own.
    let weights_of = |range| match &target {
        LearningTarget::Order => None,
        _ => data.weights_of(range),
    };
    let train = LabelledMatrix {
        rows: &train,
        labels,
        weights: weights_of(data.train()),
        groups: &train_groups,
    };
    let validation = LabelledMatrix {
        rows: &validation,
        labels: &data.labels[data.validation()],
        weights: weights_of(data.validation()),
        groups: &validation_groups,
    };
    let earlier = earlier_folds(data, learning.n_folds());
    let copied: Vec<FoldRows> = earlier.iter().map(|fold| FoldRows::of(train, fold)).collect();
    let mut folds: Vec<Fold<'_>> = copied.iter().map(FoldRows::as_fold).collect();
    folds.push(Fold { train, validation });
    let judged_by = judged_by(data, &earlier, &folds);
    // Whole rankings belong together, and weights to their rows: only plain rows are sampled.
    let first = folds[0];
    let step = first.train.rows.n_rows() / N_SAMPLED;
    let is_sampled = first.train.rows.n_rows() > MANY_ROWS && train.weights.is_none() && train.groups.is_empty();
    let sampled = is_sampled.then(|| (first.train.rows.every(step), every(first.train.labels, step)));
    let sample = sampled.as_ref().map(|(rows, labels)| Fold {
        train: LabelledMatrix {
            rows,
            labels,
            ..first.train
        },
        ..first
    });
    let n_values = train.rows.values().len();
    let last_fit = if learning.fits_all_rows() {
        1.0 + data.rows.len() as f64 / train.rows.n_rows() as f64
    } else {
        1.0
    };
    let deadline = learning.budget_us.map(|budget_us| Deadline {
        begun,
        budget: Duration::from_micros(budget_us.unsigned_abs()),
        last_fit,
    });
    let problem = Problem {
        applied: work.applied,
        target: &target,
        metric,
        encoding: &encoding,
        train,
        validation,
        folds: &folds,
        decisions: &judged_by.decisions,
        weights: judged_by.weights.as_deref(),
        sample,
        samples: &samples(&layout, &data.rows, latency_rows),
        seed: work.seed,
        max_threads: work.max_threads,
        threads_a_fit: threads_a_fit(n_values, work.max_threads),
        clock: work.clock,
        deadline,
        earlier_winners: &work.start.earlier_winners,
        ended_before: &work.start.ended_before,
    };
    let findings = guard(blueprint, data, &problem);
    if !findings.stops.is_empty() {
        return Err(PipelineError::Guards {
            sentences: findings.stops,
        });
    }
    let mut watcher = Watcher {
        so_far: &mut after_each,
        ended: &mut |idx, trial| (follower.ended)(idx, trial, metric.as_str()),
        asked: follower.asked,
    };
    let search = search(&problem, &mut watcher)?;
    let winner = match &search.winner {
        Ok(choice) => {
            let known = Known {
                trials: &search.trials,
                notes: findings.notes,
                chosen_because: chosen.because,
            };
            let mut winner = with_columns_of(&problem, choice, |problem| {
                winner_of(work, &layout, problem, choice, known)
            })?;
            if learning.fits_all_rows() {
                fit_all_rows(work, &layout, &problem, &mut winner)?;
            }
            Some(winner)
        }
        Err(_) => None,
    };
    Ok(Fitted { search, winner })
}

/// The same where nobody follows and nothing is written down.
pub(crate) fn fit_unfollowed(work: &Work<'_>) -> Result<Fitted, PipelineError> {
    let mut follower = Follower {
        ended: &mut |_, _, _| Ok(()),
        asked: &|| Asked::GoOn,
    };
    fit(work, |_| ControlFlow::Continue(()), &mut follower)
}

/// The folds before the latest rows that trials are judged by too: the latest ones of those inside the rows fitted on.
fn earlier_folds(data: &TrainingData, n_folds: usize) -> Vec<folds::Fold> {
    let inside = if n_folds > 1 { data.folds() } else { Vec::new() };
    let n_left_out = inside.len().saturating_sub(n_folds - 1);
    inside.into_iter().skip(n_left_out).collect()
}

/// Whose rows validate and how much they count, fold after fold.
struct JudgedBy {
    decisions: Vec<usize>,
    weights: Option<Vec<f64>>,
}

fn judged_by(data: &TrainingData, earlier: &[folds::Fold], folds: &[Fold<'_>]) -> JudgedBy {
    let all = data.rows.decisions();
    let positions = earlier.iter().flat_map(|fold| fold.validation.iter().copied());
    let weights = folds.iter().map(|fold| fold.validation.weights);
    JudgedBy {
        decisions: positions.chain(data.validation()).map(|row_idx| all[row_idx]).collect(),
        weights: weights.collect::<Option<Vec<&[f64]>>>().map(|parts| parts.concat()),
    }
}

/// Every so many-th value, beginning with the first.
fn every(values: &[f64], step: usize) -> Vec<f64> {
    values.iter().step_by(step.max(1)).copied().collect()
}

/// The number of rows of each decision in a range.
pub(crate) fn groups(data: &TrainingData, range: std::ops::Range<usize>) -> Vec<u32> {
    let decisions = &data.rows.decisions()[range];
    decisions
        .chunk_by(|a, b| a == b)
        .map(|rows| rows.len() as u32)
        .collect()
}

/// Does something with the problem as the chosen model sees it: without the columns that it does without.
fn with_columns_of<T>(
    problem: &Problem<'_>,
    choice: &Choice,
    with: impl FnOnce(&Problem<'_>) -> Result<T, PipelineError>,
) -> Result<T, PipelineError> {
    let columns = Columns::of(problem, &choice.encoding);
    let (train, validation) = columns.rows();
    let narrowed = Problem {
        encoding: &choice.encoding,
        train,
        validation,
        ..*problem
    };
    with(&narrowed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
