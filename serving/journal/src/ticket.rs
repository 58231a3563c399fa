//! Owns waiting for durability, in asynchronous and in blocking code.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::JournalError;
use crate::state::Shared;

/// How far a journal has been written: a number of bytes since it was opened. A position says nothing about another
/// journal, nor about the same folder opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub(crate) u64);

/// Resolves once a position is durable, or with [`JournalError::Poisoned`] once it is known that it never will be.
///
/// Await it, or block on [`wait`](Self::wait). The sync it asks for happens also when the ticket is dropped.
#[must_use = "a ticket says nothing until it is awaited or waited for"]
pub struct SyncTicket {
    shared: Arc<Shared>,
    position: u64,
}

impl SyncTicket {
    /// Asks the sync thread for `position`, and answers the ticket that waits for it.
    pub(crate) fn new(shared: &Arc<Shared>, position: Position) -> SyncTicket {
        let mut state = shared.state();
        // A position from elsewhere may lie beyond what was ever written here; nothing can wait for that.
        let position = position.0.min(state.written);
        if position > state.wanted.max(state.synced) {
            state.wanted = position;
            shared.work.notify_one();
        }
        drop(state);
        SyncTicket {
            shared: Arc::clone(shared),
            position,
        }
    }

    /// Blocks this thread until the position is durable.
    pub fn wait(self) -> Result<(), JournalError> {
        let mut state = self.shared.state();
        loop {
            if let Some(outcome) = state.durability(self.position) {
                return outcome;
            }
            state = self.shared.wait_for_progress(state);
        }
    }
}

impl Future for SyncTicket {
    type Output = Result<(), JournalError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.state();
        match state.durability(self.position) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                // The sync thread takes all wakers after each sync, so none stays longer than one sync.
                state.wakers.push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
