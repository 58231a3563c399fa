//! One pass over a file: its rows in chunks, each row turned into records or told apart as bad.
//!
//! A chunk is a number of rows of the file, good and bad alike, so that the same file has the same chunks on every
//! pass of every run, whatever its rows are judged to be.

use std::sync::Arc;

use crate::decisions::SeenIds;
use crate::identity::Stamp;
use crate::plan::{Plan, Records};
use crate::rows::Rows;
use crate::{BadRow, Format, ImportError};

/// Rows in a chunk: one commit, and what a killed import may have to repeat.
pub(crate) const CHUNK_ROWS: u64 = 20_000;

/// What is read, and how.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) file: Arc<std::path::Path>,
    pub(crate) format: Format,
    pub(crate) mapping_file: Arc<str>,
    pub(crate) plan: Plan,
    pub(crate) stamp: Stamp,
}

/// A pass under way.
pub(crate) struct Pass {
    source: Source,
    rows: Rows,
    seen: SeenIds,
}

/// A chunk of rows.
pub(crate) struct Chunk {
    pub(crate) n_rows: u64,
    pub(crate) records: Records,
    pub(crate) bad_rows: Vec<BadRow>,
}

impl Pass {
    pub(crate) fn begin(source: Source) -> Result<Self, ImportError> {
        let rows = Rows::open(&source.mapping_file, &source.plan.mapping, &source.file, source.format)?;
        Ok(Self {
            source,
            rows,
            seen: SeenIds::new(),
        })
    }

    /// The next chunk; `None` at the end of the file. The file must still be the one that the import began with.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<Chunk>, ImportError> {
        let mut chunk = Chunk {
            n_rows: 0,
            records: Records::default(),
            bad_rows: Vec::new(),
        };
        while chunk.n_rows < CHUNK_ROWS {
            let Some(row) = self.rows.next()? else { break };
            chunk.n_rows += 1;
            if let Err(bad) = self.source.plan.add(row, &mut self.seen, &mut chunk.records) {
                chunk.bad_rows.push(bad);
            }
        }
        self.source.stamp.check()?;
        if chunk.n_rows == 0 {
            self.rows.finish(&self.source.mapping_file, &self.source.plan.mapping)?;
            return Ok(None);
        }
        Ok(Some(chunk))
    }
}
