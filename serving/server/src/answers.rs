//! Owns the answers to decisions whose id the caller chose, so that a repeat gets the first answer.
//!
//! The guarantee: among the last `idempotency_entries` decisions with an id chosen by the caller, an id that comes again
//! gets the answer that it got first, byte for byte; nothing is decided or logged a second time. That holds
//!
//! - for repeats that come one after the other, and for those that come at once: looking an id up, appending its decision
//!   to the journal and remembering its answer are one step under one lock;
//! - across restarts, clean or not: the map is filled again from the newest rows of the `decisions` table and from the
//!   journal's segments that had not reached it. These rows also hold ids that the server made; one of these that comes
//!   back is treated in the same way as far as the map reaches, while ids that were made since the start are not
//!   remembered, which keeps the common path free of this lock.
//!
//! An id that has left the map is decided anew; the queries over `decisions` then count the first row received.
//! An id belongs to one strategy: the same id for another is a conflict.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::web::Bytes;
use lakeloop_domain::DecisionRecord;
use lakeloop_journal::{JournalError, Position};

use crate::caps::Held;
use crate::problem::Problem;

/// The first answer that a decision id got.
#[derive(Debug, Clone)]
pub(crate) struct First {
    /// The strategy that decided.
    pub(crate) strategy: Arc<str>,
    /// The answer's body.
    pub(crate) answer: Bytes,
    /// Where the decision ends in the journal; `None` for decisions from before the start, which are durable.
    pub(crate) position: Option<Position>,
}

/// A decision that was made but is neither logged nor answered yet.
pub(crate) struct Prepared {
    /// The id, when the caller chose it.
    pub(crate) chosen_id: Option<Arc<str>>,
    /// The strategy that decided.
    pub(crate) strategy: Arc<str>,
    /// The journal's record.
    pub(crate) payload: Vec<u8>,
    /// The answer's body.
    pub(crate) answer: Vec<u8>,
    /// What it has set aside of its strategy's caps; given back unless it is logged.
    pub(crate) held: Option<Held>,
}

/// The remembered answers.
pub(crate) struct Answers {
    capacity: usize,
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    by_id: HashMap<Arc<str>, First>,
    /// Oldest first.
    order: VecDeque<Arc<str>>,
}

impl Remembered {
    fn insert(&mut self, id: Arc<str>, first: First, capacity: usize) {
        if capacity == 0 || self.by_id.contains_key(&id) {
            return;
        }
        if self.order.len() >= capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        self.order.push_back(Arc::clone(&id));
        self.by_id.insert(id, first);
    }
}

impl Answers {
    /// Remembers nothing yet, and at most `capacity` answers at any time.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            remembered: Mutex::default(),
        }
    }

    /// How many answers are remembered.
    pub(crate) fn len(&self) -> usize {
        self.lock().order.len()
    }

    /// The first answer of an id, if it is remembered; a conflict when another strategy gave it.
    pub(crate) fn get(&self, id: &str, strategy: &str) -> Result<Option<First>, Problem> {
        match self.lock().by_id.get(id) {
            Some(first) if *first.strategy != *strategy => Err(conflict(id, &first.strategy, strategy)),
            found => Ok(found.cloned()),
        }
    }

    /// The strategy of the decision of an id, if it is remembered.
    pub(crate) fn strategy_of(&self, id: &str) -> Option<Arc<str>> {
        self.lock().by_id.get(id).map(|first| Arc::clone(&first.strategy))
    }

    /// Remembers a decision from before the start, unless an earlier one has its id.
    pub(crate) fn restore(&self, record: &DecisionRecord, answer: Vec<u8>) {
        let first = First {
            strategy: record.strategy.as_str().into(),
            answer: answer.into(),
            position: None,
        };
        self.lock()
            .insert(record.decision_id.as_str().into(), first, self.capacity);
    }

    /// Logs decisions, all in one append, and answers each; one whose id is remembered already, also from earlier in the
    /// same list, is dropped and gets the first answer.
    ///
    /// A conflict, and an append that is refused, leave everything as it was.
    pub(crate) fn commit(
        &self,
        decisions: Vec<Prepared>,
        append: impl FnOnce(&[Prepared]) -> Result<Position, JournalError>,
    ) -> Result<Vec<First>, Problem> {
        let mut remembered = self.lock();
        let mut fresh: Vec<Prepared> = Vec::with_capacity(decisions.len());
        let mut places: Vec<Place> = Vec::with_capacity(decisions.len());
        let mut fresh_by_id: HashMap<Arc<str>, usize> = HashMap::new();
        for decision in decisions {
            let Some(id) = &decision.chosen_id else {
                places.push(Place::Fresh(fresh.len()));
                fresh.push(decision);
                continue;
            };
            if let Some(first) = remembered.by_id.get(id) {
                if first.strategy != decision.strategy {
                    return Err(conflict(id, &first.strategy, &decision.strategy));
                }
                places.push(Place::Known(first.clone()));
            } else if let Some(&idx) = fresh_by_id.get(id) {
                if fresh[idx].strategy != decision.strategy {
                    return Err(conflict(id, &fresh[idx].strategy, &decision.strategy));
                }
                places.push(Place::Fresh(idx));
            } else {
                fresh_by_id.insert(Arc::clone(id), fresh.len());
                places.push(Place::Fresh(fresh.len()));
                fresh.push(decision);
            }
        }
        let position = match fresh.is_empty() {
            true => None,
            false => Some(append(&fresh)?),
        };
        let answered: Vec<First> = fresh
            .into_iter()
            .map(|decision| {
                if let Some(held) = decision.held {
                    held.keep();
                }
                let first = First {
                    strategy: decision.strategy,
                    answer: decision.answer.into(),
                    position,
                };
                if let Some(id) = decision.chosen_id {
                    remembered.insert(id, first.clone(), self.capacity);
                }
                first
            })
            .collect();
        Ok(places
            .into_iter()
            .map(|place| match place {
                Place::Known(first) => first,
                Place::Fresh(idx) => answered[idx].clone(),
            })
            .collect())
    }

    /// A panic elsewhere cannot leave the map half changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a decision's answer comes from.
enum Place {
    /// It was given before.
    Known(First),
    /// It is given now, at this position of the fresh ones.
    Fresh(usize),
}

fn conflict(id: &str, first: &str, asked: &str) -> Problem {
    Problem::Conflict {
        detail: format!(
            "decision id `{id}` belongs to a decision of strategy `{first}`; choose another id to decide `{asked}`"
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn prepared(id: Option<&str>, strategy: &str, answer: &str) -> Prepared {
        Prepared {
            chosen_id: id.map(Arc::from),
            strategy: strategy.into(),
            payload: answer.into(),
            answer: answer.into(),
            held: None,
        }
    }

    /// A journal that takes everything and remembers it.
    struct Log {
        journal: lakeloop_journal::Journal,
        payloads: Vec<Vec<u8>>,
        _folder: tempfile::TempDir,
    }

    impl Log {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let options = lakeloop_journal::JournalOptions {
                segment_bytes: 1 << 20,
                max_bytes: 1 << 20,
                fsync_interval: std::time::Duration::from_secs(1),
            };
            let disk = Arc::new(lakeloop_journal::OsDisk);
            let (journal, _) = lakeloop_journal::Journal::open(&folder.path().join("j"), options, disk).unwrap();
            Self {
                journal,
                payloads: Vec::new(),
                _folder: folder,
            }
        }

        fn commit(&mut self, answers: &Answers, decisions: Vec<Prepared>) -> Result<Vec<String>, Problem> {
            let firsts = answers.commit(decisions, |fresh| {
                self.payloads
                    .extend(fresh.iter().map(|decision| decision.payload.clone()));
                self.journal
                    .append_many(fresh.iter().map(|decision| decision.payload.as_slice()))
            })?;
            Ok(firsts
                .iter()
                .map(|first| String::from_utf8(first.answer.to_vec()).unwrap())
                .collect())
        }
    }

    #[test]
    fn a_repeat_gets_the_first_answer_and_is_not_logged() {
        let answers = Answers::new(10);
        let mut log = Log::new();
        let first = log.commit(&answers, vec![prepared(Some("a"), "s", "1"), prepared(None, "s", "2")]);
        assert_eq!(first.unwrap(), ["1", "2"]);
        let again = vec![
            prepared(Some("b"), "s", "3"),
            prepared(Some("a"), "s", "4"),
            prepared(Some("b"), "s", "5"),
        ];
        assert_eq!(log.commit(&answers, again).unwrap(), ["3", "1", "3"]);
        assert_eq!(log.payloads, [b"1", b"2", b"3"]);
        assert_eq!(answers.len(), 2);
    }

    #[test]
    fn a_conflict_leaves_everything_as_it_was() {
        let answers = Answers::new(10);
        let mut log = Log::new();
        log.commit(&answers, vec![prepared(Some("a"), "s", "1")]).unwrap();
        for batch in [
            vec![prepared(Some("b"), "s", "2"), prepared(Some("a"), "t", "3")],
            vec![prepared(Some("b"), "s", "2"), prepared(Some("b"), "t", "3")],
        ] {
            assert!(matches!(log.commit(&answers, batch), Err(Problem::Conflict { .. })));
        }
        assert_eq!(log.payloads.len(), 1);
        assert!(answers.get("b", "s").unwrap().is_none());
        assert!(answers.get("a", "t").is_err());
    }

    #[test]
    fn an_append_that_is_refused_is_not_remembered() {
        let answers = Answers::new(10);
        let refused = answers.commit(vec![prepared(Some("a"), "s", "1")], |_| Err(JournalError::Closed));
        assert!(refused.is_err());
        assert_eq!(answers.len(), 0);
    }

    #[test]
    fn the_oldest_answer_leaves_first() {
        let answers = Answers::new(2);
        let mut log = Log::new();
        for id in ["a", "b", "c"] {
            log.commit(&answers, vec![prepared(Some(id), "s", id)]).unwrap();
        }
        let knows = |id: &str| answers.get(id, "s").unwrap().is_some();
        assert_eq!(["a", "b", "c"].map(knows), [false, true, true]);
    }
}
