//! The Pareto front of a search: quality against latency, size and the cost of features.
//!
//! A trial is on the front when no other one is at least as good in all four and better in one. Which point of it is
//! chosen, the blueprint's limits and the rule of [`crate::choice`] say.

use lakeloop_lake::rows::Trial;

/// What a trial costs and is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrontPoint {
    /// The metric on the validation rows.
    pub value: f64,
    /// 99th percentile of scoring one row on the serving code, in microseconds.
    pub p99_us: f64,
    /// Size of the saved model as the registry keeps it.
    pub bytes: u64,
    /// What reading its features costs a decision, as declared, in microseconds.
    pub feature_cost_us: f64,
}

impl FrontPoint {
    /// The point of a trial; `None` for one that failed or was stopped before its end, and for rows of earlier versions, which
    /// do not say how fast their models were.
    pub fn of(trial: &Trial) -> Option<Self> {
        (trial.is_complete == Some(true)).then_some(())?;
        Some(Self {
            value: trial.value?,
            p99_us: trial.latency_p99_us?,
            bytes: trial.artifact_bytes?,
            feature_cost_us: trial.feature_cost_us.unwrap_or(0.0),
        })
    }

    fn costs(&self, higher_is_better: bool) -> [f64; 4] {
        let badness = if higher_is_better { -self.value } else { self.value };
        [badness, self.p99_us, self.bytes as f64, self.feature_cost_us]
    }
}

/// Positions of the points that no other point dominates, the best value first. Of equal points the first one is kept.
pub fn pareto_front(points: &[FrontPoint], metric: &str) -> Vec<usize> {
    let higher_is_better = ["auc", "ndcg"].contains(&metric);
    let costs: Vec<[f64; 4]> = points.iter().map(|point| point.costs(higher_is_better)).collect();
    let dominates = |a: usize, b: usize| {
        let pairs = || costs[a].iter().zip(&costs[b]);
        let is_equal = pairs().all(|(a, b)| a == b);
        pairs().all(|(a, b)| a <= b) && (!is_equal || a < b)
    };
    let mut front: Vec<usize> = (0..points.len())
        .filter(|idx| !(0..points.len()).any(|other| other != *idx && dominates(other, *idx)))
        .collect();
    front.sort_by(|a, b| costs[*a][0].total_cmp(&costs[*b][0]));
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(value: f64, p99_us: f64, bytes: u64) -> FrontPoint {
        FrontPoint {
            value,
            p99_us,
            bytes,
            feature_cost_us: 0.0,
        }
    }

    #[test]
    fn the_front_holds_what_nothing_beats_in_everything() {
        let points = [
            point(0.30, 2.0, 100),
            point(0.25, 9.0, 900),
            point(0.31, 2.5, 100),
            point(0.30, 2.0, 100),
            point(0.40, 1.0, 500),
        ];
        assert_eq!(pareto_front(&points, "log_loss"), [1, 0, 4]);
        // Where higher is better, the last one beats all but the smallest.
        assert_eq!(pareto_front(&points, "auc"), [4, 2, 0]);
        assert!(pareto_front(&[], "rmse").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn every_point_off_the_front_is_dominated_by_one_on_it(
            raw in proptest::collection::vec((0u8..6, 0u8..6, 0u8..6), 1..30),
        ) {
            let points: Vec<FrontPoint> =
                raw.iter().map(|(value, p99, bytes)| point(f64::from(*value), f64::from(*p99), u64::from(*bytes))).collect();
            let front = pareto_front(&points, "rmse");
            proptest::prop_assert!(!front.is_empty());
            for point in &points {
                let beaten = |on: &FrontPoint| on.value <= point.value && on.p99_us <= point.p99_us && on.bytes <= point.bytes;
                proptest::prop_assert!(front.iter().any(|idx| beaten(&points[*idx])));
            }
        }
    }
}
