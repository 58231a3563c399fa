//! A lakeloop home: its settings and its lake.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use lakeloop_config::{LogFormat, LogSettings, Settings};
use lakeloop_domain::Micros;
use lakeloop_lake::Lake;
use tracing_subscriber::EnvFilter;

/// What a home holds, once anything was done there.
const PARTS: [&str; 4] = ["lakeloop.toml", "blueprints", "lake", "journal"];

/// Loads the settings of a home and opens its lake. A folder that holds no part of a home is none: looking for what is there
/// makes no lake.
pub async fn open(home: &Path) -> anyhow::Result<(Settings, Lake)> {
    let settings = settings(home)?;
    // The lake itself may be elsewhere, where the environment says so.
    let is_home = PARTS.iter().any(|part| home.join(part).exists());
    anyhow::ensure!(
        is_home || !Path::new(&settings.lake.location).starts_with(&settings.home),
        "{} is no lakeloop home: it has neither lakeloop.toml nor blueprints/; name one with --home, or lay one out with \
         `lakeloop init`",
        home.display()
    );
    let lake = open_lake(&settings).await?;
    Ok((settings, lake))
}

/// Loads the settings of a home; the folder must be there, so that a mistyped `--home` makes no stray lake.
pub fn settings(home: &Path) -> anyhow::Result<Settings> {
    anyhow::ensure!(
        home.is_dir(),
        "{} is no folder; name a lakeloop home with --home, or lay one out with `lakeloop init {0}`",
        home.display()
    );
    Ok(Settings::load(home)?)
}

/// Opens the lake that the settings name.
pub async fn open_lake(settings: &Settings) -> anyhow::Result<Lake> {
    Lake::open(&settings.lake.location, settings.lake.options.clone())
        .await
        .with_context(|| format!("cannot open the lake at {}", settings.lake.location))
}

/// The current time.
pub fn now() -> Micros {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The clock of this machine.
pub fn system_clock() -> Arc<dyn Fn() -> Micros + Send + Sync> {
    Arc::new(now)
}

/// Sends log lines to standard error, as the settings say.
pub fn log(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.filter).with_context(|| {
        format!(
            "log.filter = \"{}\": write a level such as \"warn\", or levels for parts such as \"warn,lakeloop=info\"",
            settings.filter
        )
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let installed = match settings.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
