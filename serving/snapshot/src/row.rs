//! One row as its bytes, in a file and on the way there.
//!
//! ```text
//!   n_bytes u32 │ entity_bytes u32 │ flags u8 │ entity │ event_time i64 │ available_at i64 │ known bits │ slots │ texts
//! ```
//! All little-endian and without padding; fields are read by copying, so no alignment is needed. A slot is 8 bytes of a
//! number, 1 of a boolean, or start (from the row's first byte) and length of a text, 4 bytes each. The bit of a column
//! that is missing is 0, and so is its slot.

use lakeloop_domain::{FeatureType, Micros, ValueRef};

use crate::SnapshotError;
use crate::footer::Column;

/// The largest row, entity and texts included.
pub(crate) const MAX_ROW_BYTES: usize = 16 << 20;

const HEAD_BYTES: usize = 4 + 4 + 1;
const TIMES_BYTES: usize = 8 + 8;
const FLAGS_AT: usize = 8;
const DISPUTED: u8 = 1;

/// Where the values of a row lie, behind its times.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    columns: Vec<(FeatureType, usize)>,
    /// Bytes of the known bits and the slots.
    n_bytes: usize,
}

impl Layout {
    pub fn of(columns: &[Column]) -> Self {
        let mut at = columns.len().div_ceil(8);
        let columns = columns
            .iter()
            .map(|column| {
                let slot_at = at;
                at += slot_bytes(column.feature_type);
                (column.feature_type, slot_at)
            })
            .collect();
        Self { columns, n_bytes: at }
    }
}

fn slot_bytes(feature_type: FeatureType) -> usize {
    match feature_type {
        FeatureType::Number | FeatureType::Category => 8,
        FeatureType::Boolean => 1,
    }
}

/// Appends a row; the columns give the names that errors tell.
pub(crate) fn encode(
    layout: &Layout,
    columns: &[Column],
    entity: &str,
    times: (Micros, Micros),
    values: &[ValueRef<'_>],
    out: &mut Vec<u8>,
) -> Result<(), SnapshotError> {
    if values.len() != columns.len() {
        return Err(SnapshotError::Width {
            entity: shortened(entity),
            expected: columns.len(),
            found: values.len(),
        });
    }
    let texts = values.iter().map(|value| match value {
        ValueRef::Category(text) => text.len(),
        _ => 0,
    });
    let fixed = HEAD_BYTES + entity.len() + TIMES_BYTES + layout.n_bytes;
    let n_bytes = fixed + texts.sum::<usize>();
    if n_bytes > MAX_ROW_BYTES {
        return Err(SnapshotError::RowSize {
            entity: shortened(entity),
            max_bytes: MAX_ROW_BYTES,
            n_bytes,
        });
    }
    let start = out.len();
    // Below the largest row's size, every length fits four bytes.
    out.extend_from_slice(&(n_bytes as u32).to_le_bytes());
    out.extend_from_slice(&(entity.len() as u32).to_le_bytes());
    out.push(0);
    out.extend_from_slice(entity.as_bytes());
    out.extend_from_slice(&times.0.to_le_bytes());
    out.extend_from_slice(&times.1.to_le_bytes());
    let values_at = out.len();
    out.resize(start + fixed, 0);
    for (idx, (value, (feature_type, slot_at))) in values.iter().zip(&layout.columns).enumerate() {
        let slot_at = values_at + slot_at;
        match (value, feature_type) {
            (ValueRef::Missing, _) => continue,
            (ValueRef::Number(number), FeatureType::Number) if !number.is_finite() => continue,
            (ValueRef::Number(number), FeatureType::Number) => {
                out[slot_at..slot_at + 8].copy_from_slice(&number.to_le_bytes());
            }
            (ValueRef::Boolean(boolean), FeatureType::Boolean) => out[slot_at] = u8::from(*boolean),
            (ValueRef::Category(text), FeatureType::Category) => {
                let text_at = (out.len() - start) as u32;
                out[slot_at..slot_at + 4].copy_from_slice(&text_at.to_le_bytes());
                out[slot_at + 4..slot_at + 8].copy_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            (_, expected) => {
                let error = SnapshotError::Value {
                    entity: shortened(entity),
                    column: columns[idx].name.clone(),
                    expected: *expected,
                };
                out.truncate(start);
                return Err(error);
            }
        }
        out[values_at + idx / 8] |= 1 << (idx % 8);
    }
    Ok(())
}

fn shortened(entity: &str) -> String {
    entity.chars().take(80).collect()
}

/// Marks an encoded row as one of several with the same times.
pub(crate) fn mark_disputed(row: &mut [u8]) {
    if let Some(flags) = row.get_mut(FLAGS_AT) {
        *flags |= DISPUTED;
    }
}

/// A row as it lies among others, not yet read further than its entity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRow<'s> {
    pub bytes: &'s [u8],
    /// The entity's text.
    pub entity: &'s [u8],
    /// Behind the entity: times, known bits, slots, texts.
    rest: &'s [u8],
}

impl<'s> RawRow<'s> {
    /// The row at the beginning of some bytes; `None` when they hold no whole one.
    pub fn first_of(bytes: &'s [u8]) -> Option<Self> {
        let n_bytes = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        let bytes = bytes.get(..n_bytes)?;
        let entity_bytes = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?) as usize;
        let (entity, rest) = bytes.get(HEAD_BYTES..)?.split_at_checked(entity_bytes)?;
        (rest.len() >= TIMES_BYTES).then_some(Self { bytes, entity, rest })
    }

    /// Event time and the time when it became available.
    pub fn times(&self) -> (Micros, Micros) {
        let time = |at: usize| Micros::from_le_bytes(std::array::from_fn(|idx| self.rest[at + idx]));
        (time(0), time(8))
    }

    /// The row with a layout to read its values by; `None` when it is too short for it.
    pub fn read(self, layout: &'s Layout) -> Option<Row<'s>> {
        let values = &self.rest[TIMES_BYTES..];
        (values.len() >= layout.n_bytes).then_some(Row {
            raw: self,
            values,
            layout,
        })
    }
}

/// The latest row of an entity.
#[derive(Debug, Clone, Copy)]
pub struct Row<'s> {
    raw: RawRow<'s>,
    values: &'s [u8],
    layout: &'s Layout,
}

impl<'s> Row<'s> {
    /// Since when the values hold.
    pub fn event_time(&self) -> Micros {
        self.raw.times().0
    }

    /// Since when they could be read.
    pub fn available_at(&self) -> Micros {
        self.raw.times().1
    }

    /// True when this row is the one that counts at a moment: neither of its times lies after it, and no other row of
    /// the entity has the same times with other values. Else only the table can tell.
    pub fn counts_at(&self, at: Micros) -> bool {
        let (event_time, available_at) = self.raw.times();
        event_time <= at && available_at <= at && self.raw.bytes[FLAGS_AT] & DISPUTED == 0
    }

    /// The value of a column, by its position in the snapshot; `None` when the row's bytes contradict themselves.
    pub fn value(&self, column_idx: usize) -> Option<ValueRef<'s>> {
        let (feature_type, slot_at) = *self.layout.columns.get(column_idx)?;
        if self.values[column_idx / 8] & (1 << (column_idx % 8)) == 0 {
            return Some(ValueRef::Missing);
        }
        let slot = self.values.get(slot_at..slot_at + slot_bytes(feature_type))?;
        match feature_type {
            FeatureType::Number => {
                let number = f64::from_le_bytes(*slot.first_chunk()?);
                number.is_finite().then_some(ValueRef::Number(number))
            }
            FeatureType::Boolean => match slot[0] {
                0 => Some(ValueRef::Boolean(false)),
                1 => Some(ValueRef::Boolean(true)),
                _ => None,
            },
            FeatureType::Category => {
                let (start, length) = slot.split_at(4);
                let start = u32::from_le_bytes(*start.first_chunk()?) as usize;
                let length = u32::from_le_bytes(*length.first_chunk()?) as usize;
                let text = self.raw.bytes.get(start..)?.get(..length)?;
                Some(ValueRef::Category(std::str::from_utf8(text).ok()?))
            }
        }
    }
}
