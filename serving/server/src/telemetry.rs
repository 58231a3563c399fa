//! Owns the server's metrics: their names, labels and handles, and the Prometheus text of `/metrics`.
//!
//! Each server has a recorder of its own, so that two servers in one process do not mix their figures. Handles are made
//! once and kept; counting a request is an atomic addition. Labels come from closed sets (routes, statuses, journals,
//! lookups) except `strategy`, which a setting bounds, and `view`, which is capped.
//!
//! Durations are in seconds and sizes in bytes, as Prometheus asks for.

mod features;

mod models;

mod route;

mod spans;

use std::sync::OnceLock;

use actix_web::http::StatusCode;
use lakeloop_journal::JournalStatus;
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub(crate) use self::features::{Lookup, SnapshotFigures};
pub(crate) use self::models::ModelLoad;
pub(crate) use self::route::Route;
pub(crate) use self::spans::SpanCounters;

const METADATA: Metadata<'static> = Metadata::new("lakeloop", Level::INFO, Some("lakeloop"));

/// Upper bounds of the latency buckets, in seconds: 10 µs to 1 s.
const LATENCY_BUCKETS: [f64; 16] = [
    1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0,
];

/// Upper bounds of the buckets of feature ages, in seconds: a second to a month.
const AGE_BUCKETS: [f64; 10] = [
    1.0,
    10.0,
    60.0,
    600.0,
    3600.0,
    21_600.0,
    86_400.0,
    259_200.0,
    604_800.0,
    2_592_000.0,
];

/// The statuses that answers have; any other is counted as `other`.
const STATUSES: [(u16, &str); 18] = [
    (200, "200"),
    (201, "201"),
    (204, "204"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (406, "406"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (503, "503"),
    (0, "other"),
];

/// What a journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Book {
    Decisions,
    Outcomes,
}

impl Book {
    /// The word for it: the journal's folder, the table and the label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Decisions => "decisions",
            Self::Outcomes => "outcomes",
        }
    }
}

/// Why a request was refused before anything of it was done, or given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has no valid key.
    Unauthenticated,
    /// Its key lacks the scope.
    MissingScope,
    /// Its key is used too often.
    TooOften,
    /// Too many requests are under way.
    Requests,
    /// Too many connections are open.
    Connections,
    /// Its body is too large.
    TooLarge,
    /// It took too long.
    TimedOut,
}

impl Refusal {
    const LABELS: [&str; 7] = [
        "unauthenticated",
        "missing_scope",
        "too_often",
        "too_many_requests",
        "too_many_connections",
        "too_large",
        "timed_out",
    ];
}

/// Figures of one journal.
struct BookMetrics {
    bytes: Gauge,
    unsynced_bytes: Gauge,
    segments: Gauge,
    lag_seconds: Gauge,
    flushed_rows: Counter,
    undecodable: Counter,
}

/// Every metric of one server.
pub(crate) struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    requests: [[OnceLock<Counter>; STATUSES.len()]; Route::N],
    /// Time from the first byte of a decide request's handling to its answer.
    pub(crate) decide_seconds: Histogram,
    features: features::FeatureMetrics,
    models: models::ModelMetrics,
    books: [BookMetrics; 2],
    /// Flushes that failed and are tried again.
    pub(crate) flush_failures: Counter,
    refusals: [Counter; Refusal::LABELS.len()],
    /// Requests under way.
    pub(crate) requests_in_flight: Gauge,
    /// Open connections.
    pub(crate) connections: Gauge,
}

impl Telemetry {
    /// Metrics that stand at nothing, with series of their own for so many strategies.
    pub(crate) fn new(max_named_strategies: usize) -> Result<Self, metrics_exporter_prometheus::BuildError> {
        let full = |name: &str| Matcher::Full(name.to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(full("lakeloop_decide_seconds"), &LATENCY_BUCKETS)?
            .set_buckets_for_metric(full("lakeloop_feature_age_seconds"), &AGE_BUCKETS)?
            .set_buckets_for_metric(full("lakeloop_feature_load_seconds"), &LATENCY_BUCKETS)?
            .set_buckets_for_metric(full("lakeloop_model_load_seconds"), &LATENCY_BUCKETS)?
            .build_recorder();
        describe(&recorder);
        let counter = |name: &'static str, label| recorder.register_counter(&key(name, label), &METADATA);
        let gauge = |name: &'static str, label| recorder.register_gauge(&key(name, label), &METADATA);
        let histogram = |name: &'static str| recorder.register_histogram(&key(name, None), &METADATA);
        let book = |book: Book| {
            let label = Some(("journal", book.as_str()));
            BookMetrics {
                bytes: gauge("lakeloop_journal_bytes", label),
                unsynced_bytes: gauge("lakeloop_journal_unsynced_bytes", label),
                segments: gauge("lakeloop_journal_segments", label),
                lag_seconds: gauge("lakeloop_flush_lag_seconds", label),
                flushed_rows: counter("lakeloop_flushed_rows_total", label),
                undecodable: counter("lakeloop_journal_undecodable_total", label),
            }
        };
        Ok(Self {
            requests: Default::default(),
            decide_seconds: histogram("lakeloop_decide_seconds"),
            features: features::FeatureMetrics::new(&recorder),
            models: models::ModelMetrics::new(&recorder, max_named_strategies),
            books: [book(Book::Decisions), book(Book::Outcomes)],
            flush_failures: counter("lakeloop_flush_failures_total", None),
            refusals: Refusal::LABELS.map(|kind| counter("lakeloop_refusals_total", Some(("kind", kind)))),
            requests_in_flight: gauge("lakeloop_requests_in_flight", None),
            connections: gauge("lakeloop_connections", None),
            handle: recorder.handle(),
            recorder,
        })
    }

    /// Counts an answered request.
    pub(crate) fn request(&self, route: Route, status: StatusCode) {
        let last = STATUSES.len() - 1;
        let idx = STATUSES
            .iter()
            .position(|(code, _)| *code == status.as_u16())
            .unwrap_or(last);
        self.requests[route as usize][idx]
            .get_or_init(|| {
                let labels = vec![
                    Label::new("route", route.label()),
                    Label::new("status", STATUSES[idx].1),
                ];
                let key = Key::from_parts("lakeloop_requests_total", labels);
                self.recorder.register_counter(&key, &METADATA)
            })
            .increment(1);
    }

    /// Counts a request that was refused or given up.
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refusals[refusal as usize].increment(1);
    }

    /// Says until when the certificate of the server is valid, in seconds since 1970.
    pub(crate) fn certificate_ends(&self, at_s: i64) {
        let key = Key::from_static_name("lakeloop_tls_certificate_not_after_seconds");
        self.recorder.register_gauge(&key, &METADATA).set(at_s as f64);
    }

    /// Counts rows that the lake has taken.
    pub(crate) fn flushed(&self, book: Book, n_rows: u64) {
        self.books[book as usize].flushed_rows.increment(n_rows);
    }

    /// Counts records that could not be decoded and were set aside.
    pub(crate) fn undecodable(&self, book: Book, n_records: u64) {
        self.books[book as usize].undecodable.increment(n_records);
    }

    /// Takes the figures of a journal; `lag_seconds` is the time since it last held nothing that the lake had not
    /// taken.
    pub(crate) fn journal(&self, book: Book, status: &JournalStatus, lag_seconds: f64) {
        let metrics = &self.books[book as usize];
        metrics.bytes.set(status.n_bytes as f64);
        metrics.unsynced_bytes.set(status.n_unsynced_bytes as f64);
        metrics.segments.set(status.n_segments as f64);
        metrics.lag_seconds.set(lag_seconds);
    }

    /// The text that Prometheus scrapes.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what histograms have gathered; without it they grow between scrapes.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn key(name: &'static str, label: Option<(&'static str, &'static str)>) -> Key {
    match label {
        None => Key::from_static_name(name),
        Some((name_of_label, value)) => Key::from_parts(name, vec![Label::new(name_of_label, value)]),
    }
}

fn describe(recorder: &PrometheusRecorder) {
    let counter =
        |name: &'static str, text: &'static str| recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
    counter("lakeloop_requests_total", "Requests answered, by route and status.");
    counter(
        "lakeloop_refusals_total",
        "Requests refused before anything of them was done, or given up, by kind.",
    );
    counter(
        "lakeloop_flushed_rows_total",
        "Rows that the lake has taken from a journal.",
    );
    counter(
        "lakeloop_journal_undecodable_total",
        "Journal records that could not be decoded and were set aside.",
    );
    counter(
        "lakeloop_flush_failures_total",
        "Flushes to the lake that failed and are tried again.",
    );
    let gauge = |name: &'static str, unit, text: &'static str| {
        recorder.describe_gauge(name.into(), Some(unit), text.into());
    };
    gauge(
        "lakeloop_requests_in_flight",
        Unit::Count,
        "Requests under way, without health and metrics.",
    );
    gauge("lakeloop_connections", Unit::Count, "Open connections.");
    gauge(
        "lakeloop_tls_certificate_not_after_seconds",
        Unit::Seconds,
        "When the certificate of the server ends, in seconds since 1970.",
    );
    gauge("lakeloop_journal_bytes", Unit::Bytes, "Bytes in a journal's segments.");
    gauge(
        "lakeloop_journal_unsynced_bytes",
        Unit::Bytes,
        "Bytes of a journal that a power loss now would take.",
    );
    gauge("lakeloop_journal_segments", Unit::Count, "Segments of a journal.");
    gauge(
        "lakeloop_flush_lag_seconds",
        Unit::Seconds,
        "Time since the lake last had everything of a journal; 0 when it has.",
    );
    recorder.describe_histogram(
        "lakeloop_decide_seconds".into(),
        Some(Unit::Seconds),
        "Time to answer one decide request, within the server.".into(),
    );
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_statuses_are_closed_sets() {
        let telemetry = Telemetry::new(10).unwrap();
        telemetry.request(Route::of("/v1/decide"), StatusCode::OK);
        telemetry.request(Route::of("/v1/decide"), StatusCode::OK);
        telemetry.request(Route::of("/some/scanner.php"), StatusCode::NOT_FOUND);
        telemetry.request(Route::Other, StatusCode::IM_A_TEAPOT);
        let text = telemetry.render();
        for line in [
            r#"lakeloop_requests_total{route="/v1/decide",status="200"} 2"#,
            r#"lakeloop_requests_total{route="other",status="404"} 1"#,
            r#"lakeloop_requests_total{route="other",status="other"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
