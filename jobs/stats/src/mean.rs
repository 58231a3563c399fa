//! Owns running moments: the mean and variance of numbers that come one by one.

use crate::interval::Interval;
use crate::normal::two_sided;

/// Mean and variance so far, after Welford 1962; parts are merged after Chan, Golub & LeVeque 1979. Stable also when
/// the mean is large against the spread.
///
/// ```
/// let moments: lakeloop_stats::Moments = [1.0, 2.0, 3.0, 6.0].into_iter().collect();
/// assert_eq!((moments.mean(), moments.variance()), (Some(3.0), Some(14.0 / 3.0)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moments {
    n: u64,
    mean: f64,
    /// Σ (x − mean)²
    squares: f64,
}

impl Moments {
    /// Adds a number. One that is not finite makes every moment from then on `None`.
    pub fn push(&mut self, x: f64) {
        self.n += 1;
        let difference = x - self.mean;
        self.mean += difference / self.n as f64;
        self.squares += difference * (x - self.mean);
    }

    /// Adds the numbers of another part.
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let n = self.n + other.n;
        let share = other.n as f64 / n as f64;
        let difference = other.mean - self.mean;
        self.mean += difference * share;
        self.squares += other.squares + difference * difference * self.n as f64 * share;
        self.n = n;
    }

    /// How many numbers came.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Their mean; `None` without numbers.
    pub fn mean(&self) -> Option<f64> {
        (self.n >= 1 && self.mean.is_finite()).then_some(self.mean)
    }

    /// The unbiased variance, Σ (x − mean)² / (n − 1); `None` for fewer than two numbers.
    pub fn variance(&self) -> Option<f64> {
        (self.n >= 2 && self.squares.is_finite()).then(|| self.squares / (self.n - 1) as f64)
    }

    /// The standard error of the mean, √(variance / n), for numbers that are independent; `None` for fewer than two.
    pub fn standard_error(&self) -> Option<f64> {
        self.variance().map(|variance| (variance / self.n as f64).sqrt())
    }

    /// The interval mean ± z · standard error, which covers the true mean about as often as `confidence` says once there
    /// are enough numbers for the central limit theorem (some tens; more where they are skewed). `None` for fewer than
    /// two numbers or a confidence outside (0, 1).
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        let (mean, half) = (self.mean()?, two_sided(confidence)? * self.standard_error()?);
        Some(Interval {
            low: mean - half,
            high: mean + half,
        })
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Self {
        let mut moments = Self::default();
        numbers.into_iter().for_each(|x| moments.push(x));
        moments
    }
}
