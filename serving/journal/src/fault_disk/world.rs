//! Owns what a [`FaultDisk`](super::FaultDisk) holds: the view of processes, the durable view, the faults to come,
//! and what of the first a crash leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::{Crash, Operation};

#[derive(Default)]
pub(super) struct World {
    pub folders: BTreeSet<PathBuf>,
    pub entries: BTreeMap<PathBuf, usize>,
    pub durable_entries: BTreeMap<PathBuf, usize>,
    /// Files by the number that entries and open files know them by.
    pub files: Vec<Content>,
    pub locks: BTreeSet<PathBuf>,
    pub capacity: Option<u64>,
    pub failures: Vec<Failure>,
    pub n_operations: u64,
    pub n_syncs: u64,
    /// The operation at which the power goes.
    pub power_ends_at: Option<u64>,
    pub is_off: bool,
}

#[derive(Clone, Default)]
pub(super) struct Content {
    pub bytes: Vec<u8>,
    pub durable: Vec<u8>,
    /// How many of the durable bytes have not been cut off since; the rest of `bytes` is newer.
    pub n_unchanged: usize,
    /// Whether a sync has failed: the pages count as clean from then on, and later syncs write nothing.
    pub is_stuck: bool,
}

pub(super) struct Failure {
    pub operation: Operation,
    /// How many more of these operations succeed first.
    pub n_before: u64,
    pub kind: io::ErrorKind,
}

impl World {
    pub(super) fn check_power(&self) -> io::Result<()> {
        if self.is_off {
            Err(io::Error::other("the power is off"))
        } else {
            Ok(())
        }
    }

    /// Counts an operation and says whether it may go ahead.
    pub(super) fn begin(&mut self, operation: Operation) -> io::Result<()> {
        self.is_off |= self.power_ends_at.is_some_and(|end| self.n_operations >= end);
        self.n_operations += 1;
        self.check_power()?;
        let Some(index) = self.failures.iter().position(|failure| failure.operation == operation) else {
            return Ok(());
        };
        match self.failures[index].n_before {
            0 => Err(self.failures.remove(index).kind.into()),
            _ => {
                self.failures[index].n_before -= 1;
                Ok(())
            }
        }
    }

    /// What a crash leaves, on a disk without faults, limits or locks.
    pub(super) fn after(&self, crash: Crash) -> World {
        match crash {
            Crash::Process => World {
                folders: self.folders.clone(),
                entries: self.entries.clone(),
                durable_entries: self.durable_entries.clone(),
                files: self.files.clone(),
                ..World::default()
            },
            Crash::Power => self.survivors(|_, durable| durable, |content| content.durable.clone()),
            Crash::PowerKeepingSome { seed } => {
                let (mut coins, mut lengths) = (Dice(seed), Dice(!seed));
                self.survivors(
                    |seen, durable| if coins.roll(2) == 0 { seen } else { durable },
                    |content| content.torn(&mut lengths),
                )
            }
        }
    }

    pub(super) fn file_at(&self, path: &Path) -> io::Result<usize> {
        self.entries
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.entries
            .values()
            .map(|file| self.files[*file].bytes.len() as u64)
            .sum()
    }

    /// A new world of the entries and contents that the two functions choose. For each name, the first is given the
    /// file that processes see under it and the durable one.
    fn survivors(
        &self,
        mut choose: impl FnMut(Option<usize>, Option<usize>) -> Option<usize>,
        mut content: impl FnMut(&Content) -> Vec<u8>,
    ) -> World {
        let paths: BTreeSet<&PathBuf> = self.entries.keys().chain(self.durable_entries.keys()).collect();
        let mut next = World {
            folders: self.folders.clone(),
            ..World::default()
        };
        for path in paths {
            let (seen, durable) = (self.entries.get(path).copied(), self.durable_entries.get(path).copied());
            if let Some(file) = choose(seen, durable) {
                next.entries.insert(path.clone(), next.files.len());
                next.files.push(Content::durable(content(&self.files[file])));
            }
        }
        next.durable_entries = next.entries.clone();
        next
    }
}

impl Content {
    pub(super) fn durable(bytes: Vec<u8>) -> Content {
        Content {
            n_unchanged: bytes.len(),
            durable: bytes.clone(),
            bytes,
            is_stuck: false,
        }
    }

    /// The durable bytes and some of what was written after them: up to a length, and of that not every sector.
    fn torn(&self, dice: &mut Dice) -> Vec<u8> {
        const SECTOR_BYTES: usize = 512;
        if self.bytes.len() <= self.n_unchanged || dice.roll(4) == 0 {
            return self.durable.clone();
        }
        let n_new = self.bytes.len() - self.n_unchanged;
        let mut torn = self.bytes[..self.n_unchanged + dice.roll(n_new + 1)].to_vec();
        for sector in torn[self.n_unchanged..].chunks_mut(SECTOR_BYTES) {
            if dice.roll(8) == 0 {
                sector.fill(0);
            }
        }
        torn
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): enough to choose what survives, the same for the same seed.
struct Dice(u64);

impl Dice {
    /// A number below `n_sides`, which is not 0.
    fn roll(&mut self, n_sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % n_sides as u64) as usize
    }
}
