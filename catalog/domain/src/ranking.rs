//! Rankings: the candidates that came with a request, and the order in which they were returned.

use serde::{Deserialize, Serialize};

use crate::{CandidateId, Features};

/// One candidate, as its request described it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Names it; no other candidate of the same request has this name.
    pub id: CandidateId,
    /// Its features as served, in the blueprint's order: with those of its decision, the very row that is trained on.
    pub features: Features,
}

/// One position of an order: who stands there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The candidate.
    pub candidate: CandidateId,
    /// The probability, over the policy's draws, that this candidate stands at this position; in (0, 1].
    pub propensity: f64,
}

/// What a decision that ranks was made of, and what it returned.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ranking {
    /// All candidates, in the request's order.
    pub candidates: Vec<Candidate>,
    /// The positions that were returned, the first one first; each is one of the candidates, and none stands twice.
    pub positions: Vec<Position>,
}
