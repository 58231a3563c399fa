//! What a request that is not traced costs: no allocation, counted by the allocator itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use actix_web::dev::ServiceRequest;
use actix_web::test::TestRequest;
use tokio::runtime::Handle;

use super::{Drawn, Step, Traces, to_nowhere};
use crate::clock::Clock;
use crate::request::{self, Interest, Request};
use crate::telemetry::{Route, Telemetry};

struct Counting;

thread_local! {
    /// Allocations of this thread; other tests have threads of their own.
    static N_ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    N_ALLOCATIONS.with(|n| n.set(n.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches a thread-local number that needs no
// allocation and no destructor.
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

fn allocations(run: impl FnOnce()) -> u64 {
    let before = N_ALLOCATIONS.with(Cell::get);
    run();
    N_ALLOCATIONS.with(Cell::get) - before
}

fn asked(flags: Option<&str>) -> ServiceRequest {
    let request = TestRequest::post().uri("/v1/decide");
    let request = match flags {
        Some(flags) => request.insert_header((
            "traceparent",
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}"),
        )),
        None => request,
    };
    request.to_srv_request()
}

#[tokio::test]
async fn a_request_that_is_not_traced_allocates_nothing() {
    let mut traces = Traces::open(&to_nowhere(), &Telemetry::new(1).unwrap(), Handle::current()).unwrap();
    // An id that is drawn comes once in 2^63 requests.
    traces.drawn = Drawn { below: 1 };
    let clock: Clock = Arc::new(|| 0);
    let begin = |request: &ServiceRequest| traces.begin(request, Route::Decide, &clock);
    let (nobody_decided, decided_against, decided_for) = (asked(None), asked(Some("00")), asked(Some("01")));
    // The first number of a thread seeds its generator.
    assert!(begin(&nobody_decided).is_none());
    for request in [&nobody_decided, &decided_against] {
        let n_allocations = allocations(|| {
            for _ in 0..100 {
                assert!(black_box(begin(black_box(request))).is_none());
            }
        });
        assert_eq!(n_allocations, 0);
    }
    assert!(allocations(|| assert!(begin(&decided_for).is_some())) > 0);

    let untraced = Request::new(nobody_decided.headers(), Interest::Answer, None);
    let of_steps = untraced.scope(async { allocations(|| (0..100).for_each(|_| drop(request::step(Step::Decide)))) });
    assert_eq!(of_steps.await, 0);
}
