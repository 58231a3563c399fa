//! The HTTP tier: decides, logs and answers, in front of the lake.
//!
//! ```text
//!                       blueprints, models ──(refresh)──► strategies in force
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
//! Deliberately absent: training, promotion and anything that needs libxgboost; authentication and TLS, which belong to
//! the proxy in front; a second store. Several servers need a home, hence a journal, each; they may share a lake.

mod server;

mod routes;

mod decide;

mod observe;

mod predict;

mod listing;

mod health;

mod protocols;

mod wire;

mod json;

mod scan;

mod ask;

mod context;

mod nearest;

mod problem;

mod state;

mod refresh;

mod features;

mod ids;

mod reply;

mod answers;

mod restore;

mod record;

mod journal;

mod flush;

mod rows;

mod background;

mod aside;

mod telemetry;

mod clock;

pub use background::BackgroundError;
pub use clock::Clock;
pub use flush::{FlushError, Flushed};
pub use restore::RestoreError;
pub use server::{Server, ServerError, start, start_on};
