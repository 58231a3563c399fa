//! `lakeloop sql`: one read-only query, or a prompt.

use std::path::Path;
use std::str::FromStr;

use anyhow::Context;
use datafusion::prelude::SessionContext;
use lakeloop_lake::{Lake, TableName};
use lakeloop_sql::{Pins, Query, read_only, session};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::json;

use crate::arguments::SqlArguments;
use crate::home;
use crate::output::{Output, print_error};

/// Runs the query, lists the examples, or reads queries from a prompt.
pub async fn run(home: &Path, args: &SqlArguments, output: &Output) -> anyhow::Result<()> {
    if args.examples {
        let rows: Vec<_> = Query::ALL
            .iter()
            .map(|query| vec![json!(query.name), json!(query.purpose())])
            .collect();
        return output.rows(&["query", "purpose"], &rows);
    }
    let pins = pins(&args.at)?;
    let (_, lake) = home::open(home).await?;
    match &args.query {
        Some(query) => {
            let (ctx, _) = session(&lake, &pins).await?;
            answer(&ctx, query, output).await
        }
        None => prompt(home, &lake, &pins, output).await,
    }
}

/// Runs one query and prints its rows.
pub async fn answer(ctx: &SessionContext, query: &str, output: &Output) -> anyhow::Result<()> {
    let frame = read_only(ctx, query).await?;
    let schema = frame.schema().as_arrow().clone();
    let mut batches = frame.collect().await?;
    if batches.is_empty() {
        batches.push(datafusion::arrow::array::RecordBatch::new_empty(schema.into()));
    }
    output.batches(&batches)
}

fn pins(at: &[String]) -> anyhow::Result<Pins> {
    let mut pins = Pins::default();
    for pin in at {
        let parsed = pin.split_once('=').and_then(|(table, version)| {
            Some((
                TableName::from_str(table.trim()).ok()?,
                version.trim().parse::<i64>().ok()?,
            ))
        });
        let (table, version) = parsed
            .with_context(|| format!("--at {pin}: write TABLE=VERSION, such as decisions=12; versions count from 0"))?;
        pins.0.insert(table, version);
    }
    Ok(pins)
}

/// Reads queries until Ctrl-D. Each one sees the tables as they are at that moment (or as pinned); an error leaves
/// the prompt up. The history is kept in the home.
async fn prompt(home: &Path, lake: &Lake, pins: &Pins, output: &Output) -> anyhow::Result<()> {
    let history = home.join(".lakeloop_history");
    let mut editor = DefaultEditor::new()?;
    // The first prompt of a home has no history yet.
    let _ = editor.load_history(&history);
    output.say("One SELECT at a time, ended by `;`. SHOW TABLES lists the tables, Ctrl-D leaves.")?;
    let mut pending = String::new();
    loop {
        match editor.readline(if pending.is_empty() { "lakeloop> " } else { "       -> " }) {
            Ok(line) => {
                pending.push_str(&line);
                pending.push('\n');
            }
            Err(ReadlineError::Interrupted) => {
                pending.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
        if pending.trim().is_empty() {
            pending.clear();
            continue;
        }
        if let Some(query) = pending.trim_end().strip_suffix(';') {
            editor.add_history_entry(format!("{query};"))?;
            let (ctx, _) = session(lake, pins).await?;
            if let Err(error) = answer(&ctx, query, output).await {
                print_error(&error);
            }
            pending.clear();
        }
    }
    editor
        .save_history(&history)
        .with_context(|| format!("cannot write {}", history.display()))?;
    Ok(())
}
