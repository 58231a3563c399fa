//! Owns reading the JSON form of a saved model.
//!
//! XGBoost writes `NaN`, `Infinity` and `-Infinity` as they are, which JSON forbids: a split that only asks whether
//! a value is missing has the threshold `-Infinity`. Each such word is replaced by a whole number that stands for
//! it before the text is parsed.

use std::borrow::Cow;

use crate::error::ModelError;
use crate::saved::{INFINITY, MINUS_INFINITY, NAN, SavedModel};

pub(crate) fn read(model: &[u8]) -> Result<SavedModel, ModelError> {
    serde_json::from_slice(&with_words_as_numbers(model)).map_err(ModelError::Json)
}

/// The same text with each bare word that means a number replaced; borrowed when there is none.
fn with_words_as_numbers(text: &[u8]) -> Cow<'_, [u8]> {
    let mut replaced = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'"' {
            at = end_of_string(text, at);
        } else if let Some((word, number)) = word(&text[at..]) {
            replaced.extend_from_slice(&text[copied..at]);
            replaced.extend_from_slice(number.to_string().as_bytes());
            at += word.len();
            copied = at;
        } else {
            at += 1;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    replaced.extend_from_slice(&text[copied..]);
    Cow::Owned(replaced)
}

/// The bare word that the text starts with, and the number that stands for it.
fn word(text: &[u8]) -> Option<(&'static str, i128)> {
    match text[0] {
        b'N' if text.starts_with(b"NaN") => Some(("NaN", NAN.into())),
        b'I' if text.starts_with(b"Infinity") => Some(("Infinity", INFINITY.into())),
        b'-' if text.starts_with(b"-Infinity") => Some(("-Infinity", MINUS_INFINITY.into())),
        _ => None,
    }
}

/// The place after the string that starts at `start`; the end of the text when the string has no end.
fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::saved::Number;

    fn numbers(text: &str) -> Vec<f32> {
        let numbers: Vec<Number> = serde_json::from_slice(&with_words_as_numbers(text.as_bytes())).unwrap();
        numbers.into_iter().map(|Number(number)| number).collect()
    }

    #[test]
    fn words_that_mean_numbers_are_read() {
        assert_eq!(
            numbers("[1E0,-2,-Infinity,Infinity]"),
            [1.0, -2.0, f32::NEG_INFINITY, f32::INFINITY]
        );
        assert!(numbers("[NaN]")[0].is_nan());
    }

    /// As f64 this is the exact middle of two f32, and rounding that once more gives 0x15ae43fe.
    #[test]
    fn numbers_are_rounded_once() {
        assert_eq!(numbers("[7.038531E-26]")[0].to_bits(), 0x15ae_43fd);
    }

    #[test]
    fn texts_are_left_alone() {
        for text in [r#"{"NaN":"a\"NaN, Infinity"}"#, r#"["no end: NaN"#, r#"["\"#, "[1,2]"] {
            assert!(
                matches!(with_words_as_numbers(text.as_bytes()), Cow::Borrowed(_)),
                "{text}"
            );
        }
    }
}
