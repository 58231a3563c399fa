//! What one append costs: no allocation once warm, and, measured on demand, time.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lakeloop_journal::{Journal, OsDisk};
use support::{NEVER, open, options};

thread_local! {
    static N_ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct CountingAllocator;

// SAFETY: every call goes on to the system's allocator unchanged; counting touches only a thread-local number.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        N_ALLOCATIONS.set(N_ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn a_warm_append_allocates_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = open(root.path());
    journal.append(&[1; 500]).unwrap();
    let before = N_ALLOCATIONS.get();
    for _ in 0..1000 {
        journal.append(&[1; 500]).unwrap();
    }
    assert_eq!(N_ALLOCATIONS.get() - before, 0);
}

/// Nanoseconds per append of 500 bytes: the fastest and the middle of several batches.
fn append_ns(journal: &Journal) -> (u128, u128) {
    const N_APPENDS: u32 = 2_000;
    let payload = [7; 500];
    let mut batches: Vec<u128> = (0..20)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..N_APPENDS {
                black_box(journal.append(black_box(&payload))).unwrap();
            }
            (start.elapsed() / N_APPENDS).as_nanos()
        })
        .collect();
    batches.sort_unstable();
    (batches[0], batches[batches.len() / 2])
}

#[test]
#[ignore = "a measurement; run it alone with --ignored --nocapture"]
#[allow(clippy::print_stdout)]
fn measure_appends() {
    for (name, interval) in [("no sync", NEVER), ("sync every 5 ms", Duration::from_millis(5))] {
        let root = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(root.path(), options(8 << 20, interval), Arc::new(OsDisk)).unwrap();
        let (fastest, median) = append_ns(&journal);
        println!("append 500 bytes, {name}: fastest batch {fastest} ns, median batch {median} ns");
    }
    for n_threads in [1, 8, 64] {
        const N_TICKETS: u32 = 200;
        let root = tempfile::tempdir().unwrap();
        let (journal, _) = open(root.path());
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..n_threads {
                scope.spawn(|| {
                    (0..N_TICKETS).for_each(|_| journal.synced(journal.append(&[7; 500]).unwrap()).wait().unwrap());
                });
            }
        });
        let rate = f64::from(n_threads * N_TICKETS) / start.elapsed().as_secs_f64();
        println!("durable appends, {n_threads} threads: {rate:.0} per second");
    }
}
