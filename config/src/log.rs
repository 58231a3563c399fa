//! Settings of what a running lakeloop tells about itself: log lines and the access log.

use schemars::JsonSchema;
use serde::Deserialize;

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// For whom.
    pub format: LogFormat,
    /// Levels, for all or for parts.
    pub filter: String,
    /// Which requests get a line.
    pub access: AccessLog,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which requests get a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// None.
    Off,
    /// Those that were refused or failed, and this share of the others.
    Share(Share),
}

/// A share of all requests, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Every request.
    pub const ALL: Self = Self(1_000_000);

    /// The share nearest to a number; what lies outside [0, 1] is taken for the nearer end.
    pub fn new(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * 1e6).round() as u32)
    }

    /// In millionths, at most 1,000,000.
    pub fn millionths(self) -> u32 {
        self.0
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLog {
    format: LogFormat,
    filter: String,
    access: RawAccess,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
enum RawAccess {
    Word(AccessWord),
    Share(#[schemars(range(min = 0, max = 1))] f64),
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AccessWord {
    Off,
    All,
}

impl RawLog {
    pub(crate) fn into_settings(self) -> LogSettings {
        LogSettings {
            format: self.format,
            filter: self.filter,
            access: match self.access {
                RawAccess::Word(AccessWord::Off) => AccessLog::Off,
                RawAccess::Word(AccessWord::All) => AccessLog::Share(Share::ALL),
                RawAccess::Share(share) => AccessLog::Share(Share::new(share)),
            },
        }
    }
}
