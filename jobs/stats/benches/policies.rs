//! What off-policy estimates are worth: next to obp's on the Open Bandit Data, and how often their intervals cover a known
//! truth. Run with `just bench-policies`; the numbers beside the figures go to standard error.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "../tests/support/mod.rs"]
mod support;

use lakeloop_stats::Independent;
use lakeloop_stats::interval::Interval;
use lakeloop_stats::off_policy::{Estimator, Refusal, Rules, Supported};
use support::open_bandit::{self, CASES};
use support::share_covered;
use support::world::{Visits, World};

const N_RUNS: u64 = 10_000;
const SNIPS: Estimator = Estimator::Snips { clip: None };
const DR: Estimator = Estimator::DoublyRobust { clip: None };

fn main() {
    compare_with_obp();
    let once = World::new(Visits::Once);
    println!(
        "figure snips_coverage {:.4} share",
        coverage(&once, SNIPS, Independent::Rows)
    );
    println!("figure dr_coverage {:.4} share", coverage(&once, DR, Independent::Rows));
    let visits = Visits::UpTo(5);
    let often = World::new(visits);
    for (estimator, name) in [(SNIPS, "snips"), (DR, "dr")] {
        for (independent, by) in [(Independent::Units, "units"), (Independent::Rows, "rows")] {
            let share = coverage(&often, estimator, independent);
            println!("figure {name}_coverage_clustered_by_{by} {share:.4} share");
        }
        let share = false_positives(visits, estimator);
        println!("figure {name}_false_positives_clustered_by_units {share:.4} share");
        let share = false_positives(Visits::Once, estimator);
        println!("figure {name}_false_positives {share:.4} share");
    }
}

/// The largest difference from obp's estimates, of those from weights alone and of all.
fn compare_with_obp() {
    let Some(folder) = open_bandit::folder() else { return };
    let (mut of_weights, mut of_all) = (0.0_f64, 0.0_f64);
    for case in CASES {
        let log = open_bandit::log(&folder, case);
        for expected in open_bandit::expected(&folder, case) {
            let found = open_bandit::estimate(&log, expected.estimator).value();
            let error = (found - expected.value).abs();
            eprintln!("{case:?} {:?}: {found:.12}, off by {error:.1e}", expected.estimator);
            of_all = of_all.max(error);
            if matches!(expected.estimator, Estimator::Ips { .. } | Estimator::Snips { .. }) {
                of_weights = of_weights.max(error);
            }
        }
        match log
            .supported(&Rules::default())
            .map(|supported| supported.estimate(SNIPS))
        {
            Err(refusal) | Ok(Err(refusal)) => eprintln!("{case:?}: refused by the default rules: {refusal}"),
            Ok(Ok(_)) => eprintln!("{case:?}: supported by the default rules"),
        }
    }
    println!("figure off_policy_max_abs_error {of_all:.2e} reward");
    println!("figure off_policy_max_abs_error_ips_snips {of_weights:.2e} reward");
}

/// How often 95 % intervals hold the target policy's value, of the logs that the default rules let pass.
fn coverage(world: &World, estimator: Estimator, independent: Independent) -> f64 {
    share_of(world, world.truth(), |supported| {
        supported
            .estimate(estimator)?
            .interval(0.95, independent)
            .ok_or(Refusal::NoRows)
    })
}

/// How often a policy that is worth the same as the logging policy is found to be worth more or less.
fn false_positives(visits: Visits, estimator: Estimator) -> f64 {
    let world = World::without_effect(visits);
    let covered = share_of(&world, 0.0, |supported| {
        let gain = supported.estimate(estimator)?.minus(&supported.logged_value()?);
        gain.and_then(|gain| gain.interval(0.95, Independent::Units))
            .ok_or(Refusal::NoRows)
    });
    1.0 - covered
}

fn share_of(world: &World, truth: f64, interval: impl Fn(&Supported<'_>) -> Result<Interval, Refusal>) -> f64 {
    let mut n_refused = 0;
    let of_run = |seed| {
        let log = world.log(world.n_rows(), seed);
        let found = log
            .supported(&Rules::default())
            .and_then(|supported| interval(&supported));
        n_refused += u64::from(found.is_err());
        found.ok()
    };
    let share = share_covered(truth, (0..N_RUNS).filter_map(of_run));
    eprintln!("{n_refused} of {N_RUNS} logs were refused");
    assert!(n_refused * 100 < N_RUNS);
    share
}
