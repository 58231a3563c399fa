//! Owns the spans of one request: its own, and one for each step that it waits for.
//!
//! ```text
//! SERVER   POST /v1/decide ──────────────────────────────────────────────────
//! INTERNAL    features ───  model load ─────  decide ─  journal append ─  journal sync ───
//! ```
//!
//! The first is named and described by OpenTelemetry's conventions for HTTP servers. Instants are those of the server's clock when
//! the request began, plus time that was measured, so that the parts of a trace fit together when the clock is set.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix_web::dev::ServiceRequest;
use actix_web::http::{Method, StatusCode};
use lakeloop_domain::Micros;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};

use super::outbox::Outbox;
use super::parent::{self, Parent};
use crate::telemetry::Route;

/// The most steps of a request that become spans; a batch can have thousands.
const MAX_STEPS: usize = 64;

/// Something that a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The lookup of features.
    Features,
    /// The load of a model that is not in memory.
    LoadModel,
    /// The decision itself: its scores, its draw, its record and its answer.
    Decide,
    /// The write to the journal, with others of the same thread.
    Append,
    /// The journal's way to the disk, where the settings wait for it.
    Sync,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Features => "features",
            Self::LoadModel => "model load",
            Self::Decide => "decide",
            Self::Append => "journal append",
            Self::Sync => "journal sync",
        }
    }
}

/// The trace of a request that is being answered.
#[derive(Debug)]
pub(crate) struct Trace {
    outbox: Arc<Outbox>,
    route: Route,
    /// As the conventions write it.
    method: &'static str,
    trace_id: TraceId,
    parent: Option<SpanId>,
    state: TraceState,
    begun_at: SystemTime,
    begun: Instant,
    steps: RefCell<Vec<Taken>>,
}

/// A step that was taken, from its begin to its end after the begin of the request.
#[derive(Debug, Clone, Copy)]
struct Taken {
    step: Step,
    from: Duration,
    to: Duration,
}

/// What a trace is begun with.
pub(super) struct Beginning {
    pub(super) trace_id: TraceId,
    pub(super) parent: Option<Parent>,
    pub(super) at: Micros,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended<'r> {
    /// `None` when it was given up before it had an answer, such as by a stop that could not wait.
    pub(crate) status: Option<StatusCode>,
    pub(crate) strategy: Option<&'r Arc<str>>,
    pub(crate) request_id: &'r str,
}

impl Ended<'_> {
    /// How it failed, as the conventions name it; `None` for a success and for what the caller is to blame for.
    fn error(&self) -> Option<String> {
        match self.status {
            Some(status) => status.is_server_error().then(|| status.as_str().to_owned()),
            None => Some("no_answer".to_owned()),
        }
    }
}

impl Trace {
    /// A trace of a request that begins now.
    #[cold]
    pub(super) fn new(outbox: Arc<Outbox>, request: &ServiceRequest, route: Route, beginning: Beginning) -> Self {
        let state = beginning.parent.map(|_| parent::state_of(request.headers()));
        // No span can be before 1970.
        let since_1970 = Duration::from_micros(u64::try_from(beginning.at).unwrap_or(0));
        Self {
            outbox,
            route,
            method: known(request.method()),
            trace_id: beginning.trace_id,
            parent: beginning.parent.map(|parent| parent.span_id),
            state: state.unwrap_or_default(),
            begun_at: UNIX_EPOCH + since_1970,
            begun: Instant::now(),
            steps: RefCell::default(),
        }
    }

    /// The id of the trace, the caller's where it sent one.
    pub(crate) fn id(&self) -> TraceId {
        self.trace_id
    }

    /// Notes a step that ends now.
    pub(crate) fn took(&self, step: Step, begun: Instant) {
        let mut steps = self.steps.borrow_mut();
        if steps.len() < MAX_STEPS {
            steps.push(Taken {
                step,
                from: begun.saturating_duration_since(self.begun),
                to: self.begun.elapsed(),
            });
        }
    }

    /// Hands its spans in.
    pub(crate) fn end(&self, ended: &Ended<'_>) {
        self.outbox.take(self.spans(ended, self.begun.elapsed()));
    }

    /// The span of the request, and behind it those of its steps.
    fn spans(&self, ended: &Ended<'_>, took: Duration) -> Vec<SpanData> {
        let steps = self.steps.borrow();
        let request = SpanData {
            span_kind: SpanKind::Server,
            parent_span_is_remote: self.parent.is_some(),
            attributes: self.attributes(ended),
            status: match (ended.error(), ended.status) {
                (None, _) => Status::Unset,
                (Some(_), Some(_)) => Status::error(""),
                (Some(_), None) => Status::error("given up without an answer"),
            },
            ..self.span(self.name(), self.parent, Duration::ZERO..took)
        };
        let parent = request.span_context.span_id();
        let step = |taken: &Taken| self.span(taken.step.name().into(), Some(parent), taken.from..taken.to);
        let mut spans = Vec::with_capacity(1 + steps.len());
        spans.push(request);
        spans.extend(steps.iter().map(step));
        spans
    }

    /// A span within the server.
    fn span(&self, name: Cow<'static, str>, parent: Option<SpanId>, lasted: Range<Duration>) -> SpanData {
        let span_id = RandomIdGenerator::default().new_span_id();
        let (flags, state) = (TraceFlags::SAMPLED, self.state.clone());
        SpanData {
            span_context: SpanContext::new(self.trace_id, span_id, flags, false, state),
            parent_span_id: parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name,
            start_time: self.begun_at + lasted.start,
            end_time: self.begun_at + lasted.end,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope(),
        }
    }

    /// Method and route, `POST /v1/decide`; only the method where there is no such route.
    fn name(&self) -> Cow<'static, str> {
        let method = if self.method == OTHER_METHOD {
            "HTTP"
        } else {
            self.method
        };
        match self.route {
            Route::Other => method.into(),
            route => format!("{method} {}", route.label()).into(),
        }
    }

    fn attributes(&self, ended: &Ended<'_>) -> Vec<KeyValue> {
        let mut attributes = vec![KeyValue::new("http.request.method", self.method)];
        if self.route != Route::Other {
            attributes.push(KeyValue::new("http.route", self.route.label()));
        }
        if let Some(status) = ended.status {
            attributes.push(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        }
        attributes.extend(ended.error().map(|error| KeyValue::new("error.type", error)));
        if let Some(strategy) = ended.strategy {
            attributes.push(KeyValue::new("lakeloop.strategy", Arc::clone(strategy)));
        }
        attributes.push(KeyValue::new("lakeloop.request_id", ended.request_id.to_owned()));
        attributes
    }
}

/// Who made the spans.
fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("lakeloop")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}

/// What stands for methods that the conventions do not know.
const OTHER_METHOD: &str = "_OTHER";

/// A method out of a closed set.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "CONNECT" => "CONNECT",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "PATCH" => "PATCH",
        _ => OTHER_METHOD,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use actix_web::test::TestRequest;
    use tokio::runtime::Handle;

    use super::*;
    use crate::telemetry::Telemetry;
    use crate::traces::to_nowhere;

    /// A trace that begins at the server, and whose spans go nowhere.
    fn trace(method: Method, path: &str) -> Trace {
        let counters = Telemetry::new(1).unwrap().spans();
        let outbox = Outbox::open(&to_nowhere(), counters, Handle::current()).unwrap();
        let request = TestRequest::with_uri(path).method(method).to_srv_request();
        let beginning = Beginning {
            trace_id: TraceId::from(7),
            parent: None,
            at: 1_000_000,
        };
        Trace::new(Arc::new(outbox), &request, Route::of(path), beginning)
    }

    fn ended(status: Option<StatusCode>) -> Ended<'static> {
        Ended {
            status,
            strategy: None,
            request_id: "r",
        }
    }

    #[tokio::test]
    async fn a_request_fails_from_500_and_without_an_answer() {
        let trace = trace(Method::POST, "/v1/observe");
        for (status, error) in [
            (Some(StatusCode::OK), None),
            (Some(StatusCode::TOO_MANY_REQUESTS), None),
            (Some(StatusCode::INTERNAL_SERVER_ERROR), Some("500")),
            (None, Some("no_answer")),
        ] {
            let span = trace.spans(&ended(status), Duration::from_secs(2)).remove(0);
            let found = |key: &str| {
                let attribute = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
                attribute.map(|attribute| attribute.value.to_string())
            };
            assert_eq!(found("error.type").as_deref(), error);
            assert_eq!(
                found("http.response.status_code"),
                status.map(|status| status.as_str().to_owned())
            );
            assert_eq!(matches!(span.status, Status::Error { .. }), error.is_some());
            let since_1970 =
                [span.start_time, span.end_time].map(|at| at.duration_since(UNIX_EPOCH).unwrap().as_secs());
            assert_eq!(since_1970, [1, 3]);
        }
    }

    #[tokio::test]
    async fn names_are_a_closed_set() {
        let brew = Method::from_bytes(b"BREW").unwrap();
        for (method, path, name) in [
            (Method::GET, "/v2/models/menu", "GET /v2"),
            (
                Method::POST,
                "/ofrep/v1/evaluate/flags/menu",
                "POST /ofrep/v1/evaluate/flags/{key}",
            ),
            (Method::GET, "/scanner.php", "GET"),
            (brew, "/v1/decide", "HTTP /v1/decide"),
        ] {
            assert_eq!(trace(method, path).name(), name);
        }
    }

    #[tokio::test]
    async fn the_steps_of_a_request_are_bounded() {
        let trace = trace(Method::POST, "/v1/decide/batch");
        for _ in 0..1000 {
            trace.took(Step::Decide, Instant::now());
        }
        let spans = trace.spans(&ended(Some(StatusCode::OK)), Duration::from_secs(1));
        assert_eq!(spans.len(), 1 + MAX_STEPS);
        assert!(
            spans[1..]
                .iter()
                .all(|span| span.parent_span_id == spans[0].span_context.span_id())
        );
    }
}
