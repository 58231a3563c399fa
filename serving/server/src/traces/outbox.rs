//! Owns the spans between the end of their requests and the collector: a bounded number, sent in batches by a thread of their own.
//!
//! ```text
//! spans ─► room for all of them? ─► queue ─► batch ─► collector
//!               └─ no: dropped                  └─ no answer, or a refusal: tried again, then dropped
//! ```
//!
//! What is dropped is counted, and logged once a minute at most. The queue and its thread are those of OpenTelemetry's SDK; it
//! does not say how much it drops, so that what waits is counted here, and the queue itself is never full.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lakeloop_config::TraceSettings;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor as _};
use tokio::runtime::Handle;

use super::collector::{Collector, Failure};
use crate::telemetry::SpanCounters;

/// The most spans that are sent at once.
const MAX_BATCH: usize = 512;

/// Losses are logged no more often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Why spans cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The client of the collector cannot be made.
    #[error("the HTTP client cannot be made")]
    Client(#[from] reqwest::Error),
    /// What was set does not suit the exporter.
    #[error("the exporter cannot be made")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// What waits for the collector.
#[derive(Debug)]
pub(crate) struct Outbox {
    processor: BatchSpanProcessor,
    tally: Arc<Tally>,
}

impl Outbox {
    /// Nothing waits yet.
    pub(super) fn open(settings: &TraceSettings, counters: SpanCounters, runtime: Handle) -> Result<Self, OutboxError> {
        let failure = Failure::default();
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(settings.timeout, runtime, failure.clone())?)
            .with_endpoint(settings.endpoint.as_str())
            .with_headers(settings.headers.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(settings.timeout)
            .build()?;
        exporter.set_resource(&resource(settings));
        let tally = Arc::new(Tally {
            n_waiting: AtomicUsize::new(0),
            max_waiting: settings.max_waiting,
            counters,
            losses: Mutex::default(),
        });
        let delivery = Delivery {
            exporter,
            failure,
            tally: Arc::clone(&tally),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(settings.max_waiting)
            .with_max_export_batch_size(settings.max_waiting.min(MAX_BATCH))
            .with_scheduled_delay(settings.interval)
            .build();
        Ok(Self {
            processor: BatchSpanProcessor::new(delivery, batches),
            tally,
        })
    }

    /// Takes the spans of one request, all or none. Never waits.
    pub(super) fn take(&self, spans: Vec<SpanData>) {
        if !self.tally.enter(spans.len()) {
            self.tally
                .lost(spans.len(), "more spans wait than traces.max_waiting allows");
            return;
        }
        for span in spans {
            self.processor.on_end(span);
        }
    }

    /// Sends what waits, for at most so long; nothing is taken afterwards. Blocks.
    pub(super) fn close(&self, within: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(within) {
            let n_waiting = self.tally.n_waiting.load(Ordering::Relaxed);
            if n_waiting > 0 {
                self.tally.lost(n_waiting, &error.to_string());
            }
        }
    }
}

/// What every span says of the process that made it.
fn resource(settings: &TraceSettings) -> Resource {
    // With what OTEL_RESOURCE_ATTRIBUTES says, by which platforms tell where a process runs.
    Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_service_name(settings.service_name.clone())
        .build()
}

/// Sends batches, and sees what becomes of them.
#[derive(Debug)]
struct Delivery {
    exporter: opentelemetry_otlp::SpanExporter,
    failure: Failure,
    tally: Arc<Tally>,
}

impl SpanExporter for Delivery {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let n_spans = batch.len();
        let exported = self.exporter.export(batch).await;
        self.tally.leave(n_spans);
        match &exported {
            Ok(()) => self.tally.counters.sent.increment(n_spans as u64),
            Err(error) => {
                let cause = self.failure.take().unwrap_or_else(|| error.to_string());
                self.tally.lost(n_spans, &cause);
            }
        }
        exported
    }
}

/// The count of spans: those that wait, and those that were sent or lost.
#[derive(Debug)]
struct Tally {
    n_waiting: AtomicUsize,
    max_waiting: usize,
    counters: SpanCounters,
    losses: Mutex<Losses>,
}

impl Tally {
    /// Counts spans in; false when there is no room for all of them.
    fn enter(&self, n_spans: usize) -> bool {
        let before = self.n_waiting.fetch_add(n_spans, Ordering::Relaxed);
        if before.saturating_add(n_spans) <= self.max_waiting {
            return true;
        }
        self.leave(n_spans);
        false
    }

    fn leave(&self, n_spans: usize) {
        self.n_waiting.fetch_sub(n_spans, Ordering::Relaxed);
    }

    /// Counts spans that were lost, and logs it now and then.
    #[cold]
    fn lost(&self, n_spans: usize, cause: &str) {
        self.counters.dropped.increment(n_spans as u64);
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n_spans) = losses.add(n_spans, Instant::now()) {
            tracing::warn!(
                n_spans,
                cause,
                "spans were dropped, so that traces are not complete; requests go on"
            );
        }
    }
}

/// What was lost since it was logged last.
#[derive(Debug, Default)]
struct Losses {
    n_untold: usize,
    told: Option<Instant>,
}

impl Losses {
    /// Adds to it; answers how many are to be told of now, `None` when it was done a short time ago.
    fn add(&mut self, n_spans: usize, now: Instant) -> Option<usize> {
        self.n_untold += n_spans;
        let is_recent = |told: Instant| now.saturating_duration_since(told) < LOG_INTERVAL;
        if self.told.is_some_and(is_recent) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.n_untold))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    #[test]
    fn losses_are_told_once_a_minute_and_none_is_forgotten() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut losses = Losses::default();
        let told = [(3, 0), (2, 1), (2, 59), (5, 60), (1, 119), (1, 121)]
            .map(|(n_spans, seconds)| losses.add(n_spans, at(seconds)));
        assert_eq!(told, [Some(3), None, None, Some(9), None, Some(2)]);
    }

    #[test]
    fn there_is_room_for_all_spans_of_a_request_or_for_none() {
        let telemetry = Telemetry::new(1).unwrap();
        let tally = Tally {
            n_waiting: AtomicUsize::new(0),
            max_waiting: 5,
            counters: telemetry.spans(),
            losses: Mutex::default(),
        };
        assert_eq!(
            [3, 3, 2, 1].map(|n_spans| tally.enter(n_spans)),
            [true, false, true, false]
        );
        tally.leave(2);
        assert!(tally.enter(2) && !tally.enter(usize::MAX));
        tally.lost(7, "the test says so");
        let line = r#"lakeloop_spans_total{result="dropped"} 7"#;
        assert!(telemetry.render().contains(line), "{}", telemetry.render());
    }
}
