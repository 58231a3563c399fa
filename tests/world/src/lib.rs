//! Simulated products with known truth, for the demo and the tests.
//!
//! A world knows what lakeloop has to find out: the probability of a reward for every context and action, hence the
//! best policy and what it is worth. Everything is a pure function of a seed, so that two runs see the same users, ask
//! in the same order and, given the same actions, draw the same rewards.

mod menu;

mod search;

pub use menu::{DISHES, MenuWorld, Visit};
pub use search::{Hit, SearchQuery, SearchWorld};
