//! Owns the bytes of a segment: its file name, its header, its records, and what is still intact in a damaged one.
//!
//! All integers are little-endian.
//!
//! ```text
//! segment = header record*
//! header  = magic [8] | format u32 | crc u32 | segment number u64      crc over the other three
//! record  = length u32 | crc u32 | payload [length]
//! ```
//!
//! A record's crc (CRC-32C) covers the segment number, the record's own offset in the file, the length and the
//! payload. So a record is intact only in the place it was written to: blocks of an older file that a power loss
//! brings to light, or a payload that happens to hold the bytes of a segment, are never taken for records, even when
//! reading has to search for the next intact record after damage. A crc that comes out as zero is stored as all
//! ones and a stored zero is never valid, so a zero-filled stretch holds no records whatever its offset.
//!
//! The header keeps this form in every later format, so that any version can name a format it does not know.

use std::fmt;
use std::ops::Range;

/// The format this version writes, and the only one it reads.
pub(crate) const FORMAT: u32 = 1;
/// Length of a segment's header.
pub(crate) const HEADER_BYTES: usize = 24;
/// The largest payload of one record. Far beyond any request; it keeps a damaged length from being believed.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;

const MAGIC: [u8; 8] = *b"LAKEJRNL";
const RECORD_HEAD_BYTES: usize = 8;
/// A search for the next intact record checksums at most this many times the segment's bytes. Payloads that look
/// like lengths at every byte would otherwise make it quadratic.
const SEARCH_PASSES: usize = 64;

/// The number of a segment: from 1, never used twice in one journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(u64);

impl SegmentNumber {
    pub(crate) const FIRST: SegmentNumber = SegmentNumber(1);

    pub(crate) fn new(number: u64) -> SegmentNumber {
        SegmentNumber(number)
    }

    /// The number itself; the version under which the lake takes the segment.
    pub fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn next(self) -> SegmentNumber {
        SegmentNumber(self.0 + 1)
    }

    /// `0000000042.seg`
    pub(crate) fn file_name(self) -> String {
        format!("{:010}.seg", self.0)
    }

    /// The inverse of [`file_name`](Self::file_name); `None` for any other name, also for other spellings of the number.
    pub(crate) fn of_file_name(name: &str) -> Option<SegmentNumber> {
        let number = SegmentNumber(name.strip_suffix(".seg")?.parse().ok()?);
        (number.0 > 0 && number.file_name() == name).then_some(number)
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a segment's file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A segment of this journal, possibly damaged.
    Segment(Scan),
    /// Intact, but of another format.
    OtherFormat(u32),
    /// Not a segment, or not this one.
    Foreign(String),
}

/// Where the intact records of a segment stand, and where the damage does; together they cover all bytes after an
/// intact header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The payloads of intact records, in the order they were written.
    pub payloads: Vec<Range<usize>>,
    /// What is damaged, in file order.
    pub gaps: Vec<Gap>,
}

/// A stretch of bytes that holds no intact record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub bytes: Range<usize>,
    pub kind: DamageKind,
}

/// What kind of damage was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// Bytes at the end of the file that hold no intact record: a write that never completed.
    TornTail,
    /// Bytes that fail their checksum although intact records follow.
    CorruptRecord,
    /// The segment's header fails its checksum although intact records follow.
    CorruptHeader,
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DamageKind::TornTail => "a write that never completed",
            DamageKind::CorruptRecord => "a checksum mismatch before intact records",
            DamageKind::CorruptHeader => "a damaged header before intact records",
        })
    }
}

/// The header of segment `number`.
pub(crate) fn header(number: SegmentNumber) -> [u8; HEADER_BYTES] {
    header_of_format(FORMAT, number)
}

/// Appends one record to `buffer`. The record will stand at `offset` of its file.
///
/// The payload must not be longer than [`MAX_PAYLOAD_BYTES`].
pub(crate) fn push_record(buffer: &mut Vec<u8>, number: SegmentNumber, offset: u64, payload: &[u8]) {
    // Lossless: the journal refuses payloads beyond MAX_PAYLOAD_BYTES.
    let length = (payload.len() as u32).to_le_bytes();
    buffer.extend_from_slice(&length);
    buffer.extend_from_slice(&record_crc(number, offset, length, payload).to_le_bytes());
    buffer.extend_from_slice(payload);
}

/// Reads the file that bears the name of segment `number`. Damage is part of the answer, never an error.
pub(crate) fn scan(bytes: &[u8], number: SegmentNumber) -> Content {
    match header_state(bytes, number) {
        HeaderState::Intact => Content::Segment(scan_records(bytes, number, Vec::new())),
        HeaderState::OtherFormat(format) => Content::OtherFormat(format),
        HeaderState::OtherNumber(found) => Content::Foreign(format!(
            "its header says segment {found}, its name says segment {number}"
        )),
        HeaderState::Broken => scan_headless(bytes, number),
    }
}

/// Reads a file without an intact header: what its records, bound to number and place, say about it decides.
fn scan_headless(bytes: &[u8], number: SegmentNumber) -> Content {
    let header_gap = Gap {
        bytes: 0..HEADER_BYTES.min(bytes.len()),
        kind: DamageKind::CorruptHeader,
    };
    let scan = scan_records(bytes, number, vec![header_gap]);
    if !scan.payloads.is_empty() {
        return Content::Segment(scan);
    }
    if !bytes.starts_with(&MAGIC) && !is_unfinished_header(bytes, number) {
        return Content::Foreign("it does not begin as a journal segment does".to_string());
    }
    let gaps = match bytes.len() {
        0 => Vec::new(),
        n_bytes => vec![Gap {
            bytes: 0..n_bytes,
            kind: DamageKind::TornTail,
        }],
    };
    Content::Segment(Scan {
        payloads: Vec::new(),
        gaps,
    })
}

/// Where the first record of an intact segment would stand; `None` where the header is not that of segment `number`.
pub(crate) fn begin(bytes: &[u8], number: SegmentNumber) -> Option<usize> {
    matches!(header_state(bytes, number), HeaderState::Intact).then_some(HEADER_BYTES)
}

/// Walks from record to record; where one is damaged, goes on at the next intact one.
fn scan_records(bytes: &[u8], number: SegmentNumber, gaps: Vec<Gap>) -> Scan {
    let mut scan = Scan {
        payloads: Vec::new(),
        gaps,
    };
    let mut offset = HEADER_BYTES;
    while offset < bytes.len() {
        if let Some(payload) = intact_at(bytes, number, offset) {
            offset = payload.end;
            scan.payloads.push(payload);
            continue;
        }
        // Where the search gives up, the damaged record's own length may still be right.
        let framed_next = || framed_at(bytes, offset).map(|payload| payload.end);
        let is_intact = |at: &usize| intact_at(bytes, number, *at).is_some();
        let next = next_intact(bytes, number, offset + 1).or_else(|| framed_next().filter(is_intact));
        let (end, kind) = match next {
            Some(next) => (next, DamageKind::CorruptRecord),
            None => (bytes.len(), DamageKind::TornTail),
        };
        scan.gaps.push(Gap {
            bytes: offset..end,
            kind,
        });
        offset = end;
    }
    scan
}

fn next_intact(bytes: &[u8], number: SegmentNumber, from: usize) -> Option<usize> {
    let mut budget = bytes.len().saturating_mul(SEARCH_PASSES);
    for offset in from..bytes.len() {
        let Some(payload) = framed_at(bytes, offset) else {
            continue;
        };
        budget = budget.checked_sub(payload.len())?;
        if intact_at(bytes, number, offset).is_some() {
            return Some(offset);
        }
    }
    None
}

/// The payload of the record at `offset`, if it is intact; the next one begins at its end.
pub(crate) fn intact_at(bytes: &[u8], number: SegmentNumber, offset: usize) -> Option<Range<usize>> {
    let payload = framed_at(bytes, offset)?;
    let length = array_at(bytes, offset)?;
    let stored = u32::from_le_bytes(array_at(bytes, offset + 4)?);
    let computed = record_crc(number, offset as u64, length, &bytes[payload.clone()]);
    (stored == computed).then_some(payload)
}

/// The payload of what may be a record at `offset`, judged by its framing alone.
fn framed_at(bytes: &[u8], offset: usize) -> Option<Range<usize>> {
    let length = u32::from_le_bytes(array_at(bytes, offset)?) as usize;
    let stored = u32::from_le_bytes(array_at(bytes, offset + 4)?);
    let start = offset + RECORD_HEAD_BYTES;
    let fits = stored != 0 && length <= MAX_PAYLOAD_BYTES && length <= bytes.len() - start;
    fits.then_some(start..start + length)
}

fn record_crc(number: SegmentNumber, offset: u64, length: [u8; 4], payload: &[u8]) -> u32 {
    let mut place = [0; 20];
    place[..8].copy_from_slice(&number.0.to_le_bytes());
    place[8..16].copy_from_slice(&offset.to_le_bytes());
    place[16..].copy_from_slice(&length);
    match crc32c::crc32c_append(crc32c::crc32c(&place), payload) {
        0 => u32::MAX,
        crc => crc,
    }
}

enum HeaderState {
    Intact,
    OtherFormat(u32),
    OtherNumber(SegmentNumber),
    Broken,
}

fn header_state(bytes: &[u8], number: SegmentNumber) -> HeaderState {
    let (Some(format), Some(found)) = (array_at(bytes, 8), array_at(bytes, 16)) else {
        return HeaderState::Broken;
    };
    let (format, found) = (u32::from_le_bytes(format), SegmentNumber(u64::from_le_bytes(found)));
    if bytes[..HEADER_BYTES] != header_of_format(format, found) {
        return HeaderState::Broken;
    }
    match format {
        FORMAT if found == number => HeaderState::Intact,
        FORMAT => HeaderState::OtherNumber(found),
        other => HeaderState::OtherFormat(other),
    }
}

/// Whether the file begins with a part of the right header and then zeros: a header whose write was interrupted.
fn is_unfinished_header(bytes: &[u8], number: SegmentNumber) -> bool {
    let begun = &bytes[..HEADER_BYTES.min(bytes.len())];
    let n_right = begun
        .iter()
        .zip(header(number))
        .take_while(|(found, right)| **found == *right)
        .count();
    begun[n_right..].iter().all(|byte| *byte == 0)
}

fn header_of_format(format: u32, number: SegmentNumber) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&format.to_le_bytes());
    header[16..].copy_from_slice(&number.0.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..]);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    header
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests;
