//! Owns the counting behind caps: what was taken, and which actions that leaves blocked at a moment.
//!
//! ```text
//! reserve ──► blocked actions ──► decide ──► settle on the action ──► keep (it is logged) or give back (it is not)
//! ```
//!
//! [`Counters::reserve`] sets aside the most that any action which is not blocked would take, before anything is drawn.
//! So of any number of decisions that are made at once none takes what another one has, what is blocked does not depend on
//! a draw, and the propensities that follow are exact. [`Counters::settle`] gives back at once what the action chosen does not
//! take.
//!
//! What is guaranteed, for instants `at` in any order, where they lie less than one period behind the newest one seen; for an
//! earlier instant everything is blocked, because what was counted then may be forgotten:
//!
//! - *per unit*: in no period of the declared length, wherever it begins, more than the limit is taken for a unit. Each
//!   taking is remembered with its instant (a sliding window log), and one more fits when fewer than the limit lie
//!   closer to it than the length.
//! - *resource*: in no clock period more than the limit is used.
//! - *share of traffic*: in each clock hour, after each decision that is kept, no larger share is taken than the declared one of
//!   those kept so far.
//!
//! Pure: no clock, no lock. At most `max_entries` takings are remembered; where there is no room every unit that would need it
//! is blocked.

use std::collections::{HashMap, VecDeque};

use lakeloop_domain::{Caps, Micros, UnitCap};

use crate::draw::draw;
use periods::Periods;
pub use terms::{Blocked, CapKind, CapTerms};

mod periods;
mod terms;

/// Which of the servers that share the caps counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which one, from 0.
    pub idx: u32,
    /// Of how many, at least 1.
    pub of: u32,
}

impl Share {
    /// One server that has the caps for itself.
    pub const WHOLE: Self = Self { idx: 0, of: 1 };

    /// This server's share of a limit: all shares add up to the limit. `turn` moves what is left over from server to server.
    fn part_of(self, limit: u64, turn: u64) -> u64 {
        let of = u64::from(self.of.max(1));
        let place = (u64::from(self.idx) + of - turn % of) % of;
        limit / of + u64::from(place < limit % of)
    }

    /// The server at which the share-out of a unit's limit begins.
    fn turn_of(self, unit: &str) -> u64 {
        if self.of <= 1 {
            return 0;
        }
        (draw("caps", unit, 0) * f64::from(self.of)) as u64
    }
}

/// What one decision has set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Hold {
    at: Micros,
    unit: bool,
    share: bool,
    /// Of each resource.
    amounts: Vec<u64>,
}

/// What was taken under some caps.
#[derive(Debug)]
pub struct Counters {
    terms: CapTerms,
    server: Share,
    max_entries: usize,
    /// The newest instant seen.
    newest: Micros,
    /// For each unit the instants of its takings, in order.
    units: HashMap<Box<str>, VecDeque<Micros>>,
    n_entries: usize,
    /// When the old entries of all units were looked for last.
    swept: Micros,
    /// Takings of before this instant may be missing for want of room.
    lacking_until: Micros,
    used: Vec<Periods<u64>>,
    traffic: Periods<Traffic>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Traffic {
    n_kept: u64,
    n_taken: u64,
}

impl Counters {
    /// Nothing was taken yet.
    pub fn new(terms: CapTerms, server: Share, max_entries: usize) -> Self {
        Self {
            used: terms
                .resources
                .iter()
                .map(|resource| Periods::new(resource.every_us))
                .collect(),
            traffic: Periods::new(Caps::SHARE_PERIOD_US),
            terms,
            server,
            max_entries,
            newest: Micros::MIN,
            units: HashMap::new(),
            n_entries: 0,
            swept: Micros::MIN,
            lacking_until: Micros::MIN,
        }
    }

    /// The caps that are counted.
    pub fn terms(&self) -> &CapTerms {
        &self.terms
    }

    /// How many takings are remembered.
    pub fn n_entries(&self) -> usize {
        self.n_entries
    }

    /// Counts a decision from before: it took `action_idx`, whether there was room or not.
    pub fn restore(&mut self, unit: &str, at: Micros, action_idx: usize) {
        self.newest = self.newest.max(at);
        let mut hold = self.nothing(at);
        self.settle(unit, &mut hold, action_idx);
    }

    /// Sets aside what a decision for `unit` at this instant may take, and says what it may not.
    pub fn reserve(&mut self, unit: &str, at: Micros) -> (Hold, Blocked) {
        self.newest = self.newest.max(at);
        let for_all = self.unit_block(unit, at).or_else(|| self.share_block(at));
        let mut blocked = Blocked::default();
        let mut hold = self.nothing(at);
        let takings: Vec<usize> = self.terms.takings().collect();
        for action_idx in takings {
            match for_all.or_else(|| self.resource_block(action_idx, at)) {
                Some(by) => {
                    blocked.actions.push(u32::try_from(action_idx).unwrap_or(u32::MAX));
                    blocked.by.push(by);
                }
                None => {
                    hold.unit = self.terms.per_unit.is_some();
                    hold.share = self.terms.traffic_share.is_some();
                    for (amount, resource) in hold.amounts.iter_mut().zip(&self.terms.resources) {
                        *amount = (*amount).max(resource.uses[action_idx]);
                    }
                }
            }
        }
        let nothing = self.nothing(at);
        self.change(unit, &nothing, &hold);
        (hold, blocked)
    }

    /// Takes what the action takes and gives the rest back. An action that was blocked is taken for all the same, for it is not
    /// always the policy that decides.
    pub fn settle(&mut self, unit: &str, hold: &mut Hold, action_idx: usize) {
        let mut needed = self.nothing(hold.at);
        if action_idx != self.terms.default_idx {
            needed.unit = self.terms.per_unit.is_some();
            needed.share = self.terms.traffic_share.is_some();
            for (amount, resource) in needed.amounts.iter_mut().zip(&self.terms.resources) {
                *amount = resource.uses.get(action_idx).copied().unwrap_or(0);
            }
        }
        if needed.unit && !hold.unit && self.n_entries >= self.max_entries {
            let every_us = self.terms.per_unit.map_or(0, |cap| cap.every_us);
            self.lacking_until = self.lacking_until.max(hold.at.saturating_add(every_us));
            needed.unit = false;
        }
        self.change(unit, hold, &needed);
        *hold = needed;
    }

    /// The decision is logged: it counts as one of the traffic.
    pub fn keep(&mut self, hold: &Hold) {
        if let Some(traffic) = self.traffic.at(hold.at) {
            traffic.n_kept += 1;
        }
    }

    /// The decision is not logged: everything is as before.
    pub fn give_back(&mut self, unit: &str, hold: &Hold) {
        let nothing = self.nothing(hold.at);
        self.change(unit, hold, &nothing);
    }

    fn nothing(&self, at: Micros) -> Hold {
        Hold {
            at,
            unit: false,
            share: false,
            amounts: vec![0; self.terms.resources.len()],
        }
    }

    fn unit_block(&mut self, unit: &str, at: Micros) -> Option<CapKind> {
        let UnitCap { limit, every_us } = self.terms.per_unit?;
        if at <= self.newest.saturating_sub(every_us) {
            return Some(CapKind::Unknown);
        }
        let (from, to) = (at.saturating_sub(every_us), at.saturating_add(every_us));
        let near = self.units.get(unit).map_or(0, |entries| {
            entries.partition_point(|entry| *entry < to) - entries.partition_point(|entry| *entry <= from)
        });
        if near as u64 >= self.server.part_of(u64::from(limit), self.server.turn_of(unit)) {
            return Some(CapKind::PerUnit);
        }
        if self.n_entries >= self.max_entries {
            self.sweep(every_us);
        }
        let has_room = self.n_entries < self.max_entries && at >= self.lacking_until;
        (!has_room).then_some(CapKind::Entries)
    }

    fn share_block(&mut self, at: Micros) -> Option<CapKind> {
        let share = self.terms.traffic_share?;
        let Some(traffic) = self.traffic.at(at) else {
            return Some(CapKind::Unknown);
        };
        let fits = (traffic.n_taken + 1) as f64 <= share * (traffic.n_kept + 1) as f64;
        (!fits).then_some(CapKind::TrafficShare)
    }

    fn resource_block(&mut self, action_idx: usize, at: Micros) -> Option<CapKind> {
        for (resource, used) in self.terms.resources.iter().zip(&mut self.used) {
            let amount = resource.uses[action_idx];
            if amount == 0 {
                continue;
            }
            let Some(used) = used.at(at) else {
                return Some(CapKind::Unknown);
            };
            if used.saturating_add(amount) > self.server.part_of(resource.limit, 0) {
                return Some(CapKind::Resource);
            }
        }
        None
    }

    /// Makes what is set aside `to`, where it was `from`.
    fn change(&mut self, unit: &str, from: &Hold, to: &Hold) {
        let at = to.at;
        match (from.unit, to.unit) {
            (false, true) => self.enter(unit, to.at),
            (true, false) => self.remove(unit, from.at),
            _ => {}
        }
        if from.share != to.share
            && let Some(traffic) = self.traffic.at(to.at)
        {
            let n_taken = traffic.n_taken;
            traffic.n_taken = if to.share {
                n_taken + 1
            } else {
                n_taken.saturating_sub(1)
            };
        }
        for (used, (from, to)) in self.used.iter_mut().zip(from.amounts.iter().zip(&to.amounts)) {
            if from != to
                && let Some(used) = used.at(at)
            {
                *used = used.saturating_sub(*from).saturating_add(*to);
            }
        }
    }

    fn enter(&mut self, unit: &str, at: Micros) {
        let every_us = self.terms.per_unit.map_or(0, |cap| cap.every_us);
        if !self.units.contains_key(unit) {
            self.units.insert(unit.into(), VecDeque::new());
        }
        let forgotten = self.forgotten(every_us);
        if let Some(entries) = self.units.get_mut(unit) {
            while entries.front().is_some_and(|entry| *entry <= forgotten) {
                entries.pop_front();
                self.n_entries -= 1;
            }
            let place = entries.partition_point(|entry| *entry <= at);
            entries.insert(place, at);
            self.n_entries += 1;
        }
    }

    fn remove(&mut self, unit: &str, at: Micros) {
        let Some(entries) = self.units.get_mut(unit) else {
            return;
        };
        if let Ok(place) = entries.binary_search(&at) {
            entries.remove(place);
            self.n_entries -= 1;
        }
        if entries.is_empty() {
            self.units.remove(unit);
        }
    }

    /// Entries up to here matter for no instant that may still come.
    fn forgotten(&self, every_us: i64) -> Micros {
        self.newest.saturating_sub(every_us.saturating_mul(2))
    }

    /// Forgets the old entries of all units; not again before an eighth of the period has passed, so that a full memory
    /// costs little.
    fn sweep(&mut self, every_us: i64) {
        if self.swept > self.newest.saturating_sub(every_us / 8) {
            return;
        }
        self.swept = self.newest;
        let forgotten = self.forgotten(every_us);
        let mut n_entries = 0;
        self.units.retain(|_, entries| {
            while entries.front().is_some_and(|entry| *entry <= forgotten) {
                entries.pop_front();
            }
            n_entries += entries.len();
            !entries.is_empty()
        });
        self.n_entries = n_entries;
    }
}
