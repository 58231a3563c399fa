//! Owns the server's notion of now.
//!
//! Every instant that is logged or compared comes from the clock that [`start`](crate::start) was given, so that a test
//! or a replay of the past decides what time it is. Only measured durations (latencies, timeouts, intervals) use the
//! machine's own monotonic clock; none of them ends up in a record.

use std::sync::Arc;

use lakeloop_domain::Micros;

/// Tells the current time. Called once for each request; may be called from many threads at once.
pub type Clock = Arc<dyn Fn() -> Micros + Send + Sync>;
