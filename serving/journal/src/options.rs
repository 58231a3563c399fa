//! Owns the limits a journal is opened with, and the figures it reports about itself.

use std::time::Duration;

/// The limits of one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOptions {
    /// A segment that reaches this many bytes is closed and the next begins. One append is never split, so a segment
    /// may exceed this by the last append. A segment is read into memory as a whole.
    pub segment_bytes: u64,
    /// The most bytes that all segments together may hold; an append beyond is refused with
    /// [`JournalError::Full`](crate::JournalError::Full).
    pub max_bytes: u64,
    /// The longest that a record stays unsynced when nobody waits for it, and the shortest between two syncs that
    /// nobody waits for.
    pub fsync_interval: Duration,
}

/// Figures of one journal at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalStatus {
    /// Bytes in all segments; bytes set aside as damaged are not among them.
    pub n_bytes: u64,
    /// The most that `n_bytes` may be.
    pub max_bytes: u64,
    /// Segments that hold records.
    pub n_segments: usize,
    /// Those of them that are sealed.
    pub n_sealed: usize,
    /// Bytes that a power loss now would take.
    pub n_unsynced_bytes: u64,
    /// Why appends are refused until the journal is opened again, if they are.
    pub poisoned: Option<String>,
}
