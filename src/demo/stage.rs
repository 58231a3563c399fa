//! A demo's lakeloop: a folder made anew, a server in it, and the world's clock.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Context;
use lakeloop_config::{Settings, parse_blueprint};
use lakeloop_domain::{Blueprint, JobKind, Micros, ModelRecord};
use lakeloop_lake::{Lake, blueprints, registry};
use lakeloop_pipeline::{JobContext, RunOutcome, run_job};
use lakeloop_server::Server;

use super::client::Client;
use crate::stop::StopSignals;

/// Marks a folder as one that a demo made and may remove.
const MARKER: &str = ".lakeloop-demo";
/// How often the server is asked whether it serves the newest model, 50 ms apart.
const SWAP_POLLS: u32 = 200;

/// Everything a demo drives.
pub struct Stage {
    pub client: Client,
    pub lake: Lake,
    pub blueprint: Blueprint,
    pub folder: PathBuf,
    clock: Arc<AtomicI64>,
    server: Server,
    jobs: JobContext,
}

impl Stage {
    /// Makes the folder anew, applies the blueprint, and starts the server on a free port of loopback.
    pub async fn set_up(folder: &Path, blueprint: &str, seed: u64, start: Micros) -> anyhow::Result<Self> {
        make_anew(folder)?;
        let settings_text = format!(
            "# Settings of a demo: its decisions carry the world's time, not this machine's.\n\
             [server]\nlisten = \"127.0.0.1:0\"\nsql_listen = \"off\"\nallow_event_time = true\nrefresh_interval = \"100ms\"\n\
             [journal]\nflush_interval = \"1s\"\n[jobs]\nseed = {seed}\n"
        );
        let blueprint_file = folder.join("blueprints/demo.toml");
        fs::create_dir_all(folder.join("blueprints"))?;
        fs::write(folder.join("lakeloop.toml"), settings_text)?;
        fs::write(&blueprint_file, blueprint)?;

        let parsed = parse_blueprint(&blueprint_file.display().to_string(), blueprint)
            .map_err(|errors| anyhow::anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        let settings = Settings::load(folder)?;
        let lake = Lake::open(&settings.lake.location, HashMap::new()).await?;
        let declared = parsed.blueprint.clone();
        // The folder is new, so there is nothing that it could equal.
        let _applied = blueprints::apply(&lake, parsed.blueprint, parsed.version, &parsed.source, start).await?;

        let clock = Arc::new(AtomicI64::new(start));
        let ticking = Arc::clone(&clock);
        let now: Arc<dyn Fn() -> Micros + Send + Sync> = Arc::new(move || ticking.load(Ordering::Relaxed));
        let server = lakeloop_server::start(&settings, lake.clone(), Arc::clone(&now)).await?;
        let client = Client::new(server.addr())?;
        let jobs = JobContext::new(lake.clone(), settings, now);
        Ok(Self {
            client,
            lake,
            blueprint: declared,
            folder: folder.to_owned(),
            clock,
            server,
            jobs,
        })
    }

    /// Lets the world's time pass.
    pub fn set_time(&self, now: Micros) {
        self.clock.store(now, Ordering::Relaxed);
    }

    /// Flushes the journals, runs the training job as of `at`, and waits until the server decides with its result.
    pub async fn train(&self, at: Micros) -> anyhow::Result<RunOutcome> {
        self.set_time(at);
        self.client.flush().await?;
        let outcome = run_job(&self.jobs, JobKind::Train, Some(&self.blueprint.name), Some(at)).await?;
        self.wait_for_live_model().await?;
        Ok(outcome)
    }

    /// The version and validation metric of the live model, in words.
    pub async fn live_model(&self) -> anyhow::Result<String> {
        let live = self.registered_live().await?;
        Ok(live.map_or_else(
            || "no model yet".to_owned(),
            |model| {
                format!(
                    "model {} ({} {:.4})",
                    model.version, model.metrics.metric, model.metrics.value
                )
            },
        ))
    }

    /// The model that is live by the registry, which the server may not have picked up yet.
    async fn registered_live(&self) -> anyhow::Result<Option<ModelRecord>> {
        Ok(registry::live_of(&self.lake, &self.blueprint.name).await?)
    }

    async fn wait_for_live_model(&self) -> anyhow::Result<()> {
        let name = &self.blueprint.name;
        let live = self.registered_live().await?.map(|model| u64::from(model.version.0));
        for _ in 0..SWAP_POLLS {
            if self.client.model_version(name.as_str()).await? == live {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("the server did not pick up the live model {live:?} of `{name}`")
    }

    /// Stops the server, or leaves it up until Ctrl-C.
    pub async fn end(self, keep: bool) -> anyhow::Result<()> {
        if keep {
            eprintln!(
                "serving on {} from {}; Ctrl-C stops",
                self.server.url(),
                self.folder.display()
            );
            StopSignals::listen()?.next().await;
        }
        self.server.shutdown().await?;
        Ok(())
    }
}

/// Empties a demo's folder, and only a demo's.
fn make_anew(folder: &Path) -> anyhow::Result<()> {
    if folder.join(MARKER).exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove the former demo in {}", folder.display()))?;
    }
    let occupied = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    anyhow::ensure!(
        !occupied,
        "{} is there and no demo made it; name another folder with --folder",
        folder.display()
    );
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(
        folder.join(MARKER),
        "Made by `lakeloop demo`, which removes this folder at its next run.\n",
    )?;
    Ok(())
}
