//! Owns the quick reading of request bodies: one pass over the bytes, straight to values, without a tree.
//!
//! It reads what well-behaved callers send and answers `None` at whatever else it meets: escapes in texts, keys that are
//! unknown or given twice, values of another type, syntax errors. Such a body is read again by [`Json`](crate::json::Json),
//! which takes everything that is allowed and says what is wrong with the rest. So this reader never refuses anything, and
//! what it reads is what the other one would have read, number for number and bit for bit.

/// The exact powers of ten among the 64-bit floats.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Whole numbers up to here are exact as 64-bit floats.
const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;

/// Depth of lists and objects up to which a value is passed over.
const MAX_DEPTH: u32 = 64;

/// A position in a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanner<'b> {
    body: &'b str,
    at: usize,
}

/// A value that is neither a list nor an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'b> {
    Null,
    Bool(bool),
    Number(f64),
    Text(&'b str),
}

impl<'b> Scanner<'b> {
    /// The beginning of a body, if it is UTF-8.
    pub(crate) fn new(body: &'b [u8]) -> Option<Self> {
        let body = str::from_utf8(body).ok()?;
        Some(Self { body, at: 0 })
    }

    /// Passes over white space; the next byte.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.body.as_bytes();
        loop {
            match bytes.get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    /// Passes over white space and one byte, which must be this one.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// True, and passed over, when the next byte is this one.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> Option<bool> {
        let is_next = self.peek()? == byte;
        self.at += usize::from(is_next);
        Some(is_next)
    }

    /// Calls `read` for each key of an object, with the scanner before the key's value.
    #[inline]
    pub(crate) fn object(&mut self, mut read: impl FnMut(&mut Self, &'b str) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        if self.take(b'}')? {
            return Some(());
        }
        loop {
            let key = self.text()?;
            self.expect(b':')?;
            read(self, key)?;
            if !self.take(b',')? {
                return self.expect(b'}');
            }
        }
    }

    /// Calls `read` for each item of a list, with the scanner before the item.
    #[inline]
    pub(crate) fn list(&mut self, mut read: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'[')?;
        if self.take(b']')? {
            return Some(());
        }
        loop {
            read(self)?;
            if !self.take(b',')? {
                return self.expect(b']');
            }
        }
    }

    /// True when nothing but white space is left.
    pub(crate) fn is_done(&mut self) -> bool {
        self.peek().is_none()
    }

    /// A text without escapes.
    #[inline]
    pub(crate) fn text(&mut self) -> Option<&'b str> {
        self.expect(b'"')?;
        let start = self.at;
        let bytes = self.body.as_bytes();
        loop {
            match bytes.get(self.at)? {
                b'"' => break,
                b'\\' | ..b' ' => return None,
                _ => self.at += 1,
            }
        }
        let text = &self.body[start..self.at];
        self.at += 1;
        Some(text)
    }

    /// A value that is neither a list nor an object.
    #[inline]
    pub(crate) fn scalar(&mut self) -> Option<Scalar<'b>> {
        match self.peek()? {
            b'"' => self.text().map(Scalar::Text),
            b'-' | b'0'..=b'9' => self.number().map(Scalar::Number),
            b't' => self.word("true").map(|()| Scalar::Bool(true)),
            b'f' => self.word("false").map(|()| Scalar::Bool(false)),
            b'n' => self.word("null").map(|()| Scalar::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.body[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    /// A number, as the nearest 64-bit float. Few digits and a small exponent, which is what numbers have, make both the
    /// digits and the power of ten exact, and one division or multiplication rounds once; all others are left to the
    /// standard library.
    #[inline]
    fn number(&mut self) -> Option<f64> {
        let bytes = self.body.as_bytes();
        let start = self.at;
        let is_negative = bytes[start] == b'-';
        let mut at = start + usize::from(is_negative);
        let first_digit = at;
        let mut digits = 0_u64;
        let mut push = |byte: u8| digits = digits.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        while let Some(byte @ b'0'..=b'9') = bytes.get(at) {
            push(*byte);
            at += 1;
        }
        let mut n_digits = at - first_digit;
        // JSON has no leading zeros.
        if n_digits == 0 || (n_digits > 1 && bytes[first_digit] == b'0') {
            return None;
        }
        let mut n_decimals = 0;
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            let first_decimal = at;
            while let Some(byte @ b'0'..=b'9') = bytes.get(at) {
                push(*byte);
                at += 1;
            }
            n_decimals = at - first_decimal;
            n_digits += n_decimals;
            if n_decimals == 0 {
                return None;
            }
        }
        let has_exponent = matches!(bytes.get(at), Some(b'e' | b'E'));
        if has_exponent {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            let first = at;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            if at == first {
                return None;
            }
        }
        self.at = at;
        if !has_exponent && n_digits <= 19 && digits <= EXACT && n_decimals < POWERS_OF_TEN.len() {
            let number = digits as f64 / POWERS_OF_TEN[n_decimals];
            return Some(if is_negative { -number } else { number });
        }
        let number: f64 = self.body[start..at].parse().ok()?;
        number.is_finite().then_some(number)
    }

    /// Passes over one value of any kind.
    pub(crate) fn skip(&mut self) -> Option<()> {
        self.skip_to(MAX_DEPTH)
    }

    fn skip_to(&mut self, depth: u32) -> Option<()> {
        let deeper = depth.checked_sub(1)?;
        match self.peek()? {
            b'{' => self.object(|scanner, _| scanner.skip_to(deeper)),
            b'[' => self.list(|scanner| scanner.skip_to(deeper)),
            _ => self.scalar().map(|_| ()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::json::Json;

    /// What is read is what the tree's reader reads.
    fn check(text: &str) -> Option<Scalar<'_>> {
        let mut scanner = Scanner::new(text.as_bytes())?;
        let scalar = scanner.scalar().filter(|_| scanner.is_done());
        let json = Json::parse(text.as_bytes());
        match scalar {
            None => {}
            Some(Scalar::Null) => assert_eq!(json, Ok(Json::Null), "{text}"),
            Some(Scalar::Bool(boolean)) => assert_eq!(json, Ok(Json::Bool(boolean)), "{text}"),
            Some(Scalar::Text(found)) => assert_eq!(json, Ok(Json::Text(found.into())), "{text}"),
            Some(Scalar::Number(number)) => {
                let expected = match json.unwrap() {
                    Json::Integer(integer) => integer as f64,
                    Json::Number(number) => number,
                    other => unreachable!("{text} is {other:?}"),
                };
                assert_eq!(number.to_bits(), expected.to_bits(), "{text}");
            }
        }
        scalar
    }

    #[test]
    fn numbers_have_the_bits_of_the_nearest_float() {
        for text in [
            "0",
            "-0",
            "-0.0",
            "1",
            "-1.5",
            "0.1",
            "12.340",
            "9007199254740993",
            "9007199254740993.0",
            "1e22",
            "1E-7",
            "123456789012345678",
            "18446744073709551615",
            "18446744073709551616",
            "123456789012345678901234567890",
            "0.000000000000000000000012345678901234567",
            "2.2250738585072011e-308",
            "4.9e-324",
            "1e-400",
            "1.7976931348623157e308",
            "-9223372036854775808",
            "-9223372036854775809",
            "0.30000000000000004",
            "1e+5",
        ] {
            assert!(check(text).is_some(), "{text} is a number");
        }
        for text in [
            "", "-", "01", "-01", "1.", ".5", "1e", "1e+", "1e999", "+1", "0x10", "NaN", "1_000", "--1",
        ] {
            assert_eq!(check(text), None, "{text}");
        }
    }

    #[test]
    fn drawn_numbers_have_the_bits_of_the_nearest_float() {
        // A linear congruential generator: the same numbers every time.
        let mut state = 7_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 11
        };
        for _ in 0..20_000 {
            let (whole, decimals) = (
                next() % 10_u64.pow((next() % 17) as u32),
                next() % 10_u64.pow((next() % 15) as u32),
            );
            let sign = if next() % 2 == 0 { "" } else { "-" };
            assert!(check(&format!("{sign}{whole}.{decimals}")).is_some());
            assert!(check(&format!("{sign}{whole}")).is_some());
            let number = f64::from_bits((next() << 11) | (next() % 2048));
            if number.is_finite() {
                assert_eq!(check(&format!("{number:e}")), Some(Scalar::Number(number)));
            }
        }
    }

    #[test]
    fn plain_texts_and_words_are_read_and_others_left() {
        for text in ["\"\"", "\"ramen\"", "\"Köln\"", "true", "false", "null", " \"x\"\n"] {
            assert!(check(text).is_some(), "{text}");
        }
        for text in [
            "\"a\\nb\"",
            "\"a\nb\"",
            "\"a",
            "tru",
            "truex",
            "nul",
            "[]",
            "{}",
            "\"a\"b",
        ] {
            assert_eq!(check(text), None, "{text}");
        }
        assert!(Scanner::new(b"\"\xff\"").is_none(), "not UTF-8");
    }

    #[test]
    fn values_are_passed_over_whole() {
        let body = r#" {"a": [1, {"b": "}"}, []], "c": -2.5e3} ,"#;
        let mut scanner = Scanner::new(body.as_bytes()).unwrap();
        scanner.skip().unwrap();
        assert_eq!(scanner.peek(), Some(b','));
        for body in ["[1,]", "{\"a\"}", "[1", "{\"a\":1,}", "[1 2]", &"[".repeat(1000)] {
            assert!(Scanner::new(body.as_bytes()).unwrap().skip().is_none(), "{body}");
        }
    }
}
