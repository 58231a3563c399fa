//! Writes the card of a winner: everything that is known about it when it is registered.

mod importance;
mod slices;

use lakeloop_domain::{
    Baseline, CardBaseline, CardCalibration, CardCost, CardData, CardInterval, CardLift, CardMetric, CardReliability,
    LearningTarget, ModelCard,
};
use lakeloop_stats::Example;
use lakeloop_stats::clustered::{clustered_auc, clustered_mean};
use lakeloop_stats::metrics::expected_calibration_error;
use lakeloop_stats::reliability::{lift, reliability};

use crate::calibrate::Chosen;
use crate::error::PipelineError;
use crate::evaluate::words::instant;
use crate::fit::Work;
use crate::interval::Intervals;
use crate::ladder::Rung;
use crate::latency::Latency;
use crate::loss::{Gain, metric, metric_name};
use crate::out_of_fold::OutOfFold;
use crate::search::Problem;
use crate::trial::{Trial, losses_of};
use crate::xgb::Predictor;

/// The confidence of every interval on a card.
const CONFIDENCE: f64 = 0.95;
/// Standard errors on each side of an AUC that give it.
const Z: f64 = 1.959963984540054;
/// Bins of the calibration error and of its plot.
const N_BINS: usize = 10;
/// Points of a lift curve.
const N_LIFT_POINTS: usize = 20;

/// What a card is written from.
pub(crate) struct Evidence<'a> {
    /// What was fitted, and with what.
    pub work: &'a Work<'a>,
    /// Its rows and columns.
    pub problem: &'a Problem<'a>,
    /// The winner inside libxgboost.
    pub predictor: &'a Predictor,
    /// Its raw scores of the validation rows.
    pub raw: &'a [f64],
    /// Its scores as they are served.
    pub served: &'a [f64],
    /// What these lose on each row.
    pub served_losses: &'a [f64],
    /// For each validation row the cluster that it belongs to.
    pub clusters: &'a [usize],
    /// Its parameters on folds.
    pub folds: &'a OutOfFold,
    /// Its calibration.
    pub calibration: &'a Chosen,
    /// Where labels lie around its predictions.
    pub intervals: Option<Intervals>,
    /// The baselines, each with how much less the model loses.
    pub rungs: &'a [(Rung, Option<Gain>)],
    /// What the guards told.
    pub notes: &'a [String],
    /// Every trial of the search.
    pub trials: &'a [Trial],
    /// Size of the saved model.
    pub artifact_bytes: u64,
    /// Rounds that it keeps.
    pub n_rounds: u32,
    /// How long it takes for a row.
    pub latency: Latency,
    /// Seconds that validation took so far.
    pub validation_seconds: f64,
}

/// Writes the card. Cost: one pass of TreeSHAP over some validation rows, and sums over slices.
pub(crate) fn card(evidence: &Evidence<'_>) -> Result<ModelCard, PipelineError> {
    let (blueprint, problem) = (&evidence.work.applied.blueprint, evidence.problem);
    let importance = importance::importance(evidence.predictor, problem)?;
    let (weak_slices, n_slices) = slices::weak_slices(evidence, &importance);
    Ok(ModelCard {
        strategy: blueprint.name.clone(),
        version: None,
        description: blueprint.description.clone(),
        target: problem.target.clone(),
        data: data(evidence),
        metrics: metrics(evidence),
        baselines: baselines(evidence, blueprint.training.must_beat()),
        folds: evidence.folds.folds.clone(),
        calibration: calibration(evidence),
        interval: evidence.intervals.map(|intervals| CardInterval {
            interval: intervals.served,
            covered: intervals.covered,
        }),
        lift: lift_of(evidence),
        importance,
        weak_slices,
        n_slices,
        guards: evidence.notes.to_vec(),
        cost: cost(evidence),
    })
}

fn data(evidence: &Evidence<'_>) -> CardData {
    let (work, data) = (evidence.work, evidence.work.data);
    let times = data.rows.event_times();
    let between = |rows: std::ops::Range<usize>| (instant(times[rows.start]), instant(times[rows.end - 1]));
    let units = |rows: std::ops::Range<usize>| {
        data.rows.units()[rows]
            .iter()
            .copied()
            .collect::<std::collections::HashSet<usize>>()
    };
    let (known, validated) = (units(data.train()), units(data.validation()));
    let n_validation_rows = data.validation().len();
    let of_known = data.rows.units()[data.validation()]
        .iter()
        .filter(|unit| known.contains(unit))
        .count();
    let mean = |rows: std::ops::Range<usize>| data.labels[rows.clone()].iter().sum::<f64>() / rows.len() as f64;
    let is_number = !matches!(evidence.problem.target, LearningTarget::MultiClass { .. });
    CardData {
        blueprint_version: work.applied.version.to_string(),
        training_set_id: data.id.to_string(),
        table_versions: data.table_versions.clone(),
        fitted_on: between(data.train()),
        validated_on: between(data.validation()),
        n_train_rows: data.train().len(),
        n_gap_rows: data.gap().len(),
        n_validation_rows,
        n_validation_units: validated.len(),
        share_of_known_units: of_known as f64 / n_validation_rows as f64,
        label_means: is_number.then(|| (mean(data.train()), mean(data.validation()))),
    }
}

fn metrics(evidence: &Evidence<'_>) -> Vec<CardMetric> {
    let (target, labels) = (evidence.problem.target, evidence.problem.validation.labels);
    let weights = evidence.problem.validation.weights;
    let served_losses = evidence.served_losses;
    let found = clustered_mean(served_losses, evidence.clusters, weights);
    let by = found.map_or("", |found| {
        if found.n_clusters == labels.len() {
            "independent rows"
        } else {
            "clusters"
        }
    });
    let root = |value: f64| match target {
        LearningTarget::Regression => value.max(0.0).sqrt(),
        _ => value,
    };
    let interval = found.and_then(|found| found.interval(CONFIDENCE));
    let mut metrics = vec![CardMetric {
        name: metric_name(target).to_owned(),
        value: metric(target, served_losses, weights).unwrap_or(f64::NAN),
        interval: interval.map(|interval| (root(interval.low), root(interval.high))),
        method: format!("Student's t, {by}"),
    }];
    if *target == LearningTarget::Binary {
        let auc = clustered_auc(&examples(evidence.served, labels), evidence.clusters);
        metrics.extend(auc.map(|found| CardMetric {
            name: "auc".to_owned(),
            value: found.auc,
            interval: Some((
                (found.auc - Z * found.standard_error).max(0.0),
                (found.auc + Z * found.standard_error).min(1.0),
            )),
            method: format!("DeLong, {by}"),
        }));
    }
    metrics
}

fn examples(scores: &[f64], labels: &[f64]) -> Vec<Example<bool>> {
    scores
        .iter()
        .zip(labels)
        .map(|(score, label)| Example::new(*score, *label != 0.0))
        .collect()
}

fn baselines(evidence: &Evidence<'_>, must_beat: &[Baseline]) -> Vec<CardBaseline> {
    let target = evidence.problem.target;
    let of_rung = |(rung, gain): &(Rung, Option<Gain>)| {
        let gain = (*gain)?;
        Some(CardBaseline {
            baseline: rung.baseline,
            value: metric(
                target,
                &losses_of(evidence.problem, &rung.scores),
                evidence.problem.validation.weights,
            )?,
            gain: gain.mean,
            standard_error: gain.standard_error,
            must_beat: rung.baseline == Baseline::Constant || must_beat.contains(&rung.baseline),
        })
    };
    evidence.rungs.iter().filter_map(of_rung).collect()
}

fn calibration(evidence: &Evidence<'_>) -> Option<CardCalibration> {
    if *evidence.problem.target != LearningTarget::Binary {
        return None;
    }
    let labels = evidence.problem.validation.labels;
    let served = examples(evidence.served, labels);
    let points = reliability(&served, N_BINS).into_iter().map(|point| CardReliability {
        predicted: point.predicted,
        observed: point.observed,
        low: point.interval.low,
        high: point.interval.high,
        n_rows: point.n_rows,
    });
    Some(CardCalibration {
        map: evidence.calibration.map.clone(),
        reason: evidence.calibration.reason.clone(),
        error_before: expected_calibration_error(&examples(evidence.raw, labels), N_BINS)?,
        error_after: expected_calibration_error(&served, N_BINS)?,
        points: points.collect(),
    })
}

fn lift_of(evidence: &Evidence<'_>) -> Vec<CardLift> {
    if matches!(evidence.problem.target, LearningTarget::MultiClass { .. }) {
        return Vec::new();
    }
    let rows = evidence.served.iter().zip(evidence.problem.validation.labels);
    let rows: Vec<Example<f64>> = rows.map(|(score, label)| Example::new(*score, *label)).collect();
    let points = lift(&rows, N_LIFT_POINTS).into_iter();
    points
        .map(|point| CardLift {
            share_of_rows: point.share_of_rows,
            share_of_labels: point.share_of_labels,
            lift: point.lift,
        })
        .collect()
}

fn cost(evidence: &Evidence<'_>) -> CardCost {
    let fitted = evidence.trials.iter().filter_map(|trial| trial.fitted.as_ref().ok());
    CardCost {
        artifact_bytes: evidence.artifact_bytes,
        n_rounds: evidence.n_rounds,
        latency_p50_us: evidence.latency.p50_us,
        latency_p99_us: evidence.latency.p99_us,
        n_trials: evidence.trials.len(),
        search_cpu_seconds: fitted.map(|trial| trial.cpu_seconds).sum(),
        validation_seconds: evidence.validation_seconds,
    }
}
