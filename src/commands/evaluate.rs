//! `lakeloop evaluate`: what a candidate is worth on logged decisions.

use std::path::Path;

use anyhow::Context;
use lakeloop_config::{ParsedBlueprint, nearest, parse_candidate};
use lakeloop_domain::{AppliedBlueprint, ModelVersion, StrategyName};
use lakeloop_lake::evaluations;
use lakeloop_lake::rows::Evaluation;
use lakeloop_pipeline::{
    Candidate, DecidingModel, EvaluationOptions, EvaluationReport, JobContext, Support, applied_strategies,
    blueprint_in_force, evaluate, words,
};
use serde_json::{Value, json};

use crate::arguments::EvaluateArguments;
use crate::output::Output;
use crate::{home, instant, progress};

/// Values the candidate, keeps the estimates, prints them, and says what follows. Fails when the log cannot speak for it.
pub async fn run(home: &Path, args: &EvaluateArguments, output: &Output) -> anyhow::Result<()> {
    let (settings, lake) = home::open(home).await?;
    let ctx = JobContext::new(lake.clone(), settings, home::system_clock());
    let strategy = strategy(&ctx, &args.strategy).await?;
    let candidate = candidate(args, blueprint_in_force(&ctx, &strategy).await?)?;
    let bound = |flag, text: &Option<String>| text.as_deref().map(|text| instant::parse(flag, text)).transpose();
    let options = EvaluationOptions {
        as_of: bound("--as-of", &args.as_of)?,
        from: bound("--from", &args.from)?,
        confidence: args.confidence,
        support: match args.lenient {
            true => Support::Lenient,
            false => Support::Default,
        },
        n_resamples: args.resamples,
        fits_rewards: true,
    };
    let spinner = progress::spinner("valuing the candidate");
    let evaluated = evaluate(&ctx, &candidate, &options).await;
    spinner.finish_and_clear();
    let report = evaluated?;
    evaluations::record(&lake, &report.estimates).await?;
    print(&report, output)?;
    anyhow::ensure!(report.judge().refusal.is_none(), "{}", report.in_words());
    Ok(())
}

/// The strategy, if it is applied; else the nearest one that is.
async fn strategy(ctx: &JobContext, name: &str) -> anyhow::Result<StrategyName> {
    let strategy = StrategyName::new(name)?;
    let known = applied_strategies(ctx).await?;
    if let Some(meant) = nearest(name, known.iter().map(StrategyName::as_str)).filter(|meant| *meant != name) {
        anyhow::bail!("no strategy `{name}` is applied; did you mean `{meant}`?");
    }
    Ok(strategy)
}

fn candidate(args: &EvaluateArguments, in_force: AppliedBlueprint) -> anyhow::Result<Candidate> {
    let by = match (args.model, args.refit) {
        (Some(version), _) => DecidingModel::Version(ModelVersion(version)),
        (None, true) => DecidingModel::Refitted,
        (None, false) => DecidingModel::Live,
    };
    let mut parts = Vec::new();
    let mut applied = in_force;
    if let Some(file) = &args.policy {
        let shown = file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
        let parsed = parse_candidate(&shown, &text, &applied.source).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{}", lines.join("\n"))
        })?;
        let ParsedBlueprint {
            blueprint,
            version,
            source,
        } = parsed;
        anyhow::ensure!(
            blueprint.name == applied.blueprint.name,
            "{shown}: name: it declares `{}`, and `{}` is to be valued; write that, or leave the name out",
            blueprint.name,
            applied.blueprint.name
        );
        applied = AppliedBlueprint {
            blueprint,
            version,
            source,
            ..applied
        };
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        parts.push(stem.unwrap_or(shown));
    }
    parts.extend(args.model.map(|version| format!("model-{version}")));
    if args.refit {
        parts.push("refit".to_owned());
    }
    let name = match (&args.name, parts.is_empty()) {
        (Some(name), _) => name.clone(),
        (None, true) => "live".to_owned(),
        (None, false) => parts.join("+"),
    };
    anyhow::ensure!(
        !name.trim().is_empty(),
        "--name is empty; write a word that SQL is to find it by"
    );
    Ok(Candidate { name, applied, by })
}

const COLUMNS: [&str; 29] = [
    "strategy",
    "candidate",
    "estimator",
    "value",
    "low",
    "high",
    "bootstrap_low",
    "bootstrap_high",
    "logged_value",
    "gain",
    "gain_low",
    "gain_high",
    "verdict",
    "refusal",
    "confidence",
    "rules",
    "n_rows",
    "n_units",
    "effective_rows",
    "mean_weight",
    "max_weight",
    "overlap",
    "unsupported",
    "blueprint_version",
    "model_version",
    "evaluation_id",
    "in_words",
    "notes",
    "window_start",
];

fn print(report: &EvaluationReport, output: &Output) -> anyhow::Result<()> {
    if !output.is_for_people() {
        let rows: Vec<Vec<Value>> = report.estimates.iter().map(|row| whole(row, report)).collect();
        return output.rows(&COLUMNS, &rows);
    }
    let rows: Vec<Vec<Value>> = report.estimates.iter().map(short).collect();
    output.rows(
        &[
            "estimator",
            "value",
            "interval",
            "bootstrap",
            "gain",
            "interval of it",
            "verdict",
        ],
        &rows,
    )?;
    let judge = report.judge();
    output.say(&format!(
        "\nlogged: {}{} a decision",
        number(judge.logged_value),
        report
            .logged_interval
            .map(|ends| format!(" ({})", between(ends)))
            .unwrap_or_default()
    ))?;
    output.say(&format!(
        "support: {} effective of {} decisions ({} units), weights {} on average and {} at most, overlap {}, choices without \
         support {}",
        number(judge.effective_rows),
        judge.n_rows,
        judge.n_units,
        number(judge.mean_weight),
        number(judge.max_weight),
        number(judge.overlap),
        number(judge.unsupported)
    ))?;
    for note in &report.notes {
        output.say(&format!("note: {note}"))?;
    }
    if judge.refusal.is_none() {
        output.say(&report.in_words())?;
    }
    Ok(())
}

fn short(row: &Evaluation) -> Vec<Value> {
    let ends = |interval: Option<(f64, f64)>| json!(interval.map(between).unwrap_or_default());
    if let Some(refusal) = &row.refusal {
        let mut cells = vec![json!(row.estimator)];
        cells.extend(std::iter::repeat_n(json!(""), 5));
        cells.push(json!(format!("refused: {refusal}")));
        return cells;
    }
    vec![
        json!(row.estimator),
        json!(number(row.value)),
        ends(row.interval),
        ends(row.bootstrap),
        json!(row.gain.map(words::signed).unwrap_or_default()),
        ends(row.gain_interval),
        json!(row.verdict.as_str()),
    ]
}

fn whole(row: &Evaluation, report: &EvaluationReport) -> Vec<Value> {
    let low = |interval: Option<(f64, f64)>| json!(interval.map(|(low, _)| low));
    let high = |interval: Option<(f64, f64)>| json!(interval.map(|(_, high)| high));
    vec![
        json!(row.strategy),
        json!(row.candidate),
        json!(row.estimator),
        json!(row.value),
        low(row.interval),
        high(row.interval),
        low(row.bootstrap),
        high(row.bootstrap),
        json!(row.logged_value),
        json!(row.gain),
        low(row.gain_interval),
        high(row.gain_interval),
        json!(row.verdict.as_str()),
        json!(row.refusal),
        json!(row.confidence),
        json!(row.rules),
        json!(row.n_rows),
        json!(row.n_units),
        json!(row.effective_rows),
        json!(row.mean_weight),
        json!(row.max_weight),
        json!(row.overlap),
        json!(row.unsupported),
        json!(row.blueprint_version),
        json!(row.model_version),
        json!(row.evaluation_id),
        json!(report.in_words()),
        json!(report.notes),
        json!(row.window_start.map(instant::text)),
    ]
}

fn number(number: Option<f64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), words::number)
}

fn between((low, high): (f64, f64)) -> String {
    format!("{} to {}", words::number(low), words::number(high))
}
