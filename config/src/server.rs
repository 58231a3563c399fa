//! Settings of what answers requests: where, to whom, and up to which bounds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::form;
use crate::listen::ListenAddress;
use crate::quantity::{ByteSize, Period};
use crate::settings::{Switch, Threads};

/// What answers requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Address of the HTTP interface.
    pub listen: ListenAddress,
    /// Threads that answer requests; at least 1.
    pub workers: usize,
    /// The largest body of a request.
    pub max_body_bytes: u64,
    /// A request that takes longer is answered with 503.
    pub request_timeout: Duration,
    /// Requests under way at one time; at least 1.
    pub max_concurrent: usize,
    /// Connections open at one time; at least 1.
    pub max_connections: usize,
    /// Whether callers may say when something happened.
    pub allow_event_time: bool,
    /// Whether the HTTP interface runs.
    pub http: bool,
    /// Whether scheduled jobs run.
    pub scheduler: bool,
    /// Address of the SQL endpoint; `None`: off.
    pub sql_listen: Option<ListenAddress>,
    /// How often new blueprints and models, keys and certificates are looked for.
    pub refresh_interval: Duration,
    /// How many recent decision ids are remembered.
    pub idempotency_entries: u64,
    /// The most candidates that one request may rank.
    pub max_candidates: u32,
    /// How many servers share the caps of one lake; at least 1.
    pub cap_servers: u32,
    /// Which of them this one is, from 0.
    pub cap_server: u32,
    /// How many capped decisions are remembered for each strategy; at least 1.
    pub cap_entries: u64,
    /// How long a stopping server says that it is not ready before it stops taking connections.
    pub drain_delay: Duration,
    /// How long a stopping server waits for requests under way.
    pub drain_timeout: Duration,
    /// Memory for the ensembles of models.
    pub model_memory_bytes: u64,
    /// A request that needs a model which is not in memory waits for so long.
    pub model_load_timeout: Duration,
    /// How many strategies have metrics of their own.
    pub named_strategies: usize,
    /// The file of API keys, absolute.
    pub keys: PathBuf,
    /// Whether other machines are answered although there are no API keys.
    pub allow_anonymous: bool,
    /// What is answered without a key even when there are keys.
    pub open_routes: Vec<OpenRoute>,
    /// Origins whose pages may read answers; none: CORS is off.
    pub cors_origins: Vec<String>,
    /// How connections are encrypted; `None`: they are not.
    pub tls: Option<TlsSettings>,
}

/// Routes that can be open to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpenRoute {
    /// `/healthz` and `/readyz`.
    Health,
    /// `/metrics`.
    Metrics,
    /// The description of the interface.
    Docs,
}

/// How connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file of the certificate, followed by those that lead to its authority; absolute.
    pub certificate: PathBuf,
    /// PEM file of the certificate's private key; absolute.
    pub key: PathBuf,
    /// PEM file of the authorities whose client certificates are asked for; `None`: none are.
    pub client_ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawServer {
    pub(crate) listen: ListenAddress,
    workers: Threads,
    max_body: ByteSize,
    request_timeout: Period,
    #[schemars(range(min = 1, max = 1_000_000))]
    max_concurrent: u32,
    #[schemars(range(min = 1, max = 1_000_000))]
    max_connections: u32,
    allow_event_time: bool,
    http: bool,
    scheduler: bool,
    pub(crate) sql_listen: Switch<ListenAddress>,
    refresh_interval: Period,
    #[schemars(range(min = 1))]
    idempotency_entries: u64,
    #[schemars(range(min = 1))]
    max_candidates: u32,
    #[schemars(range(min = 1, max = 1000))]
    cap_servers: u32,
    cap_server: u32,
    #[schemars(range(min = 1))]
    cap_entries: u64,
    drain_delay: Switch<Period>,
    drain_timeout: Period,
    model_memory: ByteSize,
    model_load_timeout: Period,
    named_strategies: u32,
    keys: PathBuf,
    allow_anonymous: bool,
    open_routes: Vec<OpenRoute>,
    #[schemars(schema_with = "form::origins")]
    cors_origins: Vec<String>,
    pub(crate) tls: RawTls,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTls {
    certificate: Switch<PathBuf>,
    key: Switch<PathBuf>,
    client_ca: Switch<PathBuf>,
}

impl RawTls {
    /// The key that is to blame when the files do not go together, and why.
    pub(crate) fn violation(&self) -> Option<(&'static str, &'static str)> {
        match (&self.certificate, &self.key, &self.client_ca) {
            (Switch::On(_), Switch::Off(_), _) => Some((
                "server.tls.certificate",
                "the certificate needs its private key; write the key's file to server.tls.key too",
            )),
            (Switch::Off(_), Switch::On(_), _) => Some((
                "server.tls.key",
                "the private key needs its certificate; write the certificate's file to server.tls.certificate too",
            )),
            (Switch::Off(_), Switch::Off(_), Switch::On(_)) => Some((
                "server.tls.client_ca",
                "certificates of clients are only asked for over TLS; write server.tls.certificate and server.tls.key too",
            )),
            _ => None,
        }
    }

    fn into_settings(self, home: &Path) -> Option<TlsSettings> {
        Some(TlsSettings {
            certificate: home.join(self.certificate.on()?),
            key: home.join(self.key.on()?),
            client_ca: self.client_ca.on().map(|file| home.join(file)),
        })
    }
}

impl RawServer {
    /// What is wrong with the share of the caps that this server takes.
    pub(crate) fn cap_violation(&self) -> Option<String> {
        let (server, servers) = (self.cap_server, self.cap_servers);
        (server >= servers).then(|| {
            format!(
                "server.cap_server is {server}, but the servers that share the caps are counted from 0 and there are {servers}; \
                 write a smaller number, or how many there are to server.cap_servers"
            )
        })
    }

    pub(crate) fn into_settings(self, home: &Path) -> ServerSettings {
        ServerSettings {
            listen: self.listen,
            workers: self.workers.count(),
            max_body_bytes: self.max_body.bytes(),
            request_timeout: self.request_timeout.duration(),
            max_concurrent: count(self.max_concurrent),
            max_connections: count(self.max_connections),
            allow_event_time: self.allow_event_time,
            http: self.http,
            scheduler: self.scheduler,
            sql_listen: self.sql_listen.on(),
            refresh_interval: self.refresh_interval.duration(),
            idempotency_entries: self.idempotency_entries,
            max_candidates: self.max_candidates,
            cap_servers: self.cap_servers,
            cap_server: self.cap_server,
            cap_entries: self.cap_entries,
            drain_delay: self.drain_delay.on().map_or(Duration::ZERO, Period::duration),
            drain_timeout: self.drain_timeout.duration(),
            model_memory_bytes: self.model_memory.bytes(),
            model_load_timeout: self.model_load_timeout.duration(),
            named_strategies: usize::try_from(self.named_strategies).unwrap_or(usize::MAX),
            keys: home.join(self.keys),
            allow_anonymous: self.allow_anonymous,
            open_routes: self.open_routes,
            cors_origins: self.cors_origins,
            tls: self.tls.into_settings(home),
        }
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
