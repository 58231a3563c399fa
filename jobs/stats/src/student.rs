//! Owns Student's t distribution, as far as intervals need it.

use crate::normal::two_sided;

/// From so many degrees of freedom on, the expansion around the normal is exact to rounding and the sums are long.
const MANY_DEGREES: u64 = 1000;

/// The t within which a variable of Student's distribution with `degrees` of freedom stays, on both sides, with
/// probability `confidence`: the factor of a standard error that was itself estimated from `degrees` + 1 numbers.
///
/// Source: Abramowitz & Stegun 1964, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4 (the probability as a finite
/// sum, inverted by halving), and 26.7.5 (the expansion around the normal) from 1000 degrees on. `None` for 0 degrees or
/// a confidence outside (0, 1).
///
/// ```
/// let two = lakeloop_stats::student_two_sided(0.95, 2).expect("two degrees");
/// assert!((two - 4.302652729911275).abs() < 1e-9);
/// ```
pub fn student_two_sided(confidence: f64, degrees: u64) -> Option<f64> {
    let z = two_sided(confidence)?;
    match degrees {
        0 => None,
        _ if degrees >= MANY_DEGREES => Some(around_normal(z, degrees as f64)),
        _ => Some(halve(confidence, degrees)),
    }
}

/// Searches the angle θ = atan(t / √ν), which lies between 0 and π/2 for every t.
fn halve(confidence: f64, degrees: u64) -> f64 {
    let (mut low, mut high) = (0.0, std::f64::consts::FRAC_PI_2);
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return middle.tan() * (degrees as f64).sqrt();
        }
        if probability_within(middle, degrees) < confidence {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// A(t|ν), the probability of [−t, t], by θ = atan(t / √ν).
fn probability_within(angle: f64, degrees: u64) -> f64 {
    let (sine, cosine) = angle.sin_cos();
    let square = cosine * cosine;
    let odd = degrees % 2 == 1;
    // Odd ν: cos θ + 2/3 cos³ θ + …; even ν: 1 + 1/2 cos² θ + …; the last power is ν − 2.
    let mut power = u64::from(odd);
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = 0.0;
    while power + 2 <= degrees {
        sum += term;
        term *= square * (power + 1) as f64 / (power + 2) as f64;
        power += 2;
    }
    if odd {
        std::f64::consts::FRAC_2_PI * (angle + sine * sum)
    } else {
        sine * sum
    }
}

fn around_normal(z: f64, degrees: f64) -> f64 {
    let square = z * z;
    let first = z * (square + 1.0) / 4.0;
    let second = z * ((5.0 * square + 16.0) * square + 3.0) / 96.0;
    let third = z * (((3.0 * square + 19.0) * square + 17.0) * square - 15.0) / 384.0;
    let fourth = z * ((((79.0 * square + 776.0) * square + 1482.0) * square - 1920.0) * square - 945.0) / 92160.0;
    z + (first + (second + (third + fourth / degrees) / degrees) / degrees) / degrees
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: scipy 1.17.1, `scipy.stats.t.ppf(0.5 + confidence / 2, degrees)`.
    #[test]
    #[allow(clippy::unwrap_used)]
    fn quantiles_equal_those_of_scipy() {
        for (confidence, degrees, expected) in [
            (0.5, 1, 1.0000000000000002),
            (0.5, 2, 0.8164965809277261),
            (0.5, 3, 0.7648923284043444),
            (0.5, 4, 0.7406970841126829),
            (0.5, 7, 0.7111417780817866),
            (0.5, 30, 0.6827556933212927),
            (0.5, 999, 0.6747354103467192),
            (0.5, 1000, 0.6747351646070093),
            (0.5, 25000, 0.6744995637203113),
            (0.9, 1, 6.313751514675037),
            (0.9, 2, 2.9199855803537242),
            (0.9, 3, 2.3533634348018233),
            (0.9, 4, 2.1318467863266495),
            (0.9, 7, 1.8945786050900062),
            (0.9, 30, 1.697260886593957),
            (0.9, 999, 1.646380345427535),
            (0.9, 1000, 1.6463788172854643),
            (0.9, 25000, 1.6449145799897629),
            (0.95, 1, 12.706204736174694),
            (0.95, 2, 4.302652729749462),
            (0.95, 3, 3.1824463052837078),
            (0.95, 4, 2.7764451051977934),
            (0.95, 7, 2.364624251592784),
            (0.95, 30, 2.0422724563012378),
            (0.95, 999, 1.9623414611334493),
            (0.95, 1000, 1.9623390808264083),
            (0.95, 25000, 1.9600588799054273),
            (0.999, 1, 636.6192487687897),
            (0.999, 2, 31.599054576445365),
            (0.999, 3, 12.923978636687961),
            (0.999, 4, 8.610301581379522),
            (0.999, 7, 5.407882520861828),
            (0.999, 30, 3.6459586350420627),
            (0.999, 999, 3.3002924403987666),
            (0.999, 1000, 3.300282648423944),
            (0.999, 25000, 3.2909159625346924),
        ] {
            let found: f64 = student_two_sided(confidence, degrees).unwrap();
            assert!(
                (found / expected - 1.0).abs() < 1e-11,
                "{confidence}, {degrees}: {found} instead of {expected}"
            );
        }
    }

    #[test]
    fn there_is_no_quantile_without_degrees_or_confidence() {
        assert_eq!(student_two_sided(0.95, 0), None);
        assert_eq!(student_two_sided(1.0, 3), None);
        assert_eq!(student_two_sided(f64::NAN, 3), None);
    }
}
