//! Owns what the caps of a strategy have counted in this server, from one decision to the next.
//!
//! ```text
//! unknown ──► known: what was taken before, from the lake and the journal     (`cap_history`)
//!    │          │
//!    │          └ reserve ─► decide ─► settle ─► journal ─► keep
//!    │                                    └ refused, or an id that was answered before ─► given back
//!    └ everything but the default is blocked
//! ```
//!
//! The lock is held for the counting alone, never while a model scores or anything is waited for. What a decision has
//! reserved is given back when it is dropped without having been logged. Strategies without caps have none of this.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use lakeloop_decide::caps::{Blocked, CapKind, CapTerms, Counters, Hold};
use lakeloop_domain::{DecisionReason, Micros};
use metrics::Counter;

use crate::hosting::Hosted;

/// The caps of one strategy.
pub(crate) struct CapState {
    terms: CapTerms,
    counting: Mutex<Counting>,
    /// When it was first asked whether these caps are alone.
    asked_at: OnceLock<Instant>,
    /// What decided before these caps were in force, and may not have finished.
    predecessors: OnceLock<Vec<Weak<Hosted>>>,
    /// Decisions that each kind of cap turned into the default.
    capped: OnceLock<[Counter; CapKind::ALL.len()]>,
}

enum Counting {
    /// It is not known what was taken before; only what a rule has taken meanwhile, which caps do not change.
    Unknown(Vec<Taking>),
    Known(Box<Counters>),
}

/// One decision that took.
pub(crate) struct Taking {
    pub(crate) unit: Box<str>,
    pub(crate) at: Micros,
    pub(crate) action_idx: usize,
}

impl CapState {
    /// Caps that block everything but the default until [`fill`](Self::fill).
    pub(crate) fn new(terms: CapTerms) -> Self {
        Self {
            terms,
            counting: Mutex::new(Counting::Unknown(Vec::new())),
            asked_at: OnceLock::new(),
            predecessors: OnceLock::new(),
            capped: OnceLock::new(),
        }
    }

    pub(crate) fn terms(&self) -> &CapTerms {
        &self.terms
    }

    /// Notes what decides until the strategy of these caps is in force.
    pub(crate) fn follow(&self, old: &Arc<Hosted>) {
        let before = old
            .plain()
            .regime
            .caps
            .as_ref()
            .and_then(|caps| caps.predecessors.get());
        let all = before.into_iter().flatten().cloned().chain([Arc::downgrade(old)]);
        // Only the first is what they follow.
        let _ = self.predecessors.set(all.collect());
    }

    /// True when nothing can be journalled any more that was decided before these caps were in force: all requests that
    /// began before have ended, or had as long as a request may take. To be asked once they are in force.
    pub(crate) fn is_alone(&self, request_timeout: Duration) -> bool {
        let waited = self.asked_at.get_or_init(Instant::now).elapsed();
        let mut left = self.predecessors.get().into_iter().flatten();
        waited > request_timeout || left.all(|hosted| hosted.strong_count() == 0)
    }

    pub(crate) fn is_known(&self) -> bool {
        matches!(*self.lock(), Counting::Known(_))
    }

    /// Begins to count from what was taken before.
    pub(crate) fn fill(&self, mut counters: Counters) {
        let mut counting = self.lock();
        if let Counting::Unknown(meanwhile) = &*counting {
            for Taking { unit, at, action_idx } in meanwhile {
                counters.restore(unit, *at, *action_idx);
            }
        }
        *counting = Counting::Known(Box::new(counters));
    }

    /// Counts capped decisions by kind of cap.
    pub(crate) fn count_with(&self, capped: impl FnOnce() -> [Counter; CapKind::ALL.len()]) {
        self.capped.get_or_init(capped);
    }

    /// Sets aside what a decision may take.
    pub(crate) fn reserve(self: &Arc<Self>, unit: &str, at: Micros) -> Held {
        let (hold, blocked) = match &mut *self.lock() {
            Counting::Known(counters) => {
                let (hold, blocked) = counters.reserve(unit, at);
                (Some(hold), blocked)
            }
            Counting::Unknown(_) => (None, self.terms.all_blocked(CapKind::Unknown)),
        };
        Held {
            state: Arc::clone(self),
            taking: Taking {
                unit: unit.into(),
                at,
                action_idx: self.terms.default_idx(),
            },
            hold,
            blocked,
            is_capped: false,
        }
    }

    /// A panic elsewhere cannot leave the counters half changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one decision has set aside; it is given back when this is dropped.
pub(crate) struct Held {
    state: Arc<CapState>,
    taking: Taking,
    /// `None` when nothing is to be given back.
    hold: Option<Hold>,
    blocked: Blocked,
    is_capped: bool,
}

impl Held {
    /// The positions of the actions that are blocked.
    pub(crate) fn blocked(&self) -> &[u32] {
        &self.blocked.actions
    }

    /// Gives back what the action does not take.
    pub(crate) fn settle(&mut self, action_idx: usize, reason: DecisionReason) {
        self.taking.action_idx = action_idx;
        self.is_capped = reason == DecisionReason::Capped;
        if let (Some(hold), Counting::Known(counters)) = (&mut self.hold, &mut *self.state.lock()) {
            counters.settle(&self.taking.unit, hold, action_idx);
        }
    }

    /// The decision is logged.
    pub(crate) fn keep(mut self) {
        let is_taken = self.taking.action_idx != self.state.terms.default_idx();
        let Taking { unit, at, action_idx } = &self.taking;
        match (self.hold.take(), &mut *self.state.lock()) {
            (Some(hold), Counting::Known(counters)) => counters.keep(&hold),
            (None, Counting::Known(counters)) if is_taken => counters.restore(unit, *at, *action_idx),
            (None, Counting::Unknown(meanwhile)) if is_taken => meanwhile.push(Taking {
                unit: unit.clone(),
                at: *at,
                action_idx: *action_idx,
            }),
            _ => {}
        }
        if let (true, Some(by), Some(capped)) = (self.is_capped, self.blocked.by.first(), self.state.capped.get()) {
            capped[*by as usize].increment(1);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let (Some(hold), Counting::Known(counters)) = (self.hold.take(), &mut *self.state.lock()) {
            counters.give_back(&self.taking.unit, &hold);
        }
    }
}
