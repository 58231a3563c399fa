//! Owns the journal's public operations: open, append, wait, seal, read, release, close.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::disk::{Disk, remove_if_there};
use crate::error::JournalError;
use crate::options::{JournalOptions, JournalStatus};
use crate::reading::Reading;
use crate::records::Records;
use crate::recovery::{self, LOCK_NAME, Recovered, Recovery};
use crate::segment::{self, MAX_PAYLOAD_BYTES, SegmentNumber};
use crate::state::{Segment, Shared, State};
use crate::syncer;
use crate::ticket::{Position, SyncTicket};

/// The append buffer keeps at most this much between appends.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// An open journal. Clones share it; the last one dropped closes it.
#[derive(Clone)]
pub struct Journal {
    open: Arc<Open>,
}

/// What the clones of a journal share. Tickets do not hold it, so they do not keep a journal open.
struct Open {
    shared: Arc<Shared>,
    sync_thread: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal in `folder`, which is created when absent and locked until the journal is closed.
    ///
    /// Every segment found is checked in full and is sealed and durable afterwards; damage is set aside and
    /// reported, see [`Recovery`]. The first append begins a new segment.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when another journal has the folder; [`JournalError::ForeignFile`],
    /// [`JournalError::UnknownFormat`] and [`JournalError::Identity`] when the folder is not, or not only, a
    /// journal's, in which case nothing is changed; [`JournalError::DiskFull`] or [`JournalError::Io`] when the disk
    /// refuses, in which case opening can be tried again.
    pub fn open(
        folder: &Path,
        options: JournalOptions,
        disk: Arc<dyn Disk>,
    ) -> Result<(Journal, Recovery), JournalError> {
        disk.create_folder(folder)
            .map_err(|error| JournalError::io("create", folder, error))?;
        let folder_lock = lock(disk.as_ref(), folder)?;
        let Recovered {
            identity,
            sealed,
            recovery,
        } = recovery::recover(disk.as_ref(), folder)?;
        let shared = Arc::new(Shared::new(folder, options, disk, identity, sealed));
        let sync_thread = Mutex::new(Some(syncer::start(&shared, folder_lock)?));
        Ok((
            Journal {
                open: Arc::new(Open { shared, sync_thread }),
            },
            recovery,
        ))
    }

    /// 32 hexadecimal digits, random, made with the folder and kept in it: the writer's name in the lake.
    pub fn id(&self) -> &str {
        &self.shared().id
    }

    /// Appends one record. When this returns, the record survives the end of this process, however it ends; to
    /// survive a power loss it must be [`synced`](Self::synced) as well, which happens in the background.
    ///
    /// # Errors
    /// The record is not in the journal, now or after any crash, and the journal is as before:
    /// [`JournalError::Full`], [`JournalError::DiskFull`], [`JournalError::PayloadTooLarge`], [`JournalError::Closed`],
    /// [`JournalError::Io`]. With [`JournalError::Poisoned`] from a write that could not be taken back, the record may
    /// be found when the journal is opened again; nothing more is taken until then.
    pub fn append(&self, payload: &[u8]) -> Result<Position, JournalError> {
        self.append_many(std::iter::once(payload))
    }

    /// Appends all payloads in one write, to one segment. The position is that after the last; that of the journal
    /// so far when there are none. A crash during the call may keep the first few.
    ///
    /// The iterator runs under the journal's lock: it must be quick and must not call the journal.
    ///
    /// # Errors
    /// As [`append`](Self::append), for all payloads alike.
    pub fn append_many<'a>(&self, payloads: impl Iterator<Item = &'a [u8]>) -> Result<Position, JournalError> {
        let shared = self.shared();
        let mut guard = shared.state();
        let state = &mut *guard;
        state.check_open()?;
        let (number, start) = match &state.active {
            Some(active) => (active.number, active.n_bytes),
            None => (state.next_number, 0),
        };
        state.buffer.clear();
        if start == 0 {
            state.buffer.extend_from_slice(&segment::header(number));
        }
        let n_header_bytes = state.buffer.len();
        for payload in payloads {
            if payload.len() > MAX_PAYLOAD_BYTES {
                return Err(JournalError::PayloadTooLarge {
                    n_bytes: payload.len(),
                    limit: MAX_PAYLOAD_BYTES,
                });
            }
            let offset = start + state.buffer.len() as u64;
            segment::push_record(&mut state.buffer, number, offset, payload);
        }
        if state.buffer.len() > n_header_bytes {
            write_buffer(shared, state)?;
        }
        Ok(Position(state.written))
    }

    /// A ticket that resolves once everything up to `position` survives a power loss. The sync begins at once, or as
    /// soon as the one that is running ends.
    pub fn synced(&self, position: Position) -> SyncTicket {
        SyncTicket::new(&self.open.shared, position)
    }

    /// Closes the active segment if it holds records and blocks until every closed segment is durable and so sealed.
    /// Answers the segment it closed, `None` when there was nothing to close.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`] and [`JournalError::Closed`]; records that could not be made durable stay in the
    /// folder and are found when the journal is opened again.
    pub fn seal(&self) -> Result<Option<SegmentNumber>, JournalError> {
        let shared = self.shared();
        let mut state = shared.state();
        state.check_open()?;
        let closed = state.close_active();
        let Some(last) = state.closed.back().map(|segment| segment.number) else {
            return Ok(None);
        };
        state.is_seal_wanted = true;
        shared.work.notify_one();
        while state.closed.front().is_some_and(|oldest| oldest.number <= last) {
            if state.poison.is_some() {
                return state.check_open().map(|()| None);
            }
            state = shared.wait_for_progress(state);
        }
        Ok(closed)
    }

    /// The sealed segments, oldest first: those found when the journal was opened, and those filled or sealed since.
    /// The lake must take them in this order.
    pub fn sealed(&self) -> Vec<SegmentNumber> {
        self.shared().state().sealed.keys().copied().collect()
    }

    /// The records of a sealed segment, in the order they were appended. Reads the whole file.
    ///
    /// # Errors
    /// [`JournalError::NotSealed`], [`JournalError::NoSuchSegment`]; [`JournalError::DamagedSegment`] when the file
    /// no longer holds what was checked when it was opened or written; [`JournalError::Closed`], [`JournalError::Io`].
    pub fn read(&self, segment: SegmentNumber) -> Result<Records, JournalError> {
        self.reading(segment)?.at_once()
    }

    /// Begins to [`read`](Self::read) a segment piece by piece, as one that will be released next: the operating system need not
    /// remember it.
    ///
    /// # Errors
    /// [`JournalError::NotSealed`], [`JournalError::NoSuchSegment`], [`JournalError::Closed`].
    pub fn reading(&self, segment: SegmentNumber) -> Result<Reading<'_>, JournalError> {
        let shared = self.shared();
        let n_bytes = shared.state().sealed_bytes(segment)?;
        let n_bytes = n_bytes.ok_or(JournalError::NoSuchSegment { segment })?;
        Ok(Reading::new(
            shared.disk.as_ref(),
            shared.segment_path(segment),
            segment,
            n_bytes,
        ))
    }

    /// Removes a sealed segment for good. Its number is never given again. Releasing a segment twice is fine.
    ///
    /// A power loss right after an error may bring the segment back at the next open; that it was taken already is
    /// for the lake to notice, by its number.
    ///
    /// # Errors
    /// [`JournalError::NotSealed`]; [`JournalError::NoSuchSegment`] for a number not given yet;
    /// [`JournalError::Closed`]; [`JournalError::DiskFull`] and [`JournalError::Io`], after which the release can be
    /// tried again.
    pub fn release(&self, segment: SegmentNumber) -> Result<(), JournalError> {
        let shared = self.shared();
        let mut identity = shared.identity.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = shared.state();
        if state.sealed_bytes(segment)?.is_none() {
            return Ok(());
        }
        let next = state.next_number;
        drop(state);
        if identity.next <= segment {
            let mut raised = identity.clone();
            raised.next = next;
            raised.store(shared.disk.as_ref(), &shared.folder)?;
            *identity = raised;
        }
        let path = shared.segment_path(segment);
        remove_if_there(shared.disk.as_ref(), &path).map_err(|error| JournalError::io("remove", &path, error))?;
        let folder = &shared.folder;
        shared
            .disk
            .sync_folder(folder)
            .map_err(|error| JournalError::io("sync", folder, error))?;
        state = shared.state();
        state.n_bytes -= state.sealed.remove(&segment).unwrap_or(0);
        Ok(())
    }

    /// Figures about the journal now.
    pub fn status(&self) -> JournalStatus {
        let state = self.shared().state();
        let has_active = state.active.as_ref().is_some_and(|active| active.n_bytes > 0);
        JournalStatus {
            n_bytes: state.n_bytes,
            max_bytes: self.shared().options.max_bytes,
            n_segments: state.sealed.len() + state.closed.len() + usize::from(has_active),
            n_sealed: state.sealed.len(),
            n_unsynced_bytes: state.written - state.synced,
            poisoned: state.poison.as_ref().map(|reason| reason.to_string()),
        }
    }

    /// Syncs what is written, stops the sync thread and gives the folder free, also when there are other clones:
    /// they answer [`JournalError::Closed`] from then on. Dropping the last clone does the same, in silence.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`] when something that was appended could not be made durable.
    pub fn close(self) -> Result<(), JournalError> {
        self.open.close();
        let state = self.shared().state();
        state.durability(state.written).unwrap_or(Ok(()))
    }

    fn shared(&self) -> &Shared {
        &self.open.shared
    }
}

impl Open {
    fn close(&self) {
        self.shared.state().is_closing = true;
        self.shared.work.notify_one();
        // A release that is under way still works in the folder; the next one is refused.
        drop(self.shared.identity.lock());
        let mut sync_thread = self.sync_thread.lock().unwrap_or_else(PoisonError::into_inner);
        // The sync thread itself drops the last clone when a task that it wakes owned that; it must not join itself.
        if let Some(handle) = sync_thread.take_if(|handle| handle.thread().id() != thread::current().id())
            && handle.join().is_err()
        {
            tracing::error!(journal = %self.shared.id, "the sync thread panicked");
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    /// The length of a segment that is sealed now; `None` when it has been released.
    fn sealed_bytes(&self, segment: SegmentNumber) -> Result<Option<u64>, JournalError> {
        if self.is_closing {
            return Err(JournalError::Closed);
        }
        let is_unsealed = self
            .closed
            .iter()
            .chain(&self.active)
            .any(|open| open.number == segment);
        match segment {
            _ if is_unsealed => Err(JournalError::NotSealed { segment }),
            _ if segment >= self.next_number => Err(JournalError::NoSuchSegment { segment }),
            _ => Ok(self.sealed.get(&segment).copied()),
        }
    }
}

fn lock(disk: &dyn Disk, folder: &Path) -> Result<Box<dyn Send + Sync>, JournalError> {
    let path = folder.join(LOCK_NAME);
    disk.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => JournalError::Locked {
            folder: folder.to_path_buf(),
        },
        _ => JournalError::io("lock", &path, error),
    })
}

/// Writes the buffer to the active segment, which is created first when there is none, and accounts for it. After an
/// error nothing of it is in the file.
fn write_buffer(shared: &Shared, state: &mut State) -> Result<(), JournalError> {
    let n_bytes = state.buffer.len() as u64;
    let JournalOptions {
        segment_bytes,
        max_bytes: limit,
        ..
    } = shared.options;
    if state.n_bytes.saturating_add(n_bytes) > limit {
        return Err(JournalError::Full {
            limit,
            used: state.n_bytes,
        });
    }
    let mut active = match state.active.take() {
        Some(active) => active,
        None => create_segment(shared, state)?,
    };
    let written = active.file.append(&state.buffer);
    state.buffer.shrink_to(KEPT_BUFFER_BYTES);
    if let Err(error) = written {
        let refusal = take_back(shared, state, &active, error);
        state.active = Some(active);
        return Err(refusal);
    }
    active.n_bytes += n_bytes;
    state.n_bytes += n_bytes;
    state.written += n_bytes;
    let is_full = active.n_bytes >= segment_bytes;
    state.active = Some(active);
    if is_full {
        state.close_active();
    }
    if std::mem::take(&mut state.is_idle) {
        shared.work.notify_one();
    }
    Ok(())
}

#[cold]
fn create_segment(shared: &Shared, state: &mut State) -> Result<Segment, JournalError> {
    let number = state.next_number;
    let path = shared.segment_path(number);
    let file = shared
        .disk
        .create(&path)
        .map_err(|error| JournalError::io("create", &path, error))?;
    file.reserve(shared.options.segment_bytes);
    state.next_number = number.next();
    state.is_folder_dirty = true;
    Ok(Segment {
        number,
        file,
        n_bytes: 0,
    })
}

/// Removes what a failed write left of a refused append. It is synced too: a sync that ran meanwhile may have made
/// whole records of it durable, and what is refused must not come back after a power loss.
#[cold]
fn take_back(shared: &Shared, state: &mut State, active: &Segment, cause: io::Error) -> JournalError {
    let path = shared.segment_path(active.number);
    match active.file.truncate(active.n_bytes).and_then(|()| active.file.sync()) {
        Ok(()) => JournalError::io("append to", &path, cause),
        Err(error) => {
            let reason = format!(
                "cannot take back a failed write ({cause}) to {}: {error}",
                path.display()
            );
            shared.log_poison(&reason);
            let reason = state.poison(reason);
            // Blocked waiters are told here; the sync thread wakes the asynchronous ones, outside the lock.
            shared.progress.notify_all();
            shared.work.notify_one();
            JournalError::Poisoned { reason }
        }
    }
}
