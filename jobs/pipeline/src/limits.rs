//! Holds models to a blueprint's limits of size and latency.
//!
//! A boosted model is a sequence of models of growing size. One that is too large or too slow is cut to the rounds that are
//! not, and tried, judged and compared at that length: so a search under a limit learns which parameters serve best
//! within it, and spends no time on rounds that never serve.

use lakeloop_decide::Bundle;
use lakeloop_domain::{Encoding, ModelLimits};
use lakeloop_lake::artifact::packed;

use crate::error::PipelineError;
use crate::latency::{Latency, measure};
use crate::provisional::uncalibrated;
use crate::search::Problem;
use crate::xgb::Training;

/// How often a model is measured before it is held to be too slow.
const N_MEASUREMENTS: usize = 3;

/// How often a model is cut before it is taken as too large or too slow.
const N_CUTS: usize = 5;

/// A model of some rounds, in the bundle that would serve it.
pub(crate) struct Length {
    /// The rounds.
    pub n_rounds: u32,
    /// The saved model.
    pub artifact: Vec<u8>,
    /// Its bytes as the registry would keep it.
    pub bytes: u64,
    /// It, uncalibrated.
    pub bundle: Bundle,
    /// How long it takes for a row.
    pub latency: Latency,
}

impl Length {
    fn of(
        problem: &Problem<'_>,
        encoding: &Encoding,
        training: &Training<'_>,
        n_rounds: u32,
    ) -> Result<Self, PipelineError> {
        let artifact = training.artifact(n_rounds)?;
        let bundle = uncalibrated(problem, encoding, &artifact)?;
        Ok(Self {
            n_rounds,
            bytes: packed(&artifact).len() as u64,
            latency: latency(problem, &bundle)?,
            artifact,
            bundle,
        })
    }

    /// By how many times it is over the limit that it is most over; at most 1 where it is within both.
    fn excess(&self, limits: &ModelLimits) -> f64 {
        let size = limits.max_bytes.map(|most| self.bytes as f64 / most as f64);
        let time = limits.max_latency_us.map(|most| self.latency.p99_us / most);
        size.into_iter().chain(time).fold(0.0, f64::max)
    }
}

/// A fit's model at its best round, or at the most rounds before it that are within the limits. Where one round is over
/// them, or the cuts do not come to an end, it is over them still.
pub(crate) fn longest_within(
    problem: &Problem<'_>,
    encoding: &Encoding,
    training: &Training<'_>,
) -> Result<Length, PipelineError> {
    let limits = &problem.applied.blueprint.limits;
    let mut length = Length::of(problem, encoding, training, training.best_rounds())?;
    for _ in 0..N_CUTS {
        let Some(shorter) = shorter(length.n_rounds, length.excess(limits)) else {
            break;
        };
        length = Length::of(problem, encoding, training, shorter)?;
    }
    Ok(length)
}

/// The rounds to cut a model to that is over a limit by so many times; `None` when it is not, or has one round.
fn shorter(n_rounds: u32, excess: f64) -> Option<u32> {
    // Size and time grow a little more slowly than the rounds do, and measurements vary: a little less is asked for.
    let asked = (f64::from(n_rounds) / excess * 0.97).floor().max(1.0) as u32;
    (excess > 1.0 && n_rounds > 1).then_some(asked)
}

/// True when the model of all rounds so far is over a limit, so that more of them would never serve.
pub(crate) fn is_beyond(
    problem: &Problem<'_>,
    encoding: &Encoding,
    training: &Training<'_>,
) -> Result<bool, PipelineError> {
    let limits = &problem.applied.blueprint.limits;
    if limits.max_bytes.is_none() && limits.max_latency_us.is_none() {
        return Ok(false);
    }
    let length = Length::of(problem, encoding, training, training.n_rounds())?;
    Ok(length.excess(limits) > 1.0)
}

/// Measures how long the serving code takes for a row. A model that is over the blueprint's limit is measured again, and
/// its best measurement counts: other fits run meanwhile, and no model is refused for what they took from it.
pub(crate) fn latency(problem: &Problem<'_>, bundle: &Bundle) -> Result<Latency, PipelineError> {
    let model = bundle.model().ok_or(PipelineError::NoModelInBundle)?;
    let limits = &problem.applied.blueprint.limits;
    let mut best = measure(model, problem.samples)?;
    for _ in 1..N_MEASUREMENTS {
        if over_limit(limits, 0, best.p99_us).is_none() {
            break;
        }
        best = measure(model, problem.samples)?.or_less(best);
    }
    Ok(best)
}

/// Which limit a model is over, in one clause.
pub(crate) fn over_limit(limits: &ModelLimits, bytes: u64, p99_us: f64) -> Option<String> {
    if let Some(max_bytes) = limits.max_bytes.filter(|max_bytes| bytes > *max_bytes) {
        return Some(format!("{bytes} bytes are over the limit of {max_bytes}"));
    }
    let max_us = limits.max_latency_us.filter(|max_us| p99_us > *max_us)?;
    Some(format!("{p99_us:.1} µs a row (p99) are over the limit of {max_us}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_cut_by_what_it_is_over() {
        assert_eq!(shorter(100, 0.9), None);
        assert_eq!(shorter(100, 1.0), None);
        assert_eq!(shorter(100, 1.0001), Some(96));
        assert_eq!(shorter(100, 2.0), Some(48));
        assert_eq!(shorter(2, 100.0), Some(1));
        assert_eq!(shorter(1, 100.0), None);
    }

    #[test]
    fn limits_name_what_is_exceeded() {
        let limits = ModelLimits {
            max_latency_us: Some(1.5),
            max_bytes: Some(10),
        };
        assert_eq!(
            over_limit(&limits, 10, 2.0).as_deref(),
            Some("2.0 µs a row (p99) are over the limit of 1.5")
        );
        assert_eq!(
            over_limit(&limits, 11, 2.0).as_deref(),
            Some("11 bytes are over the limit of 10")
        );
        assert_eq!(over_limit(&limits, 10, 1.5), None);
    }
}
