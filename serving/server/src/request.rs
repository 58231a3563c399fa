//! Owns what is known about the request that is being answered: its id, and the strategy that it turned out to be about.
//!
//! The id is the caller's `X-Request-Id`, where that is 1 to 128 of letters, digits and `-_.:/+=@`; any other text is not taken,
//! and an id of our own shows the caller so. An id is made only once something carries it: a problem document, a line of
//! the log, a trace. So an answer has the header `X-Request-Id` when its caller sent one, when it is a refusal, or when requests
//! are logged or traced; a success that nothing is known about by id has none, and costs none.
//!
//! Where requests are logged, the id of the trace that a request belongs to is kept too, so that lines of the log can be found from a
//! trace. A request that is traced has its [`Trace`] here, which ends when the request does, however that comes.
//!
//! Whatever runs on behalf of a request finds it by [`id`] and [`step`], without it being passed through every function.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName};
use opentelemetry::trace::TraceId;
use tokio::task::futures::TaskLocalFuture;
use uuid::Uuid;

use crate::traces::{Ended, Parent, Step, Trace};

/// The header of the id, in requests and in answers.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a caller, in bytes.
const MAX_ID_BYTES: usize = 128;

tokio::task_local! {
    static CURRENT: Request;
}

/// Whether anything will want to know more of a request than its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Only its answer matters.
    Answer,
    /// It is logged or traced.
    Trail,
}

/// One request, as long as it is being answered.
#[derive(Debug)]
pub(crate) struct Request {
    id: OnceCell<Box<str>>,
    trace_id: Option<TraceId>,
    trace: Option<Box<Trace>>,
    strategy: OnceCell<Arc<str>>,
    status: Cell<Option<StatusCode>>,
    interest: Interest,
}

impl Request {
    /// Takes the id of the caller, if it sent a good one. Whatever is traced is of interest.
    pub(crate) fn new(headers: &HeaderMap, interest: Interest, trace: Option<Box<Trace>>) -> Self {
        let id = OnceCell::new();
        if let Some(given) = headers.get(&X_REQUEST_ID).and_then(|value| value.to_str().ok())
            && is_id(given)
        {
            // The cell is new.
            let _ = id.set(given.into());
        }
        let trace_id = match (&trace, interest) {
            (Some(trace), _) => Some(trace.id()),
            (None, Interest::Trail) => Parent::of(headers).map(|parent| parent.trace_id),
            (None, Interest::Answer) => None,
        };
        Self {
            id,
            trace_id,
            trace,
            strategy: OnceCell::new(),
            status: Cell::new(None),
            interest,
        }
    }

    /// Runs a future on behalf of this request.
    pub(crate) fn scope<F: Future>(self, answering: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, answering)
    }

    fn id(&self) -> &str {
        self.id.get_or_init(|| Uuid::new_v4().to_string().into())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(trace) = self.trace.take() {
            trace.end(&Ended {
                status: self.status.get(),
                strategy: self.strategy.get(),
                request_id: self.id(),
            });
        }
    }
}

/// The id of the request that is being answered, made now if nobody needed it before; `None` outside of any.
pub(crate) fn id() -> Option<Box<str>> {
    CURRENT.try_with(|request| request.id().into()).ok()
}

/// The id, if it exists already: the caller sent it or something carries it.
pub(crate) fn known_id() -> Option<Box<str>> {
    CURRENT.try_with(|request| request.id.get().cloned()).ok().flatten()
}

/// Notes the strategy that the request is about, where that will be logged.
pub(crate) fn concerns(strategy: &Arc<str>) {
    let note = |request: &Request| {
        if request.interest == Interest::Trail {
            // The first one stands for a batch.
            let _ = request.strategy.set(Arc::clone(strategy));
        }
    };
    // Outside of any request there is nothing to note it for.
    let _ = CURRENT.try_with(note);
}

/// The strategy that was noted.
pub(crate) fn strategy() -> Option<Arc<str>> {
    CURRENT
        .try_with(|request| request.strategy.get().cloned())
        .ok()
        .flatten()
}

/// The trace that the request belongs to, where that will be logged: its own, or that of its caller.
pub(crate) fn trace_id() -> Option<TraceId> {
    CURRENT.try_with(|request| request.trace_id).ok().flatten()
}

/// Notes with which status the request was answered, where it is traced.
pub(crate) fn answered(status: StatusCode) {
    // Outside of any request there is nothing to note it for.
    let _ = CURRENT.try_with(|request| request.status.set(Some(status)));
}

/// Begins something that the request waits for, which is over when the answer to this is dropped. Where the request is not
/// traced, this is a look and nothing more.
#[inline]
pub(crate) fn step(step: Step) -> UnderWay {
    let is_traced = CURRENT.try_with(|request| request.trace.is_some()).unwrap_or(false);
    UnderWay {
        step,
        begun: is_traced.then(Instant::now),
    }
}

/// A step of a request, as long as it lasts.
#[derive(Debug)]
#[must_use = "a step is over when this is dropped"]
pub(crate) struct UnderWay {
    step: Step,
    /// `None` where the request is not traced.
    begun: Option<Instant>,
}

impl Drop for UnderWay {
    #[inline]
    fn drop(&mut self) {
        if let Some(begun) = self.begun {
            took(self.step, begun);
        }
    }
}

#[cold]
fn took(step: Step, begun: Instant) {
    let note = |request: &Request| {
        if let Some(trace) = &request.trace {
            trace.took(step, begun);
        }
    };
    // A request that has ended takes no more notes.
    let _ = CURRENT.try_with(note);
}

fn is_id(text: &str) -> bool {
    let is_taken = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b);
    !text.is_empty() && text.len() <= MAX_ID_BYTES && text.bytes().all(is_taken)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn with_header(text: &str) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        Request::new(&headers, Interest::Answer, None)
    }

    #[tokio::test]
    async fn the_callers_id_is_kept_and_one_is_made_when_it_is_first_needed() {
        for good in ["a", "7f3a-01", "trace/1:2@host+x=y_z.0", &"x".repeat(128)] {
            let found = with_header(good).scope(async { (known_id(), id()) }).await;
            assert_eq!(found, (Some(good.into()), Some(good.into())));
        }
        for bad in ["", "two words", "a;b", "é", "<script>", &"x".repeat(129)] {
            let found = with_header(bad)
                .scope(async { (known_id(), id(), id(), known_id()) })
                .await;
            let (before, first, second, after) = found;
            assert_eq!(before, None, "{bad}");
            assert!(first.as_deref().is_some_and(|id| id != bad));
            assert_eq!(first, second);
            assert_eq!(first, after);
        }
        assert_eq!((id(), known_id()), (None, None));
    }

    #[tokio::test]
    async fn the_callers_trace_is_kept_where_it_will_be_logged() {
        let mut headers = HeaderMap::new();
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        headers.insert(HeaderName::from_static("traceparent"), HeaderValue::from_static(parent));
        let trace_id = TraceId::from(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        for (interest, kept) in [(Interest::Answer, None), (Interest::Trail, Some(trace_id))] {
            let request = Request::new(&headers, interest, None);
            let found = request.scope(async {
                // Without a trace of its own a step is noted nowhere.
                drop(step(Step::Decide));
                super::trace_id()
            });
            assert_eq!(found.await, kept);
        }
    }

    #[tokio::test]
    async fn the_strategy_is_noted_only_where_it_will_be_logged() {
        let menu: Arc<str> = "menu".into();
        let other: Arc<str> = "other".into();
        for (interest, noted) in [(Interest::Answer, None), (Interest::Trail, Some(Arc::clone(&menu)))] {
            let request = Request::new(&HeaderMap::new(), interest, None);
            let found = request.scope(async {
                concerns(&menu);
                concerns(&other);
                strategy()
            });
            assert_eq!(found.await, noted);
        }
    }
}
