//! Settings of the platform: the defaults, a file and the environment, merged and checked.
//!
//! `default.toml` holds every key with its default; `lakeloop.toml` in the home folder overrides it, and variables such
//! as `LAKELOOP_SERVER__LISTEN` override both. Each layer is checked against the schema of [`RawSettings`] before they
//! are merged, so every error names the line or the variable that is to blame. Settings are passed, never global.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::cron::Cron;
use crate::error::ConfigError;
use crate::layers;
use crate::log::{LogSettings, RawLog};
use crate::quantity::{ByteSize, Period};
use crate::server::{RawServer, ServerSettings};
use crate::traces::{RawTraces, TraceSettings};

/// The file of settings in the home folder.
pub const SETTINGS_FILE: &str = "lakeloop.toml";

/// Every key with its default and a comment.
pub const DEFAULT_SETTINGS: &str = include_str!("../default.toml");

/// Everything that can be set about a lakeloop home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The home folder, absolute.
    pub home: PathBuf,
    /// Where the tables are.
    pub lake: LakeSettings,
    /// What answers requests.
    pub server: ServerSettings,
    /// What keeps decisions and outcomes safe until they are in the lake.
    pub journal: JournalSettings,
    /// Feature views as they are served.
    pub features: FeatureSettings,
    /// What runs on a schedule.
    pub jobs: JobSettings,
    /// What is logged.
    pub log: LogSettings,
    /// What is traced; `None`: nothing.
    pub traces: Option<TraceSettings>,
}

/// Where the tables are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeSettings {
    /// An absolute folder, or the URL of an object store.
    pub location: String,
    /// Options of the object store.
    pub options: HashMap<String, String>,
}

/// What keeps decisions and outcomes safe until they are in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSettings {
    /// The folder, absolute.
    pub dir: PathBuf,
    /// A file of the journal is closed at this size.
    pub segment_bytes: u64,
    /// All files of one journal together; at least one segment.
    pub max_bytes: u64,
    /// When a decision is acknowledged.
    pub decision_ack: Ack,
    /// How often written decisions are synced.
    pub decision_fsync: Duration,
    /// When an outcome is acknowledged.
    pub outcome_ack: Ack,
    /// How often the journal is moved to the lake.
    pub flush_interval: Duration,
    /// The journal is moved sooner once it holds this many rows.
    pub flush_rows: u64,
}

/// When a record is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// Handed to the operating system: survives a crash of the process.
    Written,
    /// On the disk: survives a loss of power.
    Synced,
}

/// Feature views as they are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureSettings {
    /// Memory for feature values.
    pub cache_bytes: u64,
    /// A cached value is looked up again after this long.
    pub refresh: Duration,
    /// A lookup that takes longer counts as missing.
    pub load_timeout: Duration,
    /// When snapshots are built: six fields, seconds first, in UTC; `None`: off.
    pub snapshot: Option<String>,
    /// The folder of the snapshots, absolute.
    pub snapshot_dir: PathBuf,
}

/// What runs on a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSettings {
    /// How long a claim lasts that is not renewed.
    pub lease: Duration,
    /// Threads that train; at least 1.
    pub threads: usize,
    /// Seed of the search.
    pub seed: u64,
    /// When small files are merged: six fields, seconds first, in UTC; `None`: off.
    pub compact: Option<String>,
    /// When a sample of the last day's decisions is made again: six fields, seconds first, in UTC; `None`: off.
    pub replay: Option<String>,
    /// About how many decisions such a sample has; at least 1.
    pub replay_decisions: u64,
    /// When strategies are moved on their ladders: six fields, seconds first, in UTC; `None`: off.
    pub ladder: Option<String>,
    /// How many training sets of each strategy keep their rows.
    pub keep_training_sets: u32,
}

impl Settings {
    /// Reads the settings of a home folder: the defaults, its `lakeloop.toml` where there is one, and the environment.
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
        Self::load_with(home, variables)
    }

    /// The same with the given environment variables.
    pub fn load_with(home: &Path, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let file = home.join(SETTINGS_FILE);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::Read { path: file, source }),
        };
        let home = std::path::absolute(home).map_err(|source| ConfigError::Read {
            path: home.to_owned(),
            source,
        })?;
        let layers = layers::Layers {
            file: &file.display().to_string(),
            text: &text,
            variables: variables.into_iter().collect(),
            renamed: RENAMED,
        };
        Ok(layers.merged()?.into_settings(home))
    }
}

/// Keys that once had another name, as (old dotted path, new dotted path); none so far.
const RENAMED: &[(&str, &str)] = &[];

/// The settings as files write them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSettings {
    lake: RawLake,
    pub(crate) server: RawServer,
    pub(crate) journal: RawJournal,
    features: RawFeatures,
    jobs: RawJobs,
    log: RawLog,
    traces: RawTraces,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawLake {
    location: String,
    options: HashMap<String, String>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawJournal {
    dir: PathBuf,
    pub(crate) segment_size: ByteSize,
    pub(crate) max_size: ByteSize,
    decision_ack: Ack,
    decision_fsync: Period,
    outcome_ack: Ack,
    flush_interval: Period,
    #[schemars(range(min = 1))]
    flush_rows: u64,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawFeatures {
    cache_size: ByteSize,
    refresh: Period,
    load_timeout: Period,
    snapshot: Switch<Cron>,
    snapshot_dir: PathBuf,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawJobs {
    lease: Period,
    threads: Threads,
    seed: u64,
    compact: Switch<Cron>,
    replay: Switch<Cron>,
    #[schemars(range(min = 1))]
    replay_decisions: u64,
    ladder: Switch<Cron>,
    #[schemars(range(min = 1, max = 1_000_000))]
    keep_training_sets: u32,
}

/// Something that can be off.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Switch<T> {
    Off(Off),
    On(T),
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Off {
    Off,
}

impl<T> Switch<T> {
    pub(crate) fn on(self) -> Option<T> {
        match self {
            Self::Off(Off::Off) => None,
            Self::On(value) => Some(value),
        }
    }
}

/// A number of threads.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Threads {
    Auto(Auto),
    Exactly(#[schemars(range(min = 1, max = 1024))] u16),
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Auto {
    Auto,
}

impl Threads {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Auto(Auto::Auto) => std::thread::available_parallelism().map_or(1, usize::from),
            Self::Exactly(count) => usize::from(count),
        }
    }
}

impl RawSettings {
    fn into_settings(self, home: PathBuf) -> Settings {
        Settings {
            lake: LakeSettings {
                location: self.lake.location_under(&home),
                options: self.lake.options,
            },
            server: self.server.into_settings(&home),
            journal: self.journal.into_settings(&home),
            features: FeatureSettings {
                cache_bytes: self.features.cache_size.bytes(),
                refresh: self.features.refresh.duration(),
                load_timeout: self.features.load_timeout.duration(),
                snapshot: self.features.snapshot.on().map(|cron| cron.as_str().to_owned()),
                snapshot_dir: home.join(self.features.snapshot_dir),
            },
            jobs: JobSettings {
                lease: self.jobs.lease.duration(),
                threads: self.jobs.threads.count(),
                seed: self.jobs.seed,
                compact: self.jobs.compact.on().map(|cron| cron.as_str().to_owned()),
                replay: self.jobs.replay.on().map(|cron| cron.as_str().to_owned()),
                replay_decisions: self.jobs.replay_decisions,
                ladder: self.jobs.ladder.on().map(|cron| cron.as_str().to_owned()),
                keep_training_sets: self.jobs.keep_training_sets,
            },
            log: self.log.into_settings(),
            traces: self.traces.into_settings(),
            home,
        }
    }
}

impl RawLake {
    /// A URL as it stands; a folder below the home unless it is absolute.
    fn location_under(&self, home: &Path) -> String {
        if self.location.contains("://") {
            self.location.clone()
        } else {
            home.join(&self.location).display().to_string()
        }
    }
}

impl RawJournal {
    fn into_settings(self, home: &Path) -> JournalSettings {
        JournalSettings {
            dir: home.join(self.dir),
            segment_bytes: self.segment_size.bytes(),
            max_bytes: self.max_size.bytes(),
            decision_ack: self.decision_ack,
            decision_fsync: self.decision_fsync.duration(),
            outcome_ack: self.outcome_ack,
            flush_interval: self.flush_interval.duration(),
            flush_rows: self.flush_rows,
        }
    }
}
