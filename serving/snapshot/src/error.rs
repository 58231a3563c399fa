//! What can go wrong with a snapshot.

use std::io;
use std::path::{Path, PathBuf};

use lakeloop_domain::FeatureType;

/// Why a snapshot could not be written, opened or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The disk refused.
    #[error("could not {doing} {}", .path.display())]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is something else, or its end is missing.
    #[error("{} is not a whole feature snapshot; remove it, and the snapshot job builds it again", .path.display())]
    NotASnapshot {
        /// The file.
        path: PathBuf,
    },
    /// Another version of lakeloop wrote it.
    #[error("{} has format {found}, this version reads {expected}; the snapshot job builds it again", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that this version reads.
        expected: u32,
        /// The file's.
        found: u32,
    },
    /// The bytes are not those that were written.
    #[error("{} is damaged: {what}; remove it, and the snapshot job builds it again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not hold.
        what: &'static str,
    },
    /// A row does not have the columns of the snapshot.
    #[error("a row of `{entity}` has {found} values; the snapshot has {expected} columns")]
    Width {
        /// The row's entity.
        entity: String,
        /// Columns of the snapshot.
        expected: usize,
        /// Values of the row.
        found: usize,
    },
    /// A value is of another type than its column.
    #[error("a row of `{entity}` has a value in column `{column}` that is no {}", .expected.as_str())]
    Value {
        /// The row's entity.
        entity: String,
        /// The column.
        column: String,
        /// The column's type.
        expected: FeatureType,
    },
    /// A row is larger than a snapshot can hold.
    #[error("a row of `{entity}` has {n_bytes} bytes; a snapshot holds rows of at most {max_bytes}")]
    RowSize {
        /// The row's entity, shortened.
        entity: String,
        /// The largest row.
        max_bytes: usize,
        /// The row's size.
        n_bytes: usize,
    },
}

impl SnapshotError {
    /// Says what was being done to which file when the operating system refused.
    pub(crate) fn disk(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { doing, path, source }
    }
}
