//! Measures how long the serving code takes to score one row.
//!
//! What is timed is the very call that a decision makes for one action: features by name through the encoder, the trees
//! and the calibration. Rows are taken in turn from the validation rows, after one untimed pass that warms caches and
//! buffers as a server's first requests would. Nothing is smoothed: what else the machine does is part of the figure. So whoever
//! holds a model to a limit measures it more than once (see `trial::latency`).

use std::time::Instant;

use lakeloop_decide::{Model, ScoreError, Scratch};

use crate::scoring::Sample;

/// Timed calls; enough for twenty beyond the 99th percentile.
const N_CALLS: usize = 2_000;

/// Percentiles of the time to score one row, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Latency {
    /// The median.
    pub p50_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
}

impl Latency {
    /// The one of two measurements with the lower 99th percentile.
    pub fn or_less(self, other: Self) -> Self {
        if other.p99_us < self.p99_us { other } else { self }
    }

    /// Of some times, of which there is at least one.
    pub fn of(mut times_us: Vec<f64>) -> Self {
        times_us.sort_by(f64::total_cmp);
        Self {
            p50_us: percentile(&times_us, 50),
            p99_us: percentile(&times_us, 99),
        }
    }
}

/// Times a model on samples, of which there is at least one.
pub(crate) fn measure(model: &Model, samples: &[Sample]) -> Result<Latency, ScoreError> {
    let mut scratch = Scratch::new();
    for sample in samples {
        model.score_features(&sample.features, sample.action.as_deref(), &mut scratch)?;
    }
    let mut times_us = Vec::with_capacity(N_CALLS);
    for sample in samples.iter().cycle().take(N_CALLS) {
        let started = Instant::now();
        let scores = model.score_features(&sample.features, sample.action.as_deref(), &mut scratch)?;
        std::hint::black_box(scores);
        times_us.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(Latency::of(times_us))
}

/// The nearest-rank percentile of sorted values, of which there is at least one.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 50), 50.0);
        assert_eq!(percentile(&hundred, 99), 99.0);
        assert_eq!(percentile(&[7.0], 99), 7.0);
    }
}
