//! Owns the traces of requests: which requests have one, and the way of its spans to a collector of OpenTelemetry.
//!
//! ```text
//! request ─► the caller's sampled flag, else the share ─► trace ─► steps ─► spans ─► outbox ─► collector
//!                              └─ not traced: nothing is made of it
//! ```
//!
//! - A request that is not traced costs a look for a header and a random number, or nothing where traces are off.
//! - What is traced is kept by the request itself until it ends; only then it takes a place in the outbox, which is bounded. A
//!   collector that is slow or away costs spans, never an answer.
//! - A span names no unit, context, key or path: they may be personal, and traces go to where logs do not.
//!
//! Deliberately absent: a tracer that is global or knows of the current span, since a request knows its own; spans of
//! background work, whose figures are metrics; spans of the lake's libraries.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServiceRequest;
use lakeloop_config::{Share, TraceSettings};
use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::error::ServerError;
use crate::telemetry::{Route, Telemetry};

mod parent;

mod trace;

mod outbox;

mod collector;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod cost;

use self::outbox::Outbox;
pub use self::outbox::OutboxError;
pub(crate) use self::parent::{Parent, TRACEPARENT, TRACESTATE};
use self::trace::Beginning;
pub(crate) use self::trace::{Ended, Step, Trace};

/// What traces the requests of one server.
pub(crate) struct Traces {
    ids: RandomIdGenerator,
    /// Which requests are traced where nobody has decided.
    drawn: Drawn,
    outbox: Arc<Outbox>,
}

impl Traces {
    /// As the settings say; spans are sent on `runtime`.
    pub(crate) fn open(settings: &TraceSettings, telemetry: &Telemetry, runtime: Handle) -> Result<Self, ServerError> {
        let outbox = Outbox::open(settings, telemetry.spans(), runtime).map_err(|source| ServerError::Traces {
            endpoint: settings.endpoint.as_str().to_owned(),
            source,
        })?;
        Ok(Self {
            ids: RandomIdGenerator::default(),
            drawn: Drawn::new(settings.share),
            outbox: Arc::new(outbox),
        })
    }

    /// The trace of a request that begins; `None` where it has none.
    #[inline]
    pub(crate) fn begin(&self, request: &ServiceRequest, route: Route, clock: &Clock) -> Option<Box<Trace>> {
        let parent = Parent::of(request.headers());
        let trace_id = match &parent {
            Some(parent) => parent.is_sampled.then_some(parent.trace_id)?,
            None if route.is_of_watchers() || self.drawn.is_nothing() => return None,
            None => Some(self.ids.new_trace_id()).filter(|id| self.drawn.includes(*id))?,
        };
        let beginning = Beginning {
            trace_id,
            parent,
            at: (clock)(),
        };
        let outbox = Arc::clone(&self.outbox);
        Some(Box::new(Trace::new(outbox, request, route, beginning)))
    }

    /// Sends what waits, for at most so long; nothing is taken afterwards. Blocks.
    pub(crate) fn close(&self, within: Duration) {
        self.outbox.close(within);
    }
}

/// A share of all traces, drawn by their ids: half of an id's last eight bytes, as a big-endian number, lies below that share of
/// 2^63. OpenTelemetry's SDKs for Rust and Go draw in the same way, so that services of one share keep the same traces.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    below: u64,
}

impl Drawn {
    fn new(share: Share) -> Self {
        let below = (u128::from(share.millionths()) << 63) / 1_000_000;
        Self {
            below: u64::try_from(below).unwrap_or(u64::MAX),
        }
    }

    fn is_nothing(self) -> bool {
        self.below == 0
    }

    fn includes(self, id: TraceId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = id.to_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.below
    }
}

/// Settings of traces whose spans come nowhere.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
fn to_nowhere() -> TraceSettings {
    let home = tempfile::tempdir().unwrap();
    let collector = (
        "LAKELOOP_TRACES__ENDPOINT".to_owned(),
        "http://127.0.0.1:9/v1/traces".to_owned(),
    );
    let settings = lakeloop_config::Settings::load_with(home.path(), [collector]).unwrap();
    settings.traces.unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_drawn_by_the_second_half_of_the_id() {
        let id = |low: u64| TraceId::from(u128::from(u64::MAX) << 64 | u128::from(low));
        let half = Drawn::new(Share::new(0.5));
        assert!(half.includes(id(0)) && half.includes(id((1 << 63) - 1)));
        assert!(!half.includes(id(1 << 63)) && !half.includes(id(u64::MAX)));
        let (all, nothing) = (Drawn::new(Share::ALL), Drawn::new(Share::new(0.0)));
        assert!(all.includes(id(u64::MAX)) && !all.is_nothing());
        assert!(!nothing.includes(id(0)) && nothing.is_nothing());
        // Python 3: int(0.01 * 2**63) * 2 is 0x28f5c28f5c28f5c.
        let hundredth = Drawn::new(Share::new(0.01));
        assert!(hundredth.includes(id(0x028f_5c28_f5c2_8f00)));
        assert!(!hundredth.includes(id(0x028f_5c28_f5c2_9000)));
    }
}
