//! Rows on their way into order: gathered by a prefix of their hash, and moved to a nameless file when they are many.
//!
//! A partition is a 256th of the hashes, so that one fits in memory where the whole does not. The file has no name: it
//! goes away with the process, whatever becomes of that.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

const PARTITION_BITS: u32 = 8;

/// How many partitions there are; each holds the hashes of one first byte, in order.
pub(crate) const N_PARTITIONS: usize = 1 << PARTITION_BITS;

/// Encoded rows by partition.
pub(crate) struct Spill {
    file: Option<File>,
    partitions: Vec<Partition>,
    n_buffered_bytes: usize,
    max_buffered_bytes: usize,
    n_spilled_bytes: u64,
}

#[derive(Default)]
struct Partition {
    buffered: Vec<u8>,
    /// (start, length) in the file.
    spilled: Vec<(u64, usize)>,
}

impl Spill {
    /// Nothing yet; at most `max_buffered_bytes` of rows stay in memory.
    pub fn new(max_buffered_bytes: usize) -> Self {
        Self {
            file: None,
            partitions: std::iter::repeat_with(Partition::default).take(N_PARTITIONS).collect(),
            n_buffered_bytes: 0,
            max_buffered_bytes,
            n_spilled_bytes: 0,
        }
    }

    /// Adds an encoded row with the hash of its entity.
    pub fn push(&mut self, hash: u64, row: &[u8], folder: &Path) -> io::Result<()> {
        self.partitions[(hash >> (64 - PARTITION_BITS)) as usize]
            .buffered
            .extend_from_slice(row);
        self.n_buffered_bytes += row.len();
        match self.n_buffered_bytes > self.max_buffered_bytes {
            true => self.spill(folder),
            false => Ok(()),
        }
    }

    fn spill(&mut self, folder: &Path) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(folder)?),
        };
        for partition in &mut self.partitions {
            if partition.buffered.is_empty() {
                continue;
            }
            file.write_all(&partition.buffered)?;
            partition.spilled.push((self.n_spilled_bytes, partition.buffered.len()));
            self.n_spilled_bytes += partition.buffered.len() as u64;
            partition.buffered.clear();
        }
        self.n_buffered_bytes = 0;
        Ok(())
    }

    /// Takes a partition's rows out, one after the other in the order in which they came.
    pub fn take(&mut self, partition_idx: usize) -> io::Result<Vec<u8>> {
        let partition = std::mem::take(&mut self.partitions[partition_idx]);
        let Some(file) = self.file.as_mut().filter(|_| !partition.spilled.is_empty()) else {
            return Ok(partition.buffered);
        };
        let n_spilled: usize = partition.spilled.iter().map(|(_, length)| length).sum();
        let mut rows = vec![0; n_spilled];
        let mut filled = 0;
        for (start, length) in partition.spilled {
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut rows[filled..filled + length])?;
            filled += length;
        }
        rows.extend_from_slice(&partition.buffered);
        Ok(rows)
    }
}
