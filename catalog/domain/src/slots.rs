//! Exploration slots: the positions of a ranking that are drawn.

use serde::{Deserialize, Serialize};

/// Positions of a ranking, counted from 1, of which exploring fills some: between 1 and [`Slots::LAST`], each once, in
/// ascending order; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Slots(u64);

/// Why some positions are no exploration slots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSlots {
    /// There are none.
    #[error("there is no position; write at least one")]
    None,
    /// A position is too small or too large.
    #[error("{0} is no position from 1 to {last}", last = Slots::LAST)]
    OutOfRange(u32),
    /// A position stands twice.
    #[error("{0} stands here twice; write each position once")]
    Twice(u32),
}

impl Slots {
    /// The last position that can be one.
    pub const LAST: u32 = u64::BITS;

    /// Checks some positions; their order does not matter.
    pub fn new(positions: impl IntoIterator<Item = u32>) -> Result<Self, InvalidSlots> {
        let mut bits = 0_u64;
        for position in positions {
            if !(1..=Self::LAST).contains(&position) {
                return Err(InvalidSlots::OutOfRange(position));
            }
            let bit = 1 << (position - 1);
            if bits & bit != 0 {
                return Err(InvalidSlots::Twice(position));
            }
            bits |= bit;
        }
        if bits == 0 {
            Err(InvalidSlots::None)
        } else {
            Ok(Self(bits))
        }
    }

    /// True when the position, counted from 0, is a slot.
    pub fn has(self, position_idx: usize) -> bool {
        position_idx < Self::LAST as usize && self.0 & (1 << position_idx) != 0
    }

    /// How many of the first positions are slots.
    pub fn within(self, n_positions: usize) -> usize {
        let mask = if n_positions < Self::LAST as usize {
            (1_u64 << n_positions) - 1
        } else {
            u64::MAX
        };
        (self.0 & mask).count_ones() as usize
    }

    /// The largest position.
    pub fn last(self) -> u32 {
        u64::BITS - self.0.leading_zeros()
    }

    /// The positions, counted from 1, in ascending order.
    pub fn positions(self) -> impl Iterator<Item = u32> {
        (1..=Self::LAST).filter(move |position| self.has(*position as usize - 1))
    }
}

impl TryFrom<Vec<u32>> for Slots {
    type Error = InvalidSlots;

    fn try_from(positions: Vec<u32>) -> Result<Self, InvalidSlots> {
        Self::new(positions)
    }
}

impl From<Slots> for Vec<u32> {
    fn from(slots: Slots) -> Self {
        slots.positions().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_kept_in_order_and_counted() {
        let slots = Slots::new([64, 3, 6]).unwrap();
        assert_eq!(Vec::<u32>::from(slots), [3, 6, 64]);
        assert_eq!(slots.last(), 64);
        assert_eq!(
            [0, 2, 3, 5, 6, 63, 64, 1000].map(|n| slots.within(n)),
            [0, 0, 1, 1, 2, 2, 3, 3]
        );
        assert!(slots.has(2) && slots.has(63) && !slots.has(0) && !slots.has(64));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        assert_eq!(Slots::new([]), Err(InvalidSlots::None));
        assert_eq!(Slots::new([3, 0]), Err(InvalidSlots::OutOfRange(0)));
        assert_eq!(Slots::new([65]), Err(InvalidSlots::OutOfRange(65)));
        assert_eq!(Slots::new([2, 3, 2]), Err(InvalidSlots::Twice(2)));
    }
}
