//! Metrics of the spans that are sent to a collector. They exist only where requests are traced.

use metrics::{Counter, Recorder, Unit};

use super::{METADATA, Telemetry, key};

const NAME: &str = "lakeloop_spans_total";

/// What became of spans.
#[derive(Debug)]
pub(crate) struct SpanCounters {
    /// The collector has taken them.
    pub(crate) sent: Counter,
    /// They could not be delivered, or too many waited.
    pub(crate) dropped: Counter,
}

impl Telemetry {
    /// The counters of spans.
    pub(crate) fn spans(&self) -> SpanCounters {
        let text = "Spans that the collector has taken (sent), and those that were lost (dropped).";
        self.recorder
            .describe_counter(NAME.into(), Some(Unit::Count), text.into());
        let counter = |result| {
            self.recorder
                .register_counter(&key(NAME, Some(("result", result))), &METADATA)
        };
        SpanCounters {
            sent: counter("sent"),
            dropped: counter("dropped"),
        }
    }
}
