//! Writes a snapshot: takes every row of a feature table, in any order, and keeps the latest of each entity.
//!
//! Memory is bounded by what [`SnapshotWriter::new`] is given, one partition of the rows, and eight bytes for each
//! four rows; the folder needs room for the rows twice while the file is made.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use lakeloop_domain::{FeatureViewName, Micros, ValueRef};

use crate::footer::{Column, FORMAT, Footer, MAGIC, Section};
use crate::row::{Layout, RawRow, encode, mark_disputed};
use crate::snapshot::hash;
use crate::spill::{N_PARTITIONS, Spill};
use crate::{SnapshotError, folder};

/// Rows that share a prefix of the directory, on average.
const ROWS_PER_ENTRY: u64 = 4;

/// 2^24 entries of eight bytes are 128 MiB, which is as much as a writer should hold and a reader should have beside its
/// rows; from 64 million entities on, more rows share an entry.
const MAX_DIRECTORY_BITS: u32 = 24;

/// What a snapshot is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The feature view.
    pub view: FeatureViewName,
    /// The version of its table that the rows are of.
    pub table_version: i64,
    /// Now.
    pub built_at: Micros,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub n_bytes: u64,
    /// Rows that were taken.
    pub n_rows: u64,
    /// Entities that they are of.
    pub n_entities: u64,
}

/// A snapshot in the making. Dropped before [`finish`](Self::finish), it leaves nothing.
pub struct SnapshotWriter {
    folder: PathBuf,
    source: Source,
    columns: Vec<Column>,
    layout: Layout,
    spill: Spill,
    n_rows: u64,
    row: Vec<u8>,
}

impl SnapshotWriter {
    /// Begins a snapshot in the view's folder below `root` (see [`folder_of`](crate::folder_of)), which is made where it
    /// is absent. Up to `max_buffered_bytes` of rows are held in memory, the others on disk.
    pub fn new(
        root: &Path,
        source: Source,
        columns: Vec<Column>,
        max_buffered_bytes: usize,
    ) -> Result<Self, SnapshotError> {
        let folder = folder::folder_of(root, &source.view);
        std::fs::create_dir_all(&folder).map_err(SnapshotError::disk("make the folder", &folder))?;
        Ok(Self {
            folder,
            source,
            layout: Layout::of(&columns),
            columns,
            spill: Spill::new(max_buffered_bytes),
            n_rows: 0,
            row: Vec::new(),
        })
    }

    /// Takes one row: the values in the order of the columns. A number that is not finite counts as missing.
    pub fn push(
        &mut self,
        entity: &str,
        event_time: Micros,
        available_at: Micros,
        values: &[ValueRef<'_>],
    ) -> Result<(), SnapshotError> {
        self.row.clear();
        let times = (event_time, available_at);
        encode(&self.layout, &self.columns, entity, times, values, &mut self.row)?;
        self.n_rows += 1;
        let spilled = self.spill.push(hash(entity), &self.row, &self.folder);
        spilled.map_err(SnapshotError::disk("write rows beside", &self.folder))
    }

    /// Writes the file; when this returns, it is on the disk under its name.
    pub fn finish(mut self) -> Result<Built, SnapshotError> {
        let path = folder::path_of(&self.folder, self.source.table_version);
        let failed = |doing| SnapshotError::disk(doing, &path);
        let mut file = tempfile::Builder::new()
            .prefix(folder::UNFINISHED)
            .tempfile_in(&self.folder)
            .map_err(failed("begin"))?;
        let (footer, n_bytes) = self.write(file.as_file_mut(), &path)?;
        file.as_file().sync_all().map_err(failed("sync"))?;
        file.persist(&path).map_err(|error| failed("name")(error.error))?;
        // The name is part of the folder.
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("sync the folder of"))?;
        Ok(Built {
            n_bytes,
            n_rows: self.n_rows,
            n_entities: footer.n_entities,
            path,
        })
    }

    fn write(&mut self, file: &mut File, path: &Path) -> Result<(Footer, u64), SnapshotError> {
        let mut out = Out {
            file: BufWriter::with_capacity(1 << 20, file),
            path,
            n_bytes: 0,
        };
        out.write(&MAGIC)?;
        let fine_bits = directory_bits(self.n_rows);
        let mut directory = Directory::new(fine_bits);
        let rows_start = out.n_bytes;
        let (mut rows_checksum, mut n_entities) = (0, 0);
        for partition_idx in 0..N_PARTITIONS {
            let mut rows = self
                .spill
                .take(partition_idx)
                .map_err(SnapshotError::disk("read rows beside", path))?;
            for (hash, range) in latest(&mut rows) {
                directory.begin(hash, out.n_bytes - rows_start);
                let row = &rows[range];
                rows_checksum = crc32c::crc32c_append(rows_checksum, row);
                out.write(row)?;
                n_entities += 1;
            }
        }
        let rows = Section {
            start: rows_start,
            n_bytes: out.n_bytes - rows_start,
            checksum: rows_checksum,
        };
        let (entries, directory_bits) = directory.finish(rows.n_bytes, directory_bits(n_entities));
        let directory_start = out.n_bytes;
        let mut checksum = 0;
        for entry in entries {
            let entry = entry.to_le_bytes();
            checksum = crc32c::crc32c_append(checksum, &entry);
            out.write(&entry)?;
        }
        let footer = Footer {
            format: FORMAT,
            view: self.source.view.clone(),
            table_version: self.source.table_version,
            built_at: self.source.built_at,
            columns: self.columns.clone(),
            n_entities,
            directory_bits,
            rows,
            directory: Section {
                start: directory_start,
                n_bytes: out.n_bytes - directory_start,
                checksum,
            },
        };
        let encoded = footer
            .encode()
            .map_err(|error| SnapshotError::disk("describe", path)(std::io::Error::other(error)))?;
        out.write(&encoded)?;
        out.file.flush().map_err(SnapshotError::disk("write", path))?;
        Ok((footer, out.n_bytes))
    }
}

/// Bits of the hash for a directory over so many rows.
fn directory_bits(n_rows: u64) -> u32 {
    (n_rows / ROWS_PER_ENTRY).max(1).ilog2().min(MAX_DIRECTORY_BITS)
}

/// The file, and how much of it there is.
struct Out<'a> {
    file: BufWriter<&'a mut File>,
    path: &'a Path,
    n_bytes: u64,
}

impl Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.file
            .write_all(bytes)
            .map_err(SnapshotError::disk("write", self.path))?;
        self.n_bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Where the rows of each prefix begin, made while they are written in the order of their hashes.
struct Directory {
    bits: u32,
    starts: Vec<u64>,
}

impl Directory {
    fn new(bits: u32) -> Self {
        Self {
            bits,
            starts: Vec::with_capacity((1 << bits) + 1),
        }
    }

    /// A row of this hash begins here.
    fn begin(&mut self, hash: u64, at: u64) {
        let entry_idx = prefix(hash, self.bits);
        if self.starts.len() <= entry_idx {
            self.starts.resize(entry_idx + 1, at);
        }
    }

    /// The entries, ended by the end of the rows, of a directory with fewer bits: how many entities there are is known
    /// only in the end, and a prefix that is shorter begins where the first of the longer ones does.
    fn finish(mut self, end: u64, bits: u32) -> (Vec<u64>, u32) {
        self.starts.resize((1 << self.bits) + 1, end);
        let bits = bits.min(self.bits);
        (self.starts.into_iter().step_by(1 << (self.bits - bits)).collect(), bits)
    }
}

/// The first bits of a hash.
pub(crate) fn prefix(hash: u64, bits: u32) -> usize {
    hash.checked_shr(u64::BITS - bits).unwrap_or(0) as usize
}

/// The latest row of each entity in the order of their hashes: hash, and where the row lies. Rows that share their times
/// with another of the entity, with other values, are marked.
fn latest(rows: &mut [u8]) -> Vec<(u64, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(row) = RawRow::first_of(&rows[at..]) {
        let n_bytes = row.bytes.len();
        let entity = std::str::from_utf8(row.entity).unwrap_or_default();
        found.push((hash(entity), at..at + n_bytes));
        at += n_bytes;
    }
    let read = |range: &std::ops::Range<usize>| RawRow::first_of(&rows[range.clone()]);
    let order = |range: &std::ops::Range<usize>| read(range).map(|row| (row.entity, row.times(), row.bytes));
    found.sort_unstable_by(|(a, a_row), (b, b_row)| a.cmp(b).then_with(|| order(a_row).cmp(&order(b_row))));

    let mut kept: Vec<(u64, std::ops::Range<usize>)> = Vec::with_capacity(found.len());
    let mut disputed = Vec::new();
    let mut is_last_disputed = false;
    for (hash, range) in found {
        let Some(row) = read(&range) else { continue };
        let before = kept.last().and_then(|(_, range)| read(range));
        match before.filter(|before| before.entity == row.entity) {
            None => {
                is_last_disputed = false;
                kept.push((hash, range));
            }
            Some(before) => {
                let has_same_times = before.times() == row.times();
                is_last_disputed = has_same_times && (is_last_disputed || before.bytes != row.bytes);
                if is_last_disputed {
                    disputed.push(range.clone());
                }
                if let Some(last) = kept.last_mut() {
                    last.1 = range;
                }
            }
        }
    }
    for range in disputed {
        mark_disputed(&mut rows[range]);
    }
    kept
}
