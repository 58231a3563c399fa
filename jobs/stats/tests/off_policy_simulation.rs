//! Intervals of off-policy values cover the truth as often as they say, in a world whose truth is known. Everything is
//! seeded; `just bench-policies` repeats it with more runs.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lakeloop_stats::interval::Interval;
use lakeloop_stats::off_policy::{
    Estimator, Log, Rules, SlateEstimator, SlateLog, SlateProbability, SlateWeight, Slot,
};
use lakeloop_stats::{Bootstrap, Independent, RatioEstimate};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::share_covered;
use support::world::{Visits, World};

const N_RUNS: u64 = 2000;

const SNIPS: Estimator = Estimator::Snips { clip: None };
const DR: Estimator = Estimator::DoublyRobust { clip: None };

fn estimate(log: &Log, estimator: Estimator) -> RatioEstimate<'_> {
    log.supported(&Rules::default()).unwrap().estimate(estimator).unwrap()
}

fn coverage(world: &World, n_runs: u64, interval: impl Fn(&Log) -> Interval) -> f64 {
    let intervals = (0..n_runs).map(|seed| interval(&world.log(world.n_rows(), seed)));
    share_covered(world.truth(), intervals)
}

#[test]
fn intervals_of_independent_rows_cover_as_they_say() {
    let world = World::new(Visits::Once);
    for estimator in [
        Estimator::Ips { clip: None },
        SNIPS,
        DR,
        Estimator::SelfNormalisedDoublyRobust { clip: None },
    ] {
        let share = coverage(&world, N_RUNS, |log| {
            estimate(log, estimator).interval(0.95, Independent::Rows).unwrap()
        });
        assert!((0.93..=0.97).contains(&share), "{}: {share}", estimator.name());
    }
}

#[test]
fn clustered_rows_need_intervals_by_units() {
    let world = World::new(Visits::UpTo(5));
    for estimator in [SNIPS, DR] {
        let by = |independent| {
            coverage(&world, N_RUNS, |log| {
                estimate(log, estimator).interval(0.95, independent).unwrap()
            })
        };
        let (units, rows) = (by(Independent::Units), by(Independent::Rows));
        assert!((0.93..=0.97).contains(&units), "{} by units: {units}", estimator.name());
        assert!(rows < 0.9, "{} by rows: {rows}", estimator.name());
    }
}

#[test]
fn cluster_bootstraps_cover_as_they_say() {
    let world = World::new(Visits::UpTo(5));
    let share = coverage(&world, 500, |log| {
        let how = Bootstrap {
            n_resamples: 400,
            seed: 3,
        };
        estimate(log, SNIPS)
            .bootstrap_interval(0.95, Independent::Units, &how)
            .unwrap()
    });
    assert!((0.92..=0.97).contains(&share), "{share}");
}

/// Where no policy is better than another, a difference from the logged value is seen in 5 % of the logs.
#[test]
fn policies_worth_the_same_are_told_apart_as_rarely_as_the_level_says() {
    for (visits, independent) in [(Visits::Once, Independent::Rows), (Visits::UpTo(5), Independent::Units)] {
        let world = World::without_effect(visits);
        for estimator in [SNIPS, DR] {
            let intervals = (0..N_RUNS).map(|seed| {
                let log = world.log(world.n_rows(), seed);
                let supported = log.supported(&Rules::default()).unwrap();
                let logged = supported.logged_value().unwrap();
                let gain = supported.estimate(estimator).unwrap().minus(&logged).unwrap();
                gain.interval(0.95, independent).unwrap()
            });
            let share = 1.0 - share_covered(0.0, intervals);
            assert!((0.03..=0.07).contains(&share), "{}: {share}", estimator.name());
        }
    }
}

/// A better policy is found better, and what both policies share makes the difference surer than the value itself.
#[test]
fn a_better_policy_is_found_better() {
    let world = World::new(Visits::Once);
    let log = world.log(5000, 1);
    let supported = log.supported(&Rules::default()).unwrap();
    let gain = supported
        .estimate(DR)
        .unwrap()
        .minus(&supported.logged_value().unwrap())
        .unwrap();
    assert!(gain.interval(0.95, Independent::Rows).unwrap().low > 0.05);
}

#[test]
fn one_seed_gives_one_interval() {
    let world = World::new(Visits::Once);
    let log = world.log(300, 1);
    let estimate = log.supported(&Rules::lenient()).unwrap().estimate(SNIPS).unwrap();
    let by = |seed| {
        let how = Bootstrap { n_resamples: 50, seed };
        estimate.bootstrap_interval(0.95, Independent::Rows, &how)
    };
    assert_eq!(by(1), by(1));
    assert_ne!(by(1), by(2));
}

/// Lists of three slots, each filled from two items; an item is clicked more often, the higher it stands.
#[test]
fn intervals_of_slates_cover_as_they_say() {
    let (clicks, behaviour, target) = ([[0.6, 0.3], [0.4, 0.25], [0.3, 0.1]], [0.4, 0.5, 0.7], [0.7, 0.6, 0.4]);
    let value = |position: usize| {
        let [first, second] = clicks[position];
        target[position] * first + (1.0_f64 - target[position]) * second
    };
    let truth: f64 = (0..3).map(value).sum();
    let log = |seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut log = SlateLog::new(SlateProbability::Independent);
        for _ in 0..1000 {
            let slots = [0, 1, 2].map(|position| {
                let item = usize::from(random.random::<f64>() >= behaviour[position]);
                let of_item = |of_first: f64| if item == 0 { of_first } else { 1.0 - of_first };
                Slot {
                    reward: f64::from(u8::from(random.random::<f64>() < clicks[position][item])),
                    behaviour: of_item(behaviour[position]),
                    target: of_item(target[position]),
                }
            });
            log.push(&slots, None, 1.0).unwrap();
        }
        log
    };
    for weight in [
        SlateWeight::PositionWise,
        SlateWeight::RewardInteraction,
        SlateWeight::Standard,
    ] {
        for estimator in [SlateEstimator::Ips { weight }, SlateEstimator::Snips { weight }] {
            let interval = |seed| {
                let log = log(seed);
                let estimate = log.estimate(estimator, &Rules::default()).unwrap();
                estimate.interval(0.95, Independent::Rows).unwrap()
            };
            let share = share_covered(truth, (0..1000).map(interval));
            assert!((0.93..=0.97).contains(&share), "{estimator:?}: {share}");
        }
    }
}
