//! From a training set to a model that may be registered: guard, encode, search, check, calibrate, compare, describe.
//!
//! One blocking piece of work without any input or output but its progress, so that it can run on a thread of its own
//! and be tested without a lake.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use lakeloop_decide::encode::Encoder;
use lakeloop_decide::{Bundle, Model};
use lakeloop_domain::{
    AppliedBlueprint, Baseline, Calibration, Encoding, LearningTarget, ModelCard, ModelRecord, ModelVersion,
    PredictionInterval, Uncertainty,
};
use lakeloop_stats::Example;
use lakeloop_stats::metrics::auc;

use crate::calibrate::{Raw, calibration};
use crate::card::{Evidence, card};
use crate::choice::Choice;
use crate::context::Clock;
use crate::error::PipelineError;
use crate::guards::enough::MIN_VALIDATION_DECISIONS;
use crate::guards::guard;
use crate::interval::intervals;
use crate::ladder::{Rung, ladder};
use crate::latency::{Latency, measure};
use crate::loss::{Gain, Metric, metric};
use crate::matrix::{encode, learn_encoding};
use crate::out_of_fold::out_of_fold;
use crate::parameters::Parameters;
use crate::parity::{self, Reference};
use crate::promote::Facts;
use crate::rows::FeatureLayout;
use crate::scoring::{samples, score};
use crate::search::{Asked, Deadline, Problem, Search, SoFar, Watcher, search, threads_a_fit};
use crate::selection::Columns;
use crate::target::choose_target;
use crate::training_set::TrainingData;
use crate::trial::{Fold, Trial, configured, losses_of, options, provisional};
use crate::uncertainty::uncertainty;
use crate::xgb::{LabelledMatrix, Predictor, Trainer};

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

/// The best model of a search, with all that is said about it.
pub(crate) struct Winner {
    /// The model as libxgboost saved it.
    pub artifact: Vec<u8>,
    /// How its rows are made.
    pub encoding: Encoding,
    /// How its probabilities are calibrated.
    pub calibration: Calibration,
    /// How sure it is of each action's expected label.
    pub uncertainty: Option<Uncertainty>,
    /// What it was fitted with.
    pub parameters: Parameters,
    /// The rounds that it keeps.
    pub n_rounds: u32,
    /// What it predicts.
    pub target: LearningTarget,
    /// What it was chosen by.
    pub metric: Metric,
    /// Why this target and this loss.
    pub chosen_because: String,
    /// The metric on the validation rows, before calibration.
    pub value: f64,
    /// The metric of the best constant of the rows fitted on.
    pub baseline: Option<f64>,
    /// The area under the ROC curve, for binary targets with both labels among the validation rows.
    pub auc: Option<f64>,
    /// How long the serving code takes for a row.
    pub latency: Latency,
    /// The largest difference between the serving code and libxgboost.
    pub parity_max_abs: f64,
    /// What the judgement rests on.
    pub facts: Facts,
    /// Where labels lie around its predictions.
    pub interval: Option<PredictionInterval>,
    /// What the guards told.
    pub notes: Vec<String>,
    /// Everything that is said about it.
    pub card: ModelCard,
}

impl Winner {
    /// What it was fitted with, as the registry keeps it.
    pub fn parameters_to_json(&self) -> String {
        let registered = Registered {
            parameters: &self.parameters,
            rounds: self.n_rounds,
            loss: &self.chosen_because,
        };
        serde_json::to_string(&registered).unwrap_or_else(|_| self.parameters.to_json())
    }
}

#[derive(serde::Serialize)]
struct Registered<'a> {
    #[serde(flatten)]
    parameters: &'a Parameters,
    rounds: u32,
    loss: &'a str,
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
    // Whole rankings belong together, and weights to their rows: only plain rows are sampled.
    let step = train.rows.n_rows() / N_SAMPLED;
    let is_sampled = train.rows.n_rows() > MANY_ROWS && train.weights.is_none() && train.groups.is_empty();
    let sampled = is_sampled.then(|| (train.rows.every(step), every(train.labels, step)));
    let sample = sampled.as_ref().map(|(rows, labels)| Fold {
        train: LabelledMatrix { rows, labels, ..train },
        validation,
    });
    let folds = [Fold { train, validation }];
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
        decisions: &data.rows.decisions()[data.validation()],
        weights: validation.weights,
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
            let said = (&search, findings.notes);
            let mut winner = with_columns_of(&problem, choice, |problem| {
                winner_of(work, &layout, problem, choice, said)
            })?;
            if learning.fits_all_rows() {
                fit_all_rows(work, &layout, &problem, &mut winner)?;
            }
            winner.chosen_because = chosen.because;
            Some(winner)
        }
        Err(_) => None,
    };
    Ok(Fitted { search, winner })
}

/// Every so many-th value, beginning with the first.
fn every(values: &[f64], step: usize) -> Vec<f64> {
    values.iter().step_by(step.max(1)).copied().collect()
}

/// The number of rows of each decision in a range.
fn groups(data: &TrainingData, range: std::ops::Range<usize>) -> Vec<u32> {
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

/// Fits the winner once more, with its parameters and rounds, on all rows, the gap's and the validation rows included, which
/// are the latest. What is said about the model stays what was found without them; parity and latency are checked again.
fn fit_all_rows(
    work: &Work<'_>,
    layout: &FeatureLayout,
    problem: &Problem<'_>,
    winner: &mut Winner,
) -> Result<(), PipelineError> {
    let data = work.data;
    let all = 0..data.rows.len();
    let mut encoding = learn_encoding(&work.applied.blueprint, layout, &data.rows, all.clone())?;
    encoding
        .columns
        .retain(|column| winner.encoding.columns.iter().any(|kept| kept.name == column.name));
    let encoder = Encoder::new(&encoding)?;
    let rows = encode(layout, &data.rows, all.clone(), &encoder)?;
    let (groups, weights) = match problem.target {
        LearningTarget::Order => (groups(data, all.clone()), None),
        _ => (Vec::new(), data.weights_of(all)),
    };
    let part = LabelledMatrix {
        rows: &rows,
        labels: &data.labels,
        weights,
        groups: &groups,
    };
    let trainer = Trainer::unwatched(part, &options(problem, &encoding))?;
    let trainer = configured(problem, &encoding, trainer);
    let mut training = trainer.begin(&winner.parameters)?;
    training.go_on(winner.n_rounds, &|| false)?;
    let artifact = training.artifact(winner.n_rounds)?;
    let bundle = provisional(work.applied, problem.target, &encoding, &winner.calibration, &artifact)?;
    let raw = provisional(
        work.applied,
        problem.target,
        &encoding,
        &Calibration::Identity,
        &artifact,
    )?;
    let reference = Reference {
        predictor: Predictor::load(&artifact, &encoding.columns)?,
        encoder: Encoder::new(&encoding)?,
    };
    let validation = data.validation();
    winner.parity_max_abs = parity::check(loaded(&raw)?, &reference, layout, &data.rows, validation)?;
    winner.latency = measure(loaded(&bundle)?, problem.samples)?;
    winner.encoding = encoding;
    winner.artifact = artifact;
    Ok(())
}

fn winner_of(
    work: &Work<'_>,
    layout: &FeatureLayout,
    problem: &Problem<'_>,
    choice: &Choice,
    (search, notes): (&Search, Vec<String>),
) -> Result<Winner, PipelineError> {
    let (data, target, artifact) = (work.data, problem.target, &*choice.artifact);
    let raw_bundle = provisional(work.applied, target, problem.encoding, &Calibration::Identity, artifact)?;
    let raw_model = loaded(&raw_bundle)?;
    let reference = Reference {
        predictor: Predictor::load(artifact, &problem.encoding.columns)?,
        encoder: Encoder::new(problem.encoding)?,
    };
    let parity_max_abs = parity::check(raw_model, &reference, layout, &data.rows, data.validation())?;

    let LabelledMatrix { labels, weights, .. } = problem.validation;
    let raw = score(raw_model, layout, &data.rows, data.validation())?;
    let started = Instant::now();
    // An order is learned from whole rankings, which the folds may cut.
    let folds = match target {
        LearningTarget::Order => Vec::new(),
        _ => data.folds(),
    };
    let folds = out_of_fold(problem, &folds, &choice.parameters, choice.n_rounds)?;
    let folded = Raw {
        probabilities: &folds.predictions,
        labels: &folds.labels,
        weights: folds.weights.as_deref(),
    };
    let validated = Raw {
        probabilities: &raw,
        labels,
        weights,
    };
    let calibration = calibration(&work.applied.blueprint, folded, folds.last_fold_from, validated);
    let intervals = intervals(target, &folds, (&raw, labels));
    let clusters = clusters(work);
    let raw_losses = losses_of(problem, &raw);
    let rungs: Vec<(Rung, Option<Gain>)> = ladder(data, problem, work.applied.blueprint.ranks())?
        .into_iter()
        .map(|rung| {
            let gain = Gain::over(&losses_of(problem, &rung.scores), &raw_losses, clusters, weights);
            (rung, gain)
        })
        .collect();
    let validation_seconds = started.elapsed().as_secs_f64();

    let bundle = provisional(work.applied, target, problem.encoding, &calibration.map, artifact)?;
    let latency = measure(loaded(&bundle)?, problem.samples)?;
    let served = score(loaded(&bundle)?, layout, &data.rows, data.validation())?;
    let uncertainty = uncertainty(&work.applied.blueprint, loaded(&bundle)?, layout, data, &served)?;
    let card = card(&Evidence {
        work,
        problem,
        predictor: &reference.predictor,
        raw: &raw,
        served: &served,
        clusters,
        folds: &folds,
        calibration: &calibration,
        intervals,
        rungs: &rungs,
        notes: &notes,
        trials: &search.trials,
        artifact_bytes: artifact.len(),
        n_rounds: choice.n_rounds,
        latency,
        validation_seconds,
    })?;
    let facts = Facts {
        over_constant: gain_over(&rungs, Baseline::Constant),
        over_baselines: Baseline::LADDER[1..]
            .iter()
            .filter_map(|baseline| Some((*baseline, gain_over(&rungs, *baseline)?)))
            .collect(),
        over_live: over_live(work, layout, problem, &losses_of(problem, &served)),
    };
    let constant = rungs.iter().find(|(rung, _)| rung.baseline == Baseline::Constant);
    Ok(Winner {
        artifact: artifact.to_vec(),
        encoding: problem.encoding.clone(),
        calibration: calibration.map,
        uncertainty,
        parameters: choice.parameters.clone(),
        n_rounds: choice.n_rounds,
        target: target.clone(),
        metric: problem.metric,
        chosen_because: String::new(),
        value: choice.value,
        baseline: constant.and_then(|(rung, _)| baseline(problem, &rung.scores)),
        auc: area_under_curve(target, &raw, labels, weights),
        latency,
        parity_max_abs,
        facts,
        interval: intervals.map(|intervals| intervals.served),
        notes,
        card,
    })
}

/// The metric of the constant prediction, where it has one.
fn baseline(problem: &Problem<'_>, constant: &[f64]) -> Option<f64> {
    let LabelledMatrix {
        labels,
        weights,
        groups,
        ..
    } = problem.validation;
    match problem.metric {
        Metric::Ndcg => crate::order::ndcg(constant, labels, groups),
        Metric::Auc | Metric::Mae | Metric::Rmse => problem.metric.value(problem.target, constant, labels, weights),
        _ => metric(problem.target, &losses_of(problem, constant), weights),
    }
}

fn gain_over(rungs: &[(Rung, Option<Gain>)], baseline: Baseline) -> Option<Gain> {
    rungs.iter().find(|(rung, _)| rung.baseline == baseline)?.1
}

/// What the validation rows are independent by: their units, because rows of one unit go up and down together; or their
/// decisions, where so few units are there that nothing could be said by them.
fn clusters<'a>(work: &Work<'a>) -> &'a [usize] {
    let rows = &work.data.rows;
    let units = &rows.units()[work.data.validation()];
    let n_units = units.iter().collect::<HashSet<_>>().len();
    if n_units >= MIN_VALIDATION_DECISIONS {
        units
    } else {
        &rows.decisions()[work.data.validation()]
    }
}

fn loaded(bundle: &Bundle) -> Result<&Model, PipelineError> {
    bundle.model().ok_or(PipelineError::NoModelInBundle)
}

/// How much less the new model loses than the live one, both as they serve. A live model that does not fit the blueprint
/// in force, or cannot be loaded, serves nothing and is no rival; the log says so.
fn over_live(
    work: &Work<'_>,
    layout: &FeatureLayout,
    problem: &Problem<'_>,
    served_losses: &[f64],
) -> Option<(ModelVersion, Gain)> {
    let live = work.live?;
    match live_scores(work, live, layout) {
        Ok(scores) => {
            let validation = work.data.validation();
            let live_losses = losses_of(problem, &scores);
            let from = unseen_from(work, live);
            let weights = work.data.weights_of(validation).map(|weights| &weights[from..]);
            let (live_losses, served_losses) = (&live_losses[from..], &served_losses[from..]);
            Some((
                live.version,
                Gain::over(live_losses, served_losses, &clusters(work)[from..], weights)?,
            ))
        }
        Err(error) => {
            tracing::warn!(
                strategy = %work.applied.blueprint.name, model_version = live.version.0, %error,
                "the live model cannot be compared with"
            );
            None
        }
    }
}

/// The first validation row that the live model cannot have been fitted on. Where models are fitted on all rows, those from
/// before its registration may be among them, and it would look better on them than it is; they are left out as long as
/// there are enough others to tell by.
fn unseen_from(work: &Work<'_>, live: &ModelRecord) -> usize {
    if !work.applied.blueprint.learning.fits_all_rows() {
        return 0;
    }
    let validation = work.data.validation();
    let times = &work.data.rows.event_times()[validation.clone()];
    let from = times.partition_point(|at| *at < live.registered_at);
    let decisions = &work.data.rows.decisions()[validation][from..];
    if decisions.chunk_by(|a, b| a == b).count() >= MIN_VALIDATION_DECISIONS {
        from
    } else {
        0
    }
}

fn live_scores(work: &Work<'_>, live: &ModelRecord, layout: &FeatureLayout) -> Result<Vec<f64>, PipelineError> {
    let bundle = Bundle::new(work.applied.clone(), Some(Model::from_record(live)?))?;
    score(loaded(&bundle)?, layout, &work.data.rows, work.data.validation())
}

fn area_under_curve(target: &LearningTarget, scores: &[f64], labels: &[f64], weights: Option<&[f64]>) -> Option<f64> {
    if *target != LearningTarget::Binary {
        return None;
    }
    let examples = scores
        .iter()
        .zip(labels)
        .enumerate()
        .map(|(row_idx, (score, label))| Example {
            score: *score,
            label: *label != 0.0,
            weight: weights.map_or(1.0, |weights| weights[row_idx]),
        });
    auc(&examples.collect::<Vec<_>>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::promote::{Verdict, judge};
    use crate::rows::TrainingRows;
    use crate::simulated::{LATE, Row, applied, late, training_data, training_rows};
    use lakeloop_domain::FeatureValue;
    use rand::RngExt as _;
    use std::sync::Arc;

    /// Fits without anybody who follows but for how far it has come.
    fn followed(work: &Work<'_>, so_far: impl FnMut(SoFar) -> ControlFlow<()>) -> Result<Fitted, PipelineError> {
        let mut follower = Follower {
            ended: &mut |_, _, _| Ok(()),
            asked: &|| Asked::GoOn,
        };
        fit(work, so_far, &mut follower)
    }

    fn fit_rows(text: &str, rows: impl Fn(&AppliedBlueprint) -> TrainingRows) -> Result<Fitted, PipelineError> {
        let applied = applied(text);
        let data = training_data(&applied, rows(&applied));
        let clock: Clock = Arc::new(|| 0);
        let work = Work {
            applied: &applied,
            data: &data,
            live: None,
            seed: 1,
            max_threads: 2,
            clock: &clock,
            start: Start::default(),
        };
        followed(&work, |_| ControlFlow::Continue(()))
    }

    /// How far a search on labels that depend on nothing beats a constant, in standard errors.
    fn null_gain(n_rows: usize, n_trials: u32, seed: u64) -> Facts {
        let text = LATE.replace("trials = 3", &format!("trials = {n_trials}"));
        let fitted = fit_rows(&text, |applied| {
            training_rows(applied, n_rows, seed, |rng| Row {
                label: f64::from(u8::from(rng.random_bool(0.35))),
                ..late(rng)
            })
        });
        fitted.unwrap().winner.unwrap().facts
    }

    /// Each model that goes live here is a false positive.
    #[test]
    fn of_searches_on_labels_without_signal_hardly_any_puts_a_model_live() {
        let went_live = (0..40).filter(|seed| {
            matches!(
                judge(&null_gain(600, 3, *seed), &Baseline::DEFAULT),
                Verdict::GoLive { .. }
            )
        });
        let n_live = went_live.count();
        assert!(n_live <= 2, "{n_live} of 40 went live");
    }

    #[test]
    #[ignore = "a measurement"]
    #[allow(clippy::print_stdout)]
    fn null_distribution_of_the_gain_over_a_constant() {
        for (n_rows, n_trials) in [(600, 1), (600, 3), (600, 12), (2_000, 3), (2_000, 12)] {
            let mut gains: Vec<f64> = (0..200)
                .filter_map(|seed| null_gain(n_rows, n_trials, seed).over_constant)
                .map(|gain| {
                    if gain.standard_error > 0.0 {
                        gain.mean / gain.standard_error
                    } else {
                        0.0
                    }
                })
                .collect();
            gains.sort_by(f64::total_cmp);
            let at = |share: f64| gains[(gains.len() as f64 * share) as usize];
            println!(
                "{n_rows} rows, {n_trials} trials: median {:.2}, 90 % {:.2}, 95 % {:.2}, 97.5 % {:.2}, 99 % {:.2}",
                at(0.5),
                at(0.9),
                at(0.95),
                at(0.975),
                at(0.99),
            );
        }
    }

    #[test]
    fn progress_is_told_before_the_first_trial_and_after_each() {
        let applied = applied(LATE);
        let data = training_data(&applied, training_rows(&applied, 300, 1, late));
        let clock: Clock = Arc::new(|| 0);
        let work = Work {
            applied: &applied,
            data: &data,
            live: None,
            seed: 1,
            max_threads: 2,
            clock: &clock,
            start: Start::default(),
        };
        let mut told = Vec::new();
        let fitted = followed(&work, |so_far| {
            told.push((so_far.n_done, so_far.n_trials, so_far.best.is_some()));
            ControlFlow::Continue(())
        });
        assert_eq!(told, [(0, 3, false), (1, 3, true), (2, 3, true), (3, 3, true)]);
        assert!(fitted.unwrap().winner.is_some());
        let stopped = followed(&work, |so_far| {
            if so_far.n_done == 1 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(matches!(stopped, Err(PipelineError::Stopped)));
    }

    #[test]
    fn columns_without_a_single_value_do_no_harm() {
        let fitted = fit_rows(LATE, |applied| {
            training_rows(applied, 600, 1, |rng| {
                let mut row = late(rng);
                for (name, value) in &mut row.values {
                    if ["city", "noise"].contains(name) {
                        *value = FeatureValue::Missing;
                    }
                }
                row
            })
        });
        let winner = fitted.unwrap().winner.unwrap();
        let city = winner
            .encoding
            .columns
            .iter()
            .find(|column| column.name == "city")
            .unwrap();
        assert!(city.vocabulary.is_empty());
        assert!(winner.value < winner.baseline.unwrap());
    }

    /// A search of 24 trials, begun with some of them behind it.
    fn searched(more: &str, max_threads: u32, ended_before: Vec<(usize, Trial)>) -> (Fitted, Vec<(usize, Trial)>) {
        let text = LATE.replace("trials = 3", "trials = 24") + more;
        let applied = applied(&text);
        let data = training_data(&applied, training_rows(&applied, 1_500, 1, late));
        let clock: Clock = Arc::new(|| 0);
        let work = Work {
            applied: &applied,
            data: &data,
            live: None,
            seed: 5,
            max_threads,
            clock: &clock,
            start: Start {
                earlier_winners: Vec::new(),
                ended_before,
            },
        };
        let mut ended = Vec::new();
        let mut follower = Follower {
            ended: &mut |idx, trial, _| {
                ended.push((idx, trial.clone()));
                Ok(())
            },
            asked: &|| Asked::GoOn,
        };
        let fitted = fit(&work, |_| ControlFlow::Continue(()), &mut follower).unwrap();
        (fitted, ended)
    }

    fn artifact(fitted: &Fitted) -> &[u8] {
        &fitted.winner.as_ref().unwrap().artifact
    }

    #[test]
    fn a_search_of_trials_is_the_same_with_any_number_of_threads_and_after_a_crash_anywhere() {
        let (whole, trials) = searched("", 2, Vec::new());
        let (alone, _) = searched("", 1, Vec::new());
        assert_eq!(artifact(&whole), artifact(&alone), "one thread comes to another model");
        for n_before in [1, 11, 23] {
            // As they come back from the table: without their models.
            let mut before: Vec<(usize, Trial)> = trials[..n_before].to_vec();
            for (_, trial) in &mut before {
                if let Ok(fitted) = &mut trial.fitted {
                    fitted.artifacts.clear();
                    fitted.losses = Arc::new([]);
                }
            }
            let (resumed, again) = searched("", 2, before);
            assert_eq!(artifact(&whole), artifact(&resumed), "after {n_before} trials");
            assert_eq!(
                again.len(),
                trials.len() - n_before,
                "trials that had ended were run again"
            );
        }
        let stopped = trials
            .iter()
            .filter(|(_, trial)| matches!(&trial.fitted, Ok(fitted) if !fitted.is_complete));
        assert!(stopped.count() >= 1, "nothing was stopped early");
    }

    #[test]
    fn a_budget_of_time_ends_the_search_and_all_rows_may_be_fitted_at_last() {
        let more = "model = { budget = \"1s\", final_fit = \"all_rows\" }\n";
        let text = LATE
            .replace(", trials = 3", "")
            .replace("[context]", &format!("{more}[context]"));
        let begun = Instant::now();
        let fitted = fit_rows(&text, |applied| training_rows(applied, 1_500, 1, late)).unwrap();
        let winner = fitted.winner.unwrap();
        assert!(
            fitted.search.trials.len() > 3,
            "only {} trials",
            fitted.search.trials.len()
        );
        assert!(fitted.search.trials.len() < 1_000, "the budget ended nothing");
        // Generous: the machine may be doing other things, but a thousand trials would take far longer.
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!(winner.parity_max_abs <= parity::TOLERANCE);
    }

    #[test]
    fn whoever_asks_for_the_best_so_far_gets_it() {
        let applied = applied(&LATE.replace("trials = 3", "trials = 400"));
        let data = training_data(&applied, training_rows(&applied, 600, 1, late));
        let clock: Clock = Arc::new(|| 0);
        let work = Work {
            applied: &applied,
            data: &data,
            live: None,
            seed: 1,
            max_threads: 2,
            clock: &clock,
            start: Start::default(),
        };
        let n_ended = std::cell::Cell::new(0);
        let mut follower = Follower {
            ended: &mut |_, _, _| {
                n_ended.set(n_ended.get() + 1);
                Ok(())
            },
            asked: &|| {
                if n_ended.get() >= 3 {
                    Asked::ChooseNow
                } else {
                    Asked::GoOn
                }
            },
        };
        let fitted = fit(&work, |_| ControlFlow::Continue(()), &mut follower).unwrap();
        assert!(fitted.winner.is_some());
        assert!(
            (3..60).contains(&fitted.search.trials.len()),
            "{} trials",
            fitted.search.trials.len()
        );
    }

    #[test]
    fn sets_of_fewer_features_are_tried_and_what_matters_stays() {
        let text = LATE.replace("trials = 3", "trials = 6");
        let fitted = fit_rows(&text, |applied| training_rows(applied, 4_000, 3, late)).unwrap();
        let dropped: Vec<_> = fitted
            .search
            .trials
            .iter()
            .map(|trial| trial.parameters.without.clone())
            .collect();
        assert!(
            dropped.iter().any(|without| !without.is_empty()),
            "no set of fewer features was tried"
        );
        let names: Vec<String> = fitted
            .winner
            .unwrap()
            .encoding
            .columns
            .into_iter()
            .map(|column| column.name)
            .collect();
        assert!(
            names.contains(&"x".to_owned()) && names.contains(&"city".to_owned()),
            "{names:?}"
        );
    }
}
