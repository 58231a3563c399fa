//! Owns the sync thread: when it syncs, and what follows from success and failure.
//!
//! It sleeps while everything is durable. After the first unsynced write it waits for the interval to pass, or for
//! somebody to wait, whichever comes first; then it syncs all that is written by then. Those who begin to wait
//! while a sync runs share the next one. Appends go on meanwhile: no file operation here happens under the lock.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::error::JournalError;
use crate::state::{Batch, Shared, State};

/// Starts the thread. It holds `folder_lock` for as long as it runs, that is, until the journal is closed.
pub(crate) fn start(shared: &Arc<Shared>, folder_lock: Box<dyn Send + Sync>) -> Result<JoinHandle<()>, JournalError> {
    let shared_there = Arc::clone(shared);
    let run_locked = move || {
        run(&shared_there);
        drop(folder_lock);
    };
    thread::Builder::new()
        .name("journal-sync".to_string())
        .spawn(run_locked)
        .map_err(|error| JournalError::io("start the sync thread of", &shared.folder, error))
}

fn run(shared: &Shared) {
    let mut state = shared.state();
    loop {
        state = wait_for_work(shared, state);
        if !state.is_settled() {
            let batch = state.take_batch();
            drop(state);
            let outcome = sync(shared, &batch);
            state = shared.state();
            match outcome {
                // A sync that overlaps a failure is worth no more than one that follows it.
                Ok(()) if state.poison.is_some() => {}
                Ok(()) => state.settle(&batch),
                Err(reason) => {
                    shared.log_poison(&reason);
                    let _ = state.poison(reason);
                }
            }
        }
        let is_over = state.is_closing && state.is_settled();
        state = announce(shared, state);
        if is_over {
            return;
        }
    }
}

/// Returns when there is something to sync now, somebody to tell, or when the journal closes.
fn wait_for_work<'a>(shared: &Shared, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    while state.is_settled() && state.wakers.is_empty() && !state.is_closing {
        state.is_idle = true;
        state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    state.is_idle = false;
    let interval = shared.options.fsync_interval;
    let waited = shared
        .work
        .wait_timeout_while(state, interval, |state| !state.is_urgent());
    waited.unwrap_or_else(PoisonError::into_inner).0
}

fn sync(shared: &Shared, batch: &Batch) -> Result<(), String> {
    let failed = |what: &str, error: io::Error| format!("cannot sync {what}: {error}");
    for closed in batch.closed() {
        // Segments may wait for the lake for days; each would hold room for a full one.
        if closed.n_bytes < shared.options.segment_bytes {
            closed.file.finish(closed.n_bytes);
        }
    }
    for segment in &batch.segments {
        let path = shared.segment_path(segment.number);
        segment
            .file
            .sync()
            .map_err(|error| failed(&path.display().to_string(), error))?;
    }
    if batch.is_folder_dirty {
        let folder = &shared.folder;
        shared
            .disk
            .sync_folder(folder)
            .map_err(|error| failed(&folder.display().to_string(), error))?;
    }
    Ok(())
}

/// Wakes all who wait, outside the lock: they take it next.
fn announce<'a>(shared: &'a Shared, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    let wakers = std::mem::take(&mut state.wakers);
    drop(state);
    shared.progress.notify_all();
    wakers.into_iter().for_each(|waker| waker.wake());
    shared.state()
}
