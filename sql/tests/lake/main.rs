//! What the queries promise over real Delta tables.

#![allow(clippy::unwrap_used, clippy::panic)]

mod as_of;
mod off_policy;
mod plans;
mod scale;
mod sessions;
mod support;
mod texts;
mod training_rows;
