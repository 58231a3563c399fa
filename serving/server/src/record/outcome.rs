//! Owns the bytes of an outcome's record: a format byte and the postcard form of one outcome, and after it, in format 2,
//! that of the candidate which the outcome is about.

use lakeloop_domain::Micros;
use lakeloop_lake::rows::{OutcomeRow, RowValue};
use serde::{Deserialize, Serialize};

use super::Undecodable;

/// The first byte of an outcome.
const FORMAT: u8 = 1;

/// The first byte of an outcome that names a candidate.
const WITH_CANDIDATE: u8 = 2;

/// What an outcome carries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum EntryValue<'a> {
    Number(f64),
    Category(&'a str),
}

/// One outcome, as the journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutcomeEntry<'a> {
    pub(crate) outcome_id: &'a str,
    pub(crate) decision_id: Option<&'a str>,
    pub(crate) strategy: Option<&'a str>,
    pub(crate) unit: Option<&'a str>,
    pub(crate) event: &'a str,
    #[serde(borrow)]
    pub(crate) value: EntryValue<'a>,
    pub(crate) event_time: Micros,
    pub(crate) received_at: Micros,
    #[serde(skip)]
    pub(crate) candidate: Option<&'a str>,
}

impl<'a> OutcomeEntry<'a> {
    /// Adds the record to `bytes`.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) -> Result<(), postcard::Error> {
        bytes.push(self.candidate.map_or(FORMAT, |_| WITH_CANDIDATE));
        let mut written = postcard::to_extend(self, std::mem::take(bytes))?;
        if let Some(candidate) = self.candidate {
            written = postcard::to_extend(candidate, written)?;
        }
        *bytes = written;
        Ok(())
    }

    /// Reads a record.
    pub(crate) fn read(record: &'a [u8]) -> Result<Self, Undecodable> {
        match record.split_first() {
            None => Err(Undecodable::Empty),
            Some((&FORMAT, body)) => Ok(postcard::from_bytes(body)?),
            Some((&WITH_CANDIDATE, body)) => {
                let (entry, rest): (Self, _) = postcard::take_from_bytes(body)?;
                Ok(Self {
                    candidate: Some(postcard::from_bytes(rest)?),
                    ..entry
                })
            }
            Some((found, _)) => Err(Undecodable::Format {
                found: *found,
                known: WITH_CANDIDATE,
            }),
        }
    }

    /// The row for the lake.
    pub(crate) fn row(&self) -> OutcomeRow<'a> {
        OutcomeRow {
            outcome_id: self.outcome_id,
            decision_id: self.decision_id,
            strategy: self.strategy,
            unit: self.unit,
            candidate: self.candidate,
            event: self.event,
            value: match self.value {
                EntryValue::Number(number) => RowValue::Number(number),
                EntryValue::Category(category) => RowValue::Category(category),
            },
            event_time: self.event_time,
            received_at: self.received_at,
        }
    }
}
