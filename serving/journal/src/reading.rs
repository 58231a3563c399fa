//! Owns the reading of a sealed segment, piece by piece.
//!
//! Reading and checking tens of megabytes keeps a core busy for tens of milliseconds. Whoever does so beside threads that answer
//! requests can pause after each piece, which takes a tenth of one.

use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

use crate::disk::Disk;
use crate::error::JournalError;
use crate::records::Records;
use crate::segment::{self, SegmentNumber};

/// Bytes that are read or checked at once.
const PIECE_BYTES: usize = 256 << 10;

/// A sealed segment as far as it was read; see [`Journal::reading`](crate::Journal::reading).
pub struct Reading<'j> {
    disk: &'j dyn Disk,
    path: PathBuf,
    number: SegmentNumber,
    bytes: Vec<u8>,
    /// Where the next record to be checked stands; `None` until all bytes are there.
    next: Option<usize>,
    payloads: Vec<Range<usize>>,
}

impl<'j> Reading<'j> {
    /// Nothing is read yet of a file of `n_bytes`.
    pub(crate) fn new(disk: &'j dyn Disk, path: PathBuf, number: SegmentNumber, n_bytes: u64) -> Self {
        Self {
            disk,
            path,
            number,
            bytes: Vec::with_capacity(usize::try_from(n_bytes).unwrap_or(0)),
            next: None,
            payloads: Vec::new(),
        }
    }

    /// Goes on by one piece: breaks with the records once all of it is read and intact.
    ///
    /// # Errors
    /// [`JournalError::DamagedSegment`] when the file no longer holds what was checked when it was opened or written;
    /// [`JournalError::Io`].
    pub fn go_on(mut self) -> Result<ControlFlow<Records, Self>, JournalError> {
        let Some(start) = self.next else {
            let read = self.disk.read_on(&self.path, &mut self.bytes, PIECE_BYTES);
            if read.map_err(|error| JournalError::io("read", &self.path, error))? == 0 {
                self.begin()?;
            }
            return Ok(ControlFlow::Continue(self));
        };
        let mut offset = start;
        while offset < self.bytes.len() {
            if offset - start >= PIECE_BYTES {
                self.next = Some(offset);
                return Ok(ControlFlow::Continue(self));
            }
            let intact = segment::intact_at(&self.bytes, self.number, offset);
            let payload = intact.ok_or_else(|| self.damaged(offset))?;
            offset = payload.end;
            self.payloads.push(payload);
        }
        Ok(ControlFlow::Break(Records::new(self.bytes, self.payloads)))
    }

    /// Reads all bytes in one call, and leaves them with the operating system for whoever reads them next.
    pub(crate) fn at_once(mut self) -> Result<Records, JournalError> {
        let read = self.disk.read(&self.path);
        self.bytes = read.map_err(|error| JournalError::io("read", &self.path, error))?;
        self.begin()?;
        loop {
            match self.go_on()? {
                ControlFlow::Continue(rest) => self = rest,
                ControlFlow::Break(records) => return Ok(records),
            }
        }
    }

    /// All bytes are there: the records are next.
    fn begin(&mut self) -> Result<(), JournalError> {
        self.next = Some(segment::begin(&self.bytes, self.number).ok_or_else(|| self.damaged(0))?);
        Ok(())
    }

    fn damaged(&self, offset: usize) -> JournalError {
        JournalError::DamagedSegment {
            path: self.path.clone(),
            offset: offset as u64,
        }
    }
}
