//! Rows of a file with one JSON object on each line. Keys are columns; a key that is absent has no value.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Cell, Line, Wanted, cannot_read, no_row};
use crate::ImportError;
use crate::mapping::SourceColumn;

/// A longer line is no row but another kind of file.
const MAX_LINE_BYTES: u64 = 16 << 20;

pub(super) struct NdJsonRows {
    file: PathBuf,
    reader: BufReader<File>,
    line: u64,
    buffer: Vec<u8>,
    columns: Vec<String>,
    /// Whether any row had the column, for each.
    seen: Vec<bool>,
    has_rows: bool,
    /// The keys of the first row, for messages.
    first_keys: BTreeSet<String>,
}

impl NdJsonRows {
    pub(super) fn open(file: &Path, columns: &[SourceColumn]) -> Result<Self, ImportError> {
        Ok(Self {
            file: file.to_owned(),
            reader: BufReader::new(File::open(file).map_err(cannot_read(file))?),
            line: 0,
            buffer: Vec::new(),
            columns: columns.iter().map(|column| column.name.clone()).collect(),
            seen: vec![false; columns.len()],
            has_rows: false,
            first_keys: BTreeSet::new(),
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<Line>, ImportError> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let mut limited = (&mut self.reader).take(MAX_LINE_BYTES);
            let n_bytes = limited
                .read_until(b'\n', &mut self.buffer)
                .map_err(cannot_read(&self.file))?;
            if n_bytes == 0 {
                return Ok(None);
            }
            if n_bytes as u64 == MAX_LINE_BYTES && self.buffer.last() != Some(&b'\n') {
                return Err(ImportError::Unreadable {
                    file: self.file.clone(),
                    format: "ndjson",
                    found: format!(
                        "line {} is longer than 16 MiB; write one JSON object on each line",
                        self.line
                    ),
                });
            }
            let text = self.buffer.trim_ascii();
            if !text.is_empty() {
                let parsed = serde_json::from_slice(text);
                return Ok(Some((self.line, self.cells(parsed))));
            }
        }
    }

    fn cells(&mut self, parsed: serde_json::Result<Map<String, Value>>) -> Result<Vec<Cell>, crate::BadRow> {
        let mut object = parsed.map_err(|error| {
            let found = match error.classify() {
                serde_json::error::Category::Data => "other JSON".to_owned(),
                _ => format!("broken JSON near character {}", error.column()),
            };
            no_row(self.line, found, "a JSON object on one line")
        })?;
        if !self.has_rows {
            self.has_rows = true;
            self.first_keys = object.keys().cloned().collect();
        }
        let columns = self.columns.iter().zip(&mut self.seen);
        let cells = columns.map(|(column, seen)| match object.remove(column) {
            None => Cell::Absent,
            Some(value) => {
                *seen = true;
                cell(value)
            }
        });
        Ok(cells.collect())
    }

    pub(super) fn finish(&self, wanted: Wanted<'_>) -> Result<(), ImportError> {
        let unseen = wanted
            .columns
            .iter()
            .zip(&self.seen)
            .filter(|(_, seen)| self.has_rows && !**seen);
        let known: Vec<String> = self.first_keys.iter().cloned().collect();
        let problems: Vec<_> = unseen.map(|(column, _)| wanted.absent(column, &known)).collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ImportError::Mapping(problems))
        }
    }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Absent,
        Value::Bool(boolean) => Cell::Boolean(boolean),
        Value::String(text) => Cell::Text(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Cell::Integer(integer),
            (None, Some(number)) => Cell::Number(number),
            (None, None) => Cell::Unfit("a number beyond 64 bits"),
        },
        Value::Array(_) => Cell::Unfit("a list"),
        Value::Object(_) => Cell::Unfit("an object"),
    }
}
