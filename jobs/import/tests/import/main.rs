//! Imports at the boundary of the crate: files in, rows of tables out.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::panic)]

mod support;

mod formats;

mod mappings;

mod decisions;

mod once;

mod real_files;
