//! The demos: the whole loop on a simulated product and on real flights, through the real HTTP endpoints.
//!
//! A demo lives in a folder of its own that it makes anew. Its clock is the world's, so that a year passes in
//! minutes; everything else is what `lakeloop serve` runs: the same server, the same jobs, the same tables.

mod client;

mod flights;

mod menu;

mod plot;

mod stage;

use std::io::Write;

use crate::arguments::{DemoArguments, DemoCommand};
use crate::output::Output;

/// Prints a figure where a script can read it.
fn figure(name: &str, value: impl std::fmt::Display, unit: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "figure {name} {value} {unit}")
}

/// Runs the demo that was asked for.
pub async fn run(args: &DemoArguments, output: &Output) -> anyhow::Result<()> {
    match &args.command {
        DemoCommand::Menu(args) => menu::run(args, output).await,
        DemoCommand::Flights(args) => flights::run(args, output).await,
    }
}
