//! Owns what rows say about the expected label of each action beyond its score: Bayesian linear regression on scores.

/// One row: the action that was taken, what a model that had not seen the row expected of it, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Which action.
    pub action_idx: usize,
    /// The score.
    pub score: f64,
    /// The label.
    pub label: f64,
}

/// A normal distribution of an offset and a slope: the expected label of an action with score s is
/// s + offset + slope · (s − center).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// The mean of the offset.
    pub offset: f64,
    /// The mean of the slope.
    pub slope: f64,
    /// The variance of the offset.
    pub offset_variance: f64,
    /// The variance of the slope.
    pub slope_variance: f64,
    /// Their covariance.
    pub covariance: f64,
}

/// What rows say about each action.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// The score at which slopes have no effect: the mean of the rows' scores.
    pub center: f64,
    /// The variance of labels around scores.
    pub noise_variance: f64,
    /// One for each action.
    pub of_each: Vec<Line>,
    /// That of an action without any row: the prior.
    pub unseen: Line,
}

/// How many rows of an action a model needs to know its expected label in one context as well as one row alone tells a
/// single number; at least 1.
///
/// A model of D effective parameters, fitted to n rows whose noise has variance σ², is off by σ² · D / n on average, and its
/// squared error is σ² (1 − D / n) on the rows fitted on and σ² (1 + D / n) on others (Efron 2004, "The estimation of
/// prediction error: covariance penalties and cross-validation", the optimism of linear fits). So
/// D = n · (other − own) / (other + own), of which each of the actions has its share. `own_error` and `other_error` are the
/// two mean squared errors; `n_rows` those fitted on.
pub fn rows_per_context(own_error: f64, other_error: f64, n_rows: usize, n_actions: usize) -> f64 {
    let parameters = n_rows as f64 * (other_error - own_error) / (other_error + own_error);
    // Also what is no number: two errors of 0.
    (parameters / n_actions.max(1) as f64).max(1.0)
}

/// The distribution of every action's line, by rows that the scores were not fitted on; `None` for fewer than two rows, or
/// numbers that are not finite.
///
/// Label = score + offset + slope · (score − center) + noise of variance σ², with σ² estimated by the mean square of
/// label − score. The prior of each line has mean 0, that is, the score is right, and is worth 1 + m / d rows of the action,
/// m those that the scores were fitted on (`n_fitted`, one for each action) and d `rows_per_context`: the unit-information
/// prior of Kass & Wasserman 1995 for an action that was never seen, whose offset has variance σ² and whose slope σ² over
/// the variance of scores. Each row weighs 1 / d, so that an action of n rows in all ends near variance σ² · d / (n + d).
/// The posterior is that of Bayesian linear regression (Bishop 2006, "Pattern recognition and machine learning", equations
/// 3.50 and 3.51). Assumed: noise alike everywhere, and actions that differ by lines.
pub fn lines(rows: &[Scored], n_fitted: &[u64], rows_per_context: f64) -> Option<Lines> {
    if rows.len() < 2 {
        return None;
    }
    let mean = |of: &dyn Fn(&Scored) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
    let center = mean(&|row| row.score);
    let spread = mean(&|row| (row.score - center).powi(2));
    let noise_variance = mean(&|row| (row.label - row.score).powi(2));
    let d = rows_per_context.max(1.0);
    if ![center, spread, noise_variance, d]
        .iter()
        .all(|number| number.is_finite())
    {
        return None;
    }
    let prior = |n_fitted: u64| Sums {
        n: (d + n_fitted as f64) / d,
        squares: (d + n_fitted as f64) / d * spread,
        ..Sums::default()
    };
    let mut sums: Vec<Sums> = n_fitted.iter().map(|n_fitted| prior(*n_fitted)).collect();
    for row in rows {
        if let Some(sums) = sums.get_mut(row.action_idx) {
            sums.add(row.score - center, row.label - row.score, 1.0 / d);
        }
    }
    Some(Lines {
        center,
        noise_variance,
        of_each: sums.iter().map(|sums| sums.line(noise_variance)).collect(),
        unseen: prior(0).line(noise_variance),
    })
}

/// The sums of a weighted regression of residuals on 1 and z.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    n: f64,
    z: f64,
    squares: f64,
    residuals: f64,
    products: f64,
}

impl Sums {
    fn add(&mut self, z: f64, residual: f64, weight: f64) {
        self.n += weight;
        self.z += weight * z;
        self.squares += weight * z * z;
        self.residuals += weight * residual;
        self.products += weight * z * residual;
    }

    fn line(&self, noise_variance: f64) -> Line {
        let determinant = self.n * self.squares - self.z * self.z;
        if self.squares <= 0.0 || determinant <= 0.0 {
            // All scores are the same: there is no slope to learn.
            return Line {
                offset: self.residuals / self.n,
                slope: 0.0,
                offset_variance: noise_variance / self.n,
                slope_variance: 0.0,
                covariance: 0.0,
            };
        }
        Line {
            offset: (self.squares * self.residuals - self.z * self.products) / determinant,
            slope: (self.n * self.products - self.z * self.residuals) / determinant,
            offset_variance: noise_variance * self.squares / determinant,
            slope_variance: noise_variance * self.n / determinant,
            covariance: -noise_variance * self.z / determinant,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn row(action_idx: usize, score: f64, label: f64) -> Scored {
        Scored {
            action_idx,
            score,
            label,
        }
    }

    /// Expected values by hand: scores 1 and 3 have center 2 and spread 1; residuals 0.5 and −0.5, σ² = 1/4. The prior is one
    /// row: precision [[1, 0], [0, 1]]; the data add [[2, 0], [0, 2]] and the products 0 and −1. So mean (0, −1/3) and
    /// covariance σ² / 3.
    #[test]
    fn two_rows_by_hand() {
        let found = lines(&[row(0, 1.0, 1.5), row(0, 3.0, 2.5)], &[0, 0], 1.0).unwrap();
        let line = found.of_each[0];
        assert_eq!((found.center, found.noise_variance), (2.0, 0.25));
        assert!(
            (line.offset).abs() < 1e-15 && (line.slope + 1.0 / 3.0).abs() < 1e-15,
            "{line:?}"
        );
        assert!((line.offset_variance - 0.25 / 3.0).abs() < 1e-15);
        assert!((line.slope_variance - 0.25 / 3.0).abs() < 1e-15);
        assert_eq!(line.covariance, 0.0);
        // Without a row: a row's own noise.
        assert_eq!(found.of_each[1], found.unseen);
        assert_eq!((found.unseen.offset, found.unseen.offset_variance), (0.0, 0.25));
    }

    #[test]
    fn an_action_is_known_better_the_more_rows_it_has_wherever_they_were_used() {
        let rows: Vec<Scored> = (0..400)
            .map(|idx| row(idx % 2, f64::from(idx as u8 % 7), 1.0))
            .collect();
        let found = lines(&rows, &[0, 800], 4.0).unwrap();
        let expected = |n: f64| found.noise_variance * 4.0 / (n + 4.0);
        for (line, n) in found.of_each.iter().zip([200.0, 1_000.0]) {
            assert!((line.offset_variance / expected(n) - 1.0).abs() < 0.02, "{line:?}");
        }
    }

    #[test]
    fn too_little_and_what_is_no_number_has_no_lines() {
        assert_eq!(lines(&[row(0, 1.0, 1.0)], &[0], 1.0), None);
        assert_eq!(lines(&[row(0, f64::NAN, 1.0), row(0, 1.0, 1.0)], &[0], 1.0), None);
        let flat = lines(&[row(0, 1.0, 2.0), row(0, 1.0, 0.0)], &[0], 1.0).unwrap();
        assert_eq!((flat.of_each[0].slope, flat.of_each[0].slope_variance), (0.0, 0.0));
        assert!((flat.of_each[0].offset_variance - 1.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn a_model_that_remembers_needs_more_rows() {
        assert_eq!(rows_per_context(1.0, 1.0, 1_000, 4), 1.0);
        assert_eq!(rows_per_context(0.0, 0.0, 1_000, 4), 1.0);
        assert_eq!(rows_per_context(2.0, 1.0, 1_000, 4), 1.0);
        assert!((rows_per_context(0.9, 1.1, 1_000, 4) - 25.0).abs() < 1e-12);
    }

    /// Where the prior is true, 95 % intervals of the expected label hold it in 95 of 100 worlds.
    #[test]
    fn intervals_of_the_expected_label_cover_at_their_rate() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut normal = || -> f64 {
            // Twelve uniform numbers: near enough to normal here.
            (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
        };
        let (mut n_covered, n_worlds) = (0, 4_000);
        for _ in 0..n_worlds {
            let (offset, slope) = (normal(), normal());
            let mut rows = Vec::new();
            for _ in 0..40 {
                // Another action, right on average, shows what the noise is.
                let z = normal();
                rows.push(row(1, z, z + normal()));
            }
            for idx in 0..8 {
                let z = f64::from(idx) / 4.0 - 1.0;
                rows.push(row(0, z, z + offset + slope * z + normal()));
            }
            let mut found = lines(&rows, &[0, 0], 1.0).unwrap();
            // Rescaled to the true noise, of which only 48 rows tell.
            let scale = 1.0 / found.noise_variance;
            let line = &mut found.of_each[0];
            let from_center = 0.7 - found.center;
            let variance = scale
                * (line.offset_variance + from_center * (2.0 * line.covariance + from_center * line.slope_variance));
            let mean = line.offset + line.slope * from_center;
            n_covered += usize::from((offset + slope * 0.7 - mean).abs() < 1.96 * variance.sqrt());
        }
        let share = n_covered as f64 / f64::from(n_worlds);
        assert!((0.935..0.965).contains(&share), "{share}");
    }
}
