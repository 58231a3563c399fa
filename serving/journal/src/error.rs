//! Owns the ways in which the journal can refuse or fail, one variant each.
//!
//! Every variant names the folder, file or limit it is about and says what can be done. What was damaged on the
//! disk but could be set aside is no error: see [`Damage`](crate::Damage).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::segment::SegmentNumber;

/// Why the journal did not do what it was asked to do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The journal holds as many bytes as it may; release segments or raise the limit.
    #[error(
        "the journal is full: it holds {used} of at most {limit} bytes; records are refused until segments are released"
    )]
    Full {
        /// The configured `max_bytes`.
        limit: u64,
        /// Bytes in all segments now.
        used: u64,
    },

    /// The disk, or the quota on it, has no room; whatever was written of this append has been taken back.
    #[error("no room on the disk to {action} {}; free some space", path.display())]
    DiskFull {
        /// What was being done.
        action: &'static str,
        /// The file or folder it was done to.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// An fsync, or the taking back of a partial write, has failed, so what is on the disk is no longer known. See
    /// the crate's documentation for why nothing is appended until the journal is opened again.
    #[error("the journal takes no more records until it is opened again, because its disk failed: {reason}")]
    Poisoned {
        /// What failed first.
        reason: Arc<str>,
    },

    /// The journal has been closed.
    #[error("the journal is closed")]
    Closed,

    /// Another journal, in this process or another, holds the folder.
    #[error("the journal folder {} is in use by another process; stop it, or choose another folder", folder.display())]
    Locked {
        /// The journal's folder.
        folder: PathBuf,
    },

    /// One payload is larger than a record can be.
    #[error("a payload of {n_bytes} bytes is larger than the {limit} bytes that one record can hold")]
    PayloadTooLarge {
        /// Length of the payload that was refused.
        n_bytes: usize,
        /// The largest that is taken.
        limit: usize,
    },

    /// A file that no journal wrote stands in the journal's folder.
    #[error("{} does not belong in a journal folder: {why}; move it elsewhere", path.display())]
    ForeignFile {
        /// The file.
        path: PathBuf,
        /// How that was noticed.
        why: String,
    },

    /// A segment was written in a format that this version does not read.
    #[error("{} has journal format {found}, this version reads format {known}; open it with the version that wrote it", path.display())]
    UnknownFormat {
        /// The segment's file.
        path: PathBuf,
        /// The format it says it has.
        found: u32,
        /// The format this version reads and writes.
        known: u32,
    },

    /// The file that holds the journal's id and next segment number is absent or unreadable. Without it the lake
    /// cannot tell which segments it has already taken, so nothing is guessed.
    #[error("the journal's identity {} cannot be used: {why}; restore it from a copy, or move the folder away to begin a new journal", path.display())]
    Identity {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },

    /// A segment that is still being written was asked for.
    #[error("segment {segment} is not sealed yet; call seal first")]
    NotSealed {
        /// The segment.
        segment: SegmentNumber,
    },

    /// There is no such segment: never written, or released.
    #[error("the journal has no segment {segment}")]
    NoSuchSegment {
        /// The segment.
        segment: SegmentNumber,
    },

    /// A sealed segment was damaged while the journal was open; opening it again sets the damage aside and keeps
    /// the intact records.
    #[error("{} is damaged at byte {offset}; open the journal again to set the damage aside", path.display())]
    DamagedSegment {
        /// The segment's file.
        path: PathBuf,
        /// Where the first damaged byte stands.
        offset: u64,
    },

    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or folder it was done to.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl JournalError {
    /// Makes the error of one file operation, telling a full disk apart from all other causes.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> JournalError {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                JournalError::DiskFull { action, path, source }
            }
            _ => JournalError::Io { action, path, source },
        }
    }
}
