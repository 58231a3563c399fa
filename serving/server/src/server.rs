//! Owns the life of a server: start, shutdown and what runs in between.
//!
//! ```text
//! start:     blueprints + models ─► journals (recovered) ─► earlier answers ─► writer, refresher ─► listen
//! shutdown:  stop listening, finish requests ─► last flush ─► stop tasks ─► close journals
//! ```
//!
//! Nothing is answered before all of the start has worked, and each failure of it is a [`ServerError`] that says what to
//! do. A server that is dropped without a shutdown stops as a killed process would: what was acknowledged is in the
//! journal, and the next start brings it to the lake.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::{Server as HttpServing, ServerHandle};
use actix_web::{App as HttpApp, HttpServer};
use arc_swap::ArcSwap;
use lakeloop_config::Settings;
use lakeloop_journal::{Disk, JournalError, OsDisk};
use lakeloop_lake::{Lake, LakeError};
use metrics_exporter_prometheus::BuildError;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::answers::Answers;
use crate::background::BackgroundError;
use crate::clock::Clock;
use crate::features::FeatureStore;
use crate::flush::{FlushError, Flushed, Writer};
use crate::ids::DecisionIds;
use crate::journal::Journals;
use crate::refresh::Refresher;
use crate::restore::{self, RestoreError};
use crate::routes;
use crate::state::{App, Limits};
use crate::telemetry::Telemetry;

/// How often histograms are folded, so that they do not grow between two scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

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

/// A running server.
pub struct Server {
    addr: SocketAddr,
    app: Arc<App>,
    http: ServerHandle,
    running: Mutex<Option<JoinHandle<io::Result<()>>>>,
    /// Ends the writer, the refresher and the upkeep.
    stop: CancellationToken,
    drain_timeout: Duration,
}

/// Starts a server on the settings' address and journal folder; it answers once this returns.
///
/// It must be called within a multi-threaded tokio runtime, where the background tasks run; requests are answered by
/// threads of their own. At most one server can have a journal folder at a time.
pub async fn start(settings: &Settings, lake: Lake, clock: Clock) -> Result<Server, ServerError> {
    start_on(settings, lake, clock, Arc::new(OsDisk)).await
}

/// [`start`] with the journals on a given disk, such as one that fails on purpose.
pub async fn start_on(
    settings: &Settings,
    lake: Lake,
    clock: Clock,
    disk: Arc<dyn Disk>,
) -> Result<Server, ServerError> {
    let listener = listen(settings)?;
    let telemetry = Arc::new(Telemetry::new()?);
    let strategies = Arc::new(ArcSwap::from_pointee(Default::default()));
    let mut refresher = Refresher::new(lake.clone(), Arc::clone(&strategies), Arc::clone(&telemetry));
    refresher.refresh().await?;

    let journals = Arc::new(Journals::open(&settings.journal, &disk, (clock)())?);
    let capacity = settings.server.idempotency_entries;
    let answers = Answers::new(usize::try_from(capacity).unwrap_or(usize::MAX));
    restore::restore(&answers, capacity, &lake, &journals.decisions).await?;

    // Dropped when the start fails further down, which ends the tasks.
    let stop = CancellationToken::new();
    let ends_tasks = stop.clone().drop_guard();
    refresher.start(settings.server.refresh_interval, stop.clone());
    start_upkeep(Arc::clone(&telemetry), stop.clone());
    let writer = Writer {
        lake: lake.clone(),
        journals: Arc::clone(&journals),
        telemetry: Arc::clone(&telemetry),
        clock: Arc::clone(&clock),
        interval: settings.journal.flush_interval,
    };
    let app = Arc::new(App {
        features: FeatureStore::new(
            lake.clone(),
            &settings.features,
            Arc::clone(&telemetry),
            Handle::current(),
        ),
        flush: writer.start(stop.clone()),
        ids: DecisionIds::new(),
        limits: Limits::from_settings(settings),
        clock,
        lake,
        strategies,
        journals,
        answers,
        telemetry,
    });
    let listen_failed = |source| listen_error(settings, source);
    let addr = listener.local_addr().map_err(listen_failed)?;
    let http = http_server(settings, &app, listener).map_err(listen_failed)?;
    let handle = http.handle();
    let running = tokio::spawn(http);
    ends_tasks.disarm();
    tracing::info!(%addr, "lakeloop answers requests");
    Ok(Server {
        addr,
        app,
        http: handle,
        running: Mutex::new(Some(running)),
        stop,
        drain_timeout: settings.server.drain_timeout,
    })
}

/// The HTTP server, which runs once it is polled.
///
/// A function of its own and not asynchronous: the code of an asynchronous function is made in the crate that awaits it, and
/// with it that of every handler and of all of actix, so that all of these would be optimised as the command line is, which
/// is not at all in the `dev` profile.
#[inline(never)]
fn http_server(settings: &Settings, app: &Arc<App>, listener: TcpListener) -> io::Result<HttpServing> {
    let served = Arc::clone(app);
    let http = HttpServer::new(move || {
        let around = Arc::clone(&served);
        HttpApp::new()
            .configure(|config| routes::configure(&served, config))
            .wrap_fn(move |request, service| routes::around(&around, request, service))
    })
    .workers(settings.server.workers)
    .client_request_timeout(settings.server.request_timeout)
    .shutdown_timeout(settings.server.drain_timeout.as_secs())
    .disable_signals()
    .listen(listener)?;
    Ok(http.run())
}

impl Server {
    /// The address that it listens on, with the port that was chosen where the settings leave it open.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Moves everything that was acknowledged before this call to the lake.
    pub async fn flush(&self) -> Result<Flushed, FlushError> {
        self.app.flush.flush().await
    }

    /// Returns when the HTTP server has ended: after [`shutdown`](Self::shutdown), or by a failure of its own.
    pub async fn wait(&self) -> Result<(), ServerError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        match running {
            None => Ok(()),
            Some(running) => match running.await {
                Ok(ended) => ended.map_err(ServerError::Http),
                Err(interrupted) => Err(ServerError::Http(io::Error::other(interrupted))),
            },
        }
    }

    /// Stops taking requests, finishes those under way (for at most `server.drain_timeout`), moves the journal to the
    /// lake and closes it.
    ///
    /// An error means that not all of it went well, never that something was lost: what the lake has not taken stays in
    /// the journal.
    pub async fn shutdown(&self) -> Result<(), ServerError> {
        self.http.stop(true).await;
        let flushed = timeout(self.drain_timeout, self.app.flush.flush()).await;
        self.stop.cancel();
        let journals = Arc::clone(&self.app.journals);
        let closed = tokio::task::spawn_blocking(move || journals.close()).await;
        match flushed {
            Ok(flushed) => flushed.map(drop)?,
            Err(_) => return Err(ServerError::LastFlushTooSlow(self.drain_timeout)),
        }
        match closed {
            Ok(closed) => Ok(closed?),
            Err(_) => Err(ServerError::LastFlush(BackgroundError::Interrupted.into())),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        // The command is sent at once; only waiting for its effect needs the future.
        drop(self.http.stop(false));
    }
}

fn listen(settings: &Settings) -> Result<TcpListener, ServerError> {
    let address = &settings.server.listen;
    TcpListener::bind((address.host(), address.port())).map_err(|source| listen_error(settings, source))
}

fn listen_error(settings: &Settings, source: io::Error) -> ServerError {
    let listen = settings.server.listen.to_string();
    match source.kind() {
        io::ErrorKind::AddrInUse => ServerError::PortInUse { listen },
        _ => ServerError::Listen { listen, source },
    }
}

fn start_upkeep(telemetry: Arc<Telemetry>, stop: CancellationToken) {
    tokio::spawn(async move {
        while tokio::time::timeout(UPKEEP_INTERVAL, stop.cancelled()).await.is_err() {
            telemetry.upkeep();
        }
    });
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}
