//! Owns what a model's uncertainty says of some scores: a mean and a standard deviation for each action.

use lakeloop_domain::Belief;

use crate::policy::Beliefs;

/// Buffers, reused from call to call.
#[derive(Debug, Default)]
pub(crate) struct BeliefScratch {
    means: Vec<f64>,
    deviations: Vec<f64>,
}

impl BeliefScratch {
    /// The beliefs about actions with these scores; `None` where there are no scores, or where a number leaves the range of
    /// f64.
    pub(crate) fn of_scores(&mut self, center: f64, of_each: &[Belief], scores: &[f64]) -> Option<Beliefs<'_>> {
        self.means.clear();
        self.deviations.clear();
        for (belief, score) in of_each.iter().zip(scores) {
            let (mean, deviation) = belief.of_score(center, *score);
            if !(mean.is_finite() && deviation.is_finite()) {
                return None;
            }
            self.means.push(mean);
            self.deviations.push(deviation);
        }
        (!scores.is_empty() && self.means.len() == scores.len()).then_some(Beliefs {
            means: &self.means,
            deviations: &self.deviations,
        })
    }
}
