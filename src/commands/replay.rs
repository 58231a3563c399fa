//! `lakeloop replay`: makes logged decisions again and reports any bit that differs.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::Path;

use lakeloop_domain::{DecisionId, StrategyName};
use lakeloop_pipeline::{ReplayReport, replay_decisions};
use lakeloop_sql::{DecisionRange, DecisionRows};
use serde_json::{Value, json};

use crate::arguments::ReplayArguments;
use crate::output::Output;
use crate::{home, instant, progress};

/// Replays one decision or a range, and fails when one came out different.
pub async fn run(home: &Path, args: &ReplayArguments, output: &Output) -> anyhow::Result<()> {
    let which = which(args)?;
    let (_, lake) = home::open(home).await?;
    let bar = progress::bar();
    let drawn = |n_done, n_expected| {
        bar.set_length(n_expected);
        bar.set_position(n_done);
        if !std::io::stderr().is_terminal() {
            eprintln!("{n_done} of {n_expected} decisions made again");
        }
        ControlFlow::Continue(())
    };
    let replayed = replay_decisions(&lake, &which, args.sample, drawn).await;
    bar.finish_and_clear();
    let report = replayed?;
    if let DecisionRows::One(id) = &which {
        anyhow::ensure!(
            report.n_decisions > 0,
            "no decision `{id}` is in the lake; one that was just made gets there with the next flush of the journal"
        );
    }
    print(&report, output)?;
    anyhow::ensure!(
        report.n_differing == 0,
        "{} of {} decisions came out different",
        report.n_differing,
        report.n_decisions
    );
    Ok(())
}

fn which(args: &ReplayArguments) -> anyhow::Result<DecisionRows> {
    if let Some(id) = &args.decision_id {
        return Ok(DecisionRows::One(DecisionId::new(id.clone())?));
    }
    let bound = |flag, text: &Option<String>| text.as_deref().map(|text| instant::parse(flag, text)).transpose();
    Ok(DecisionRows::Range(DecisionRange {
        strategy: args.strategy.clone().map(StrategyName::new).transpose()?,
        from: bound("--from", &args.from)?,
        until: bound("--until", &args.until)?,
    }))
}

fn print(report: &ReplayReport, output: &Output) -> anyhow::Result<()> {
    let columns = ["decision_id", "strategy", "event_time", "field", "logged", "replayed"];
    let differences: Vec<Vec<Value>> = report
        .differences
        .iter()
        .map(|difference| {
            vec![
                json!(difference.decision_id),
                json!(difference.strategy),
                json!(instant::text(difference.event_time)),
                json!(difference.field),
                json!(difference.logged),
                json!(difference.replayed),
            ]
        })
        .collect();
    if output.is_for_people() {
        output.say(&format!(
            "{} decisions: {} the same to the last bit, {} different, {} imported",
            report.n_decisions, report.n_same, report.n_differing, report.n_imported
        ))?;
        return if differences.is_empty() {
            Ok(())
        } else {
            output.rows(&columns, &differences)
        };
    }
    let named = |row: Vec<Value>| -> Value { columns.iter().map(|c| (*c).to_owned()).zip(row).collect() };
    let row = vec![
        json!(report.n_decisions),
        json!(report.n_same),
        json!(report.n_differing),
        json!(report.n_imported),
        Value::Array(differences.into_iter().map(named).collect()),
    ];
    output.rows(
        &["n_decisions", "n_same", "n_differing", "n_imported", "differences"],
        &[row],
    )
}
