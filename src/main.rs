//! The `lakeloop` command line: reads what was asked, carries it out, says what came of it.
//!
//! Exit codes: 0 done, 1 the work failed, 2 the command was used wrongly.

mod arguments;

mod commands;

mod demo;

mod home;

mod instant;

mod output;

mod progress;

mod stop;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Servers and clients of TLS in this process, object stores among them, take one and the same cryptography.
    lakeloop_server::install_crypto();
    // Long work draws its progress on standard error and serve logs there, so that standard output is only results.
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { home, output, command } = arguments;
    let output = Output::new(output);
    match command {
        Command::Init(args) => commands::init::run(&home, &args, &output),
        Command::Validate(args) => commands::validate::run(&home, &args, &output),
        Command::Apply(args) => commands::apply::run(&home, &args, &output).await,
        Command::Plan(args) => commands::plan::run(&home, &args, &output).await,
        Command::Rollback(args) => commands::rollback::run(&home, &args, &output).await,
        Command::Evaluate(args) => commands::evaluate::run(&home, &args, &output).await,
        Command::Serve(args) => commands::serve::run(&home, &args).await,
        Command::Jobs(args) => commands::jobs::run(&home, &args, &output).await,
        Command::Import(args) => commands::import::run(&home, &args, &output).await,
        Command::Sql(args) => commands::sql::run(&home, &args, &output).await,
        Command::Keys(args) => commands::keys::run(&home, &args, &output),
        Command::Models(args) => commands::models::run(&home, &args, &output).await,
        Command::Ladder(args) => commands::ladder::run(&home, &args, &output).await,
        Command::Replay(args) => commands::replay::run(&home, &args, &output).await,
        Command::Demo(args) => demo::run(&args, &output).await,
    }
}
