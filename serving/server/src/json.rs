//! Owns the reading of request bodies: JSON text into a tree that borrows from it.
//!
//! The tree is permissive on purpose: it takes any well-formed JSON, so that what is wrong with a *value* is found by the
//! code that knows what the value is for and can name the field. What is not well-formed is refused here, with line and
//! column. A number beyond the range of a 64-bit float (`1e999`) is not well-formed; NaN and infinities cannot be written
//! in JSON, so every number in the tree is finite.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::problem::Problem;

/// A JSON object: its keys and values in the order they were written. A key may stand there twice; whoever reads the
/// object refuses that.
pub(crate) type Object<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

/// One JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// A number without fraction or exponent that fits 64 bits.
    Integer(i64),
    /// Any other number; finite.
    Number(f64),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Object<'a>),
}

impl<'a> Json<'a> {
    /// Reads a whole body as one value.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Json<'a>, Problem> {
        serde_json::from_slice(body).map_err(|error| Problem::Malformed {
            detail: format!("the body is not valid JSON: {error}"),
        })
    }

    /// What the value is, for messages: `the number 5`, `the text "ramen"`, `a list`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(boolean) => format!("the boolean {boolean}"),
            Self::Integer(number) => format!("the number {number}"),
            Self::Number(number) => format!("the number {number}"),
            Self::Text(text) if text.chars().count() <= 40 => format!("the text {text:?}"),
            Self::Text(text) => format!("a text of {} bytes", text.len()),
            Self::List(_) => "a list".into(),
            Self::Object(_) => "an object".into(),
        }
    }
}

/// A text that borrows from the body unless it holds escapes.
struct Text<'a>(Cow<'a, str>);

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(boolean))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(number).map_or(Json::Number(number as f64), Json::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json<'de>, A::Error> {
        // Most objects of a request have fewer keys than this.
        let mut object = Vec::with_capacity(8);
        while let Some(Text(key)) = entries.next_key()? {
            object.push((key, entries.next_value()?));
        }
        Ok(Json::Object(object))
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_read_in_order() {
        let body = br#"{"a":null,"b":[true,-1,1.5,"x"],"a":"\u00e9"}"#;
        let expected = Json::Object(vec![
            ("a".into(), Json::Null),
            (
                "b".into(),
                Json::List(vec![
                    Json::Bool(true),
                    Json::Integer(-1),
                    Json::Number(1.5),
                    Json::Text("x".into()),
                ]),
            ),
            ("a".into(), Json::Text("é".into())),
        ]);
        assert_eq!(Json::parse(body).unwrap(), expected);
    }

    #[test]
    fn texts_without_escapes_borrow_from_the_body() {
        let Json::Text(text) = Json::parse(br#""plain""#).unwrap() else {
            unreachable!("a text was written")
        };
        assert!(matches!(text, Cow::Borrowed("plain")));
    }

    #[test]
    fn what_is_not_json_is_refused_with_line_and_column() {
        for (body, expected) in [
            ("{\"a\":\n  tru}", "at line 2 column"),
            ("{\"a\": 1e999}", "number out of range at line 1 column"),
            ("{\"a\": NaN}", "at line 1 column"),
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{} {}", "trailing characters at line 1 column 4"),
            ("{\"a\": \"\u{1}\"}", "control character"),
        ] {
            let Err(Problem::Malformed { detail }) = Json::parse(body.as_bytes()) else {
                unreachable!("{body} is not JSON")
            };
            assert!(detail.contains(expected), "{body}: {detail}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err(), "not UTF-8");
        assert!(Json::parse("[".repeat(100_000).as_bytes()).is_err(), "too deep");
    }
}
