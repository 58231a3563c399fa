//! What an import tells: while it runs, when it is done, and about each row that it could not take.

use std::collections::BTreeMap;
use std::fmt;

use lakeloop_lake::TableName;

/// How many bad rows a report shows.
pub(crate) const N_SAMPLES: usize = 20;

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// The rows of the file, good and bad.
    pub rows_read: u64,
    /// The rows that were written now, by table.
    pub rows_written: BTreeMap<TableName, u64>,
    /// The rows that were left out.
    pub bad_rows: u64,
    /// The first 20 of them.
    pub samples: Vec<BadRow>,
    /// True when the whole file had been imported with this mapping before, so that nothing was written.
    pub already_imported: bool,
}

/// A row that has no place in the table, by the first thing that is wrong with it.
///
/// It shows as `LINE: column: what was found, what is expected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Where the row begins: the line of the file, from 1; in Parquet the number of the row, from 1.
    pub line: u64,
    /// The column of the file; several with commas between; empty where the line as a whole is no row.
    pub column: String,
    /// What stands there.
    pub found: String,
    /// What should stand there.
    pub expected: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.line)?;
        if !self.column.is_empty() {
            write!(f, "{}: ", self.column)?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)
    }
}

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Rows were checked; nothing is written yet.
    Checked {
        /// How many so far.
        n_rows: u64,
    },
    /// A chunk is in a table.
    Written {
        /// The table.
        table: TableName,
        /// How many rows of the file its chunks cover so far.
        n_rows: u64,
        /// The rows of the whole file.
        of: u64,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checked { n_rows } => write!(f, "{n_rows} rows checked"),
            Self::Written { table, n_rows, of } => write!(f, "{n_rows} of {of} rows in {table}"),
        }
    }
}
