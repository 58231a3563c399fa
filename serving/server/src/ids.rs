//! Owns the ids that the server gives to decisions whose caller chose none.
//!
//! An id is a version 7 UUID, or, for a decision that ranks, a version 8 one of the same layout, so that an outcome of it can be
//! told from its id alone to need a candidate, by any replica and for ever. It holds 48 bits of milliseconds, so that ids sort by time, then a 32-bit count that never repeats
//! within a start of the server short of 2^32 decisions in one millisecond, then 42 bits that are random for each start.
//! Two starts give one id only if they share these random bits, the count and the millisecond. No system call and no lock
//! is needed for an id. That the ids are not secret is fine: they name decisions, they do not guard them.

use std::sync::atomic::{AtomicU32, Ordering};

use lakeloop_domain::Micros;
use uuid::fmt::Hyphenated;
use uuid::{Builder, Uuid, Variant, Version};

/// What the decision that an id names answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// An action or a number.
    Choice,
    /// An order of candidates.
    Ranking,
}

/// True for an id that a server gave to a decision that ranks. Ids from before these had a form of their own, and those
/// that callers chose, are told from no form.
pub(crate) fn names_a_ranking(id: &str) -> bool {
    id.len() == Hyphenated::LENGTH
        && id.as_bytes()[14] == b'8'
        && Uuid::try_parse(id).is_ok_and(|uuid| uuid.get_variant() == Variant::RFC4122)
}

/// Gives ids.
pub(crate) struct DecisionIds {
    start: [u8; 6],
    n_given: AtomicU32,
}

impl DecisionIds {
    /// Begins with fresh random bits.
    pub(crate) fn new() -> Self {
        let random = uuid::Uuid::new_v4().into_bytes();
        Self {
            start: [random[0], random[1], random[2], random[3], random[4], random[5]],
            n_given: AtomicU32::new(0),
        }
    }

    /// The next id. `buffer` holds its text.
    pub(crate) fn next<'b>(&self, now: Micros, named: Named, buffer: &'b mut [u8; Hyphenated::LENGTH]) -> &'b str {
        let [a, b, c, d] = self.n_given.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let [r0, r1, r2, r3, r4, r5] = self.start;
        // A version 7 UUID overwrites the upper half of the first byte and the upper two bits of the third with its
        // version and variant, so the count keeps clear of these two.
        let millis = u64::try_from(now / 1000).unwrap_or(0);
        let version = match named {
            Named::Choice => Version::SortRand,
            Named::Ranking => Version::Custom,
        };
        let uuid =
            Builder::from_unix_timestamp_millis(millis, &[r0, a, r1, b, c, d, r2, r3, r4, r5]).with_version(version);
        uuid.into_uuid().hyphenated().encode_lower(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_different_and_sort_by_time() {
        let ids = DecisionIds::new();
        let mut buffer = [0; Hyphenated::LENGTH];
        let mut seen = HashSet::new();
        for _ in 0..100_000 {
            assert!(seen.insert(ids.next(1_700_000_000_000_000, Named::Choice, &mut buffer).to_owned()));
        }
        let earlier = ids.next(1_700_000_000_000_000, Named::Choice, &mut buffer).to_owned();
        let later = ids.next(1_700_000_000_001_000, Named::Choice, &mut buffer).to_owned();
        assert!(earlier < later);
        assert_eq!(later.len(), 36);
        assert_eq!(later.as_bytes()[14], b'7', "version 7");
    }

    #[test]
    fn the_id_of_a_ranking_says_so() {
        let ids = DecisionIds::new();
        let mut buffer = [0; Hyphenated::LENGTH];
        for _ in 0..1_000 {
            assert!(names_a_ranking(ids.next(
                1_700_000_000_000_000,
                Named::Ranking,
                &mut buffer
            )));
            assert!(!names_a_ranking(ids.next(
                1_700_000_000_000_000,
                Named::Choice,
                &mut buffer
            )));
        }
        for other in [
            "",
            "order-8",
            "0199d0b1-7f00-8000-c000-000000000000",
            "0199d0b17f008000800000000000000000",
            "----------------8-------------------",
        ] {
            assert!(!names_a_ranking(other), "{other}");
        }
    }

    #[test]
    fn no_bit_of_the_count_is_lost() {
        let mut buffer = [0; Hyphenated::LENGTH];
        let mut seen = HashSet::new();
        for bit in 0..32 {
            let ids = DecisionIds {
                start: [0; 6],
                n_given: AtomicU32::new(1 << bit),
            };
            assert!(
                seen.insert(ids.next(0, Named::Choice, &mut buffer).to_owned()),
                "bit {bit}"
            );
        }
    }
}
