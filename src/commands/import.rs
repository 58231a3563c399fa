//! `lakeloop import`: history from a file into the tables.

use std::path::Path;

use anyhow::Context;
use lakeloop_import::{Format, ImportRequest, import};
use serde_json::json;

use crate::arguments::ImportArguments;
use crate::home;
use crate::output::Output;
use crate::progress;

/// Imports the file, then says what was read, written and left out; bad rows are told by line.
pub async fn run(home: &Path, args: &ImportArguments, output: &Output) -> anyhow::Result<()> {
    let mapping_text =
        std::fs::read_to_string(&args.mapping).with_context(|| format!("cannot read {}", args.mapping.display()))?;
    let format = match args.format.as_deref() {
        None => None,
        Some(word) => {
            Some(Format::parse(word).with_context(|| format!("--format {word}: write csv, parquet or ndjson"))?)
        }
    };
    let (_, lake) = home::open(home).await?;
    let bar = progress::bar();
    let request = ImportRequest {
        file: &args.file,
        mapping_file: &args.mapping.display().to_string(),
        mapping_text: &mapping_text,
        format,
        strict: args.strict,
        now: home::now(),
    };
    let imported = import(&lake, request, &mut |report| bar.set_message(report.to_string())).await;
    bar.finish_and_clear();
    let report = imported?;

    for bad in &report.samples {
        eprintln!("{}:{bad}", args.file.display());
    }
    if report.bad_rows > report.samples.len() as u64 {
        eprintln!("… and {} more bad rows", report.bad_rows - report.samples.len() as u64);
    }
    if report.already_imported {
        output.say("this file was imported with this mapping before; nothing was written")?;
    }
    let mut rows = vec![
        vec![json!("rows read"), json!(report.rows_read)],
        vec![json!("bad rows left out"), json!(report.bad_rows)],
    ];
    rows.extend(
        report
            .rows_written
            .iter()
            .map(|(table, n)| vec![json!(format!("rows written to {table}")), json!(n)]),
    );
    output.rows(&["what", "count"], &rows)
}
