//! What can be typed: the commands, their flags, and an example for each.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use lakeloop_server::Scope;

/// Declare a product decision; lakeloop decides, logs, learns and shows the effect.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example: lakeloop init menu && cd menu && lakeloop apply && lakeloop serve"
)]
pub struct Arguments {
    /// The folder of this lakeloop: lakeloop.toml, blueprints/, lake/ and journal/.
    #[arg(long, global = true, default_value = ".", env = "LAKELOOP_HOME", value_name = "DIR")]
    pub home: PathBuf,
    /// How results are printed.
    #[arg(long, global = true, default_value = "table", value_name = "FORMAT")]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people.
    Table,
    /// An array of objects.
    Json,
    /// Comma-separated values with a header.
    Csv,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lay out a working folder: commented settings and an example blueprint.
    #[command(after_help = "Example: lakeloop init shop   (then: cd shop && lakeloop apply && lakeloop serve)")]
    Init(InitArguments),
    /// Check blueprints without applying them, or print their JSON Schema for your editor.
    #[command(
        after_help = "Example: lakeloop validate blueprints/menu.toml\n         lakeloop validate --schema > blueprint.schema.json"
    )]
    Validate(ValidateArguments),
    /// Show what applying blueprints would change: keys, data, retraining, cost, off-policy value and gates. Changes nothing.
    #[command(
        after_help = "Example: lakeloop plan blueprints/menu.toml\n         lakeloop plan --output json\n\nExit code: 0 when `lakeloop apply` would go through, with or without changes; 1 when a declared gate would refuse, or a \
                      file is not valid; 2 for wrong use."
    )]
    Plan(PlanArguments),
    /// Put blueprints in force, if their gates pass: a running server picks them up without a restart.
    #[command(
        after_help = "Example: lakeloop apply blueprints/menu.toml\n         lakeloop apply --force \"the incident of 12 May: anything is better\""
    )]
    Apply(ApplyArguments),
    /// Bring an earlier blueprint back in force, or an earlier model: one commit, nothing is deleted.
    #[command(
        after_help = "Example: lakeloop rollback menu --reason \"orders fell\"\n         lakeloop rollback menu --to 10a0c73d0789019f --reason \"orders fell\"\n         lakeloop rollback menu --model 3 --reason \"model 4 is slow\""
    )]
    Rollback(RollbackArguments),
    /// Value a policy or a model on logged decisions before it meets traffic, and keep the result in `evaluations`.
    #[command(
        after_help = "Example: lakeloop evaluate menu --policy candidate.toml\n         lakeloop evaluate menu --model 4\n         lakeloop sql \"SELECT estimator, value, gain_low, gain_high, verdict FROM off_policy('menu', 'candidate')\"\n\nExit code: 0 when the log can speak for the candidate, whatever it says; 1 when it cannot; 2 for wrong use."
    )]
    Evaluate(EvaluateArguments),
    /// Answer decide, observe and predict over HTTP, and run the scheduled jobs, in one process.
    #[command(after_help = "Example: lakeloop serve --listen 127.0.0.1:8080")]
    Serve(ServeArguments),
    /// Run a job now, list its runs, or run the schedule by itself.
    #[command(after_help = "Example: lakeloop jobs run train --strategy menu")]
    Jobs(JobsArguments),
    /// Bring history in: CSV, Parquet or NDJSON into decisions and outcomes, or into a feature view.
    #[command(after_help = "Example: lakeloop import weather.csv --mapping weather.toml --strict")]
    Import(ImportArguments),
    /// Query every table with SQL (read-only); without a query: a prompt with history.
    #[command(
        after_help = "Example: lakeloop sql \"SELECT strategy, COUNT(*) FROM decisions GROUP BY strategy\"\n         lakeloop sql --at decisions=12 --output csv \"SELECT * FROM decisions LIMIT 10\""
    )]
    Sql(SqlArguments),
    /// Say who may ask the server for what: make, list and revoke its API keys.
    #[command(
        after_help = "Example: lakeloop keys create checkout --scopes predict,observe --expires-in 90d\n         lakeloop keys list\n         lakeloop keys revoke 3f9c2a71d04be856"
    )]
    Keys(KeysArguments),
    /// See the models that were learned, and move them between stages.
    #[command(
        after_help = "Example: lakeloop models list menu\n         lakeloop models card menu\n         lakeloop models promote menu 3 --reason \"better in the readout of May\""
    )]
    Models(ModelsArguments),
    /// See where strategies stand on their cold-start ladder, what the next step waits for, and how often the model agrees
    /// with the caller's rule.
    #[command(after_help = "Example: lakeloop ladder menu\n         lakeloop jobs run ladder   (moves them now)")]
    Ladder(LadderArguments),
    /// Make logged decisions again, with the blueprint and model of their day, and report any bit that differs.
    #[command(
        after_help = "Example: lakeloop replay 0199c2f4-9f3a-7c11-8a52-5a3f6a1f0c2d\n         lakeloop replay --strategy menu --from 2026-01-05T00:00:00Z --until 2026-01-06T00:00:00Z --sample 10000"
    )]
    Replay(ReplayArguments),
    /// See the whole loop on a simulated product, or on a year of real flights.
    #[command(after_help = "Example: lakeloop demo menu --keep")]
    Demo(DemoArguments),
}

/// `lakeloop init`
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The folder to lay out; made when absent. Existing files are never overwritten.
    pub folder: Option<PathBuf>,
}

/// `lakeloop validate`
#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// Blueprint files; without any: all in blueprints/.
    pub files: Vec<PathBuf>,
    /// Print the JSON Schema of a blueprint instead.
    #[arg(long, conflicts_with = "files")]
    pub schema: bool,
}

/// `lakeloop apply`
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// Blueprint files; without any: all in blueprints/.
    pub files: Vec<PathBuf>,
    /// Apply although a gate refuses, for this reason; it is kept with the application.
    #[arg(long, value_name = "REASON")]
    pub force: Option<String>,
}

/// `lakeloop plan`
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Blueprint files; without any: all in blueprints/.
    pub files: Vec<PathBuf>,
}

/// `lakeloop rollback`
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The strategy.
    pub strategy: String,
    /// The blueprint's version, or the number of its application; without it: the last one that differs.
    #[arg(long, value_name = "VERSION", conflicts_with = "model")]
    pub to: Option<String>,
    /// Bring this model back instead.
    #[arg(long, value_name = "VERSION")]
    pub model: Option<u32>,
    /// Why, for whoever reads the history later.
    #[arg(long)]
    pub reason: String,
}

/// `lakeloop evaluate`
#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// The strategy.
    pub strategy: String,
    /// A blueprint, or only the sections in which it differs from the one in force, such as [policy]. Without it: the one in
    /// force.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Decide by this model version; without it: by the live one.
    #[arg(long, value_name = "VERSION")]
    pub model: Option<u32>,
    /// Decide by models that are fitted for this, each on other units than it decides for: what training would make of it.
    #[arg(long, conflicts_with = "model")]
    pub refit: bool,
    /// Decisions made at this moment or later (RFC 3339); without it: those that the model was not fitted on.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// As if it were this moment (RFC 3339): only windows that had closed by then count.
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
    /// Of the intervals.
    #[arg(long, default_value_t = 0.95, value_name = "SHARE", value_parser = confidence)]
    pub confidence: f64,
    /// Resamples of the bootstrap intervals; 0: none.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub resamples: usize,
    /// Print estimates also where the log cannot speak for the candidate: nothing to decide by.
    #[arg(long)]
    pub lenient: bool,
    /// The name under which SQL finds the result; without it: the file's name, model-<version> and refit, joined by +, or
    /// live.
    #[arg(long)]
    pub name: Option<String>,
}

fn confidence(text: &str) -> Result<f64, String> {
    let confidence = text.parse::<f64>().ok().filter(|share| (0.5..1.0).contains(share));
    confidence.ok_or_else(|| "write a share from 0.5 to below 1, such as 0.95".to_owned())
}

/// `lakeloop serve`
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Address to listen on; port 0 takes a free one. Overrides `server.listen`.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Only run the scheduled jobs.
    #[arg(long, conflicts_with = "no_scheduler")]
    pub no_http: bool,
    /// Only answer requests.
    #[arg(long)]
    pub no_scheduler: bool,
    /// Do not answer PostgreSQL clients, whatever `server.sql_listen` says.
    #[arg(long)]
    pub no_sql: bool,
}

/// `lakeloop jobs`
#[derive(Debug, Args)]
pub struct JobsArguments {
    /// What to do with jobs.
    #[command(subcommand)]
    pub command: JobsCommand,
}

/// `lakeloop jobs …`
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// Run a job now and wait for it.
    Run {
        /// `train`, `compact`, `replay`, `ladder` or `snapshot`.
        job: String,
        /// Which strategy to train; without it: every strategy that is applied.
        #[arg(long)]
        strategy: Option<String>,
        /// Train as if it were this moment (RFC 3339): only windows that had closed by then enter.
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
        /// Build the snapshot of this feature view; without it: of every view that a blueprint reads.
        #[arg(long)]
        view: Option<String>,
    },
    /// The latest runs and the next times of each scheduled job.
    List,
    /// Run the schedule in this process until it is stopped.
    Schedule,
}

/// `lakeloop import`
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The file: .csv, .parquet, .ndjson or .jsonl.
    pub file: PathBuf,
    /// Says which column is what; see config/imports/ for examples.
    #[arg(long, value_name = "FILE")]
    pub mapping: PathBuf,
    /// Refuse the whole file when any row is bad.
    #[arg(long)]
    pub strict: bool,
    /// The file's format, where its name does not say: csv, parquet or ndjson.
    #[arg(long)]
    pub format: Option<String>,
}

/// `lakeloop sql`
#[derive(Debug, Args)]
pub struct SqlArguments {
    /// One SELECT; without it: a prompt.
    pub query: Option<String>,
    /// Read a table as it was at a version; may be given several times.
    #[arg(long, value_name = "TABLE=VERSION")]
    pub at: Vec<String>,
    /// List the queries that come with lakeloop, with their purpose.
    #[arg(long, conflicts_with = "query")]
    pub examples: bool,
}

/// `lakeloop keys`
#[derive(Debug, Args)]
pub struct KeysArguments {
    /// What to do with keys.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// `lakeloop keys …`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it, this once. As soon as there is a key, every request needs one.
    #[command(
        after_help = "Example: lakeloop keys create checkout --scopes predict,observe --expires-in 90d\n         lakeloop keys create prometheus --scopes read --output json"
    )]
    Create {
        /// Who or what will have it.
        name: String,
        /// What it allows: predict (decisions and scores), observe (outcomes), read (listings, metrics, description),
        /// admin (flush); none includes another.
        #[arg(long, required = true, value_delimiter = ',', value_name = "SCOPE,…")]
        scopes: Vec<Scope>,
        /// How long it works, such as 36h or 90d; without it: until it is revoked.
        #[arg(long, value_name = "DURATION", conflicts_with = "expires_at")]
        expires_in: Option<String>,
        /// Until when it works (RFC 3339).
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// Requests in a second, at most; more are refused with 429.
        #[arg(long, value_name = "N")]
        max_per_second: Option<NonZeroU32>,
    },
    /// Every key with its scopes and what it is worth now; secrets are not kept, so none is shown.
    #[command(after_help = "Example: lakeloop keys list --output json")]
    List,
    /// Make a key worthless; running servers see it within server.refresh_interval.
    #[command(after_help = "Example: lakeloop keys revoke 3f9c2a71d04be856")]
    Revoke {
        /// Its id, as `lakeloop keys list` shows it.
        id: String,
    },
}

/// `lakeloop models`
#[derive(Debug, Args)]
pub struct ModelsArguments {
    /// What to do with models.
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// `lakeloop models …`
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Every model version: stage, quality, size, latency.
    List {
        /// Only this strategy's.
        strategy: Option<String>,
    },
    /// The card of a version: data, quality with intervals, calibration, lift, what it decides by, where it is weak, cost.
    #[command(
        after_help = "Example: lakeloop models card menu\n         lakeloop models card menu 3 --out card-of-3\n         lakeloop --output json models card menu"
    )]
    Card {
        /// The strategy.
        strategy: String,
        /// The model's version; without it the live one, or else the latest.
        version: Option<u32>,
        /// Write card.md, card.json and the plots to this folder instead of printing the card.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make a version live; the one that is live retires in the same commit.
    Promote {
        /// The strategy.
        strategy: String,
        /// The model's version.
        version: u32,
        /// Why, for whoever reads the registry later.
        #[arg(long)]
        reason: String,
    },
    /// Take a version out of service; decisions fall back to the default when it was live.
    Retire {
        /// The strategy.
        strategy: String,
        /// The model's version.
        version: u32,
        /// Why, for whoever reads the registry later.
        #[arg(long)]
        reason: String,
    },
    /// Make an earlier version live again: the one that the live version replaced, unless another is named.
    Rollback {
        /// The strategy.
        strategy: String,
        /// The model's version.
        #[arg(long, value_name = "VERSION")]
        to: Option<u32>,
        /// Why, for whoever reads the registry later.
        #[arg(long)]
        reason: String,
    },
    /// Write a version's ensemble to a file that any XGBoost 3 can load.
    Export {
        /// The strategy.
        strategy: String,
        /// The model's version.
        version: u32,
        /// Where to write it.
        file: PathBuf,
    },
    /// What the latest search found: the front of quality, latency, size and feature cost, printed and drawn.
    #[command(after_help = "Example:\n  lakeloop models front menu --plot menu-front.svg")]
    Front {
        /// The strategy.
        strategy: String,
        /// Where to draw it, as SVG; STRATEGY-front.svg here unless said otherwise.
        #[arg(long)]
        plot: Option<PathBuf>,
    },
}

/// `lakeloop ladder`
#[derive(Debug, Args)]
pub struct LadderArguments {
    /// Only this strategy.
    pub strategy: Option<String>,
}

/// `lakeloop replay`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["decision_id", "strategy", "from", "until"]).required(true).multiple(true)))]
pub struct ReplayArguments {
    /// One decision.
    #[arg(conflicts_with_all = ["strategy", "from", "until", "sample"])]
    pub decision_id: Option<String>,
    /// The decisions of this strategy.
    #[arg(long)]
    pub strategy: Option<String>,
    /// Those made at this moment or later (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Those made before this moment (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// About so many of them, the same at every call.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub sample: Option<u64>,
}

/// `lakeloop demo`
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Which demo.
    #[command(subcommand)]
    pub command: DemoCommand,
}

/// `lakeloop demo …`
#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// A simulated restaurant app learns which of twelve dishes to show whom.
    Menu(MenuDemoArguments),
    /// A year of departures from Raleigh-Durham: will this flight arrive more than 15 minutes late?
    Flights(FlightsDemoArguments),
}

/// `lakeloop demo menu`
#[derive(Debug, Args)]
pub struct MenuDemoArguments {
    /// Where the demo's lakeloop lives; made anew at every run.
    #[arg(long, default_value = "lakeloop-demo")]
    pub folder: PathBuf,
    /// Fixes users, visits, rewards, draws and searches.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Simulated days; the model is retrained at 03:00 of each.
    #[arg(long, default_value_t = 15)]
    pub days: u32,
    /// Visits a day.
    #[arg(long, default_value_t = 8_000)]
    pub visits: u32,
    /// Leave the server up at the end, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
}

/// `lakeloop demo flights`
#[derive(Debug, Args)]
pub struct FlightsDemoArguments {
    /// A folder with flights.csv and weather.csv of the R package rduflights17.
    #[arg(long)]
    pub data: PathBuf,
    /// Where the demo's lakeloop lives; made anew at every run.
    #[arg(long, default_value = "lakeloop-flights")]
    pub folder: PathBuf,
    /// Leave the server up at the end, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
}
