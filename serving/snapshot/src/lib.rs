//! Feature snapshots: the latest row of every entity of one feature view at one version of its table, in one file that
//! servers map into memory and look up in.
//!
//! ```text
//!   rows in any order ─► SnapshotWriter ─► <table version>.snapshot ─► Snapshot::open ─► get(entity)
//!                          spills by hash     never changed again        checked whole, then mapped
//! ```
//!
//! A file holds no history. Of each entity it keeps the row that every reading *as of* a moment after that row's two
//! times would find; readers that ask for an earlier moment must go to the table, and [`Row`] tells them. So is a row
//! marked whose times another row of the entity shares with other values: which of the two counts depends on the columns
//! asked for, and the table decides it.
//!
//! # The file
//! ```text
//!   magic │ rows, in the order of the hash of their entity │ directory │ footer │ length and checksum of the footer │ magic
//! ```
//! The directory holds, for each prefix of the hash, where the rows begin that have it: about four of them, one after
//! the other. A lookup reads one entry of the directory and one stretch of rows, which is two pages of a file that is not
//! in memory. The text of an entity stands in its row and is compared, so two entities are never taken for each other.
//!
//! # Invariants
//! - A file is written under another name, synced, and renamed: what bears the name of a snapshot is whole, and is
//!   never written again. That is what makes the mapping sound.
//! - [`Snapshot::open`] compares the checksums of all sections. A lookup checks every length all the same, so that also a
//!   file with valid checksums and false contents gives an error and no read outside of its bytes.
//! - A file is a copy: whoever finds it damaged or of another format builds it anew.
//!
//! Deliberately absent: the lake, Arrow and any clock. What is fresh enough is for the reader to say.

mod snapshot;

mod writer;

mod spill;

mod row;

mod footer;

mod folder;

mod error;

pub use error::SnapshotError;
pub use folder::{FolderLock, Stored, folder_of, newest, remove_older};
pub use footer::Column;
pub use row::Row;
pub use snapshot::Snapshot;
pub use writer::{Built, SnapshotWriter, Source};
