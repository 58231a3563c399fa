//! The example blueprints in simulated worlds whose truth is known: decided by the kernel, logged in real tables, trained, put
//! live, and measured against the oracle and against the default.
//!
//! Each test says how much of the gap between the default and the oracle is closed, on moments that no model has seen, and
//! prints it as `figure use_case_<name>_oracle_share <value> share`. The ranking stands in `rank.rs`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod play;

mod customer_value;
mod menu;
mod notifications;
mod prefetch;
