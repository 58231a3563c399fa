//! What tests and benchmarks of off-policy values share.
#![allow(dead_code)] // each of them uses a part
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

pub mod open_bandit;
pub mod world;

use lakeloop_stats::interval::Interval;

/// How many of the intervals hold the truth.
pub fn share_covered(truth: f64, intervals: impl IntoIterator<Item = Interval>) -> f64 {
    let (mut n, mut n_covered) = (0_u32, 0_u32);
    for interval in intervals {
        n += 1;
        n_covered += u32::from(interval.low <= truth && truth <= interval.high);
    }
    f64::from(n_covered) / f64::from(n)
}
