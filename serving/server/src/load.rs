//! Owns the bounds on what is under way at one time: requests, connections, and the state of stopping.
//!
//! - **Requests.** One more than `server.max_concurrent` is refused at once, before its body is read. Health and metrics are
//!   not counted, so that an overloaded server can still be looked at.
//! - **Connections.** While there are more than `server.max_connections`, what comes on one that was too many is refused and the
//!   connection closed, again except for health and metrics. Connections that send nothing are closed by their own time limit. Far beyond the bound
//!   the server stops taking connections from the operating system: [`Load::hard_limit`].
//! - **Stopping.** A draining server answers everything, says that it is not ready, and asks callers to close.
//!
//! The cost of a request is two atomic additions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lakeloop_config::ServerSettings;

/// Connections beyond the bound that are still taken, to be told so and to be asked for health.
const EXTRA_CONNECTIONS: usize = 256;

/// What is under way, and how much of it may be.
#[derive(Debug)]
pub(crate) struct Load {
    n_requests: AtomicUsize,
    max_requests: usize,
    n_connections: AtomicUsize,
    max_connections: usize,
    is_draining: AtomicBool,
}

/// Held as long as a connection is open.
#[derive(Debug)]
pub(crate) struct Connection {
    load: Arc<Load>,
    is_beyond: bool,
}

impl Load {
    /// Nothing is under way.
    pub(crate) fn new(settings: &ServerSettings) -> Self {
        Self {
            n_requests: AtomicUsize::new(0),
            max_requests: settings.max_concurrent,
            n_connections: AtomicUsize::new(0),
            max_connections: settings.max_connections,
            is_draining: AtomicBool::new(false),
        }
    }

    /// Counts a request in; false when there are too many. Whoever gets true calls [`leave`](Self::leave) in the end.
    #[inline]
    pub(crate) fn enter(&self) -> bool {
        if self.n_requests.fetch_add(1, Ordering::Relaxed) < self.max_requests {
            return true;
        }
        self.leave();
        false
    }

    /// Counts a request out.
    #[inline]
    pub(crate) fn leave(&self) {
        self.n_requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a connection in, until the guard is dropped.
    pub(crate) fn connect(self: &Arc<Self>) -> Connection {
        let before = self.n_connections.fetch_add(1, Ordering::Relaxed);
        Connection {
            load: Arc::clone(self),
            is_beyond: before >= self.max_connections,
        }
    }

    /// How many connections one thread may hold before it takes no more from the operating system.
    pub(crate) fn hard_limit(&self) -> usize {
        self.max_connections.saturating_add(EXTRA_CONNECTIONS)
    }

    /// Requests under way.
    pub(crate) fn n_requests(&self) -> usize {
        self.n_requests.load(Ordering::Relaxed)
    }

    /// The bound on requests.
    pub(crate) fn max_requests(&self) -> usize {
        self.max_requests
    }

    /// Open connections.
    pub(crate) fn n_connections(&self) -> usize {
        self.n_connections.load(Ordering::Relaxed)
    }

    /// True when some connection is one too many.
    #[inline]
    pub(crate) fn has_too_many_connections(&self) -> bool {
        self.n_connections() > self.max_connections
    }

    /// The bound on connections.
    pub(crate) fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Begins to drain; there is no way back.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// True once the server is about to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }
}

impl Connection {
    /// True when there were too many connections already when this one came.
    pub(crate) fn is_beyond(&self) -> bool {
        self.is_beyond
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.load.n_connections.fetch_sub(1, Ordering::Relaxed);
    }
}
