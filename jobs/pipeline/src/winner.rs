//! What a winner is: the best model of a search, checked against libxgboost, calibrated, compared with the baselines and
//! with the live model, and described.

use std::collections::HashSet;
use std::time::Instant;

use lakeloop_decide::encode::Encoder;
use lakeloop_decide::{Bundle, Model};
use lakeloop_domain::{
    Baseline, Calibration, Encoding, LearningTarget, ModelCard, ModelRecord, ModelVersion, PredictionInterval,
    Uncertainty,
};

use crate::calibrate::{Raw, calibration};
use crate::card::{Evidence, card};
use crate::choice::Choice;
use crate::coverage::shift;
use crate::error::PipelineError;
use crate::fit::{Work, groups};
use crate::guards::enough::MIN_VALIDATION_DECISIONS;
use crate::interval::intervals;
use crate::ladder::{Rung, ladder};
use crate::latency::Latency;
use crate::limits::{Length, latency, longest_within};
use crate::loss::{Gain, Metric, metric};
use crate::matrix::{encode, learn_encoding};
use crate::out_of_fold::out_of_fold;
use crate::parameters::Parameters;
use crate::parity::{self, Reference};
use crate::promote::Facts;
use crate::provisional::{provisional, uncalibrated};
use crate::rows::FeatureLayout;
use crate::scoring::{score, score_encoded};
use crate::search::Problem;
use crate::trial::{Trial, configured, losses_of, options};
use crate::uncertainty::{Seen, uncertainty};
use crate::xgb::{LabelledMatrix, Predictor, Trainer};

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

/// Fits the winner once more, with its parameters and rounds, on all rows, the gap's and the validation rows included, which
/// are the latest. What is said about the model stays what was found without them; parity and latency are checked again.
pub(crate) fn fit_all_rows(
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
    // More rows make larger trees: it is held to the limits once more.
    let Length {
        n_rounds,
        artifact,
        latency: without_calibration,
        ..
    } = longest_within(problem, &encoding, &training)?;
    winner.parity_max_abs = in_parity(work, layout, problem, (&encoding, &artifact))?.parity_max_abs;
    let bundle = provisional(work.applied, problem.target, &encoding, &winner.calibration, &artifact)?;
    // The same trees twice: what something else took of one of the two measurements is not theirs.
    winner.latency = latency(problem, &bundle)?.or_less(without_calibration);
    winner.n_rounds = n_rounds;
    winner.encoding = encoding;
    winner.artifact = artifact;
    Ok(())
}

/// A model that agrees with libxgboost on the validation rows.
struct InParity {
    /// The model without calibration, in its bundle.
    raw: Bundle,
    /// The same inside libxgboost.
    predictor: Predictor,
    /// The largest difference between the two.
    parity_max_abs: f64,
}

/// Loads a model into the serving code and into libxgboost, which must agree.
fn in_parity(
    work: &Work<'_>,
    layout: &FeatureLayout,
    problem: &Problem<'_>,
    (encoding, artifact): (&Encoding, &[u8]),
) -> Result<InParity, PipelineError> {
    let raw = uncalibrated(problem, encoding, artifact)?;
    let reference = Reference {
        predictor: Predictor::load(artifact, &encoding.columns)?,
        encoder: Encoder::new(encoding)?,
    };
    let (rows, validation) = (&work.data.rows, work.data.validation());
    let parity_max_abs = parity::check(loaded(&raw)?, &reference, layout, rows, validation)?;
    Ok(InParity {
        raw,
        predictor: reference.predictor,
        parity_max_abs,
    })
}

/// What is known of the chosen model before it is looked at.
pub(crate) struct Known<'a> {
    /// Every trial of the search.
    pub trials: &'a [Trial],
    /// What the guards told.
    pub notes: Vec<String>,
    /// Why this target and this loss.
    pub chosen_because: String,
}

/// Checks, calibrates, compares and describes the chosen model.
pub(crate) fn winner_of(
    work: &Work<'_>,
    layout: &FeatureLayout,
    problem: &Problem<'_>,
    choice: &Choice,
    known: Known<'_>,
) -> Result<Winner, PipelineError> {
    let (data, target, artifact) = (work.data, problem.target, &*choice.artifact);
    let InParity {
        raw,
        predictor,
        parity_max_abs,
    } = in_parity(work, layout, problem, (problem.encoding, artifact))?;

    let LabelledMatrix { labels, weights, .. } = problem.validation;
    let raw = score_encoded(loaded(&raw)?, problem.validation.rows)?;
    let started = Instant::now();
    // An order is learned from whole rankings, which the folds may cut.
    let folds = match target {
        LearningTarget::Order => Vec::new(),
        _ => data.folds(),
    };
    let folds = out_of_fold(problem, &folds, &choice.parameters, choice.n_rounds)?;
    let folded = Raw {
        predictions: &folds.predictions,
        labels: &folds.labels,
        weights: folds.weights.as_deref(),
    };
    let validated = Raw {
        predictions: &raw,
        labels,
        weights,
    };
    let (_, last_fold) = folded.split_at(folds.last_fold_from);
    let calibration = match target {
        LearningTarget::Quantile { quantile } => shift(*quantile, last_fold, validated),
        _ => calibration(&work.applied.blueprint, folded, folds.last_fold_from, validated),
    };
    let intervals = intervals(target, last_fold, validated);
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
    let latency = latency(problem, &bundle)?;
    let served = score_encoded(loaded(&bundle)?, problem.validation.rows)?;
    let served_losses = losses_of(problem, &served);
    let seen = Seen {
        rows: &data.rows,
        labels: &data.labels,
        train: data.train(),
        validation: data.validation(),
        own_scores: &score_encoded(loaded(&bundle)?, problem.train.rows)?,
        validation_scores: &served,
    };
    let uncertainty = uncertainty(&work.applied.blueprint, &seen);
    let card = card(&Evidence {
        work,
        problem,
        predictor: &predictor,
        raw: &raw,
        served: &served,
        served_losses: &served_losses,
        clusters,
        folds: &folds,
        calibration: &calibration,
        intervals,
        rungs: &rungs,
        notes: &known.notes,
        trials: known.trials,
        artifact_bytes: choice.bytes,
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
        over_live: over_live(work, layout, problem, &served_losses),
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
        chosen_because: known.chosen_because,
        value: choice.value,
        baseline: constant.and_then(|(rung, _)| baseline(problem, &rung.scores)),
        auc: match target {
            LearningTarget::Binary => Metric::Auc.value(target, &raw, labels, weights),
            _ => None,
        },
        latency,
        parity_max_abs,
        facts,
        interval: intervals.map(|intervals| intervals.served),
        notes: known.notes,
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
