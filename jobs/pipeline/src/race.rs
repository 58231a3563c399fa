//! Ends hopeless trials early: successive halving without waiting (Li et al. 2020, "A system for massively parallel
//! hyperparameter tuning"), in its stopping form.
//!
//! A trial passes rungs: on a sample of the rows where there are many, then after more and more rounds of the first fold, then
//! at the end of each fold. Rungs of rounds are set by what the rounds add up to, their number times the learning rate,
//! so that slow learners are compared with fast ones at an equal length of way. At each rung a trial goes on when it is in the
//! better half of those that stood there before it; with few of them, everyone goes on. A booster that goes on is
//! never fitted again.

/// Fewer earlier trials than this at a rung say nothing.
const N_JUDGES: usize = 4;

/// Length of way, rounds times learning rate, at the rungs of the first fold.
const WAYS: [f64; 4] = [0.8, 1.6, 3.2, 6.4];

/// The badness of one trial at each rung that it has passed.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Rungs(pub Vec<f64>);

impl Rungs {
    /// Whether a trial with this badness at its next rung goes on, judged by earlier trials; takes the rung down.
    pub fn pass(&mut self, badness: f64, earlier: &[&Rungs]) -> bool {
        let rung = self.0.len();
        self.0.push(badness);
        let mut judges: Vec<f64> = earlier.iter().filter_map(|other| other.0.get(rung)).copied().collect();
        if judges.len() < N_JUDGES {
            return true;
        }
        judges.sort_by(f64::total_cmp);
        // Of an even number the worse one of the two in the middle: who is as good as half of them goes on.
        badness <= judges[judges.len() / 2]
    }
}

/// The rounds after which a fit of this learning rate stands at the rungs, in ascending order.
pub(crate) fn rungs_of_rounds(eta: f64) -> [u32; WAYS.len()] {
    // A way that is just as long as whole rounds is not one round longer for the rounding of a division.
    WAYS.map(|way| (way / eta - 1e-9).ceil() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(badness: f64, earlier: &[&[f64]], goes_on: bool) {
        let earlier: Vec<Rungs> = earlier.iter().map(|rungs| Rungs(rungs.to_vec())).collect();
        let earlier: Vec<&Rungs> = earlier.iter().collect();
        let mut rungs = Rungs(vec![0.0]);
        assert_eq!(rungs.pass(badness, &earlier), goes_on, "{badness} after {earlier:?}");
        assert_eq!(rungs.0, [0.0, badness]);
    }

    #[test]
    fn the_better_half_goes_on_and_few_judges_say_nothing() {
        check(9.0, &[&[0.0, 1.0], &[0.0, 2.0], &[0.0, 3.0]], true);
        let four: [&[f64]; 4] = [&[0.0, 1.0], &[0.0, 2.0], &[0.0, 3.0], &[0.0, 4.0]];
        check(3.0, &four, true);
        check(3.1, &four, false);
        // Those that never stood at this rung do not judge.
        check(9.0, &[&[0.0, 1.0], &[0.0, 2.0], &[0.0, 3.0], &[0.0]], true);
        let earlier: Vec<Rungs> = four.iter().map(|rungs| Rungs(rungs.to_vec())).collect();
        let earlier: Vec<&Rungs> = earlier.iter().collect();
        assert!(!Rungs(vec![0.0]).pass(f64::NAN, &earlier), "no number is never good");
    }

    #[test]
    fn rungs_lie_at_equal_lengths_of_way() {
        assert_eq!(rungs_of_rounds(0.1), [8, 16, 32, 64]);
        assert_eq!(rungs_of_rounds(0.05), [16, 32, 64, 128]);
        assert_eq!(rungs_of_rounds(0.8), [1, 2, 4, 8]);
    }
}
