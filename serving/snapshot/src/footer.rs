//! The end of a file: what the snapshot is of, its columns, and where its sections lie with their checksums.

use lakeloop_domain::{FeatureType, FeatureViewName, Micros};
use serde::{Deserialize, Serialize};

/// Begins and ends every file.
pub(crate) const MAGIC: [u8; 8] = *b"LLsnap\r\n";

/// The version of the layout. A reader refuses any other: the file is a copy, and is built again.
pub(crate) const FORMAT: u32 = 1;

/// Length of the footer, its checksum, and the magic.
pub(crate) const TRAILER_BYTES: usize = 4 + 4 + MAGIC.len();

/// One entry of the directory: where the rows of a prefix begin, counted from the first row.
pub(crate) const ENTRY_BYTES: usize = 8;

/// A column of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name in the feature view.
    pub name: String,
    /// Its type.
    pub feature_type: FeatureType,
}

/// What the file says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footer {
    /// Stands first, so that another format's footer can be told from a damaged one.
    pub format: u32,
    pub view: FeatureViewName,
    pub table_version: i64,
    pub built_at: Micros,
    pub columns: Vec<Column>,
    pub n_entities: u64,
    /// Bits of the hash that the directory goes by; it has 2^bits + 1 entries.
    pub directory_bits: u32,
    pub rows: Section,
    pub directory: Section,
}

/// A stretch of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Section {
    pub start: u64,
    pub n_bytes: u64,
    /// CRC-32C of its bytes.
    pub checksum: u32,
}

impl Footer {
    /// The bytes of the footer with the trailer that leads to it.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let mut bytes = postcard::to_stdvec(self)?;
        let (n_bytes, checksum) = (bytes.len() as u32, crc32c::crc32c(&bytes));
        bytes.extend_from_slice(&n_bytes.to_le_bytes());
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&MAGIC);
        Ok(bytes)
    }

    /// Entries of the directory.
    pub fn n_entries(&self) -> Option<u64> {
        1_u64.checked_shl(self.directory_bits)?.checked_add(1)
    }
}
