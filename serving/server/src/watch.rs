//! Owns the watch over the files that others write while the server runs: keys and certificates.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::clock::Clock;
use crate::telemetry::Telemetry;
use crate::tls::Certificate;

/// What is looked at again and again while the server runs.
pub(crate) struct Watch {
    pub(crate) access: Arc<Access>,
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) clock: Clock,
}

impl Watch {
    /// Looks after every interval, until `stop` is cancelled.
    pub(crate) fn start(self, interval: Duration, stop: CancellationToken) {
        let this = Arc::new(self);
        tokio::spawn(async move {
            while timeout(interval, stop.cancelled()).await.is_err() {
                let this = Arc::clone(&this);
                // Looking at files can take long where they are on another machine.
                if tokio::task::spawn_blocking(move || this.look()).await.is_err() {
                    tracing::error!("the look for changed keys and certificates was interrupted; it goes on");
                }
            }
        });
    }

    fn look(&self) {
        self.access.refresh();
        if let Some(certificate) = &self.certificate {
            certificate.refresh(&self.telemetry, &self.clock);
        }
    }
}
