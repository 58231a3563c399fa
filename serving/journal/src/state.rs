//! Owns the state that appenders, the sync thread and tickets share, and how each of their steps changes it.
//!
//! ```text
//! active ──(roll or seal)──► closed ──(synced, folder too)──► sealed ──(release)──► gone
//! ```
//!
//! Positions count every byte written since the journal was opened, so `synced <= written` says all there is to say
//! about durability. Segments become sealed in the order of their numbers. Methods here only change memory; the
//! file operations belong to their callers, and none but the append itself happens under the lock.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::disk::{Disk, DiskFile};
use crate::error::JournalError;
use crate::identity::Identity;
use crate::options::JournalOptions;
use crate::segment::SegmentNumber;

/// What the parts of one journal share.
pub(crate) struct Shared {
    pub folder: PathBuf,
    pub options: JournalOptions,
    pub disk: Arc<dyn Disk>,
    /// What is stored in the folder. Locked before `state`, never after it.
    pub identity: Mutex<Identity>,
    pub id: String,
    state: Mutex<State>,
    /// Tells the sync thread that there is something to do, or something to do at once.
    pub work: Condvar,
    /// Tells blocked waiters that something was synced, or never will be.
    pub progress: Condvar,
}

pub(crate) struct State {
    pub active: Option<Segment>,
    /// Segments that take no more records but are not durable yet, oldest first.
    pub closed: VecDeque<Segment>,
    pub sealed: BTreeMap<SegmentNumber, u64>,
    pub next_number: SegmentNumber,
    /// Bytes in all segments.
    pub n_bytes: u64,
    pub written: u64,
    pub synced: u64,
    /// The furthest position that somebody waits for.
    pub wanted: u64,
    /// Whether somebody waits for the closed segments to be sealed.
    pub is_seal_wanted: bool,
    /// Whether a segment was created since the folder was last synced.
    pub is_folder_dirty: bool,
    /// Whether the sync thread sleeps until something is written.
    pub is_idle: bool,
    pub is_closing: bool,
    pub poison: Option<Arc<str>>,
    pub wakers: Vec<Waker>,
    /// Where appends are put together; kept to save an allocation each.
    pub buffer: Vec<u8>,
}

/// A segment that this journal writes or wrote.
#[derive(Clone)]
pub(crate) struct Segment {
    pub number: SegmentNumber,
    pub file: Arc<dyn DiskFile>,
    /// Bytes written; 0 until the header goes out together with the first record.
    pub n_bytes: u64,
}

/// What one round of the sync thread makes durable.
pub(crate) struct Batch {
    pub segments: Vec<Segment>,
    n_closed: usize,
    pub is_folder_dirty: bool,
    target: u64,
}

impl Shared {
    pub(crate) fn new(
        folder: &Path,
        options: JournalOptions,
        disk: Arc<dyn Disk>,
        identity: Identity,
        sealed: BTreeMap<SegmentNumber, u64>,
    ) -> Shared {
        let state = State {
            active: None,
            closed: VecDeque::new(),
            next_number: identity.next,
            n_bytes: sealed.values().sum(),
            sealed,
            written: 0,
            synced: 0,
            wanted: 0,
            is_seal_wanted: false,
            is_folder_dirty: false,
            is_idle: false,
            is_closing: false,
            poison: None,
            wakers: Vec::new(),
            buffer: Vec::new(),
        };
        Shared {
            folder: folder.to_path_buf(),
            options,
            disk,
            id: identity.id.clone(),
            identity: Mutex::new(identity),
            state: Mutex::new(state),
            work: Condvar::new(),
            progress: Condvar::new(),
        }
    }

    /// Locks the state. A thread that panicked under the lock (a caller's iterator of payloads can) is no reason to
    /// stop: the state changes only in steps that cannot panic half-way.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until something was synced, or never will be.
    pub(crate) fn wait_for_progress<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.progress.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs, once, that the journal takes no more records.
    pub(crate) fn log_poison(&self, reason: &str) {
        tracing::error!(journal = %self.id, folder = %self.folder.display(), reason, "journal poisoned");
    }

    pub(crate) fn segment_path(&self, number: SegmentNumber) -> PathBuf {
        self.folder.join(number.file_name())
    }
}

impl Batch {
    /// Those of the segments that take no more records.
    pub(crate) fn closed(&self) -> &[Segment] {
        &self.segments[..self.n_closed]
    }
}

impl State {
    /// Whether appends can be taken at all.
    pub(crate) fn check_open(&self) -> Result<(), JournalError> {
        match &self.poison {
            Some(reason) => Err(JournalError::Poisoned {
                reason: Arc::clone(reason),
            }),
            None if self.is_closing => Err(JournalError::Closed),
            None => Ok(()),
        }
    }

    /// Whether `position` is durable; `None` while that is open.
    pub(crate) fn durability(&self, position: u64) -> Option<Result<(), JournalError>> {
        if self.synced >= position {
            return Some(Ok(()));
        }
        self.poison.as_ref().map(|reason| {
            Err(JournalError::Poisoned {
                reason: Arc::clone(reason),
            })
        })
    }

    /// Closes the active segment if it holds records, and says which it was.
    pub(crate) fn close_active(&mut self) -> Option<SegmentNumber> {
        let closed = self.active.take_if(|active| active.n_bytes > 0)?;
        let number = closed.number;
        self.closed.push_back(closed);
        Some(number)
    }

    /// Whether nothing is left for the sync thread.
    pub(crate) fn is_settled(&self) -> bool {
        self.poison.is_some() || (self.synced == self.written && self.closed.is_empty())
    }

    /// Whether the sync thread must not wait for its interval to pass.
    pub(crate) fn is_urgent(&self) -> bool {
        self.is_closing || self.poison.is_some() || self.wanted > self.synced || self.is_seal_wanted
    }

    /// Everything that is written and not synced yet.
    pub(crate) fn take_batch(&mut self) -> Batch {
        let active = self.active.iter().filter(|active| active.n_bytes > 0);
        Batch {
            segments: self.closed.iter().chain(active).cloned().collect(),
            n_closed: self.closed.len(),
            is_folder_dirty: std::mem::take(&mut self.is_folder_dirty),
            target: self.written,
        }
    }

    /// Notes that a batch has become durable.
    pub(crate) fn settle(&mut self, batch: &Batch) {
        self.synced = self.synced.max(batch.target);
        self.sealed.extend(
            self.closed
                .drain(..batch.n_closed)
                .map(|segment| (segment.number, segment.n_bytes)),
        );
        self.is_seal_wanted &= !self.closed.is_empty();
    }

    /// Notes that the disk can no longer be trusted. The first reason stays, and is the answer.
    pub(crate) fn poison(&mut self, reason: String) -> Arc<str> {
        Arc::clone(self.poison.get_or_insert_with(|| reason.into()))
    }
}
