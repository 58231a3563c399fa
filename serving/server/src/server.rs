//! Owns the life of a server: start, shutdown and what runs in between.
//!
//! ```text
//! start:     keys, certificate ─► blueprints, live models ─► journals (recovered) ─► earlier answers, what caps counted
//!            ─► tasks ─► listen
//! shutdown:  say "not ready" for a while ─► stop listening, finish requests ─► last flush, last spans ─► stop tasks
//!            ─► close journals
//! ```
//!
//! Nothing is answered before all of the start has worked, and each failure of it is a [`ServerError`] that says what to
//! do. A server that is dropped without a shutdown stops as a killed process would: what was acknowledged is in the
//! journal, and the next start brings it to the lake.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::{Extensions, Server as HttpServing, ServerHandle};
use actix_web::{App as HttpApp, HttpServer};
use arc_swap::ArcSwap;
use futures::join;
use lakeloop_config::Settings;
use lakeloop_decide::caps::Share;
use lakeloop_journal::{Disk, OsDisk};
use lakeloop_lake::Lake;
use rustls::ServerConfig;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::access_log::AccessLog;
use crate::answers::Answers;
use crate::around::around;
use crate::background::BackgroundError;
use crate::cap_history::CapHistory;
use crate::clock::Clock;
use crate::cores::Cores;
use crate::cors;
use crate::error::ServerError;
use crate::features::{Ages, FeatureStore};
use crate::flush::{FlushError, Flushed, Writer};
use crate::hosting::ModelHost;
use crate::ids::DecisionIds;
use crate::journal::Journals;
use crate::load::Load;
use crate::refresh::Refresher;
use crate::request::Interest;
use crate::restore;
use crate::routes;
use crate::snapshots::{SnapshotWatcher, Snapshots};
use crate::state::{App, Limits};
use crate::telemetry::Telemetry;
use crate::tls::Certificate;
use crate::traces::Traces;
use crate::watch::Watch;

/// How often histograms are folded, so that they do not grow between two scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// No head of a request is given up sooner. The library's clock for this limit ticks twice a second, so that a shorter one
/// would also end requests that came in time.
const SHORTEST_HEAD_TIMEOUT: Duration = Duration::from_secs(1);

/// A running server.
pub struct Server {
    addr: SocketAddr,
    app: Arc<App>,
    http: ServerHandle,
    running: Mutex<Option<JoinHandle<io::Result<()>>>>,
    /// Ends the writer, the refresher, the watch and the upkeep.
    stop: CancellationToken,
    is_encrypted: bool,
    drain_delay: Duration,
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
    let listen_failed = |source| listen_error(settings, source);
    let addr = listener.local_addr().map_err(listen_failed)?;
    let telemetry = Arc::new(Telemetry::new(settings.server.named_strategies)?);
    let traces = match &settings.traces {
        Some(traces) => Some(Traces::open(traces, &telemetry, Handle::current())?),
        None => None,
    };
    let access = Arc::new(Access::open(&settings.server)?);
    check_exposure(settings, addr, &access)?;
    let certificate = match &settings.server.tls {
        Some(tls) => Some(Certificate::open(tls, &telemetry, &clock)?),
        None => None,
    };
    let tls = certificate.as_ref().map(Certificate::server_config).transpose()?;
    let strategies = Arc::new(ArcSwap::from_pointee(Default::default()));
    let models = ModelHost::new(
        lake.clone(),
        Arc::clone(&strategies),
        &settings.server,
        Arc::clone(&telemetry),
        Handle::current(),
    );
    let shared = Arc::clone(&strategies);
    let history = CapHistory {
        lake: lake.clone(),
        strategies: Arc::clone(&strategies),
        server: Share {
            idx: settings.server.cap_server,
            of: settings.server.cap_servers,
        },
        max_entries: usize::try_from(settings.server.cap_entries).unwrap_or(usize::MAX),
        request_timeout: settings.server.request_timeout,
        news: Arc::default(),
    };
    let new_caps = Arc::clone(&history.news);
    let mut refresher = Refresher::new(lake.clone(), shared, models.clone(), Arc::clone(&telemetry), new_caps);
    refresher.refresh().await?;

    let journals = Arc::new(Journals::open(&settings.journal, &disk, (clock)())?);
    let capacity = settings.server.idempotency_entries;
    let answers = Answers::new(usize::try_from(capacity).unwrap_or(usize::MAX));
    restore::restore(&answers, capacity, &lake, &journals.decisions).await?;
    history.restore(&journals.decisions).await?;

    // Dropped when the start fails further down, which ends the tasks.
    let stop = CancellationToken::new();
    let ends_tasks = stop.clone().drop_guard();
    refresher.start(settings.server.refresh_interval, stop.clone());
    start_upkeep(Arc::clone(&telemetry), stop.clone());
    let watch = Watch {
        access: Arc::clone(&access),
        certificate,
        telemetry: Arc::clone(&telemetry),
        clock: Arc::clone(&clock),
    };
    watch.start(settings.server.refresh_interval, stop.clone());
    let writer = Writer {
        lake: lake.clone(),
        journals: Arc::clone(&journals),
        telemetry: Arc::clone(&telemetry),
        clock: Arc::clone(&clock),
        interval: settings.journal.flush_interval,
    };
    let flush = writer.start(stop.clone());
    history.start(flush.clone(), stop.clone());
    let access_log = AccessLog::new(settings.log.access);
    let ages = Ages::new(settings.features.refresh, settings.server.refresh_interval);
    let snapshots = Arc::new(Snapshots::new(ages.max_check_age));
    let watcher = SnapshotWatcher {
        lake: lake.clone(),
        dir: settings.features.snapshot_dir.clone(),
        strategies: Arc::clone(&strategies),
        snapshots: Arc::clone(&snapshots),
        telemetry: Arc::clone(&telemetry),
        clock: Arc::clone(&clock),
    };
    watcher.start(ages.check_interval, stop.clone());
    let app = Arc::new(App {
        features: FeatureStore::new(
            lake.clone(),
            &settings.features,
            &ages,
            snapshots,
            Arc::clone(&telemetry),
            Handle::current(),
        ),
        models,
        flush,
        ids: DecisionIds::new(),
        limits: Limits::from_settings(settings),
        access,
        load: Arc::new(Load::new(&settings.server)),
        cores: Cores::for_threads(settings.server.workers),
        interest: if access_log.is_on() {
            Interest::Trail
        } else {
            Interest::Answer
        },
        access_log,
        traces,
        clock,
        lake,
        strategies,
        journals,
        answers,
        telemetry,
    });
    let is_encrypted = tls.is_some();
    let http = http_server(settings, &app, listener, tls).map_err(listen_failed)?;
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
        is_encrypted,
        drain_delay: settings.server.drain_delay,
        drain_timeout: settings.server.drain_timeout,
    })
}

/// The HTTP server, which runs once it is polled.
///
/// A function of its own and not asynchronous: the code of an asynchronous function is made in the crate that awaits it, and
/// with it that of every handler and of all of actix, so that all of these would be optimised as the command line is, which
/// is not at all in the `dev` profile.
#[inline(never)]
fn http_server(
    settings: &Settings,
    app: &Arc<App>,
    listener: TcpListener,
    tls: Option<ServerConfig>,
) -> io::Result<HttpServing> {
    let (served, counted) = (Arc::clone(app), Arc::clone(&app.load));
    let origins = settings.server.cors_origins.clone();
    let http = HttpServer::new(move || {
        // Each thread that answers calls this once.
        served.cores.take_next();
        let app = Arc::clone(&served);
        HttpApp::new()
            .configure(|config| routes::configure(&served, config))
            .wrap_fn(move |request, service| around(&app, request, service))
            .wrap(cors::layer(&origins))
    })
    .workers(settings.server.workers)
    .max_connections(app.load.hard_limit())
    .client_request_timeout(settings.server.request_timeout.max(SHORTEST_HEAD_TIMEOUT))
    .shutdown_timeout(settings.server.drain_timeout.as_secs_f64().ceil() as u64)
    .on_connect(move |_, of_connection: &mut Extensions| drop(of_connection.insert(counted.connect())))
    .disable_signals();
    let http = match tls {
        Some(tls) => http.listen_rustls_0_23(listener, tls),
        None => http.listen(listener),
    };
    Ok(http?.run())
}

impl Server {
    /// The address that it listens on, with the port that was chosen where the settings leave it open.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of the HTTP interface.
    pub fn url(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
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

    /// Says for `server.drain_delay` that it is not ready, while it answers all the same and asks callers to close their
    /// connections; then stops taking requests, finishes those under way (for at most `server.drain_timeout`), sends the spans
    /// that wait, moves the journal to the lake and closes it.
    ///
    /// An error means that not all of it went well, never that something was lost: what the lake has not taken stays in
    /// the journal.
    pub async fn shutdown(&self) -> Result<(), ServerError> {
        self.app.load.drain();
        if !self.drain_delay.is_zero() {
            tracing::info!(delay = ?self.drain_delay, "the server is not ready any more, and stops after this delay");
            tokio::time::sleep(self.drain_delay).await;
        }
        self.http.stop(true).await;
        // Both within the same time, so that a collector that is away does not make the stop longer.
        let (flushed, ()) = join!(timeout(self.drain_timeout, self.app.flush.flush()), self.close_traces());
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

    /// Spans that do not come to the collector in time are lost, which is no error of a stop.
    async fn close_traces(&self) {
        if self.app.traces.is_none() {
            return;
        }
        let (app, within) = (Arc::clone(&self.app), self.drain_timeout);
        let close = move || app.traces.iter().for_each(|traces| traces.close(within));
        if tokio::task::spawn_blocking(close).await.is_err() {
            tracing::error!("the spans that waited were not sent");
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

/// Refuses to answer other machines without knowing who they are, unless that is wanted; warns of what is risky.
fn check_exposure(settings: &Settings, addr: SocketAddr, access: &Access) -> Result<(), ServerError> {
    if addr.ip().is_loopback() {
        return Ok(());
    }
    match (access.has_keys(), settings.server.allow_anonymous) {
        (false, false) => Err(ServerError::Anonymous {
            listen: settings.server.listen.to_string(),
            keys: settings.server.keys.display().to_string(),
        }),
        (false, true) => {
            tracing::warn!(%addr, "other machines are answered without an API key, as server.allow_anonymous says");
            Ok(())
        }
        (true, _) if settings.server.tls.is_none() => {
            tracing::warn!(%addr, "API keys come over the network in the clear; set server.tls, or encrypt in front of it");
            Ok(())
        }
        (true, _) => Ok(()),
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::access::keys::{KeyFile, KeyWish};
    use crate::access::scope::Scope;

    #[test]
    fn other_machines_are_answered_with_keys_or_on_purpose_only() {
        let home = tempfile::tempdir().unwrap();
        let mut settings = Settings::load_with(home.path(), []).unwrap();
        let check = |settings: &Settings, addr: &str| {
            let access = Access::open(&settings.server).unwrap();
            check_exposure(settings, addr.parse().unwrap(), &access).map_err(|error| error.to_string())
        };
        let (loopback, everywhere) = (["127.0.0.1:80", "[::1]:80"], ["0.0.0.0:80", "[::]:80", "10.1.2.3:80"]);
        for addr in loopback {
            assert_eq!(check(&settings, addr), Ok(()), "{addr}");
        }
        for addr in everywhere {
            let message = check(&settings, addr).unwrap_err();
            assert!(message.contains("make one with `lakeloop keys create`"), "{message}");
            settings.server.allow_anonymous = true;
            assert_eq!(check(&settings, addr), Ok(()), "{addr}");
            settings.server.allow_anonymous = false;
        }
        let wish = KeyWish {
            name: "test".into(),
            scopes: vec![Scope::Read],
            expires_at: None,
            max_per_second: None,
        };
        let _ = KeyFile::new(&settings.server.keys)
            .create(wish, DateTime::UNIX_EPOCH)
            .unwrap();
        for addr in everywhere {
            assert_eq!(check(&settings, addr), Ok(()), "{addr}");
        }
    }
}
