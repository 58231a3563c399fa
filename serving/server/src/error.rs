//! Why a server does not start or stop cleanly, and what to do about it.

use std::io;
use std::time::Duration;

use lakeloop_journal::JournalError;
use lakeloop_lake::LakeError;
use metrics_exporter_prometheus::BuildError;

use crate::access::keys::KeysError;
use crate::flush::FlushError;
use crate::restore::RestoreError;
use crate::tls::TlsError;
use crate::traces::OutboxError;

/// Why a server could not be started or stopped cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another process listens on the address.
    #[error(
        "cannot listen on {listen}: the port is in use; stop the process that has it, or choose another with --listen"
    )]
    PortInUse {
        /// The address, from the settings.
        listen: String,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {listen}; choose an address of this machine with --listen")]
    Listen {
        /// The address, from the settings.
        listen: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Other machines would be answered without being asked who they are.
    #[error(
        "{listen} answers other machines, and there are no API keys in {keys}; make one with `lakeloop keys create`, or set \
         server.allow_anonymous = true where something in front authenticates every request"
    )]
    Anonymous {
        /// The address, from the settings.
        listen: String,
        /// The file that would hold the keys.
        keys: String,
    },
    /// The API keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Traces are wanted, and their spans cannot be sent.
    #[error("spans cannot be sent to {endpoint}; change traces.endpoint, or set it to \"off\"")]
    Traces {
        /// The URL of the collector, from the settings.
        endpoint: String,
        /// What is in the way.
        source: OutboxError,
    },
    /// A journal cannot be opened or closed.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// Blueprints and models cannot be read.
    #[error("blueprints and models cannot be read")]
    Lake(#[from] LakeError),
    /// Earlier answers cannot be restored, so that a repeated decision id could be decided twice.
    #[error("the answers to earlier decisions cannot be restored")]
    Restore(#[from] RestoreError),
    /// The metrics cannot be set up.
    #[error("the metrics cannot be set up")]
    Metrics(#[from] BuildError),
    /// The last flush did not move everything; it is in the journal, and the next start moves it.
    #[error("what the lake has not taken stays in the journal until the next start")]
    LastFlush(#[from] FlushError),
    /// The last flush took longer than `server.drain_timeout`; as above.
    #[error(
        "the last flush took longer than {0:?}; what the lake has not taken stays in the journal until the next start"
    )]
    LastFlushTooSlow(Duration),
    /// The HTTP server ended by itself.
    #[error("the HTTP server ended")]
    Http(#[source] io::Error),
}
