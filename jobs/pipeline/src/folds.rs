//! Folds inside the rows that a model is fitted on: several validations, each on rows later than those fitted on.
//!
//! ```text
//!   fold 1   ▓▓▓▓▓▓▓ gap ░░░░░░░
//!   fold 2   ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓ gap ░░░░░░░
//!   fold 3   ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓ gap ░░░░░░░
//!            ────────────────────────────────────────────►  event time, up to the split
//! ```
//!
//! Fold k validates on block k of blocks of about equal length and fits on what came before it, as whoever trained at that moment could
//! have (rolling origin, Tashman 2000). Between the two lies the gap of [`crate::split`]. Where the rows of a unit
//! repeat, a fold fits on none of the units that it validates on, so that what is remembered of a unit does not pass
//! for what is learned; where that would cost more than half of the rows, the units stay, and errors that are summed
//! by unit have to do.

use std::collections::HashSet;

use lakeloop_domain::Micros;

/// Whether a fold fits on units that it also validates on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// It does not; this many rows were left out for it.
    LeftOut(usize),
    /// It does: leaving them out would have cost more than half of the rows.
    GivenUp,
}

/// One fold: positions of rows, ascending; every row fitted on is earlier than every row validated on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fold {
    /// The rows fitted on.
    pub train: Vec<usize>,
    /// The rows validated on.
    pub validation: Vec<usize>,
    /// Whether units are on one side only.
    pub grouping: Grouping,
}

/// Cuts rows into `n_folds` folds. `event_times` are in ascending order; `units` says for each row whose it is, as any
/// number that stands for the unit. Rows of one moment stay on one side; a fold that has nothing to fit on or
/// validate on is left out, so that fewer, or none, may come back. O(n · `n_folds`).
pub(crate) fn folds(event_times: &[Micros], units: &[usize], window_us: i64, n_folds: usize) -> Vec<Fold> {
    let n_rows = event_times.len().min(units.len());
    let block_start = |block: usize| match event_times.get(block * n_rows / (n_folds + 1)) {
        Some(at) if block <= n_folds => event_times.partition_point(|other| other < at),
        _ => n_rows,
    };
    (1..=n_folds)
        .filter_map(|block| {
            fold(
                event_times,
                units,
                window_us,
                block_start(block)..block_start(block + 1),
            )
        })
        .collect()
}

fn fold(event_times: &[Micros], units: &[usize], window_us: i64, validation: std::ops::Range<usize>) -> Option<Fold> {
    if validation.is_empty() {
        return None;
    }
    let n_earlier = crate::split::n_closed(event_times, validation.start, window_us).0;
    let validated: HashSet<usize> = units[validation.clone()].iter().copied().collect();
    let others: Vec<usize> = (0..n_earlier)
        .filter(|row_idx| !validated.contains(&units[*row_idx]))
        .collect();
    let (train, grouping) = if others.len() * 2 >= n_earlier {
        let n_left_out = n_earlier - others.len();
        (others, Grouping::LeftOut(n_left_out))
    } else {
        ((0..n_earlier).collect(), Grouping::GivenUp)
    };
    (!train.is_empty()).then(|| Fold {
        train,
        validation: validation.collect(),
        grouping,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(found: &[Fold]) -> Vec<(usize, usize, usize)> {
        let of = |fold: &Fold| (fold.train.len(), fold.validation[0], fold.validation.len());
        found.iter().map(of).collect()
    }

    #[test]
    fn folds_go_forward_in_time_with_a_gap_of_the_window() {
        let times: Vec<Micros> = (0..100).collect();
        let units: Vec<usize> = (0..100).collect();
        assert_eq!(
            ranges(&folds(&times, &units, 0, 3)),
            [(25, 25, 25), (50, 50, 25), (75, 75, 25)]
        );
        // Windows of 10: rows at 0..=15 have closed by 25.
        assert_eq!(
            ranges(&folds(&times, &units, 10, 3)),
            [(16, 25, 25), (41, 50, 25), (66, 75, 25)]
        );
        // A window longer than the data gives the gap up, as the split does.
        assert_eq!(ranges(&folds(&times, &units, 1_000, 1)), [(50, 50, 50)]);
    }

    #[test]
    fn units_that_repeat_are_on_one_side_unless_that_costs_half_of_the_rows() {
        let times: Vec<Micros> = (0..100).collect();
        let mut units: Vec<usize> = (0..100).collect();
        units[3] = 60;
        units[4] = 70;
        let found = folds(&times, &units, 0, 1);
        assert_eq!(found[0].grouping, Grouping::LeftOut(2));
        assert_eq!(found[0].train.len(), 48);
        assert!(!found[0].train.contains(&3) && !found[0].train.contains(&4));
        let few: Vec<usize> = (0..100).map(|row_idx| row_idx % 7).collect();
        let found = folds(&times, &few, 0, 1);
        assert_eq!((found[0].grouping, found[0].train.len()), (Grouping::GivenUp, 50));
    }

    #[test]
    fn rows_of_one_moment_stay_together_and_empty_folds_are_left_out() {
        assert!(folds(&[5; 10], &[0; 10], 0, 3).is_empty());
        assert!(folds(&[], &[], 0, 3).is_empty());
        let times = [1, 1, 1, 1, 1, 2, 2, 2];
        let units: Vec<usize> = (0..8).collect();
        assert_eq!(ranges(&folds(&times, &units, 0, 3)), [(5, 5, 3)]);
    }

    proptest::proptest! {
        #[test]
        fn no_fold_fits_on_what_was_not_known(
            mut times in proptest::collection::vec(0i64..300, 0..120), window in 0i64..50, n_units in 1usize..200,
        ) {
            times.sort_unstable();
            let units: Vec<usize> = (0..times.len()).map(|row_idx| row_idx * 31 % n_units).collect();
            for fold in folds(&times, &units, window, 4) {
                let (last, first) = (times[*fold.train.last().unwrap_or(&0)], times[fold.validation[0]]);
                proptest::prop_assert!(last < first);
                if matches!(fold.grouping, Grouping::LeftOut(_)) {
                    let validated: HashSet<usize> = fold.validation.iter().map(|row_idx| units[*row_idx]).collect();
                    proptest::prop_assert!(fold.train.iter().all(|row_idx| !validated.contains(&units[*row_idx])));
                }
            }
        }
    }
}
