//! Owns what the requests that one thread answers at a time write to the journal of decisions: one write for all of them.
//!
//! ```text
//! decided ─► joins the group ─► the others that are ready do too ─► the first writes for all ─► each is answered
//! ```
//!
//! A thread that wakes up tends to find several requests. Each is decided and joins the group; when none is left that is
//! ready, whoever came first writes for all, and their answers go out one right after the other, so that a caller
//! with many connections is woken once rather than for each. Nothing is waited for but the thread's own turn: a request
//! that comes alone is a group of one.
//!
//! A group that the journal refuses is no group any more: each member then appends for itself, and has an answer of its own.

use std::cell::RefCell;
use std::future::Future;
use std::iter;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use lakeloop_journal::{JournalError, Position};

use crate::journal::Ledger;

/// A group with so many bytes takes no more members.
const MAX_GROUP_BYTES: usize = 256 << 10;

thread_local! {
    static OPEN: RefCell<Open> = RefCell::default();
}

/// What a thread keeps.
#[derive(Default)]
struct Open {
    /// The group that takes members.
    group: Option<Rc<Group>>,
    /// The memory of the last group's records, for the next.
    spare: Records,
}

/// The records of a group.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    /// Where each record ends in the bytes.
    ends: Vec<usize>,
}

impl Records {
    fn push(&mut self, record: &[u8]) -> usize {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
        self.ends.len() - 1
    }

    fn get(&self, idx: usize) -> &[u8] {
        let start = idx.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[idx]]
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|idx| self.get(idx))
    }

    /// Keeps the memory, within bounds.
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(MAX_GROUP_BYTES);
        self.ends.clear();
    }
}

struct Group {
    /// Where it is written to, to be compared only.
    ledger: *const Ledger,
    state: RefCell<State>,
}

struct State {
    /// Gone once they are written.
    records: Records,
    outcome: Outcome,
    /// Who waits for the outcome.
    wakers: Vec<Waker>,
}

#[derive(Clone, Copy)]
enum Outcome {
    Open,
    Written(Position),
    Refused,
}

/// What a member does when it is asked for the first time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Came first, and lets the others come.
    Opens,
    /// Came first, and writes next.
    Writes,
    /// Came later.
    Waits,
}

/// One record of a group. It resolves once the record is written, with the position of the group's end. A member that is
/// dropped before has the group written at once, so that no record comes to the journal after its request has ended.
#[must_use = "a record is known to be written only when this resolves"]
pub(crate) struct Member<'l> {
    ledger: &'l Ledger,
    group: Rc<Group>,
    idx: usize,
    role: Role,
}

/// Adds a record to the group that is open on this thread, or opens one.
pub(crate) fn join<'l>(ledger: &'l Ledger, record: &[u8]) -> Member<'l> {
    let (group, idx, role) = OPEN.with_borrow_mut(|open| {
        if let Some(group) = open.group.as_ref().filter(|group| group.takes(ledger, record)) {
            let idx = group.state.borrow_mut().records.push(record);
            return (Rc::clone(group), idx, Role::Waits);
        }
        let mut records = std::mem::take(&mut open.spare);
        let idx = records.push(record);
        let group = Rc::new(Group {
            ledger,
            state: RefCell::new(State {
                records,
                outcome: Outcome::Open,
                wakers: Vec::new(),
            }),
        });
        open.group = Some(Rc::clone(&group));
        (group, idx, Role::Opens)
    });
    Member {
        ledger,
        group,
        idx,
        role,
    }
}

impl Group {
    fn takes(&self, ledger: &Ledger, record: &[u8]) -> bool {
        std::ptr::eq(self.ledger, ledger) && self.state.borrow().records.bytes.len() + record.len() <= MAX_GROUP_BYTES
    }

    /// Writes all records, unless that was done; the error only where nobody else waits for it.
    fn write(self: &Rc<Self>, ledger: &Ledger) -> Result<(), JournalError> {
        if !matches!(self.state.borrow().outcome, Outcome::Open) {
            return Ok(());
        }
        // A thread that ends has no group open any more.
        let _ = OPEN.try_with(|open| {
            let mut open = open.borrow_mut();
            open.group.take_if(|open| Rc::ptr_eq(open, self));
        });
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let appended = ledger.append(state.records.iter());
        state.outcome = match &appended {
            Ok(position) => Outcome::Written(*position),
            Err(_) => Outcome::Refused,
        };
        state.wakers.drain(..).for_each(Waker::wake);
        match appended {
            Ok(_) => {
                let mut records = std::mem::take(&mut state.records);
                records.clear();
                let _ = OPEN.try_with(|open| open.borrow_mut().spare = records);
                Ok(())
            }
            Err(error) if state.records.ends.len() == 1 => Err(error),
            Err(_) => Ok(()),
        }
    }
}

impl Future for Member<'_> {
    type Output = Result<Position, JournalError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.role {
            Role::Opens => {
                this.role = Role::Writes;
                // To the end of the thread's queue, where the others are already.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Role::Writes => {
                this.role = Role::Waits;
                if let Err(error) = this.group.write(this.ledger) {
                    return Poll::Ready(Err(error));
                }
            }
            Role::Waits => {}
        }
        let mut state = this.group.state.borrow_mut();
        match state.outcome {
            Outcome::Written(position) => Poll::Ready(Ok(position)),
            Outcome::Refused => Poll::Ready(this.ledger.append(iter::once(state.records.get(this.idx)))),
            Outcome::Open => {
                let waker = context.waker();
                if !state.wakers.iter().any(|known| known.will_wake(waker)) {
                    state.wakers.push(waker.clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        // Its caller has gone, and hears of no error; the others hear for themselves.
        let _ = self.group.write(self.ledger);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Arc;

    use futures::future::join_all;
    use lakeloop_config::Settings;
    use lakeloop_journal::{Disk, FaultDisk, Operation};

    use super::*;
    use crate::journal::Journals;

    fn journals(disk: &FaultDisk) -> Journals {
        let home = tempfile::tempdir().unwrap();
        let settings = Settings::load_with(home.path(), []).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        Journals::open(&settings.journal, &disk, 0).unwrap()
    }

    fn held(ledger: &Ledger) -> Vec<Vec<u8>> {
        ledger.journal.seal().unwrap();
        let segments = ledger.journal.sealed().into_iter();
        let records = segments.map(|segment| ledger.journal.read(segment).unwrap());
        records
            .flat_map(|records| records.iter().map(<[u8]>::to_vec).collect::<Vec<_>>())
            .collect()
    }

    #[tokio::test]
    async fn records_that_come_at_once_are_written_at_once_and_the_next_after_them() {
        let journals = journals(&FaultDisk::new());
        let ledger = &journals.decisions;
        let positions = join_all([b"a", b"b", b"c"].map(|record| join(ledger, record))).await;
        let positions: Vec<Position> = positions.into_iter().map(Result::unwrap).collect();
        assert!(
            positions[0] == positions[1] && positions[1] == positions[2],
            "{positions:?}"
        );
        assert!(join(ledger, b"d").await.unwrap() > positions[0]);
        assert_eq!(held(ledger), [b"a", b"b", b"c", b"d"]);
    }

    #[tokio::test]
    async fn a_record_whose_caller_has_gone_is_written_at_once_with_the_others() {
        for gone in 0..3 {
            let journals = journals(&FaultDisk::new());
            let ledger = &journals.decisions;
            let mut members = Vec::from([b"a", b"b", b"c"].map(|record| join(ledger, record)));
            assert_eq!(ledger.journal.status().n_bytes, 0);
            drop(members.remove(gone));
            assert!(ledger.journal.status().n_bytes > 0);
            for written in join_all(members).await {
                written.unwrap();
            }
            assert_eq!(held(ledger), [b"a", b"b", b"c"]);
        }
    }

    #[tokio::test]
    async fn each_of_a_refused_group_is_judged_by_itself_and_one_alone_once() {
        let disk = FaultDisk::new();
        let journals = journals(&disk);
        let ledger = &journals.decisions;
        disk.fail_after(Operation::Append, 0, ErrorKind::Other);
        disk.fail_after(Operation::Append, 1, ErrorKind::Other);
        let written = join_all([b"a", b"b", b"c"].map(|record| join(ledger, record))).await;
        let is_written: Vec<bool> = written.iter().map(Result::is_ok).collect();
        assert_eq!(is_written, [true, false, true]);
        disk.fail_after(Operation::Append, 0, ErrorKind::Other);
        assert!(join(ledger, b"d").await.is_err());
        assert_eq!(held(ledger), [b"a", b"c"]);
    }

    #[tokio::test]
    async fn a_group_belongs_to_one_journal_and_is_bounded() {
        let journals = journals(&FaultDisk::new());
        let (decisions, outcomes) = (&journals.decisions, &journals.outcomes);
        let large = vec![7; MAX_GROUP_BYTES];
        let members = [
            join(decisions, b"a"),
            join(outcomes, b"b"),
            join(decisions, &large),
            join(decisions, b"c"),
        ];
        for written in join_all(members).await {
            written.unwrap();
        }
        assert_eq!(held(outcomes), [b"b"]);
        assert_eq!(held(decisions), [b"a".as_slice(), &large, b"c"]);
    }
}
