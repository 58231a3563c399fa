//! Owns the way from journal records to rows of the lake, a batch at a time.
//!
//! Records are read where they stand and go straight into columns, few enough at a time that they are still in the
//! processor's cache when they are written as Parquet. What is no row is kept apart, for the flush to set aside.

use arrow::record_batch::RecordBatch;
use lakeloop_lake::LakeError;
use lakeloop_lake::rows::{DecisionRows, OutcomeRows};

use crate::record::{DecisionReader, OutcomeEntry, Read, Undecodable};
use crate::telemetry::Book;

/// Rows of a batch: a megabyte or two of decisions.
const BATCH_ROWS: usize = 1024;

/// Why a record is no row.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotARow {
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    #[error("the record does not fit its table")]
    Unfit(#[from] LakeError),
}

/// A record that is no row.
pub(crate) struct Stray<'r> {
    /// Which of the sources it came from.
    pub(crate) source_idx: usize,
    pub(crate) record: &'r [u8],
    pub(crate) cause: NotARow,
}

/// Reads records as batches of rows.
pub(crate) struct Rows<'r> {
    /// The records, each with the position of the source that it comes from.
    records: Box<dyn Iterator<Item = (usize, &'r [u8])> + Send + 'r>,
    book: Book,
    decisions: DecisionReader<'r>,
    /// How many rows were given.
    pub(crate) n_rows: u64,
    /// The records so far that are none.
    pub(crate) strays: Vec<Stray<'r>>,
}

impl<'r> Rows<'r> {
    /// Rows of the book's table.
    pub(crate) fn new(book: Book, records: impl Iterator<Item = (usize, &'r [u8])> + Send + 'r) -> Self {
        Self {
            records: Box::new(records),
            book,
            decisions: DecisionReader::default(),
            n_rows: 0,
            strays: Vec::new(),
        }
    }

    fn next_decisions(&mut self) -> Option<Result<RecordBatch, LakeError>> {
        let mut rows = DecisionRows::new();
        while rows.len() < BATCH_ROWS
            && let Some((source_idx, record)) = self.records.next()
        {
            let pushed = match self.decisions.read(record) {
                Ok(Read::Row(row)) => rows.push(&row).map_err(NotARow::from),
                Ok(Read::Record(old)) => rows.push_record(&old).map_err(NotARow::from),
                Err(cause) => Err(cause.into()),
            };
            if let Err(cause) = pushed {
                self.strays.push(Stray {
                    source_idx,
                    record,
                    cause,
                });
            }
        }
        self.n_rows += rows.len() as u64;
        (!rows.is_empty()).then(|| rows.finish())
    }

    fn next_outcomes(&mut self) -> Option<Result<RecordBatch, LakeError>> {
        let mut rows = OutcomeRows::new();
        while rows.len() < BATCH_ROWS
            && let Some((source_idx, record)) = self.records.next()
        {
            match OutcomeEntry::read(record) {
                Ok(entry) => rows.push(&entry.row()),
                Err(cause) => self.strays.push(Stray {
                    source_idx,
                    record,
                    cause: cause.into(),
                }),
            }
        }
        self.n_rows += rows.len() as u64;
        (!rows.is_empty()).then(|| rows.finish())
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.book {
            Book::Decisions => self.next_decisions(),
            Book::Outcomes => self.next_outcomes(),
        }
    }
}
