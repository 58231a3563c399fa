//! The lake: everything that lakeloop knows, in open Delta tables.
//!
//! This crate owns what lies on the disk or in the bucket: the tables and their columns ([`tables`]), how rows get in
//! exactly once ([`Lake::append`]), how they turn into the nouns of the domain and back ([`rows`]), the tables whose changes
//! must be judged first ([`blueprints`], [`registry`], [`job_runs`], [`ladder`]), and what searches tried and candidates were
//! worth ([`trials`], [`evaluations`]). It runs no queries for others (that is `lakeloop-sql`) and knows no clock: instants
//! are passed in.
//!
//! Invariants:
//! - every table has one writer, and only plain Delta features are used, so any Delta client may read along;
//! - a commit happens on the very version that was judged, or not at all;
//! - what an append answered for outlasts a power failure, and a repeated append writes nothing;
//! - a table with other columns than ours is never written;
//! - no data file is ever deleted once a commit named it, so a pinned version stays readable.

mod error;

pub mod tables;

mod lake;

mod append;

mod compact;

mod changes;

mod add_columns;

mod feature_views;

pub mod rows;

pub mod blueprints;

pub mod registry;

pub mod artifact;

pub mod live_models;

pub mod job_runs;

pub mod evaluations;

pub mod trials;

pub mod ladder;

mod judged;

mod log;

mod files;

mod scan;

mod conform;

mod damage;

pub use append::{Append, WriterSequence};
pub use changes::{Changes, NewFiles};
pub use compact::{Compaction, TARGET_BYTES};
pub use error::LakeError;
pub use files::{Encode, EncodeBy};
pub use lake::Lake;
pub use tables::{TableName, feature_view_schema, schema};
