//! Owns randomness: draws that anyone can make again from what a decision row holds.
//!
//! There is no generator and no state. A draw is a hash of the row's salt, its decision id and a counter, so a replay
//! needs no seed besides the row, and an analyst can check the draw in any SQL that has `sha256`.

use sha2::{Digest, Sha256};

/// The draw number `counter` of a decision: a number in [0, 1), a multiple of 2⁻⁵³.
///
/// SHA-256 of `salt`, a zero byte, `decision_id`, a zero byte and `counter` in decimal digits; the first 8 bytes of the
/// digest, big-endian, shifted right by 11 bits, times 2⁻⁵³. Salts and decision ids hold no zero byte, so different
/// inputs never hash the same text. Taken as uniform and independent, as far as SHA-256 is a random function. Allocates
/// nothing.
///
/// ```
/// assert_eq!(lakeloop_decide::draw("menu:0123456789abcdef", "d-1", 0), 0.22842696177855915);
/// ```
pub fn draw(salt: &str, decision_id: &str, counter: u32) -> f64 {
    let mut digits = [0; 10];
    let mut hasher = Sha256::new();
    hasher.update(salt.as_bytes());
    hasher.update([0]);
    hasher.update(decision_id.as_bytes());
    hasher.update([0]);
    hasher.update(decimal(counter, &mut digits));
    let digest = hasher.finalize();
    let first_8 = digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    (first_8 >> 11) as f64 * 2.0_f64.powi(-53)
}

/// The number in decimal digits; `u32::MAX` has ten.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: Python 3.11.7, `(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11) *
    /// 2.0**-53` with `text = f"{salt}\0{decision_id}\0{counter}"`.
    #[test]
    fn draws_equal_those_of_hashlib() {
        for (salt, decision_id, counter, expected) in [
            ("menu:0123456789abcdef", "d-1", 0, 0.22842696177855915),
            ("menu:0123456789abcdef", "d-1", 1, 0.943073065600519),
            ("menu:0123456789abcdef", "d-1", 10, 0.3074614569471972),
            ("menu:0123456789abcdef", "d-2", 0, 0.8846398053306705),
            ("", "", 0, 0.9174106309932003),
            ("größe:0123456789abcdef", "Ünit 7", u32::MAX, 0.8844215889111979),
        ] {
            assert_eq!(
                draw(salt, decision_id, counter),
                expected,
                "{salt} {decision_id} {counter}"
            );
        }
    }

    #[test]
    fn decimal_digits_are_those_of_display() {
        for number in [0, 1, 9, 10, 99, 100, 1_234_567_890, u32::MAX] {
            assert_eq!(decimal(number, &mut [0; 10]), number.to_string().as_bytes());
        }
    }
}
