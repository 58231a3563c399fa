//! Owns what is known about the request that is being answered: its id, and the strategy that it turned out to be about.
//!
//! The id is the caller's `X-Request-Id`, where that is 1 to 128 of letters, digits and `-_.:/+=@`; any other text is not taken,
//! and an id of our own shows the caller so. An id is made only once something carries it: a problem document, a line of
//! the log, a trace. So an answer has the header `X-Request-Id` when its caller sent one, when it is a refusal, or when requests
//! are logged or traced; a success that nothing is known about by id has none, and costs none.
//!
//! Where requests are logged, the trace that a request belongs to (W3C Trace Context, header `traceparent`) is kept too, so that
//! lines of the log can be found from a trace.
//!
//! Whatever runs on behalf of a request finds it by [`id`], without it being passed through every function.

use std::cell::OnceCell;
use std::sync::Arc;

use actix_web::http::header::{HeaderMap, HeaderName};
use tokio::task::futures::TaskLocalFuture;
use uuid::Uuid;

/// The header of the id, in requests and in answers.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header that names the trace and the span of a caller.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

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
    trace_id: Option<Box<str>>,
    strategy: OnceCell<Arc<str>>,
    interest: Interest,
}

impl Request {
    /// Takes the id of the caller, if it sent a good one.
    pub(crate) fn new(headers: &HeaderMap, interest: Interest) -> Self {
        let id = OnceCell::new();
        if let Some(given) = headers.get(&X_REQUEST_ID).and_then(|value| value.to_str().ok())
            && is_id(given)
        {
            // The cell is new.
            let _ = id.set(given.into());
        }
        let trace_id = match interest {
            Interest::Trail => headers
                .get(&TRACEPARENT)
                .and_then(|value| trace_of(value.to_str().ok()?)),
            Interest::Answer => None,
        };
        Self {
            id,
            trace_id: trace_id.map(Into::into),
            strategy: OnceCell::new(),
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

/// The trace that the request belongs to, where its caller sent one and it will be logged.
pub(crate) fn trace_id() -> Option<Box<str>> {
    CURRENT.try_with(|request| request.trace_id.clone()).ok().flatten()
}

/// The trace id of a `traceparent`, `00-(32 digits)-(16 digits)-(2 digits)`; later versions may append to that. `None` for what is not
/// of that form, as the specification asks for.
fn trace_of(text: &str) -> Option<&str> {
    let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let has_form = [(version, 2), (trace, 32), (span, 16), (flags, 2)]
        .into_iter()
        .all(|(part, length)| part.len() == length && is_hex(part));
    let is_alone = parts.next().is_none();
    let is_nothing = |part: &str| part.bytes().all(|b| b == b'0');
    let is_good =
        has_form && version != "ff" && (version != "00" || is_alone) && !is_nothing(trace) && !is_nothing(span);
    is_good.then_some(trace)
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
        Request::new(&headers, Interest::Answer)
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

    #[test]
    fn the_trace_is_that_of_the_traceparent() {
        // The examples of W3C Trace Context, sections 3.2.2 and 3.2.4.
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(trace_of(&good), Some(trace));
        assert_eq!(
            trace_of(&format!("cc-{trace}-00f067aa0ba902b7-01-what-the-future-brings")),
            Some(trace)
        );
        for bad in [
            String::new(),
            good.replace("00-4", "ff-4"),
            format!("{good}-more"),
            good.to_uppercase(),
            good.replace(trace, &"0".repeat(32)),
            good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            good.replace(trace, &trace[1..]),
            good.replace('-', "_"),
        ] {
            assert_eq!(trace_of(&bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn the_strategy_is_noted_only_where_it_will_be_logged() {
        let menu: Arc<str> = "menu".into();
        let other: Arc<str> = "other".into();
        for (interest, noted) in [(Interest::Answer, None), (Interest::Trail, Some(Arc::clone(&menu)))] {
            let request = Request::new(&HeaderMap::new(), interest);
            let found = request.scope(async {
                concerns(&menu);
                concerns(&other);
                strategy()
            });
            assert_eq!(found.await, noted);
        }
    }
}
