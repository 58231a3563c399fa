//! Splits a training set in time: what is fitted on comes before what is validated on.
//!
//! ```text
//!     train rows            gap (left out)         validation rows
//!  ──────────────────┬───────────────────────┬───────────────────────►  event time
//!                    split − window          split
//! ```
//!
//! A row's label is known only when its attribution window has closed. Whoever trained at the split could not have
//! used rows whose window was still open then, and an outcome that is reported for a unit could label a row on either
//! side; so those rows are left out. Where that would leave out more than half of the earlier rows (the window is long
//! against the span of the decisions), the gap is given up rather than the training: rows are then still strictly
//! apart in time.

use lakeloop_domain::Micros;

/// One row of this many, the latest ones, is validated on.
const ROWS_PER_VALIDATION_ROW: usize = 5;

/// Whether rows with a window that was open at the split were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// They were; this many.
    LeftOut(usize),
    /// They were kept: leaving them out would have cost more than half of the earlier rows.
    GivenUp,
}

/// A split of rows that are ordered by event time: `0..n_train` are fitted on, `validation_from..` validated on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimeSplit {
    /// The rows fitted on, counted from the first.
    pub n_train: usize,
    /// The position of the first row validated on.
    pub validation_from: usize,
    /// The event time of that row; every row fitted on is earlier.
    pub split_at: Micros,
    /// What became of the rows in between.
    pub gap: Gap,
}

/// Splits rows by their event times, which are in ascending order; `None` when no row is earlier than the latest
/// fifth.
pub(crate) fn split(event_times: &[Micros], window_us: i64) -> Option<TimeSplit> {
    let n_validation = event_times.len().div_ceil(ROWS_PER_VALIDATION_ROW);
    let split_at = *event_times.get(event_times.len() - n_validation)?;
    let validation_from = event_times.partition_point(|at| *at < split_at);
    let (n_train, gap) = n_closed(event_times, validation_from, window_us);
    (n_train > 0).then_some(TimeSplit {
        n_train,
        validation_from,
        split_at,
        gap,
    })
}

/// How many of the rows before `validation_from` may be fitted on, and what became of the others.
pub(crate) fn n_closed(event_times: &[Micros], validation_from: usize, window_us: i64) -> (usize, Gap) {
    let split_at = event_times[validation_from];
    let closed = event_times
        .partition_point(|at| at.saturating_add(window_us) <= split_at)
        .min(validation_from);
    if closed * 2 >= validation_from {
        (closed, Gap::LeftOut(validation_from - closed))
    } else {
        (validation_from, Gap::GivenUp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &[Micros], window_us: i64, expected: Option<(usize, usize, Gap)>) {
        let found = split(times, window_us);
        assert_eq!(
            found.map(|split| (split.n_train, split.validation_from, split.gap)),
            expected
        );
    }

    #[test]
    fn the_latest_fifth_validates_and_open_windows_are_left_out() {
        let times: Vec<Micros> = (0..100).collect();
        check(&times, 0, Some((80, 80, Gap::LeftOut(0))));
        // Rows at 0..=70 have closed by 80 with a window of 10.
        check(&times, 10, Some((71, 80, Gap::LeftOut(9))));
        check(&times, 40, Some((41, 80, Gap::LeftOut(39))));
    }

    #[test]
    fn a_window_longer_than_the_data_gives_the_gap_up() {
        let times: Vec<Micros> = (0..100).collect();
        check(&times, 41, Some((40, 80, Gap::LeftOut(40))));
        check(&times, 42, Some((80, 80, Gap::GivenUp)));
        check(&times, i64::MAX, Some((80, 80, Gap::GivenUp)));
    }

    #[test]
    fn equal_times_stay_on_one_side() {
        let times = [1, 1, 2, 2, 2, 2, 2, 2, 2, 3];
        check(&times, 0, Some((2, 2, Gap::LeftOut(0))));
        check(&[5, 5, 5], 0, None);
        check(&[5], 0, None);
        check(&[], 0, None);
    }

    proptest::proptest! {
        #[test]
        fn every_validation_row_is_later_than_every_train_row(
            mut times in proptest::collection::vec(0i64..1000, 0..200), window in 0i64..500,
        ) {
            times.sort_unstable();
            if let Some(split) = split(&times, window) {
                let last_train = times[split.n_train - 1];
                proptest::prop_assert!(times[split.validation_from..].iter().all(|at| *at > last_train));
                proptest::prop_assert!(split.n_train <= split.validation_from);
                if let Gap::LeftOut(_) = split.gap {
                    proptest::prop_assert!(last_train + window <= split.split_at);
                }
            }
        }
    }
}
