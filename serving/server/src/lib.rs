//! The HTTP tier: decides, logs and answers, in front of the lake.
//!
//! ```text
//!                       blueprints, models ──(refresh)──► strategies in force ◄──(hosting)── models in memory
//!                                                               │
//! POST /v1/decide ──► context ──► lake features (cache) ──► decide ──► journal ──► answer
//! POST /v1/observe ─────────────────────────────────────────────────► journal ──► answer
//!                                                                        │
//!                                   decisions, outcomes ◄──(flush)───────┘
//! ```
//!
//! What it promises:
//!
//! - a decision is in the journal before it is answered, an outcome is fsynced before it is answered (both as the settings
//!   say), and what is in the journal reaches the lake once, also across crashes: `flush`, `journal`;
//! - a repeated decision id gets the first answer: `answers`;
//! - what cannot be taken is refused with a problem document that says what to change, and nothing of it is kept: `problem`;
//! - a new blueprint or model comes into force without a failed request: `refresh`.
//!
//! Clients of other protocols come in through `protocols`, which asks the same questions and gets the same answers.
//!
//! Who may ask, how much of it at once, and what is told about it:
//!
//! - keys with scopes, checked before a body is read: `access`; TLS with certificates that are renewed while it runs: `tls`;
//! - bounds on requests and connections, refused with when to try again, and a stop that finishes what it has begun: `load`;
//! - a core for each thread that answers, and for the way to the lake what is left of them: `cores`, `background`;
//! - an id for each request in answers, problems and the log: `request`, `access_log`; spans of some for a collector of
//!   OpenTelemetry: `traces`; figures of bounded cardinality: `telemetry`.
//!
//! Deliberately absent: training, promotion and anything that needs libxgboost; users, sessions and roles, which belong to
//! what stands in front; a second store. Several servers need a home, hence a journal, each; they may share a lake and a
//! file of keys.

mod server;

mod error;

mod routes;

mod around;

mod access;

mod load;

mod cores;

mod request;

mod access_log;

mod traces;

mod cors;

mod tls;

mod watch;

mod decide;

mod observe;

mod predict;

mod listing;

mod health;

mod protocols;

mod wire;

mod fields;

mod json;

mod scan;

mod ask;
mod candidates;

mod context;

mod nearest;

mod problem;

mod state;

mod regime;

mod caps;

mod cap_history;

mod refresh;

mod hosting;

mod features;

mod snapshots;

mod ids;

mod reply;

mod answers;

mod restore;

mod record;

mod journal;

mod group;

mod flush;

mod rows;

mod background;

mod aside;

mod telemetry;

mod clock;

mod stamp;

pub use access::key::{ApiKey, KeyStatus};
pub use access::keys::{KeyFile, KeyWish, KeysError, Revocation};
pub use access::scope::{Scope, UnknownScope};
pub use access::secret::NewSecret;
pub use background::BackgroundError;
pub use clock::Clock;
pub use error::ServerError;
pub use flush::{FlushError, Flushed};
pub use restore::RestoreError;
pub use server::{Server, start, start_on};
pub use tls::{TlsError, install_crypto};
pub use traces::OutboxError;
