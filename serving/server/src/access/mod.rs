//! Owns who may ask for what: which scope each route needs, and whether a request carries a key that has it.
//!
//! - While there are no keys, everybody may ask for everything. A server that other machines can reach does not start like
//!   that, unless `server.allow_anonymous` says so.
//! - As soon as there is a key, every request needs one, except for what `server.open_routes` leaves open. Keys are looked for
//!   while the server runs, so a new key works and a revoked one stops within `server.refresh_interval`.
//! - A file of keys that goes away or cannot be understood while the server runs changes nothing: the keys that were read
//!   last stay in force, and the log says so, once.
//!
//! A request without keys to check costs one load of a flag.

pub(crate) mod key;

pub(crate) mod keys;

pub(crate) mod ring;

pub(crate) mod rate;

pub(crate) mod scope;

pub(crate) mod secret;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use arc_swap::ArcSwap;
use lakeloop_config::{OpenRoute, ServerSettings};
use lakeloop_domain::Micros;

use crate::access::keys::{KeyFile, KeysError};
use crate::access::ring::{Keyring, Refused};
use crate::access::scope::Scope;
use crate::access::secret::Presented;
use crate::problem::{Chain, Problem};
use crate::stamp::Stamp;
use crate::telemetry::Route;

/// The header that may carry a key instead of `Authorization`.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a route asks of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// A key with this scope.
    Scope(Scope),
    /// A key that may read, unless the settings leave the route open.
    Open(OpenRoute),
    /// Any live key: what is at such a path is no secret, but it is nobody's business either.
    AnyKey,
}

fn needs(route: Route) -> Needs {
    match route {
        Route::Decide | Route::DecideBatch | Route::Predict => Needs::Scope(Scope::Predict),
        Route::Infer | Route::InferenceMetadata => Needs::Scope(Scope::Predict),
        Route::EvaluateFlag | Route::EvaluateFlags | Route::Rank => Needs::Scope(Scope::Predict),
        Route::Observe | Route::Reward => Needs::Scope(Scope::Observe),
        Route::Strategies | Route::Models => Needs::Scope(Scope::Read),
        Route::Flush => Needs::Scope(Scope::Admin),
        Route::Health | Route::Ready => Needs::Open(OpenRoute::Health),
        Route::Metrics => Needs::Open(OpenRoute::Metrics),
        Route::Reference => Needs::Open(OpenRoute::Docs),
        Route::Other => Needs::AnyKey,
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Nobody in particular: the route is open.
    Anyone,
    /// The holder of the key with this id.
    Key(Arc<str>),
}

/// The keys in force.
pub(crate) struct Access {
    file: KeyFile,
    stamp: Mutex<Stamp>,
    has_keys: AtomicBool,
    ring: ArcSwap<Keyring>,
    open: Vec<OpenRoute>,
}

impl Access {
    /// Reads the keys.
    pub(crate) fn open(settings: &ServerSettings) -> Result<Self, KeysError> {
        let file = KeyFile::new(&settings.keys);
        // Taken before the file is read, so that a change in between is seen as one.
        let stamp = Stamp::of([file.path()]);
        let keys = file.read()?.unwrap_or_default();
        let ring = Keyring::new(&keys, &Keyring::empty());
        if let Some(mode) = file.loose_mode() {
            let path = file.path().display();
            tracing::warn!(
                %path,
                "others than the owner may read or write the API keys (mode {mode:o}); run `chmod 600` on the file"
            );
        }
        Ok(Self {
            stamp: Mutex::new(stamp),
            has_keys: AtomicBool::new(!ring.is_empty()),
            ring: ArcSwap::from_pointee(ring),
            open: settings.open_routes.clone(),
            file,
        })
    }

    /// True when requests need keys.
    pub(crate) fn has_keys(&self) -> bool {
        self.has_keys.load(Ordering::Acquire)
    }

    /// Lets a request in, or says why not.
    #[inline]
    pub(crate) fn admit(
        &self,
        route: Route,
        headers: &HeaderMap,
        now: impl FnOnce() -> Micros,
    ) -> Result<Caller, Problem> {
        if !self.has_keys() {
            return Ok(Caller::Anyone);
        }
        self.admit_by_key(route, headers, now)
    }

    fn admit_by_key(&self, route: Route, headers: &HeaderMap, now: impl FnOnce() -> Micros) -> Result<Caller, Problem> {
        let wants = match needs(route) {
            Needs::Open(open) if self.open.contains(&open) => return Ok(Caller::Anyone),
            Needs::Open(_) => Some(Scope::Read),
            Needs::Scope(scope) => Some(scope),
            Needs::AnyKey => None,
        };
        let text = match sent(headers) {
            Sent::Text(text) => text,
            Sent::Nothing => {
                return Err(Problem::Unauthenticated {
                    detail: NO_KEY.into(),
                    is_wrong: false,
                });
            }
            Sent::Otherwise => {
                return Err(Problem::Unauthenticated {
                    detail: OTHER_SCHEME.into(),
                    is_wrong: true,
                });
            }
        };
        let presented = Presented::read(text).ok_or(Refused::Unknown)?;
        Ok(Caller::Key(self.ring.load().check(presented, wants, now())?))
    }

    /// Takes up a file that has changed.
    pub(crate) fn refresh(&self) {
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = Stamp::of([self.file.path()]);
        if *stamp == latest {
            return;
        }
        *stamp = latest;
        let path = self.file.path().display();
        match self.file.read() {
            Ok(Some(keys)) => {
                let ring = Keyring::new(&keys, &self.ring.load());
                if ring.is_empty() && self.has_keys() {
                    tracing::error!(%path, "the file holds no key any more; the keys that were read last stay in force");
                    return;
                }
                let has_keys = !ring.is_empty();
                self.ring.store(Arc::new(ring));
                self.has_keys.store(has_keys, Ordering::Release);
                tracing::info!(%path, n_keys = keys.len(), "the API keys have changed");
            }
            Ok(None) if self.has_keys() => {
                tracing::error!(%path, "the file of API keys is gone; the keys that were read last stay in force");
            }
            Ok(None) => {}
            Err(error) => tracing::error!(
                cause = %Chain(&error),
                "the API keys have changed but cannot be taken up; the keys that were read last stay in force"
            ),
        }
    }
}

const NO_KEY: &str = "this server asks for an API key: send `Authorization: Bearer KEY` or `X-API-Key: KEY`; \
                      `lakeloop keys create` makes one";
const OTHER_SCHEME: &str =
    "the key was not sent as `Authorization: Bearer KEY` or `X-API-Key: KEY`; send it as one of them";

/// What a request sends where a key is expected.
enum Sent<'h> {
    Text(&'h str),
    Nothing,
    Otherwise,
}

/// `X-API-Key` is ours alone, so it comes before `Authorization`, which a proxy may have filled.
fn sent(headers: &HeaderMap) -> Sent<'_> {
    let (value, is_bearer) = match (headers.get(&API_KEY), headers.get(AUTHORIZATION)) {
        (Some(value), _) => (value, false),
        (None, Some(value)) => (value, true),
        (None, None) => return Sent::Nothing,
    };
    let Ok(text) = value.to_str() else {
        return Sent::Otherwise;
    };
    match (is_bearer, text.split_once(' ')) {
        (false, _) => Sent::Text(text.trim()),
        (true, Some((scheme, rest))) if scheme.eq_ignore_ascii_case("bearer") => Sent::Text(rest.trim()),
        (true, _) => Sent::Otherwise,
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let wrong = |detail: String| Self::Unauthenticated { detail, is_wrong: true };
        match refused {
            Refused::Unknown => wrong("the API key is not known here; `lakeloop keys create` makes one".into()),
            Refused::Revoked { id } => wrong(format!("the API key {id} was revoked; ask for another one")),
            Refused::Expired { id, at } => wrong(format!("the API key {id} expired at {at}; ask for another one")),
            Refused::Lacks { id, scope } => Self::MissingScope { id, scope },
            Refused::TooOften {
                id,
                max_per_second,
                retry_after,
            } => Self::TooOften {
                detail: format!("the API key {id} may be used {max_per_second} times in a second; send less often"),
                retry_after,
            },
        }
    }
}
