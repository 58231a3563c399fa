//! Owns what bears on a strategy's decisions besides its bundle: its caps, and the step of its ladder.
//!
//! All of it outlives a swap of models: the strategy without its model and the one with it share it. A new blueprint keeps
//! the counters of its caps where these mean the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use lakeloop_decide::caps::CapTerms;
use lakeloop_domain::{Blueprint, LadderStep};

use crate::caps::CapState;

/// The caps and the ladder of one strategy, where it has them.
#[derive(Clone, Default)]
pub(crate) struct Regime {
    pub(crate) caps: Option<Arc<CapState>>,
    ladder: Option<Arc<AtomicU8>>,
}

impl Regime {
    /// That of a blueprint that follows another one, or none, and stands on this step.
    pub(crate) fn of(blueprint: &Blueprint, before: Option<&Self>, step: LadderStep) -> Self {
        let caps = CapTerms::of(blueprint).map(|terms| {
            let same = before.and_then(|before| before.caps.as_ref());
            let same = same.filter(|caps| *caps.terms() == terms).map(Arc::clone);
            same.unwrap_or_else(|| Arc::new(CapState::new(terms)))
        });
        let ladder = blueprint.ladder.map(|_| Arc::new(AtomicU8::new(step as u8)));
        Self { caps, ladder }
    }

    /// Where the strategy stands now; `None` without a ladder.
    #[inline]
    pub(crate) fn step(&self) -> Option<LadderStep> {
        let step = self.ladder.as_ref()?.load(Ordering::Relaxed);
        LadderStep::ALL.get(usize::from(step)).copied()
    }

    /// Puts the strategy on a step, where it has a ladder: the next decision is made there.
    pub(crate) fn stand_on(&self, step: LadderStep) {
        if let Some(ladder) = &self.ladder {
            ladder.store(step as u8, Ordering::Relaxed);
        }
    }
}
