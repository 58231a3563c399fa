//! One decision next to libxgboost's in-place prediction of the same row, on one thread.
//!
//! A decision here is the whole of it: 50 named features are encoded, 200 trees of depth 6 are walked, the probability
//! is compared with a threshold. libxgboost gets a row that is encoded already and an array interface that is written
//! already, and only predicts. Both must agree before anything is timed.
//!
//! Run with `cargo bench -p lakeloop-decide --bench decide`; `XGBOOST_LIB_DIR` names the folder of libxgboost. The line
//! `figure decide_vs_xgboost_inplace` says how many times faster a decision is: the ratio of the medians of single calls.
//! The two sides take turns, so that a change of the machine's speed meets both; and calls are timed one by one, because
//! on a busy machine a longer sample is interrupted more often, which would flatter the faster side.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod world;
mod xgboost;

use std::hint::black_box;
use std::time::Instant;

use criterion::Criterion;
use lakeloop_decide::{Scratch, decide};

use crate::world::World;
use crate::xgboost::Booster;

/// Turns of each side.
const N_TURNS: usize = 2000;
/// Calls of one turn, each timed by itself.
const N_CALLS: usize = 10;

fn main() {
    let world = World::load();
    let mut booster = Booster::load(&world.artifact, world.n_features());
    check_agreement(&world, &mut booster);
    compare(&world, &mut booster);

    let mut criterion = Criterion::default().configure_from_args();
    let mut scratch = Scratch::new();
    let mut rows = world.rows.iter().cycle();
    criterion.bench_function("decide_threshold_200x6x50", |bencher| {
        bencher.iter(|| {
            let row = rows.next().unwrap();
            black_box(decide(
                &world.bundle,
                black_box(&row.features),
                "decision",
                &mut scratch,
            ))
            .propensity
        });
    });
    criterion.bench_function("xgboost_inplace_200x6x50", |bencher| {
        bencher.iter(|| booster.predict(black_box(&rows.next().unwrap().encoded)));
    });
    criterion.final_summary();
}

fn check_agreement(world: &World, booster: &mut Booster) {
    let mut scratch = Scratch::new();
    let mut largest = 0.0_f64;
    for row in &world.rows {
        let decision = decide(&world.bundle, &row.features, "decision", &mut scratch);
        largest = largest.max((decision.scores[0] - f64::from(booster.predict(&row.encoded))).abs());
    }
    println!(
        "model: {}; {} rows; largest difference of a probability {largest:e}",
        world.source,
        world.rows.len()
    );
    assert!(largest <= 1e-6, "decisions and libxgboost differ by {largest:e}");
}

fn compare(world: &World, booster: &mut Booster) {
    let mut scratch = Scratch::new();
    let mut rows = world.rows.iter().cycle();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..N_TURNS {
        for row in rows.by_ref().take(N_CALLS) {
            ours.push(timed(|| {
                decide(&world.bundle, black_box(&row.features), "decision", &mut scratch).propensity
            }));
        }
        for row in rows.by_ref().take(N_CALLS) {
            theirs.push(timed(|| booster.predict(black_box(&row.encoded))));
        }
    }
    let (ours, theirs) = (Spread::of(ours), Spread::of(theirs));
    println!("decide: {ours}");
    println!("libxgboost in place: {theirs}");
    println!("figure decide_p50_us {:.3} us", ours.median);
    println!("figure xgboost_inplace_p50_us {:.3} us", theirs.median);
    println!("figure decide_vs_xgboost_inplace {:.2} x", theirs.median / ours.median);
}

/// Microseconds of one call.
fn timed<T>(call: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(call());
    start.elapsed().as_secs_f64() * 1e6
}

struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize];
        Self {
            low: at(0.1),
            median: at(0.5),
            high: at(0.9),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { low, median, high } = self;
        write!(
            f,
            "median {median:.3} µs (10 % to 90 % of calls: {low:.3} to {high:.3})"
        )
    }
}
