//! Owns reading the UBJSON form of a saved model: the subset of UBJSON (draft 12) that XGBoost writes.
//!
//! Numbers are big-endian. Arrays are plain (`[ … ]`), counted (`[#L count …`) or typed (`[$d#L count` and the bare
//! numbers); objects are plain. Counts are held against the bytes that are left before anything is made of them, so
//! a damaged file cannot ask for memory that it does not itself fill.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use crate::error::ModelError;
use crate::saved::SavedModel;

/// Containers within containers; XGBoost's own go eight deep.
const MAX_DEPTH: usize = 64;

/// Why bytes are no UBJSON, or not that of an XGBoost model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UbjsonError {
    /// The bytes end within a value.
    #[error("it ends at byte {at}, within a value")]
    Ended {
        /// The length of the file.
        at: usize,
    },
    /// A byte stands where UBJSON has no such marker.
    #[error("byte {at} is 0x{found:02x}, expected {expected}")]
    Marker {
        /// Where.
        at: usize,
        /// The byte.
        found: u8,
        /// What would have been taken.
        expected: &'static str,
    },
    /// A length is negative or longer than the rest of the file.
    #[error("byte {at} announces {found} elements or bytes, and {left} bytes are left")]
    Length {
        /// Where.
        at: usize,
        /// The length.
        found: i64,
        /// What is left.
        left: usize,
    },
    /// A text is not UTF-8.
    #[error("the text at byte {at} is not UTF-8")]
    Text {
        /// Where.
        at: usize,
    },
    /// Containers are nested too deep.
    #[error("containers are nested more than {MAX_DEPTH} deep at byte {at}")]
    Depth {
        /// Where.
        at: usize,
    },
    /// Bytes follow the model.
    #[error("bytes follow the model at byte {at}")]
    Trailing {
        /// Where.
        at: usize,
    },
    /// The UBJSON is sound, and something else than a model.
    #[error("{message}")]
    Content {
        /// What was expected and what was found.
        message: String,
    },
}

impl de::Error for UbjsonError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Content {
            message: message.to_string(),
        }
    }
}

pub(crate) fn read(model: &[u8]) -> Result<SavedModel, ModelError> {
    let mut reader = Reader {
        bytes: model,
        at: 0,
        depth: 0,
    };
    let saved = SavedModel::deserialize(&mut reader).map_err(ModelError::Ubjson)?;
    match reader.at == model.len() {
        true => Ok(saved),
        false => Err(ModelError::Ubjson(UbjsonError::Trailing { at: reader.at })),
    }
}

struct Reader<'de> {
    bytes: &'de [u8],
    at: usize,
    depth: usize,
}

impl<'de> Reader<'de> {
    fn peek(&self) -> Result<u8, UbjsonError> {
        self.bytes
            .get(self.at)
            .copied()
            .ok_or(UbjsonError::Ended { at: self.bytes.len() })
    }

    /// Goes past a byte of the marker that was peeked at.
    fn take_if(&mut self, marker: u8) -> Result<bool, UbjsonError> {
        let found = self.peek()? == marker;
        self.at += usize::from(found);
        Ok(found)
    }

    fn take(&mut self, n_bytes: usize) -> Result<&'de [u8], UbjsonError> {
        let taken = self.bytes[self.at..]
            .get(..n_bytes)
            .ok_or(UbjsonError::Ended { at: self.bytes.len() })?;
        self.at += n_bytes;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], UbjsonError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn number(&mut self, marker: Marker) -> Result<Scalar, UbjsonError> {
        Ok(match marker {
            Marker::I8 => Scalar::Whole(i8::from_be_bytes(self.take_array()?).into()),
            Marker::U8 => Scalar::Whole(u8::from_be_bytes(self.take_array()?).into()),
            Marker::I16 => Scalar::Whole(i16::from_be_bytes(self.take_array()?).into()),
            Marker::I32 => Scalar::Whole(i32::from_be_bytes(self.take_array()?).into()),
            Marker::I64 => Scalar::Whole(i64::from_be_bytes(self.take_array()?)),
            Marker::F32 => Scalar::F32(f32::from_be_bytes(self.take_array()?)),
            Marker::F64 => Scalar::F64(f64::from_be_bytes(self.take_array()?)),
        })
    }

    /// A count of things that each fill at least `size` bytes.
    fn length(&mut self, size: usize) -> Result<usize, UbjsonError> {
        let (at, marker) = (self.at, self.peek()?);
        self.at += 1;
        let found = match Marker::of(marker).map(|marker| self.number(marker)).transpose()? {
            Some(Scalar::Whole(found)) => found,
            _ => {
                return Err(UbjsonError::Marker {
                    at,
                    found: marker,
                    expected: "a length: i, U, I, l or L",
                });
            }
        };
        let left = self.bytes.len() - self.at;
        match usize::try_from(found) {
            Ok(length) if length <= left / size => Ok(length),
            _ => Err(UbjsonError::Length { at, found, left }),
        }
    }

    fn text(&mut self) -> Result<&'de str, UbjsonError> {
        let length = self.length(1)?;
        let at = self.at;
        std::str::from_utf8(self.take(length)?).map_err(|_| UbjsonError::Text { at })
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, UbjsonError>) -> Result<T, UbjsonError> {
        if self.depth == MAX_DEPTH {
            return Err(UbjsonError::Depth { at: self.at });
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// An array, after its opening bracket.
    fn array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, UbjsonError> {
        if self.take_if(b'$')? {
            let (at, found) = (self.at, self.peek()?);
            let expected = "the type of an array: d, D, i, U, I, l or L";
            let marker = Marker::of(found).ok_or(UbjsonError::Marker { at, found, expected })?;
            self.at += 1;
            self.expect(b'#', "# and the count of a typed array")?;
            let left = self.length(marker.size())?;
            return visitor.visit_seq(Elements {
                reader: self,
                kind: ElementKind::Typed(marker),
                left,
            });
        }
        if self.take_if(b'#')? {
            let left = self.length(1)?;
            return visitor.visit_seq(Elements {
                reader: self,
                kind: ElementKind::Any,
                left,
            });
        }
        let value = visitor.visit_seq(UntilClosed(self))?;
        self.expect(b']', "] at the end of an array")?;
        Ok(value)
    }

    fn expect(&mut self, marker: u8, expected: &'static str) -> Result<(), UbjsonError> {
        let (at, found) = (self.at, self.peek()?);
        match self.take_if(marker)? {
            true => Ok(()),
            false => Err(UbjsonError::Marker { at, found, expected }),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = UbjsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        let (at, found) = (self.at, self.peek()?);
        self.at += 1;
        match found {
            b'{' => self.nested(|reader| {
                let value = visitor.visit_map(UntilClosed(reader))?;
                reader.expect(b'}', "} at the end of an object")?;
                Ok(value)
            }),
            b'[' => self.nested(|reader| reader.array(visitor)),
            b'S' => visitor.visit_borrowed_str(self.text()?),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'Z' => visitor.visit_unit(),
            _ => match Marker::of(found) {
                Some(marker) => self.number(marker)?.deserialize_any(visitor),
                None => Err(UbjsonError::Marker {
                    at,
                    found,
                    expected: "a value",
                }),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        match self.take_if(b'Z')? {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The elements of a plain container, up to its closing bracket, which stays.
struct UntilClosed<'a, 'de>(&'a mut Reader<'de>);

impl<'de> SeqAccess<'de> for UntilClosed<'_, 'de> {
    type Error = UbjsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, UbjsonError> {
        match self.0.peek()? {
            b']' => Ok(None),
            _ => seed.deserialize(&mut *self.0).map(Some),
        }
    }
}

impl<'de> MapAccess<'de> for UntilClosed<'_, 'de> {
    type Error = UbjsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, UbjsonError> {
        match self.0.peek()? {
            b'}' => Ok(None),
            _ => seed.deserialize(StrDeserializer::new(self.0.text()?)).map(Some),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, UbjsonError> {
        seed.deserialize(&mut *self.0)
    }
}

/// The elements of a counted array.
struct Elements<'a, 'de> {
    reader: &'a mut Reader<'de>,
    kind: ElementKind,
    left: usize,
}

#[derive(Clone, Copy)]
enum ElementKind {
    Any,
    Typed(Marker),
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = UbjsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, UbjsonError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        match self.kind {
            ElementKind::Any => seed.deserialize(&mut *self.reader),
            ElementKind::Typed(marker) => seed.deserialize(self.reader.number(marker)?),
        }
        .map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The numeric types of UBJSON.
#[derive(Clone, Copy)]
enum Marker {
    I8,
    U8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

impl Marker {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b'i' => Self::I8,
            b'U' => Self::U8,
            b'I' => Self::I16,
            b'l' => Self::I32,
            b'L' => Self::I64,
            b'd' => Self::F32,
            b'D' => Self::F64,
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }
}

/// One number, as an element of a typed array or by itself.
#[derive(Clone, Copy)]
enum Scalar {
    Whole(i64),
    F32(f32),
    F64(f64),
}

impl<'de> Deserializer<'de> for Scalar {
    type Error = UbjsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        match self {
            Self::Whole(number) => visitor.visit_i64(number),
            Self::F32(number) => visitor.visit_f32(number),
            Self::F64(number) => visitor.visit_f64(number),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
