//! Owns the records of one segment as they are read back: the file's bytes, and where each payload stands in them.

use std::ops::Range;

/// The payloads of one sealed segment, in the order in which they were appended. They are read where they stand in the
/// file's bytes; none is copied.
#[derive(Debug)]
pub struct Records {
    bytes: Vec<u8>,
    payloads: Vec<Range<usize>>,
}

impl Records {
    /// `payloads` lie within `bytes`.
    pub(crate) fn new(bytes: Vec<u8>, payloads: Vec<Range<usize>>) -> Records {
        Records { bytes, payloads }
    }

    /// The payloads, the first appended first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.payloads.iter().map(|payload| &self.bytes[payload.clone()])
    }

    /// The length of the segment's file.
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.payloads.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }
}
