//! A decision allocates nothing once its scratch was used, counted by the allocator itself.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use lakeloop_decide::{Bundle, Offered, OfferedValues, Scratch, rank, rank_served};
use lakeloop_domain::{Belief, Calibration, OutcomeType, Policy, Slots, Uncertainty, ValueRef};
use support::*;

struct Counting;

thread_local! {
    /// Allocations of this thread; other threads, such as the test harness's, do not count.
    static N_ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    N_ALLOCATIONS.with(|n| n.set(n.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches a thread-local number that
// needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System`, by the functions here.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the block came from `System`, by the functions here.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[track_caller]
fn check(bundle: &Bundle) {
    let rows = [
        features(Some(20.0), Some("Oslo"), Some(true)),
        features(Some(70.0), Some("Rome"), None),
        features(None, None, Some(false)),
    ];
    let ids: Vec<String> = (0..100).map(|idx| format!("decision-{idx}")).collect();
    let values: Vec<Vec<ValueRef<'_>>> = rows
        .iter()
        .map(|features| features.iter().map(|feature| (&feature.value).into()).collect())
        .collect();
    let dishes = dishes();
    let candidates: &[_] = if bundle.blueprint().ranks() { &dishes } else { &[] };
    let candidate_values: Vec<ValueRef<'_>> = candidates
        .iter()
        .flat_map(|candidate| candidate.features.iter().map(|feature| (&feature.value).into()))
        .collect();
    let decide = |features: &[_], decision_id: &str, scratch: &mut Scratch| {
        let offered = Offered { features, candidates };
        black_box(rank(bundle, black_box(offered), decision_id, scratch));
    };
    let decide_served = |shared: &[ValueRef<'_>], decision_id: &str, scratch: &mut Scratch| {
        let offered = OfferedValues {
            shared,
            n_candidates: candidates.len(),
            candidates: &candidate_values,
        };
        black_box(rank_served(bundle, black_box(offered), decision_id, scratch));
    };
    let mut scratch = Scratch::new();
    decide(&rows[0], "first", &mut scratch);
    let before = N_ALLOCATIONS.with(Cell::get);
    for (features, values) in rows.iter().zip(&values) {
        for decision_id in &ids {
            decide(features, decision_id, &mut scratch);
            decide_served(values, decision_id, &mut scratch);
        }
    }
    assert_eq!(
        N_ALLOCATIONS.with(Cell::get) - before,
        0,
        "allocations in {} decisions",
        2 * rows.len() * ids.len()
    );
}

#[test]
fn the_allocator_counts() {
    let before = N_ALLOCATIONS.with(Cell::get);
    drop(black_box(vec![1_u8; 100]));
    assert_eq!(N_ALLOCATIONS.with(Cell::get) - before, 1);
}

#[test]
fn deciding_allocates_nothing() {
    let (blueprint, mut record) = threshold();
    check(&bundle(blueprint.clone(), None));
    record.calibration = Calibration::Platt {
        slope: 0.9,
        intercept: 0.1,
    };
    check(&bundle(blueprint.clone(), Some(&record)));
    record.calibration = Calibration::Isotonic {
        raw: vec![0.1, 0.4, 0.7],
        calibrated: vec![0.0, 0.5, 1.0],
    };
    check(&bundle(blueprint, Some(&record)));
    for policy in [
        Policy::Greedy,
        Policy::EpsilonGreedy { epsilon: 0.5 },
        Policy::TopK { k: 2 },
        Policy::Softmax { temperature: 0.5 },
        Policy::Thompson { epsilon: 0.0 },
        Policy::Ucb {
            width: 1.0,
            epsilon: 0.1,
        },
    ] {
        let (blueprint, mut record) = choice(policy);
        check(&bundle(blueprint.clone(), Some(&record)));
        let belief = Belief {
            offset: 0.1,
            slope: 0.0,
            offset_variance: 0.5,
            slope_variance: 0.1,
            covariance: 0.0,
        };
        record.uncertainty = Some(Uncertainty {
            center: 1.5,
            actions: Vec::new(),
            unseen: belief,
        });
        check(&bundle(blueprint.clone(), None));
        check(&bundle(blueprint, Some(&record)));
    }
    let classes = support::blueprint(
        menu("ramen"),
        OutcomeType::Category,
        Policy::EpsilonGreedy { epsilon: 0.5 },
    );
    let outputs: [&[Stump]; 3] = [&[], &[], &[Stump(1, 30.0, 1.0, 2.0)]];
    let record = model_record(&classes, encoding(None), artifact("multi:softprob", 2, &outputs));
    check(&bundle(classes, Some(&record)));
}

#[test]
fn ranking_allocates_nothing() {
    let slots = Policy::Slots {
        exploration_slots: Slots::new([2]).unwrap(),
    };
    let with_slots = ranking(Some(3), slots);
    check(&bundle(with_slots.clone(), Some(&ranking_model(&with_slots))));
    let blueprint = ranking(Some(3), Policy::EpsilonGreedy { epsilon: 0.5 });
    let mut record = ranking_model(&blueprint);
    check(&bundle(blueprint.clone(), None));
    check(&bundle(blueprint.clone(), Some(&record)));
    record.artifact = artifact(
        "reg:squarederror",
        3,
        &[&[Stump(1, 99.0, 3e38, 0.0), Stump(1, 99.0, 3e38, 0.0)]],
    );
    check(&bundle(blueprint, Some(&record)));
}

#[test]
fn falling_back_allocates_nothing() {
    let (blueprint, mut record) = choice(Policy::Greedy);
    record.artifact = artifact(
        "reg:squarederror",
        3,
        &[&[Stump(1, 99.0, 3e38, 0.0), Stump(1, 99.0, 3e38, 0.0)]],
    );
    check(&bundle(blueprint, Some(&record)));
}
