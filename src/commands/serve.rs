//! `lakeloop serve`: HTTP, scheduler and SQL endpoint in one process.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use lakeloop_config::Settings;
use lakeloop_lake::Lake;
use lakeloop_pipeline::{JobContext, Scheduler};
use lakeloop_server::Server;
use lakeloop_wire::Endpoint;

use crate::arguments::ServeArguments;
use crate::home;
use crate::stop::StopSignals;

/// Starts what the settings and the flags leave on, says where it listens, and runs until SIGTERM or Ctrl-C; then
/// finishes the requests under way and brings the journals into the lake. A second signal ends it at once.
pub async fn run(home: &Path, args: &ServeArguments) -> anyhow::Result<()> {
    let mut settings = home::settings(home)?;
    if let Some(listen) = &args.listen {
        settings.server.listen = listen.parse().context("--listen")?;
    }
    settings.server.http &= !args.no_http;
    settings.server.scheduler &= !args.no_scheduler;
    if args.no_sql {
        settings.server.sql_listen = None;
    }
    anyhow::ensure!(
        settings.server.http || settings.server.scheduler,
        "nothing to serve: both server.http and server.scheduler are off"
    );
    home::log(&settings.log)?;
    let lake = home::open_lake(&settings).await?;
    let mut stop = StopSignals::listen()?;
    let running = tokio::select! {
        running = Running::start(&settings, &lake) => running?,
        // As if it were killed: the journal keeps what was acknowledged.
        () = stop.next() => return Ok(()),
    };
    stop.next().await;
    tokio::select! {
        ended = running.stop() => ended,
        () = stop.next() => {
            anyhow::bail!("stopped at once, as asked twice; what the lake has not taken stays in the journal until the next start")
        }
    }
}

/// What this process runs.
struct Running {
    server: Option<Server>,
    scheduler: Option<Scheduler>,
    endpoints: Vec<Endpoint>,
}

impl Running {
    async fn start(settings: &Settings, lake: &Lake) -> anyhow::Result<Self> {
        let mut running = Self {
            server: None,
            scheduler: None,
            endpoints: Vec::new(),
        };
        if settings.server.http {
            let server = lakeloop_server::start(settings, lake.clone(), home::system_clock()).await?;
            writeln!(std::io::stdout(), "listening on {}", server.url())?;
            running.server = Some(server);
        }
        if let Some(listen) = &settings.server.sql_listen {
            let address = tokio::net::lookup_host(listen.to_string())
                .await
                .with_context(|| format!("server.sql_listen = \"{listen}\""))?
                .next()
                .with_context(|| format!("server.sql_listen = \"{listen}\": the name has no address"))?;
            let endpoint = lakeloop_wire::serve_postgres(lake, address).await?;
            writeln!(std::io::stdout(), "answering psql on {}", endpoint.addr())?;
            running.endpoints.push(endpoint);
        }
        if settings.server.scheduler {
            let jobs = JobContext::new(lake.clone(), settings.clone(), home::system_clock());
            running.scheduler = Some(Scheduler::start(jobs).await?);
        }
        Ok(running)
    }

    /// Ends all of it. The server and the scheduler stop at the same time: a job that takes long keeps no request waiting,
    /// and a load balancer learns at once that this server goes.
    async fn stop(self) -> anyhow::Result<()> {
        let server = async {
            match self.server {
                Some(server) => server.shutdown().await,
                None => Ok(()),
            }
        };
        let scheduler = async {
            match self.scheduler {
                Some(scheduler) => scheduler.stop().await,
                None => Ok(()),
            }
        };
        let (server, scheduler) = tokio::join!(server, scheduler);
        for endpoint in self.endpoints {
            endpoint.shutdown().await;
        }
        server?;
        scheduler?;
        Ok(())
    }
}
