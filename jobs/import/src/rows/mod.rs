//! The rows of a file, whatever its format: cells of the columns that a mapping reads, with the line of each row.

mod csv;
mod ndjson;
mod parquet;

use std::path::Path;
use std::sync::Arc;

use chrono::NaiveDateTime;
use lakeloop_domain::Micros;

use self::csv::CsvRows;
use self::ndjson::NdJsonRows;
use self::parquet::ParquetRows;
use crate::mapping::{Mapping, MappingProblem, SourceColumn};
use crate::{BadRow, Format, ImportError};

/// One value as the file holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Absent,
    Text(String),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Instant(Micros),
    /// A date and time of which the file does not say the zone.
    Clock(NaiveDateTime),
    /// What no column of a table can hold, in words.
    Unfit(&'static str),
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// Where it begins.
    pub(crate) line: u64,
    /// Counts the rows, good and bad, from 1.
    pub(crate) number: u64,
    /// A cell for each of the mapping's columns; an error where the line as a whole is no row.
    pub(crate) cells: Result<Vec<Cell>, BadRow>,
}

/// A file that is read from its beginning to its end.
pub(crate) struct Rows {
    reader: Reader,
    n_rows: u64,
}

enum Reader {
    Csv(CsvRows),
    NdJson(NdJsonRows),
    // Holds its decoders, much larger than the others.
    Parquet(Box<ParquetRows>),
}

impl Rows {
    /// Opens the file; a file that does not have the mapping's columns is refused, where its format has a header.
    pub(crate) fn open(
        mapping_file: &str,
        mapping: &Mapping,
        file: &Path,
        format: Format,
    ) -> Result<Self, ImportError> {
        let wanted = Wanted {
            mapping_file,
            columns: &mapping.columns,
        };
        let reader = match format {
            Format::Csv => Reader::Csv(CsvRows::open(file, wanted)?),
            Format::NdJson => Reader::NdJson(NdJsonRows::open(file, &mapping.columns)?),
            Format::Parquet => Reader::Parquet(Box::new(ParquetRows::open(file, wanted)?)),
        };
        Ok(Self { reader, n_rows: 0 })
    }

    /// The next row; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, ImportError> {
        let next = match &mut self.reader {
            Reader::Csv(rows) => rows.next()?,
            Reader::NdJson(rows) => rows.next()?,
            Reader::Parquet(rows) => rows.next()?,
        };
        Ok(next.map(|(line, cells)| {
            self.n_rows += 1;
            Row {
                line,
                number: self.n_rows,
                cells,
            }
        }))
    }

    /// After the last row: fails when a column of the mapping stood in no row at all, which is a misspelt name. Formats
    /// with a header are checked by it, when they are opened.
    pub(crate) fn finish(&self, mapping_file: &str, mapping: &Mapping) -> Result<(), ImportError> {
        match &self.reader {
            Reader::NdJson(rows) => rows.finish(Wanted {
                mapping_file,
                columns: &mapping.columns,
            }),
            Reader::Csv(_) | Reader::Parquet(_) => Ok(()),
        }
    }
}

/// What a reader yields: the line, and the cells or what is wrong with the line.
type Line = (u64, Result<Vec<Cell>, BadRow>);

/// The columns that a mapping asks for.
#[derive(Clone, Copy)]
struct Wanted<'m> {
    mapping_file: &'m str,
    columns: &'m [SourceColumn],
}

impl Wanted<'_> {
    /// The position of each wanted column among those of the file.
    fn positions(self, header: &[String]) -> Result<Vec<usize>, ImportError> {
        let mut positions = Vec::new();
        let mut problems = Vec::new();
        for column in self.columns {
            let mut found = (0..header.len()).filter(|idx| header[*idx] == column.name);
            match (found.next(), found.next()) {
                (Some(position), None) => positions.push(position),
                (Some(_), Some(_)) => problems.push(self.problem(column, "the file has several columns of this name")),
                (None, _) => problems.push(self.absent(column, header)),
            }
        }
        if problems.is_empty() {
            Ok(positions)
        } else {
            Err(ImportError::Mapping(problems))
        }
    }

    fn absent(self, column: &SourceColumn, known: &[String]) -> MappingProblem {
        const MOST: usize = 40;
        let mut names: Vec<String> = known.iter().take(MOST).map(|name| format!("\"{name}\"")).collect();
        if known.len() > MOST {
            names.push(format!("and {} more", known.len() - MOST));
        }
        self.problem(
            column,
            &format!("the file has no such column; its columns are {}", names.join(", ")),
        )
    }

    fn problem(self, column: &SourceColumn, message: &str) -> MappingProblem {
        column
            .place
            .problem(self.mapping_file, format!("\"{}\": {message}", column.name))
    }
}

/// What a line is that holds no row.
fn no_row(line: u64, found: impl Into<String>, expected: impl Into<String>) -> BadRow {
    BadRow {
        line,
        column: String::new(),
        found: found.into(),
        expected: expected.into(),
    }
}

fn cannot_read(file: &Path) -> impl Fn(std::io::Error) -> ImportError + use<> {
    let file: Arc<Path> = file.into();
    move |source| ImportError::Read {
        file: file.to_path_buf(),
        source,
    }
}
