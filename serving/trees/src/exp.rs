//! Owns e^x as links use it: the same bits on every machine.
//!
//! The exponential of a system's library differs from one version and platform to the next in the last bit, and a
//! decision has to replay to the last bit elsewhere. This one takes sums and products of f32 alone, which IEEE 754
//! fixes, and compilers turn a loop over it into vectors.

/// e^x, within 2 units in the last place where the result is a normal number; 0 and infinity beyond.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Added to a small number it leaves no place for a fraction, which rounds to the nearest whole number.
    const ROUNDS: f32 = 12_582_912.0; // 1.5 · 2^23
    /// ln 2 in two parts; a whole number of up to 8 bits times the first is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Beyond these the result is infinite, or rounds to 0.
    let x = x.clamp(-104.0, 89.0);
    // x = n ln 2 + r, with |r| ≤ ln 2 / 2
    let rounded = x * std::f32::consts::LOG2_E + ROUNDS;
    let n = rounded - ROUNDS;
    let r = x - n * LN_2[0] - n * LN_2[1];
    // The Taylor series of e^r to r^7: the rest is below 1e-8.
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + coefficient;
    }
    // 2^n in two factors, since n reaches beyond the exponents of f32.
    let n = rounded.to_bits().wrapping_sub(ROUNDS.to_bits()).cast_signed();
    let half = n >> 1;
    series * power_of_two(half) * power_of_two(n - half)
}

/// 2^n for |n| < 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(n.wrapping_add(127).cast_unsigned() << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_within_two_units_in_the_last_place() {
        let mut x = -104.5_f32;
        while x < 90.0 {
            let (found, expected) = (exp(x), f64::from(x).exp() as f32);
            let distance = found.to_bits().abs_diff(expected.to_bits());
            assert!(distance <= 2, "e^{x} is {expected:e}, found {found:e}");
            x += 0.001_37;
        }
    }

    #[test]
    fn its_ends_are_exact() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(88.8), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }
}
