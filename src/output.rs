//! Results on standard output: as a table, JSON or CSV; and errors, one line each with their causes.

use std::io::{self, Write};

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;

use crate::arguments::Format;

/// Prints results in the format that was asked for.
pub struct Output {
    format: Format,
}

impl Output {
    /// An output in this format.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// True when a person reads the output, false when a program does.
    pub fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Says something to a person; silent where a program reads the output.
    pub fn say(&self, text: &str) -> io::Result<()> {
        match self.format {
            Format::Table => writeln!(io::stdout(), "{text}"),
            Format::Json | Format::Csv => Ok(()),
        }
    }

    /// Prints a document: its text for people, its JSON form for programs (also where CSV was asked for, which has no form for
    /// it).
    pub fn document(&self, text: &str, json: &impl serde::Serialize) -> anyhow::Result<()> {
        match self.format {
            Format::Table => writeln!(io::stdout(), "{text}")?,
            Format::Json | Format::Csv => writeln!(io::stdout(), "{}", serde_json::to_string_pretty(json)?)?,
        }
        Ok(())
    }

    /// Prints rows with the given columns; a row holds one value a column.
    pub fn rows(&self, columns: &[&str], rows: &[Vec<Value>]) -> anyhow::Result<()> {
        match self.format {
            Format::Table => {
                let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(plain).collect()).collect();
                print_aligned(columns, &cells)?;
            }
            Format::Json => {
                let objects: Vec<Value> = rows
                    .iter()
                    .map(|row| {
                        columns
                            .iter()
                            .map(|c| (*c).to_owned())
                            .zip(row.iter().cloned())
                            .collect()
                    })
                    .collect();
                writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&objects)?)?;
            }
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(io::stdout());
                writer.write_record(columns)?;
                for row in rows {
                    writer.write_record(row.iter().map(plain))?;
                }
                writer.flush()?;
            }
        }
        Ok(())
    }

    /// Prints the rows of a query's answer.
    pub fn batches(&self, batches: &[RecordBatch]) -> anyhow::Result<()> {
        let Some(first) = batches.first() else {
            return Ok(());
        };
        match self.format {
            Format::Table => {
                let schema = first.schema();
                let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                print_aligned(&columns, &text_cells(batches)?)?;
            }
            Format::Json => {
                let mut writer = arrow::json::ArrayWriter::new(io::stdout());
                for batch in batches {
                    writer.write(batch)?;
                }
                writer.finish()?;
                writeln!(io::stdout())?;
            }
            Format::Csv => {
                let schema = first.schema();
                let mut writer = csv::Writer::from_writer(io::stdout());
                writer.write_record(schema.fields().iter().map(|field| field.name()))?;
                for row in text_cells(batches)? {
                    writer.write_record(&row)?;
                }
                writer.flush()?;
            }
        }
        Ok(())
    }
}

/// Prints an error with its causes, each once.
pub fn print_error(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    // Nothing can be done when standard error is closed.
    let _ = writeln!(io::stderr(), "lakeloop: {text}");
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn text_cells(batches: &[RecordBatch]) -> anyhow::Result<Vec<Vec<String>>> {
    let options = FormatOptions::default().with_null("");
    let mut rows = Vec::new();
    for batch in batches {
        let formatters = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<Vec<_>, _>>()
            .context("cannot print a column")?;
        rows.extend((0..batch.num_rows()).map(|row| formatters.iter().map(|f| f.value(row).to_string()).collect()));
    }
    Ok(rows)
}

fn print_aligned(columns: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(idx, name)| {
            rows.iter()
                .map(|row| row[idx].chars().count())
                .chain([name.chars().count()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = io::stdout().lock();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| -> io::Result<()> {
        let text: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(out, "{}", text.join("  ").trim_end())
    };
    line(&mut columns.iter().copied())?;
    let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    line(&mut rules.iter().map(String::as_str))?;
    for row in rows {
        line(&mut row.iter().map(String::as_str))?;
    }
    Ok(())
}
