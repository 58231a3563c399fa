//! Owns tensors: their types, and their elements in JSON and in bytes as values that rows can be made of.

use crate::fields::words;
use crate::json::Json;
use crate::problem::Problem;

/// An element type of the protocol that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp32,
    Fp64,
    Bytes,
}

impl Datatype {
    const ALL: [Self; 12] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// The protocol's word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// The type of an input by the protocol's word.
    pub(super) fn parse(word: &str, input: &str) -> Result<Self, Problem> {
        Self::ALL
            .into_iter()
            .find(|datatype| datatype.as_str() == word)
            .ok_or_else(|| {
                let word: String = word.chars().take(40).collect();
                let known = words(Self::ALL.into_iter().map(Self::as_str));
                Problem::invalid(
                    named(input),
                    format!("the datatype `{word}` is not read here; known are {known}"),
                )
            })
    }

    /// The least and the greatest whole number of an integer type.
    fn range(self) -> Option<(i64, u64)> {
        Some(match self {
            Self::Uint8 => (0, u8::MAX.into()),
            Self::Uint16 => (0, u16::MAX.into()),
            Self::Uint32 => (0, u32::MAX.into()),
            Self::Uint64 => (0, u64::MAX),
            Self::Int8 => (i8::MIN.into(), i8::MAX as u64),
            Self::Int16 => (i16::MIN.into(), i16::MAX as u64),
            Self::Int32 => (i32::MIN.into(), i32::MAX as u64),
            Self::Int64 => (i64::MIN, i64::MAX as u64),
            Self::Bool | Self::Fp32 | Self::Fp64 | Self::Bytes => return None,
        })
    }
}

/// An input.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// Row-major; as many as the shape says. Null for missing values.
    pub(super) elements: Vec<Json<'a>>,
}

impl<'a> Tensor<'a> {
    /// A tensor with as many elements as its shape says, and at least one.
    pub(super) fn new(name: String, shape: Vec<usize>, elements: Vec<Json<'a>>) -> Result<Self, Problem> {
        if shape.is_empty() || shape.contains(&0) {
            let detail = format!("the shape {shape:?} holds nothing; send at least one row");
            return Err(Problem::invalid(named(&name), detail));
        }
        let n_elements = shape
            .iter()
            .try_fold(1_usize, |product, size| product.checked_mul(*size));
        if n_elements != Some(elements.len()) {
            let detail = format!(
                "the shape {shape:?} does not fit the {} elements that were sent",
                elements.len()
            );
            return Err(Problem::invalid(named(&name), detail));
        }
        Ok(Self { name, shape, elements })
    }
}

/// An input in messages.
pub(super) fn named(input: &str) -> String {
    let input: String = input.chars().take(80).collect();
    format!("input `{input}`")
}

/// Takes elements from JSON, a flat list or nested lists in row-major order.
pub(super) fn from_json<'a>(datatype: Datatype, input: &str, data: Json<'a>) -> Result<Vec<Json<'a>>, Problem> {
    let mut elements = Vec::new();
    let mut rest = vec![data];
    while let Some(json) = rest.pop() {
        match json {
            Json::List(items) => rest.extend(items.into_iter().rev()),
            element => {
                let idx = elements.len();
                let element = checked(datatype, element).map_err(|found| {
                    let detail = format!("element {idx} is {found}; expected {}", datatype.as_str());
                    Problem::invalid(named(input), detail)
                })?;
                elements.push(element);
            }
        }
    }
    Ok(elements)
}

/// An element as the value that its type can hold, or what it is instead.
fn checked(datatype: Datatype, element: Json<'_>) -> Result<Json<'_>, String> {
    let fits = |number: i64, (least, greatest): (i64, u64)| match u64::try_from(number) {
        Ok(number) => number <= greatest,
        Err(_) => number >= least,
    };
    match (datatype, element) {
        (_, Json::Null) => Ok(Json::Null),
        (Datatype::Bool, Json::Bool(boolean)) => Ok(Json::Bool(boolean)),
        (Datatype::Bytes, Json::Text(text)) => Ok(Json::Text(text)),
        (Datatype::Fp64, Json::Integer(number)) => Ok(Json::Number(number as f64)),
        (Datatype::Fp64, Json::Number(number)) => Ok(Json::Number(number)),
        (Datatype::Fp32, Json::Integer(number)) => Ok(Json::Number(f64::from(number as f32))),
        (Datatype::Fp32, Json::Number(number)) if (number as f32).is_finite() => {
            Ok(Json::Number(f64::from(number as f32)))
        }
        (Datatype::Uint64, Json::Number(number))
            if number.fract() == 0.0 && (0.0..=u64::MAX as f64).contains(&number) =>
        {
            Ok(Json::Number(number))
        }
        (datatype, Json::Integer(number)) if datatype.range().is_some_and(|range| fits(number, range)) => {
            Ok(Json::Integer(number))
        }
        (_, other) => Err(other.describe()),
    }
}

/// Takes elements from bytes: little-endian numbers, one byte for each boolean, and for each text its length in four
/// bytes before it.
pub(super) fn from_bytes(datatype: Datatype, input: &str, bytes: &[u8]) -> Result<Vec<Json<'static>>, Problem> {
    let elements: Elements = match datatype {
        Datatype::Bool => bytes.iter().map(|byte| boolean(*byte)).collect(),
        Datatype::Uint8 => integers(bytes, u8::from_le_bytes),
        Datatype::Uint16 => integers(bytes, u16::from_le_bytes),
        Datatype::Uint32 => integers(bytes, u32::from_le_bytes),
        Datatype::Int8 => integers(bytes, i8::from_le_bytes),
        Datatype::Int16 => integers(bytes, i16::from_le_bytes),
        Datatype::Int32 => integers(bytes, i32::from_le_bytes),
        Datatype::Int64 => integers(bytes, i64::from_le_bytes),
        Datatype::Uint64 => numbers(bytes, |chunk| u64::from_le_bytes(chunk) as f64),
        Datatype::Fp32 => numbers(bytes, |chunk| f64::from(f32::from_le_bytes(chunk))),
        Datatype::Fp64 => numbers(bytes, f64::from_le_bytes),
        Datatype::Bytes => texts(bytes),
    };
    elements.map_err(|what| {
        Problem::invalid(
            named(input),
            format!("its {} elements in bytes: {what}", datatype.as_str()),
        )
    })
}

type Elements = Result<Vec<Json<'static>>, String>;

fn boolean(byte: u8) -> Result<Json<'static>, String> {
    match byte {
        0 | 1 => Ok(Json::Bool(byte == 1)),
        other => Err(format!("a boolean is {other}; expected 0 or 1")),
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> Result<impl Iterator<Item = [u8; N]>, String> {
    match bytes.as_chunks::<N>() {
        (chunks, []) => Ok(chunks.iter().copied()),
        _ => Err(format!("there are {} bytes; expected a multiple of {N}", bytes.len())),
    }
}

fn integers<const N: usize, I: Into<i64>>(bytes: &[u8], read: impl Fn([u8; N]) -> I) -> Elements {
    Ok(chunks(bytes)?.map(|chunk| Json::Integer(read(chunk).into())).collect())
}

fn numbers<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Elements {
    let element = |chunk| -> Result<Json<'static>, String> {
        match read(chunk) {
            number if number.is_nan() => Ok(Json::Null),
            number if number.is_infinite() => {
                Err("a number is infinite; expected a finite one, or NaN where it is missing".into())
            }
            number => Ok(Json::Number(number)),
        }
    };
    chunks(bytes)?.map(element).collect()
}

fn texts(mut bytes: &[u8]) -> Elements {
    let mut elements = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or("a text's length is cut off")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (text, rest) = rest
            .split_at_checked(length)
            .ok_or("a text is longer than the bytes that follow")?;
        let text = std::str::from_utf8(text).map_err(|_| "a text is not UTF-8")?;
        elements.push(Json::Text(text.to_owned().into()));
        bytes = rest;
    }
    Ok(elements)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn json(datatype: Datatype, data: &str) -> Result<Vec<Json<'static>>, String> {
        let text: &'static str = data.to_owned().leak();
        from_json(datatype, "x", Json::parse(text.as_bytes()).unwrap()).map_err(|problem| problem.text())
    }

    #[test]
    fn nested_lists_are_row_major() {
        let expected: Vec<Json<'_>> = (1..=4).map(Json::Integer).collect();
        assert_eq!(json(Datatype::Int8, "[[1,2],[3,4]]").unwrap(), expected);
        assert_eq!(json(Datatype::Int8, "[1,2,3,4]").unwrap(), expected);
    }

    #[test]
    fn elements_are_what_their_type_can_hold() {
        for (datatype, data, expected) in [
            (Datatype::Uint8, "[255]", Ok(Json::Integer(255))),
            (
                Datatype::Uint8,
                "[256]",
                Err("element 0 is the number 256; expected UINT8"),
            ),
            (
                Datatype::Uint8,
                "[-1]",
                Err("element 0 is the number -1; expected UINT8"),
            ),
            (Datatype::Int8, "[-128]", Ok(Json::Integer(-128))),
            (
                Datatype::Int8,
                "[-129]",
                Err("element 0 is the number -129; expected INT8"),
            ),
            (Datatype::Int64, "[-9223372036854775808]", Ok(Json::Integer(i64::MIN))),
            (
                Datatype::Uint64,
                "[18446744073709551615]",
                Ok(Json::Number(u64::MAX as f64)),
            ),
            (Datatype::Fp32, "[0.1]", Ok(Json::Number(f64::from(0.1_f32)))),
            (Datatype::Fp32, "[1e39]", Err("0000; expected FP32")),
            (Datatype::Fp64, "[2]", Ok(Json::Number(2.0))),
            (Datatype::Fp64, "[null]", Ok(Json::Null)),
            (Datatype::Bool, "[1]", Err("element 0 is the number 1; expected BOOL")),
            (Datatype::Bytes, "[7]", Err("element 0 is the number 7; expected BYTES")),
        ] {
            match (json(datatype, data), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, [expected], "{data}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{data}: {found}"),
                (found, expected) => unreachable!("{data}: {found:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn bytes_are_little_endian() {
        let read = |datatype, bytes: &[u8]| from_bytes(datatype, "x", bytes).map_err(|problem| problem.text());
        assert_eq!(
            read(Datatype::Int16, &[1, 0, 0xff, 0xff]).unwrap(),
            [Json::Integer(1), Json::Integer(-1)]
        );
        assert_eq!(
            read(Datatype::Fp32, &[0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f]).unwrap(),
            [Json::Number(1.0), Json::Null]
        );
        assert_eq!(
            read(Datatype::Bytes, b"\x02\0\0\0ab\0\0\0\0").unwrap(),
            [Json::Text("ab".into()), Json::Text("".into())]
        );
        for (datatype, bytes, expected) in [
            (
                Datatype::Fp64,
                &b"1234"[..],
                "there are 4 bytes; expected a multiple of 8",
            ),
            (Datatype::Fp32, &[0, 0, 0x80, 0x7f], "infinite"),
            (Datatype::Bool, &[2], "expected 0 or 1"),
            (Datatype::Bytes, b"\x03\0\0\0ab", "longer than the bytes"),
            (Datatype::Bytes, b"\x01\0", "cut off"),
            (Datatype::Bytes, b"\x01\0\0\0\xff", "not UTF-8"),
        ] {
            let found = read(datatype, bytes).unwrap_err();
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn a_shape_has_as_many_elements_as_it_says() {
        let tensor = |shape: &[usize]| Tensor::new("x".into(), shape.into(), vec![Json::Null; 4]);
        assert!(tensor(&[2, 2]).is_ok() && tensor(&[4]).is_ok());
        assert!(tensor(&[3]).is_err() && tensor(&[usize::MAX, 2]).is_err() && tensor(&[]).is_err());
        assert!(Tensor::new("x".into(), vec![usize::MAX, 0], Vec::new()).is_err());
    }
}
