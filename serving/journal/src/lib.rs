//! Owns the local, checksummed, append-only journal between an acknowledged request and the lake: what was
//! acknowledged is in the lake, once, also after `kill -9`, a full disk or a power loss.
//!
//! Payloads are opaque bytes. The crate knows nothing of decisions, Delta or JSON; who appends decides what a record
//! means, and who flushes decides where sealed segments go.
//!
//! ```text
//! append ──► active segment ──(roll or seal, fsync)──► sealed ──► lake takes (id, number), once ──► release
//!    │                                                   ▲
//!    └──► acknowledged: written, or synced               └── after a restart, whatever is found
//! ```
//!
//! # What can be relied on
//! - A record is written to the operating system when [`Journal::append`] returns, and durable when the ticket of
//!   [`Journal::synced`] resolves. Many tickets share one fsync.
//! - A sealed segment never changes, and a segment number is never used twice in one journal. So a lake that takes
//!   segments oldest first and remembers `(Journal::id, SegmentNumber)` in the same commit takes each record once.
//! - An append that is refused is not in the journal, also not after a crash; one append is never split over
//!   segments.
//! - Damage is found by checksum, never read as a record, never thrown away: see [`Recovery`].
//!
//! # Why a failed fsync ends appending
//! After fsync has failed, the operating system may have dropped the unwritten pages and marked them clean; the next
//! fsync then succeeds although the bytes never reached the disk. So a second attempt proves nothing. The journal is
//! *poisoned* instead: tickets that were not resolved fail, and appends are refused with [`JournalError::Poisoned`].
//! Sealed segments can still be read and released. Opening the journal again checks every segment anew and syncs it
//! through a fresh descriptor; what is still readable is kept, but only what a ticket vouched for is promised.
//!
//! # Example
//! ```
//! use lakeloop_journal::{Journal, JournalOptions, OsDisk};
//! use std::{sync::Arc, time::Duration};
//!
//! # let root = tempfile::tempdir()?;
//! # let folder = root.path().join("decisions");
//! let options = JournalOptions {
//!     segment_bytes: 8 << 20,
//!     max_bytes: 1 << 30,
//!     fsync_interval: Duration::from_millis(5),
//! };
//! let (journal, recovery) = Journal::open(&folder, options, Arc::new(OsDisk))?;
//! assert_eq!(recovery.n_records, 0);
//!
//! let position = journal.append(b"a decision")?;
//! journal.synced(position).wait()?;
//!
//! journal.seal()?;
//! for segment in journal.sealed() {
//!     assert!(journal.read(segment)?.iter().eq([b"a decision"]));
//!     journal.release(segment)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod disk;
mod error;
mod fault_disk;
mod identity;
mod journal;
mod options;
mod reading;
mod records;
mod recovery;
mod segment;
mod state;
mod syncer;
mod ticket;

pub use disk::{Disk, DiskFile, OsDisk};
pub use error::JournalError;
pub use fault_disk::{Crash, FaultDisk, Operation};
pub use journal::Journal;
pub use options::{JournalOptions, JournalStatus};
pub use reading::Reading;
pub use records::Records;
pub use recovery::{Damage, Recovery};
pub use segment::{DamageKind, MAX_PAYLOAD_BYTES, SegmentNumber};
pub use ticket::{Position, SyncTicket};
