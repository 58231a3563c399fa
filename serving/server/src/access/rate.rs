//! Owns how often one key may be used: a bucket that holds one second's worth and refills evenly.
//!
//! It is the generic cell rate algorithm (ITU-T I.371): what is kept is only the instant at which the bucket will be full
//! again, so that a request is one compare-and-swap and there is nothing to refill. Time is passed in, in nanoseconds since any
//! fixed instant; it may go back between threads a little, which costs nothing but that little.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a full bucket is worth.
const BURST_NS: u64 = 1_000_000_000;

/// A bucket.
#[derive(Debug)]
pub(crate) struct Rate {
    max_per_second: NonZeroU32,
    /// What one request is worth.
    cost_ns: u64,
    /// When the bucket is full again.
    full_at_ns: AtomicU64,
}

impl Rate {
    /// A full bucket.
    pub(crate) fn new(max_per_second: NonZeroU32) -> Self {
        Self {
            max_per_second,
            cost_ns: BURST_NS / u64::from(max_per_second.get()),
            full_at_ns: AtomicU64::new(0),
        }
    }

    /// The bound that it keeps.
    pub(crate) fn max_per_second(&self) -> NonZeroU32 {
        self.max_per_second
    }

    /// Takes one request's worth; when there is none, says how long until there is.
    pub(crate) fn take(&self, now_ns: u64) -> Result<(), Duration> {
        let next = |full_at_ns: u64| {
            let full_at_ns = full_at_ns.max(now_ns) + self.cost_ns;
            (full_at_ns <= now_ns + BURST_NS).then_some(full_at_ns)
        };
        match self.full_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => Ok(()),
            Err(full_at_ns) => Err(Duration::from_nanos(full_at_ns + self.cost_ns - BURST_NS - now_ns)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(max_per_second: u32) -> Rate {
        Rate::new(NonZeroU32::new(max_per_second).unwrap())
    }

    #[test]
    fn a_burst_is_one_second_s_worth_and_then_one_comes_at_a_time() {
        let rate = rate(4);
        let at = |now_ns| rate.take(now_ns);
        assert_eq!([at(SECOND), at(SECOND), at(SECOND), at(SECOND)], [Ok(()); 4]);
        assert_eq!(at(SECOND), Err(Duration::from_millis(250)));
        assert_eq!(at(SECOND + 100_000_000), Err(Duration::from_millis(150)));
        assert_eq!(at(SECOND + 250_000_000), Ok(()));
        assert_eq!(at(SECOND + 250_000_000), Err(Duration::from_millis(250)));
        // A refusal costs nothing, and rest never fills it beyond its size.
        assert_eq!(
            [at(99 * SECOND), at(99 * SECOND), at(99 * SECOND), at(99 * SECOND)],
            [Ok(()); 4]
        );
        assert!(at(99 * SECOND).is_err());
    }

    #[test]
    fn over_any_time_no_more_than_the_rate_and_one_burst_pass() {
        for max in [1, 7, 50, 1000] {
            let rate = rate(max);
            // Ten seconds, a request every 400 µs.
            let n_passed = (0..25_000).filter(|n| rate.take(n * 400_000).is_ok()).count() as u32;
            let most = 10 * max + max;
            assert!(n_passed <= most && n_passed >= 10 * max, "{n_passed} of {most}");
        }
    }

    #[test]
    fn threads_share_one_bucket() {
        let rate = rate(100);
        let n_passed: usize = std::thread::scope(|scope| {
            let each = || (0..500).filter(|_| rate.take(SECOND).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(each)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(n_passed, 100);
    }
}
