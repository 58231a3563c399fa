//! A snapshot as it is read: checked, mapped, and looked up in.

use std::fs::File;
use std::hash::Hasher as _;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use lakeloop_domain::{FeatureType, FeatureViewName, Micros};
use memmap2::Mmap;
use siphasher::sip::SipHasher13;

use crate::SnapshotError;
use crate::footer::{Column, ENTRY_BYTES, FORMAT, Footer, MAGIC, Section, TRAILER_BYTES};
use crate::row::{Layout, RawRow, Row};
use crate::writer::prefix;

/// The order of the rows. SipHash-1-3 with the keys zero: fast on short texts, and the same for ever.
pub(crate) fn hash(entity: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(entity.as_bytes());
    hasher.finish()
}

/// A snapshot, ready for lookups from any number of threads. What the operating system keeps of it in memory are the
/// pages that were read lately; it gives them up under pressure.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    footer: Footer,
    layout: Layout,
    map: Mmap,
    rows: Range<usize>,
    directory: Range<usize>,
}

impl Snapshot {
    /// Opens a file after reading all of it once, to compare its checksums: seconds for gigabytes, so not a thing to do
    /// where requests are answered.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let mut file = File::open(path).map_err(SnapshotError::disk("open", path))?;
        let file_bytes = file.metadata().map_err(SnapshotError::disk("open", path))?.len();
        let footer = read_footer(&mut file, file_bytes, path)?;
        let rows = checked_section(&mut file, &footer.rows, file_bytes, path, "its rows are not as written")?;
        let damaged = "its directory is not as written";
        let directory = checked_section(&mut file, &footer.directory, file_bytes, path, damaged)?;
        let expected = footer.n_entries().and_then(|n| n.checked_mul(ENTRY_BYTES as u64));
        if footer.directory_bits > u64::BITS - 1 || expected != Some(footer.directory.n_bytes) {
            return Err(SnapshotError::Damaged {
                path: path.to_owned(),
                what: "its directory has another size than it says",
            });
        }
        // SAFETY: the bytes behind a mapping must not change while it is there. No part of lakeloop opens a file of this
        // name for writing: a writer fills another file and renames it to this name, which leaves the file that is
        // mapped here as it is, and removing the name does so as well. The mapping is private and read-only, so nothing
        // is written through it. All later reads go through slices of `map`, which check their bounds.
        let map = unsafe { Mmap::map(&file) }.map_err(SnapshotError::disk("map", path))?;
        if (map.len() as u64) < file_bytes {
            return Err(SnapshotError::NotASnapshot { path: path.to_owned() });
        }
        // Lookups go to random pages, so reading ahead would only fill memory. It is a hint; nothing depends on it.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::Random);
        Ok(Self {
            layout: Layout::of(&footer.columns),
            path: path.to_owned(),
            footer,
            map,
            rows,
            directory,
        })
    }

    /// The feature view that it is of.
    pub fn view(&self) -> &FeatureViewName {
        &self.footer.view
    }

    /// The version of the view's table that it is of.
    pub fn table_version(&self) -> i64 {
        self.footer.table_version
    }

    /// When it was built.
    pub fn built_at(&self) -> Micros {
        self.footer.built_at
    }

    /// How many entities it has.
    pub fn n_entities(&self) -> u64 {
        self.footer.n_entities
    }

    /// The size of the file.
    pub fn n_bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// Its columns, in the order of the positions that [`Row::value`] takes.
    pub fn columns(&self) -> &[Column] {
        &self.footer.columns
    }

    /// The position of a column; `None` when there is none of that name and type.
    pub fn column_idx(&self, name: &str, feature_type: FeatureType) -> Option<usize> {
        self.footer
            .columns
            .iter()
            .position(|column| column.name == name && column.feature_type == feature_type)
    }

    /// The latest row of an entity; `None` when the table had no row of it.
    ///
    /// Allocates nothing and takes no lock. It reads two places of the file; one that is not in memory is waited for.
    pub fn get(&self, entity: &str) -> Result<Option<Row<'_>>, SnapshotError> {
        let mut rest = self
            .stretch(prefix(hash(entity), self.footer.directory_bits))
            .ok_or_else(|| self.damaged("an entry of its directory points outside of its rows"))?;
        while !rest.is_empty() {
            let row = RawRow::first_of(rest).ok_or_else(|| self.damaged("a row is cut off"))?;
            if row.entity == entity.as_bytes() {
                let row = row.read(&self.layout);
                return row.map(Some).ok_or_else(|| self.damaged("a row is too short"));
            }
            rest = &rest[row.bytes.len()..];
        }
        Ok(None)
    }

    /// The rows of a prefix of the hash.
    fn stretch(&self, entry_idx: usize) -> Option<&[u8]> {
        let directory = self.map.get(self.directory.clone())?;
        let entries = directory.get(entry_idx * ENTRY_BYTES..)?.get(..2 * ENTRY_BYTES)?;
        let (start, end) = entries.split_at(ENTRY_BYTES);
        let start = usize::try_from(u64::from_le_bytes(*start.first_chunk()?)).ok()?;
        let end = usize::try_from(u64::from_le_bytes(*end.first_chunk()?)).ok()?;
        self.map.get(self.rows.clone())?.get(start..end)
    }

    /// The error for contents that contradict themselves, such as a row without the value that it says it has.
    #[cold]
    pub fn damaged(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Damaged {
            path: self.path.clone(),
            what,
        }
    }
}

fn read_footer(file: &mut File, file_bytes: u64, path: &Path) -> Result<Footer, SnapshotError> {
    let not_one = || SnapshotError::NotASnapshot { path: path.to_owned() };
    let damaged = || SnapshotError::Damaged {
        path: path.to_owned(),
        what: "its footer is not as written",
    };
    let mut magic = [0; MAGIC.len()];
    let mut trailer = [0; TRAILER_BYTES];
    if file_bytes < (MAGIC.len() + TRAILER_BYTES) as u64 {
        return Err(not_one());
    }
    let failed = || SnapshotError::disk("read", path);
    file.read_exact(&mut magic).map_err(failed())?;
    file.seek(SeekFrom::End(-(TRAILER_BYTES as i64))).map_err(failed())?;
    file.read_exact(&mut trailer).map_err(failed())?;
    if magic != MAGIC || trailer[8..] != MAGIC {
        return Err(not_one());
    }
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|idx| trailer[at + idx]));
    let (n_bytes, checksum) = (word(0), word(4));
    let start = file_bytes
        .checked_sub(TRAILER_BYTES as u64 + u64::from(n_bytes))
        .ok_or_else(not_one)?;
    let mut encoded = vec![0; n_bytes as usize];
    file.seek(SeekFrom::Start(start)).map_err(failed())?;
    file.read_exact(&mut encoded).map_err(failed())?;
    if crc32c::crc32c(&encoded) != checksum {
        return Err(damaged());
    }
    // The format comes first, and its own encoding does not depend on it.
    let (format, _) = postcard::take_from_bytes::<u32>(&encoded).map_err(|_| damaged())?;
    if format != FORMAT {
        return Err(SnapshotError::Format {
            path: path.to_owned(),
            expected: FORMAT,
            found: format,
        });
    }
    postcard::from_bytes(&encoded).map_err(|_| damaged())
}

/// Reads a section to compare its checksum. Reading, unlike looking at the mapping, does not count as this process's
/// memory.
fn checked_section(
    file: &mut File,
    section: &Section,
    file_bytes: u64,
    path: &Path,
    what: &'static str,
) -> Result<Range<usize>, SnapshotError> {
    let damaged = || SnapshotError::Damaged {
        path: path.to_owned(),
        what,
    };
    let end = section
        .start
        .checked_add(section.n_bytes)
        .filter(|end| *end <= file_bytes);
    let end = end.and_then(|end| usize::try_from(end).ok()).ok_or_else(damaged)?;
    file.seek(SeekFrom::Start(section.start))
        .map_err(SnapshotError::disk("read", path))?;
    let mut buffer = vec![0; 1 << 20];
    let (mut left, mut checksum) = (section.n_bytes, 0);
    while left > 0 {
        let n_bytes = left.min(buffer.len() as u64) as usize;
        file.read_exact(&mut buffer[..n_bytes])
            .map_err(SnapshotError::disk("read", path))?;
        checksum = crc32c::crc32c_append(checksum, &buffer[..n_bytes]);
        left -= n_bytes as u64;
    }
    match checksum == section.checksum {
        true => Ok(section.start as usize..end),
        false => Err(damaged()),
    }
}
