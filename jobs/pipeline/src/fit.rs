//! From a training set to a model that may be registered: guard, encode, search, check, calibrate, compare, describe.
//!
//! One blocking piece of work without any input or output but its progress, so that it can run on a thread of its own
//! and be tested without a lake.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Instant;

use lakeloop_decide::encode::Encoder;
use lakeloop_decide::{Bundle, Model};
use lakeloop_domain::{
    AppliedBlueprint, Baseline, Calibration, Encoding, LearningTarget, ModelCard, ModelRecord, ModelVersion,
    PredictionInterval,
};
use lakeloop_stats::Example;
use lakeloop_stats::metrics::auc;

use crate::calibrate::{Raw, calibration};
use crate::card::{Evidence, card};
use crate::context::Clock;
use crate::error::PipelineError;
use crate::guards::enough::MIN_VALIDATION_DECISIONS;
use crate::guards::guard;
use crate::interval::intervals;
use crate::ladder::{Rung, ladder};
use crate::latency::{Latency, measure};
use crate::loss::{Gain, losses, metric};
use crate::matrix::{encode, learn_encoding};
use crate::out_of_fold::out_of_fold;
use crate::parameters::Parameters;
use crate::parity::{self, Reference};
use crate::promote::Facts;
use crate::rows::FeatureLayout;
use crate::scoring::{samples, score};
use crate::search::{Problem, Search, provisional, search};
use crate::training_set::TrainingData;
use crate::xgb::{LabelledMatrix, Predictor};

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
    /// What it was fitted with.
    pub parameters: Parameters,
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

/// Searches for a model, and checks and compares the winner. `after_each` as in [`search`].
pub(crate) fn fit(
    work: &Work<'_>,
    after_each: impl FnMut(u32, u32, Option<f64>) -> ControlFlow<()>,
) -> Result<Fitted, PipelineError> {
    let (data, blueprint) = (work.data, &work.applied.blueprint);
    let target = blueprint.learning_target();
    let layout = FeatureLayout::new(blueprint);
    let encoding = learn_encoding(blueprint, &layout, &data.rows, data.train());
    let encoder = Encoder::new(&encoding)?;
    let train = encode(&layout, &data.rows, data.train(), &encoder)?;
    let validation = encode(&layout, &data.rows, data.validation(), &encoder)?;
    let latency_rows = data.validation().start..data.validation().end.min(data.validation().start + N_LATENCY_ROWS);
    let problem = Problem {
        applied: work.applied,
        target: &target,
        encoding: &encoding,
        train: LabelledMatrix {
            rows: &train,
            labels: &data.labels[data.train()],
            weights: data.weights_of(data.train()),
        },
        validation: LabelledMatrix {
            rows: &validation,
            labels: &data.labels[data.validation()],
            weights: data.weights_of(data.validation()),
        },
        samples: &samples(&layout, &data.rows, latency_rows),
        seed: work.seed,
        max_threads: work.max_threads,
        clock: work.clock,
    };
    let findings = guard(blueprint, data, &problem);
    if !findings.stops.is_empty() {
        return Err(PipelineError::Guards {
            sentences: findings.stops,
        });
    }
    let search = search(&problem, after_each)?;
    let winner = match &search.winner {
        Ok(winner_idx) => winner_of(work, &layout, &problem, (&search, *winner_idx), findings.notes)?,
        Err(_) => None,
    };
    Ok(Fitted { search, winner })
}

fn winner_of(
    work: &Work<'_>,
    layout: &FeatureLayout,
    problem: &Problem<'_>,
    (search, winner_idx): (&Search, usize),
    notes: Vec<String>,
) -> Result<Option<Winner>, PipelineError> {
    let trial = &search.trials[winner_idx];
    let Ok(fitted) = &trial.fitted else { return Ok(None) };
    let (data, target, artifact) = (work.data, problem.target, &fitted.fit.artifact);
    let raw_bundle = provisional(work.applied, problem.encoding, &Calibration::Identity, artifact)?;
    let raw_model = loaded(&raw_bundle)?;
    let reference = Reference {
        predictor: Predictor::load(artifact, &problem.encoding.columns)?,
        encoder: Encoder::new(problem.encoding)?,
    };
    let parity_max_abs = parity::check(raw_model, &reference, layout, &data.rows, data.validation())?;

    let LabelledMatrix { labels, weights, .. } = problem.validation;
    let raw = score(raw_model, layout, &data.rows, data.validation())?;
    let started = Instant::now();
    let folds = out_of_fold(problem, &data.folds(), &trial.parameters, fitted.fit.n_rounds)?;
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
    let raw_losses = losses(target, &raw, labels);
    let rungs: Vec<(Rung, Option<Gain>)> = ladder(data, problem, work.applied.blueprint.ranks())?
        .into_iter()
        .map(|rung| {
            let gain = Gain::over(&losses(target, &rung.scores, labels), &raw_losses, clusters, weights);
            (rung, gain)
        })
        .collect();
    let validation_seconds = started.elapsed().as_secs_f64();

    let bundle = provisional(work.applied, problem.encoding, &calibration.map, artifact)?;
    let latency = measure(loaded(&bundle)?, problem.samples)?;
    let served = score(loaded(&bundle)?, layout, &data.rows, data.validation())?;
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
        n_rounds: fitted.fit.n_rounds,
        latency,
        validation_seconds,
    })?;
    let facts = Facts {
        over_constant: gain_over(&rungs, Baseline::Constant),
        over_baselines: Baseline::LADDER[1..]
            .iter()
            .filter_map(|baseline| Some((*baseline, gain_over(&rungs, *baseline)?)))
            .collect(),
        over_live: over_live(work, layout, target, &losses(target, &served, labels)),
    };
    let constant = rungs.iter().find(|(rung, _)| rung.baseline == Baseline::Constant);
    Ok(Some(Winner {
        artifact: artifact.clone(),
        encoding: problem.encoding.clone(),
        calibration: calibration.map,
        parameters: trial.parameters.clone(),
        value: fitted.value,
        baseline: constant.and_then(|(rung, _)| metric(target, &losses(target, &rung.scores, labels), weights)),
        auc: area_under_curve(target, &raw, labels, weights),
        latency,
        parity_max_abs,
        facts,
        interval: intervals.map(|intervals| intervals.served),
        notes,
        card,
    }))
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
    target: &LearningTarget,
    served_losses: &[f64],
) -> Option<(ModelVersion, Gain)> {
    let live = work.live?;
    match live_scores(work, live, layout) {
        Ok(scores) => {
            let validation = work.data.validation();
            let live_losses = losses(target, &scores, &work.data.labels[validation.clone()]);
            let weights = work.data.weights_of(validation);
            Some((
                live.version,
                Gain::over(&live_losses, served_losses, clusters(work), weights)?,
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
        };
        fit(&work, |_, _, _| ControlFlow::Continue(()))
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
        };
        let mut told = Vec::new();
        let fitted = fit(&work, |n_done, n_trials, best| {
            told.push((n_done, n_trials, best.is_some()));
            ControlFlow::Continue(())
        });
        assert_eq!(told, [(0, 3, false), (1, 3, true), (2, 3, true), (3, 3, true)]);
        assert!(fitted.unwrap().winner.is_some());
        let stopped = fit(&work, |n_done, _, _| {
            if n_done == 1 {
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
}
