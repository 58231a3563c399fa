//! The lake for PostgreSQL clients: psql, drivers and dashboards read every table with the SQL of `lakeloop sql`.
//!
//! Each connection has a session of its own, whose statements see the newest versions of the tables. Nothing can be
//! changed through it: what is no query is refused before it is planned, and the tables behind the session take no rows.
//! There is no authentication, so an endpoint listens on loopback addresses only; whoever wants more puts a proxy that
//! authenticates in front.

mod endpoint;

mod postgres;

mod refusal;

pub use endpoint::{Endpoint, WireError, serve_postgres};
