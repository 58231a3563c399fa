//! Owns what happens to a journal's folder when it is opened: every segment found is checked, damage is set aside,
//! and what is intact becomes a sealed, durable segment.
//!
//! ```text
//! decisions/
//!   lock               held while a journal is open
//!   identity           id and next segment number
//!   0000000042.seg     a segment
//!   damaged/0000000042-5120.bin    bytes cut out of segment 42 at offset 5120
//! ```
//!
//! Invariants: damaged bytes are copied to `damaged/`, durably, before they leave their segment, and nothing there is
//! ever overwritten or removed; a segment that turns out empty is removed only after its number can no longer be
//! given again; after any error everything is left such that a later open can do the same again.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, remove_if_there, write_durably};
use crate::error::JournalError;
use crate::identity::{self, Identity};
use crate::segment::{self, Content, DamageKind, Gap, HEADER_BYTES, Scan, SegmentNumber};

pub(crate) const LOCK_NAME: &str = "lock";
const DAMAGED_NAME: &str = "damaged";

/// What [`Journal::open`](crate::Journal::open) found in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The segments that hold records, oldest first; all are sealed.
    pub segments: Vec<SegmentNumber>,
    /// Records in those segments.
    pub n_records: u64,
    /// What was damaged and has been set aside, in the order of segments and offsets.
    pub damage: Vec<Damage>,
}

/// A stretch of a segment that held no intact record and was moved to the folder `damaged`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file.
    pub path: PathBuf,
    /// The segment.
    pub segment: SegmentNumber,
    /// Where in the file, as it was found, the damage began.
    pub offset: u64,
    /// How many bytes were cut out.
    pub n_bytes: u64,
    /// What kind of damage it was.
    pub kind: DamageKind,
    /// The file that holds these bytes now.
    pub moved_to: PathBuf,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage {
            path,
            offset,
            n_bytes,
            kind,
            moved_to,
            ..
        } = self;
        let (path, moved_to) = (path.display(), moved_to.display());
        write!(
            f,
            "{path}: {n_bytes} bytes at offset {offset} were {kind}; they are kept in {moved_to}"
        )
    }
}

/// A folder that has been made ready: the identity stored in it and the sealed segments with their bytes.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub identity: Identity,
    pub sealed: BTreeMap<SegmentNumber, u64>,
    pub recovery: Recovery,
}

/// Makes `folder`, which the caller has locked, ready for a journal. Everything is read before anything is changed,
/// so that a folder that is refused stays as it was.
pub(crate) fn recover(disk: &dyn Disk, folder: &Path) -> Result<Recovered, JournalError> {
    let Listing { numbers, leftovers } = list(disk, folder)?;
    let found: Vec<Found> = numbers
        .iter()
        .map(|number| inspect(disk, folder, *number))
        .collect::<Result<_, _>>()?;
    let identity = settle_identity(disk, folder, numbers.last().copied())?;
    for path in leftovers {
        remove_if_there(disk, &path).map_err(|error| JournalError::io("remove", &path, error))?;
    }
    let mut sealed = BTreeMap::new();
    let mut recovery = Recovery::default();
    for segment in found {
        for gap in &segment.scan.gaps {
            recovery.damage.push(set_aside(disk, folder, &segment, gap)?);
        }
        let n_bytes = mend(disk, &segment).map_err(|error| JournalError::io("make durable", &segment.path, error))?;
        if segment.n_records > 0 {
            recovery.segments.push(segment.number);
            recovery.n_records += segment.n_records;
            sealed.insert(segment.number, n_bytes);
        }
    }
    disk.sync_folder(folder)
        .map_err(|error| JournalError::io("sync", folder, error))?;
    Ok(Recovered {
        identity,
        sealed,
        recovery,
    })
}

struct Listing {
    /// The segments, in order.
    numbers: Vec<SegmentNumber>,
    /// What interrupted writes left.
    leftovers: Vec<PathBuf>,
}

/// Lists the folder and refuses it when it holds a file that no journal wrote.
fn list(disk: &dyn Disk, folder: &Path) -> Result<Listing, JournalError> {
    let mut listing = Listing {
        numbers: Vec::new(),
        leftovers: Vec::new(),
    };
    for name in disk
        .list(folder)
        .map_err(|error| JournalError::io("list", folder, error))?
    {
        let path = folder.join(&name);
        match name.to_str().map(Entry::of) {
            Some(Entry::Segment(number)) => listing.numbers.push(number),
            Some(Entry::Kept) => {}
            Some(Entry::Leftover) => listing.leftovers.push(path),
            Some(Entry::Foreign) | None => {
                let why = "no journal writes a file of this name".to_string();
                return Err(JournalError::ForeignFile { path, why });
            }
        }
    }
    listing.numbers.sort_unstable();
    Ok(listing)
}

enum Entry {
    Segment(SegmentNumber),
    Kept,
    Leftover,
    Foreign,
}

impl Entry {
    fn of(name: &str) -> Entry {
        match name {
            LOCK_NAME | DAMAGED_NAME | identity::FILE_NAME => Entry::Kept,
            _ => match (SegmentNumber::of_file_name(name), name.strip_suffix(".tmp")) {
                (Some(number), _) => Entry::Segment(number),
                (None, Some(identity::FILE_NAME)) => Entry::Leftover,
                (None, Some(stem)) if SegmentNumber::of_file_name(stem).is_some() => Entry::Leftover,
                _ => Entry::Foreign,
            },
        }
    }
}

/// Loads or creates the identity and stores it such that no number up to `last` is given again.
fn settle_identity(disk: &dyn Disk, folder: &Path, last: Option<SegmentNumber>) -> Result<Identity, JournalError> {
    let found = match (Identity::load(disk, folder)?, last) {
        (Some(identity), _) => Some(identity),
        (None, None) => None,
        (None, Some(_)) => {
            let path = folder.join(identity::FILE_NAME);
            return Err(JournalError::Identity {
                path,
                why: "it is missing although there are segments",
            });
        }
    };
    let mut settled = found.clone().unwrap_or_else(Identity::random);
    settled.next = settled.next.max(last.map_or(SegmentNumber::FIRST, SegmentNumber::next));
    if found.as_ref() != Some(&settled) {
        settled.store(disk, folder)?;
    }
    Ok(settled)
}

/// A segment as it was found.
struct Found {
    number: SegmentNumber,
    path: PathBuf,
    n_records: u64,
    n_bytes: u64,
    /// The content, kept only where there is damage to mend.
    bytes: Vec<u8>,
    scan: Scan,
}

/// Reads one segment in full, and changes nothing.
fn inspect(disk: &dyn Disk, folder: &Path, number: SegmentNumber) -> Result<Found, JournalError> {
    let path = folder.join(number.file_name());
    let bytes = disk
        .read(&path)
        .map_err(|error| JournalError::io("read", &path, error))?;
    let scan = match segment::scan(&bytes, number) {
        Content::Segment(scan) => scan,
        Content::OtherFormat(found) => {
            return Err(JournalError::UnknownFormat {
                path,
                found,
                known: segment::FORMAT,
            });
        }
        Content::Foreign(why) => return Err(JournalError::ForeignFile { path, why }),
    };
    let (n_records, n_bytes) = (scan.payloads.len() as u64, bytes.len() as u64);
    match scan.gaps.is_empty() {
        true => Ok(Found {
            number,
            path,
            n_records,
            n_bytes,
            bytes: Vec::new(),
            scan: Scan::default(),
        }),
        false => Ok(Found {
            number,
            path,
            n_records,
            n_bytes,
            bytes,
            scan,
        }),
    }
}

/// Leaves only the intact records in the file, durably; no file when there are none. Answers its length.
fn mend(disk: &dyn Disk, segment: &Found) -> io::Result<u64> {
    if segment.n_records == 0 {
        remove_if_there(disk, &segment.path)?;
        return Ok(0);
    }
    match segment.scan.gaps.as_slice() {
        [] => {
            let file = disk.open(&segment.path)?;
            file.finish(segment.n_bytes);
            file.sync()?;
            Ok(segment.n_bytes)
        }
        [
            Gap {
                bytes: torn,
                kind: DamageKind::TornTail,
            },
        ] => {
            let file = disk.open(&segment.path)?;
            file.truncate(torn.start as u64)?;
            file.sync()?;
            Ok(torn.start as u64)
        }
        _ => {
            let mended = without_gaps(segment);
            write_durably(disk, &segment.path, &mended)?;
            Ok(mended.len() as u64)
        }
    }
}

/// The segment with only its intact records, one after the other.
fn without_gaps(segment: &Found) -> Vec<u8> {
    let mut mended = Vec::with_capacity(HEADER_BYTES + segment.bytes.len());
    mended.extend_from_slice(&segment::header(segment.number));
    for payload in &segment.scan.payloads {
        let offset = mended.len() as u64;
        segment::push_record(&mut mended, segment.number, offset, &segment.bytes[payload.clone()]);
    }
    mended
}

/// Copies the bytes of a gap to a file of their own.
fn set_aside(disk: &dyn Disk, folder: &Path, segment: &Found, gap: &Gap) -> Result<Damage, JournalError> {
    let damaged = folder.join(DAMAGED_NAME);
    let torn = &segment.bytes[gap.bytes.clone()];
    let name = format!("{:010}-{}", segment.number, gap.bytes.start);
    let moved_to = disk
        .create_folder(&damaged)
        .and_then(|()| keep(disk, &damaged, &name, torn))
        .map_err(|error| JournalError::io("set damaged bytes aside in", &damaged, error))?;
    Ok(Damage {
        path: segment.path.clone(),
        segment: segment.number,
        offset: gap.bytes.start as u64,
        n_bytes: torn.len() as u64,
        kind: gap.kind,
        moved_to,
    })
}

/// Stores `bytes` under `name.bin`, or `name-1.bin` and so on where other bytes have the name already.
fn keep(disk: &dyn Disk, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut path = folder.join(format!("{name}.bin"));
    let mut n_taken = 0;
    loop {
        match disk.read(&path) {
            Ok(kept) if kept == bytes => return Ok(path),
            Ok(_) => {
                n_taken += 1;
                path = folder.join(format!("{name}-{n_taken}.bin"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_durably(disk, &path, bytes)?;
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
}
