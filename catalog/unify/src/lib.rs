//! Holds no code: it makes Cargo choose one feature set for every outside package, whichever crate is built.
//!
//! Cargo unites the features of what a command selects, so `cargo test -p lakeloop-sql` would otherwise compile
//! Arrow and DataFusion (many minutes) with other features than `cargo test --workspace` does. `lakeloop-lake`
//! depends on this crate, and this crate on every outside package that the workspace names, so all selections that
//! touch the lake agree. See docs/decisions/0004-build-profile.md.
