//! Rows of a CSV file, with the physical line on which each begins.
//!
//! The reader splits records at line feeds only, so that every line feed outside of quotes ends one line of the file;
//! carriage returns before them are taken off here. Blank lines are no rows.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::{Cell, Line, Wanted, cannot_read, no_row};
use crate::{BadRow, ImportError};

pub(super) struct CsvRows {
    file: PathBuf,
    reader: Reader<File>,
    record: ByteRecord,
    /// Where each wanted column stands in a record.
    positions: Vec<usize>,
    n_fields: usize,
    /// The length of the file where its last line has no line feed.
    open_end: Option<u64>,
}

impl CsvRows {
    pub(super) fn open(file: &Path, wanted: Wanted<'_>) -> Result<Self, ImportError> {
        let mut source = File::open(file).map_err(cannot_read(file))?;
        let open_end = open_end(&mut source).map_err(cannot_read(file))?;
        let mut rows = Self {
            file: file.to_owned(),
            reader: ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .terminator(Terminator::Any(b'\n'))
                .from_reader(source),
            record: ByteRecord::new(),
            positions: Vec::new(),
            n_fields: 0,
            open_end,
        };
        let header = match rows.read()? {
            None => return Err(rows.unreadable("it is empty; its first line must name the columns")),
            Some(_) => rows
                .record
                .iter()
                .map(|name| String::from_utf8(name.to_vec()))
                .collect::<Result<Vec<_>, _>>(),
        };
        let header = header.map_err(|_| rows.unreadable("its first line is not UTF-8"))?;
        rows.n_fields = header.len();
        rows.positions = wanted.positions(&header)?;
        Ok(rows)
    }

    pub(super) fn next(&mut self) -> Result<Option<Line>, ImportError> {
        let Some(line) = self.read()? else { return Ok(None) };
        if self.record.len() != self.n_fields {
            return Ok(Some((line, Err(self.misfit(line)))));
        }
        let cells = self
            .positions
            .iter()
            .map(|position| match std::str::from_utf8(&self.record[*position]) {
                Ok(text) => Ok(Cell::Text(text.to_owned())),
                Err(_) => Err(no_row(
                    line,
                    format!("bytes that are no text in field {}", position + 1),
                    "UTF-8",
                )),
            });
        Ok(Some((line, cells.collect())))
    }

    /// What is wrong with a record of another length than the header's. A quote that is never closed takes every line
    /// after it into one field, so the lines are told.
    fn misfit(&self, line: u64) -> BadRow {
        let mut found = format!("{} field(s)", self.record.len());
        let n_more = self.n_line_feeds();
        if n_more > 0 {
            found.push_str(&format!(
                " over {} lines, perhaps after a quote that is not closed",
                n_more + 1
            ));
        }
        no_row(line, found, format!("{}, as the header has", self.n_fields))
    }

    /// The line feeds within the fields of the record.
    fn n_line_feeds(&self) -> u64 {
        self.record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64
    }

    /// Reads the next record that is no blank line; answers with the line on which it begins.
    fn read(&mut self) -> Result<Option<u64>, ImportError> {
        loop {
            let read = self.reader.read_byte_record(&mut self.record);
            match read.map_err(|error| unreadable(&self.file, &error.to_string()))? {
                true if self.record.len() == 1 && self.n_fields != 1 && &self.record[0] == b"\r" => {}
                true => break,
                false => return Ok(None),
            }
        }
        let end = self.reader.position();
        let n_inner = self.n_line_feeds();
        let n_ending = u64::from(self.open_end != Some(end.byte()));
        let line = end.line() - n_inner - n_ending;
        self.drop_carriage_return();
        Ok(Some(line))
    }

    fn drop_carriage_return(&mut self) {
        let Some(last) = self.record.iter().next_back() else {
            return;
        };
        let Some(bare) = last.strip_suffix(b"\r") else { return };
        let bare = bare.to_vec();
        self.record.truncate(self.record.len() - 1);
        self.record.push_field(&bare);
    }

    fn unreadable(&self, found: &str) -> ImportError {
        unreadable(&self.file, found)
    }
}

fn unreadable(file: &Path, found: &str) -> ImportError {
    ImportError::Unreadable {
        file: file.to_owned(),
        format: "csv",
        found: found.to_owned(),
    }
}

/// The length of the file, where its last byte is no line feed.
fn open_end(file: &mut File) -> std::io::Result<Option<u64>> {
    let n_bytes = file.seek(SeekFrom::End(0))?;
    if n_bytes == 0 {
        return Ok(None);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    file.seek(SeekFrom::Start(0))?;
    Ok((last != *b"\n").then_some(n_bytes))
}
