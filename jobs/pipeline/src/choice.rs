//! Chooses one model among those that a search has found.
//!
//! Candidates are the complete trials, and those of the best of them cut to fewer rounds: a boosted model is a sequence of
//! models of growing size. Of the candidates within the blueprint's limits, the best one by the metric sets the mark, and
//! those that are not worse than it beyond noise are as good: the one-standard-error rule (Breiman, Friedman, Olshen and
//! Stone 1984, section 3.4.3), with the standard error of the paired difference of the losses of the same rows. Of these
//! the one is chosen whose features cost least to read; of equals, the one whose bytes are worth what it loses: each
//! halving may cost half a standard error. The smallest one within noise would give quality away for a tenth of
//! the bytes, over and over.

use std::cmp::Ordering;
use std::sync::Arc;

use lakeloop_domain::Encoding;
use lakeloop_lake::artifact::packed;

use crate::error::PipelineError;
use crate::latency::Latency;
use crate::limits::{latency, over_limit};
use crate::loss::Gain;
use crate::parameters::Parameters;
use crate::provisional::uncalibrated;
use crate::search::{Problem, is_eligible};
use crate::selection;
use crate::trial::{FittedTrial, Trial, judged};
use crate::xgb::cut_saved;

/// A model that loses no more than this many standard errors to the best one is within noise of it.
const STANDARD_ERRORS_OF_NOISE: f64 = 1.0;

/// What a model of half the bytes may lose more, in standard errors.
const STANDARD_ERRORS_A_HALVING: f64 = 0.25;

/// The best trials, which are looked at in all their lengths.
const N_LOOKED_AT: usize = 6;

/// The shares of its rounds that a trial is looked at with.
const SHARES: [f64; 7] = [1.0, 0.75, 0.56, 0.42, 0.3, 0.2, 0.1];

/// The chosen model.
pub(crate) struct Choice {
    /// The trial that it comes from.
    pub trial_idx: usize,
    /// What it was fitted with.
    pub parameters: Parameters,
    /// How its rows are made.
    pub encoding: Encoding,
    /// The rounds that it keeps.
    pub n_rounds: u32,
    /// The model of the last fold, cut to these rounds.
    pub artifact: Arc<[u8]>,
    /// Its bytes as the registry keeps it.
    pub bytes: u64,
    /// The metric of the last fold, on the rows that the model is judged by.
    pub value: f64,
}

struct Candidate {
    trial_idx: usize,
    n_rounds: u32,
    /// The metric of the last fold.
    latest: f64,
    /// Of the mean over the folds.
    badness: f64,
    bytes: u64,
    latency: Latency,
    cost_us: f64,
    artifact: Arc<[u8]>,
    losses: Arc<[f64]>,
}

/// Chooses among trials; `None` when no model is within the limits.
pub(crate) fn choose(problem: &Problem<'_>, trials: &[Trial]) -> Result<Option<Choice>, PipelineError> {
    let candidates = candidates(problem, trials)?;
    let limits = &problem.applied.blueprint.limits;
    let within = candidates
        .iter()
        .filter(|candidate| over_limit(limits, candidate.bytes, candidate.latency.p99_us).is_none());
    let within: Vec<&Candidate> = within.collect();
    let Some(best) = within.iter().min_by(|a, b| better(a, b)) else {
        return Ok(None);
    };
    let noisy = within.iter().filter_map(|candidate| {
        let lost = lost(candidate, best, problem.decisions, problem.weights)?;
        (lost <= STANDARD_ERRORS_OF_NOISE).then_some((lost, *candidate))
    });
    let chosen = noisy.min_by(cheaper).map_or(*best, |(_, chosen)| chosen);
    let parameters = trials[chosen.trial_idx].parameters.clone();
    Ok(Some(Choice {
        trial_idx: trials[chosen.trial_idx].idx,
        encoding: selection::without(problem.encoding, &parameters.without),
        parameters,
        n_rounds: chosen.n_rounds,
        artifact: Arc::clone(&chosen.artifact),
        bytes: chosen.bytes,
        value: chosen.latest,
    }))
}

fn better(a: &Candidate, b: &Candidate) -> Ordering {
    a.badness.total_cmp(&b.badness).then(a.bytes.cmp(&b.bytes))
}

/// Orders candidates, each with what it loses to the best one, by what they cost.
fn cheaper(a: &(f64, &Candidate), b: &(f64, &Candidate)) -> Ordering {
    let ((lost_a, a), (lost_b, b)) = (a, b);
    let price = |lost: f64, bytes: u64| lost + STANDARD_ERRORS_A_HALVING * (bytes.max(1) as f64).log2();
    let cost = a.cost_us.total_cmp(&b.cost_us);
    let price = price(*lost_a, a.bytes).total_cmp(&price(*lost_b, b.bytes));
    cost.then(price).then(a.badness.total_cmp(&b.badness))
}

/// How much more a candidate loses than the best one, in standard errors of the paired difference; `None` where the noise
/// is unknown.
fn lost(candidate: &Candidate, best: &Candidate, decisions: &[usize], weights: Option<&[f64]>) -> Option<f64> {
    if candidate.badness <= best.badness {
        return Some(0.0);
    }
    let gain = Gain::over(&candidate.losses, &best.losses, decisions, weights)?;
    // Losses that differ nowhere are no worse.
    Some(if gain.mean <= 0.0 {
        0.0
    } else {
        gain.mean / gain.standard_error
    })
}

/// The best complete trials at their full and at shorter lengths.
fn candidates(problem: &Problem<'_>, trials: &[Trial]) -> Result<Vec<Candidate>, PipelineError> {
    let eligible = trials.iter().enumerate().filter(|(_, trial)| is_eligible(trial));
    let complete = eligible.filter_map(|(trial_idx, trial)| {
        let value = trial.complete_value()?;
        Some((trial_idx, problem.metric.badness(value)))
    });
    let mut ordered: Vec<(usize, f64)> = complete.collect();
    ordered.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let mut found = Vec::new();
    for (trial_idx, _) in ordered.into_iter().take(N_LOOKED_AT) {
        let trial = &trials[trial_idx];
        let Ok(fitted) = &trial.fitted else { continue };
        let again;
        let fitted = if fitted.artifacts.is_empty() {
            // Read back after a crash, it has no model.
            again = selection::fitted_again(problem, &trial.parameters)?;
            &again
        } else {
            fitted
        };
        for share in SHARES {
            found.extend(at_length(problem, trial_idx, trial, fitted, share)?);
        }
    }
    Ok(found)
}

/// A trial cut to a share of its rounds, judged again; `None` when nothing would be cut.
fn at_length(
    problem: &Problem<'_>,
    trial_idx: usize,
    trial: &Trial,
    fitted: &FittedTrial,
    share: f64,
) -> Result<Option<Candidate>, PipelineError> {
    let n_rounds = ((f64::from(fitted.n_rounds) * share).round() as u32).max(1);
    if share < 1.0 && n_rounds == fitted.n_rounds {
        return Ok(None);
    }
    let Some(latest) = fitted.artifacts.last() else {
        return Ok(None);
    };
    let as_candidate = |values: &[f64], latency, (artifact, bytes), losses| Candidate {
        trial_idx,
        n_rounds,
        latest: values.last().copied().unwrap_or(f64::NAN),
        badness: problem.metric.badness(values.iter().sum::<f64>() / values.len() as f64),
        bytes,
        latency,
        cost_us: fitted.feature_cost_us,
        artifact,
        losses,
    };
    if share >= 1.0 {
        let losses = Arc::clone(&fitted.losses);
        return Ok(Some(as_candidate(
            &fitted.fold_values,
            fitted.latency,
            (Arc::clone(latest), fitted.artifact_bytes),
            losses,
        )));
    }
    let encoding = selection::without(problem.encoding, &trial.parameters.without);
    let (mut values, mut losses) = (Vec::new(), Vec::new());
    let (mut cut, mut serving) = (Arc::clone(latest), None);
    let columns = selection::Columns::of(problem, &encoding);
    for (artifact, fold) in fitted.artifacts.iter().zip(columns.folds()) {
        // A fold that ended with fewer rounds than the mean is cut no further than to its own.
        cut = match cut_saved(artifact, n_rounds) {
            Ok(cut) => cut.into(),
            Err(_) => Arc::clone(artifact),
        };
        let bundle = uncalibrated(problem, &encoding, &cut)?;
        let judged = judged(problem, &bundle, fold)?;
        values.push(judged.value);
        losses.extend(judged.losses);
        serving = Some(bundle);
    }
    // Only a limit asks how fast each candidate is; without one the full length is slow enough.
    let latency = match (problem.applied.blueprint.limits.max_latency_us, &serving) {
        (Some(_), Some(bundle)) => latency(problem, bundle)?,
        _ => fitted.latency,
    };
    let bytes = packed(&cut).len() as u64;
    Ok(Some(as_candidate(&values, latency, (cut, bytes), losses.into()))
        .filter(|candidate| candidate.badness.is_finite()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn candidate(badness: f64, bytes: u64, cost_us: f64, losses: &[f64]) -> Candidate {
        Candidate {
            trial_idx: 0,
            n_rounds: 1,
            latest: badness,
            badness,
            bytes,
            latency: Latency {
                p50_us: 1.0,
                p99_us: 1.0,
            },
            cost_us,
            artifact: Arc::new([]),
            losses: losses.into(),
        }
    }

    #[test]
    fn what_is_lost_is_counted_in_standard_errors_of_the_paired_difference() {
        let decisions = [0, 1, 2, 3];
        let best = candidate(0.25, 10, 0.0, &[0.1, 0.2, 0.3, 0.4]);
        // Differences 0.1, −0.1, 0.2, 0: mean 0.05, standard error 0.0645.
        let near = candidate(0.3, 5, 0.0, &[0.2, 0.1, 0.5, 0.4]);
        let found = lost(&near, &best, &decisions, None).unwrap();
        assert!((found - 0.7746).abs() < 1e-4, "{found}");
        // Each row a little worse: the mean is as small, but it is no noise.
        let worse = candidate(0.3, 5, 0.0, &[0.15, 0.25, 0.35, 0.46]);
        assert!(lost(&worse, &best, &decisions, None).unwrap() > STANDARD_ERRORS_OF_NOISE);
        assert_eq!(lost(&best, &best, &decisions, None), Some(0.0));
        // Worse by the metric, by no row's loss.
        let same = candidate(0.3, 5, 0.0, &[0.1, 0.2, 0.3, 0.4]);
        assert_eq!(lost(&same, &best, &decisions, None), Some(0.0));
    }

    #[test]
    fn the_cheapest_reads_the_cheapest_features_then_is_as_small_as_its_loss_allows() {
        let (small, cheap) = (candidate(0.3, 5, 50.0, &[]), candidate(0.3, 500, 0.0, &[]));
        assert_eq!(cheaper(&(0.9, &cheap), &(0.0, &small)), Ordering::Less);
        let (whole, half) = (candidate(0.2, 500, 0.0, &[]), candidate(0.3, 250, 0.0, &[]));
        assert_eq!(cheaper(&(0.2, &half), &(0.0, &whole)), Ordering::Less);
        assert_eq!(cheaper(&(0.3, &half), &(0.0, &whole)), Ordering::Greater);
        let better_one = candidate(0.2, 500, 0.0, &[]);
        assert_eq!(cheaper(&(0.0, &better_one), &(0.0, &cheap)), Ordering::Less);
    }
}
