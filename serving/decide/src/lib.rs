//! Owns the decision kernel: features in, a choice with its exact propensity out, the same every time.
//!
//! ```text
//! ModelRecord ─► Model ┐
//! AppliedBlueprint ────┴► Bundle ─┐
//! features, decision id ──────────┴► decide ─► Decision ─► record ─► (journal, lake) ─► replay
//! ```
//!
//! - [`Bundle`] is everything that one strategy decides by, checked once and immutable.
//! - [`decide()`], and [`rank()`] for candidates, are pure and allocate nothing; their story stands in `decide.rs`.
//! - [`Given`] holds what else bears on a decision: blocked actions, and the step of a ladder.
//! - [`probabilities()`] and [`position_probabilities`] say what else a decision could have been, and how likely.
//! - [`encode`] is the one encoding that serving and training share.
//! - [`policy`] gives the probability of every choice, [`draw()`] the randomness that anyone can make again.
//! - [`caps`] counts what was taken, and says what that leaves blocked.
//!
//! Deliberately absent: requests and answers, looking features up, tables, clocks, logs, training. What decides here
//! is also what measures a model's latency and what a replay runs.

mod bundle;
mod decide;
mod given;
mod probabilities;
mod rank;
mod record;
mod replay;

mod model;

pub mod calibrate;
pub mod caps;
pub mod encode;
pub mod policy;

mod beliefs;
mod draw;
mod ranking;

pub use bundle::{Bundle, BundleError};
pub use decide::{Chosen, Decision, decide, decide_served};
pub use draw::draw;
pub use given::Given;
pub use lakeloop_trees::Choice as TechniqueChoice;
pub use model::{Model, ModelLoadError, ModelParts, ModelProblem, ScoreError, Scratch};
pub use probabilities::{
    Positions, position_probabilities, probabilities, probabilities_blocked, probabilities_by_scores,
};
pub use rank::{Offered, OfferedValues, rank, rank_given, rank_served, rank_served_given};
pub use record::{Asked, record, record_given};
pub use replay::{Replay, replay};
