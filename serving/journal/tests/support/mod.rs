//! What the journal's tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lakeloop_journal::{Disk, Journal, JournalOptions, OsDisk, Records, Recovery, SegmentNumber};

/// No sync happens unless somebody waits for it.
pub const NEVER: Duration = Duration::from_secs(1 << 30);

pub fn options(segment_bytes: u64, fsync_interval: Duration) -> JournalOptions {
    JournalOptions {
        segment_bytes,
        max_bytes: 1 << 30,
        fsync_interval,
    }
}

pub fn open(folder: &Path) -> (Journal, Recovery) {
    Journal::open(folder, options(1 << 20, NEVER), Arc::new(OsDisk)).unwrap()
}

pub fn open_on(disk: impl Disk, options: JournalOptions) -> (Journal, Recovery) {
    Journal::open(Path::new("/journal"), options, Arc::new(disk)).unwrap()
}

/// All records of all sealed segments, in order.
pub fn records(journal: &Journal) -> Vec<Vec<u8>> {
    let read = |segment| journal.read(segment).unwrap();
    let segments: Vec<Records> = journal.sealed().into_iter().map(read).collect();
    segments.iter().flat_map(Records::iter).map(<[u8]>::to_vec).collect()
}

pub fn numbers(segments: &[SegmentNumber]) -> Vec<u64> {
    segments.iter().map(|segment| segment.get()).collect()
}

pub fn many(payloads: &[&'static str]) -> Vec<Vec<u8>> {
    payloads.iter().map(|payload| payload.as_bytes().to_vec()).collect()
}
