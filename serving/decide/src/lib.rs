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
//! - [`probabilities()`] and [`position_probabilities`] say what else a decision could have been, and how likely.
//! - [`encode`] is the one encoding that serving and training share.
//! - [`policy`] gives the probability of every choice, [`draw()`] the randomness that anyone can make again.
//!
//! Deliberately absent: requests and answers, looking features up, tables, clocks, logs, training. What decides here
//! is also what measures a model's latency and what a replay runs.

mod bundle;
mod decide;
mod probabilities;
mod rank;
mod record;
mod replay;

mod model;

pub mod calibrate;
pub mod encode;
pub mod policy;

mod beliefs;
mod draw;
mod ranking;

pub use bundle::{Bundle, BundleError};
pub use decide::{Chosen, Decision, decide, decide_served};
pub use draw::draw;
pub use lakeloop_trees::Choice as TechniqueChoice;
pub use model::{Model, ModelLoadError, ModelParts, ModelProblem, ScoreError, Scratch};
pub use probabilities::{Positions, position_probabilities, probabilities, probabilities_by_scores};
pub use rank::{Offered, OfferedValues, rank, rank_served};
pub use record::{Asked, record};
pub use replay::{Replay, replay};
