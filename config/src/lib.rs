//! Settings and blueprints: everything that a user writes in a file, from its text to checked values.
//!
//! A message of this crate says where something stands (file, line and column, or variable), which key it is, what is
//! wrong and what to write instead; all mistakes of a file are told at once. The types that read a file are also the
//! source of its JSON Schema, and the schema is what the file is checked against:
//!
//! ```text
//! text ─► document (places) ─► structure (schema) ─► rules (between sections) ─► Blueprint, version
//! ```
//!
//! Deliberately absent: whatever a blueprint asks for that is not built yet gets no further than its key's line.

mod blueprint;

mod candidate;

mod difference;

mod settings;

mod server;

mod log;

mod traces;

pub mod raw;

mod policy_rules;
mod rules;

mod lower;

mod schema;

mod structure;

mod expectation;

mod fit;

mod wording;

mod layers;

mod document;

mod form;

mod cron;

mod listen;

mod quantity;

mod nearest;

mod error;

pub use blueprint::{ParsedBlueprint, canonical, parse_blueprint, read_blueprints};
pub use candidate::parse_candidate;
pub use cron::Cron;
pub use difference::{KeyChange, changed_keys};
pub use error::{BlueprintError, ConfigError, SettingError, SettingPlace};
pub use listen::{InvalidAddress, ListenAddress};
pub use log::{AccessLog, LogFormat, LogSettings, Share};
pub use nearest::nearest;
pub use quantity::{ByteSize, Period};
pub use schema::json_schema;
pub use server::{OpenRoute, ServerSettings, TlsSettings};
pub use settings::{
    Ack, DEFAULT_SETTINGS, FeatureSettings, JobSettings, JournalSettings, LakeSettings, SETTINGS_FILE, Settings,
};
pub use traces::{CollectorUrl, TraceSettings};

/// A blueprint to learn from: which of twelve dishes to show first.
pub const EXAMPLE_BLUEPRINT: &str = include_str!("../blueprints/menu.toml");

/// Every example blueprint: (file name, text).
pub const EXAMPLE_BLUEPRINTS: [(&str, &str); 6] = [
    ("menu.toml", EXAMPLE_BLUEPRINT),
    ("notifications.toml", include_str!("../blueprints/notifications.toml")),
    ("customer_value.toml", include_str!("../blueprints/customer_value.toml")),
    ("flights.toml", include_str!("../blueprints/flights.toml")),
    ("prefetch.toml", include_str!("../blueprints/prefetch.toml")),
    ("rank.toml", include_str!("../blueprints/rank.toml")),
];
