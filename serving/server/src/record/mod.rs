//! Owns the bytes of one journal record, in both directions.
//!
//! A record is a format byte and a body. Records outlive the process that wrote them, so a format, once released, is read
//! for ever: a change of fields takes a new byte. A byte or body that cannot be read is [`Undecodable`]; what becomes of it
//! is the flush's business.

mod decision;
mod format_1;
mod outcome;

pub(crate) use decision::{
    DecisionReader, Own, OwnChoice, OwnConditions, OwnRanking, Read, RecordForm, decode as decode_decision,
};
pub(crate) use outcome::{EntryValue, OutcomeEntry};

/// Why decisions of a bundle cannot be journalled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unencodable {
    /// The policy has no JSON.
    #[error("the policy cannot be written")]
    Policy(#[from] serde_json::Error),
    /// Something else has no bytes.
    #[error("the form of journal records cannot be made")]
    Form(#[from] postcard::Error),
}

/// Why a journal record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// The record holds no bytes.
    #[error("the record is empty")]
    Empty,
    /// The record was written in another format.
    #[error("the record has format {found}, this version reads formats up to {known}; start the version that wrote it")]
    Format {
        /// Its first byte.
        found: u8,
        /// The newest format that this version reads.
        known: u8,
    },
    /// The bytes are no record of that format.
    #[error("the record is damaged: {0}")]
    Body(#[from] postcard::Error),
    /// The record ends before its last value.
    #[error("the record is damaged: it ends too early")]
    Short,
    /// The record goes on after its last value.
    #[error("the record is damaged: {n_bytes} bytes follow its last value")]
    Long {
        /// How many.
        n_bytes: usize,
    },
    /// The record's choice is none of its actions.
    #[error("the record is damaged: it has no action {idx}")]
    Action {
        /// The position that it gives.
        idx: u32,
    },
    /// The record's ranking holds a candidate that is none of its own.
    #[error("the record is damaged: it has no candidate {idx}")]
    Candidate {
        /// The position that it gives.
        idx: u32,
    },
    /// The record's policy is not one that this version knows.
    #[error("the record's policy cannot be read")]
    Policy(#[source] serde_json::Error),
    /// The record names something in a way that is not allowed.
    #[error(transparent)]
    Id(#[from] lakeloop_domain::InvalidId),
}

#[cfg(test)]
mod tests;
