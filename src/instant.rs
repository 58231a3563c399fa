//! Instants as people type and read them.

use anyhow::Context;
use chrono::{DateTime, SecondsFormat};
use lakeloop_domain::Micros;

/// The instant that was given for a flag.
pub fn parse(flag: &str, text: &str) -> anyhow::Result<Micros> {
    let parsed = DateTime::parse_from_rfc3339(text);
    Ok(parsed
        .with_context(|| format!("{flag} {text}: write a time such as 2026-01-31T03:00:00Z"))?
        .timestamp_micros())
}

/// The instant in UTC, to the second.
pub fn text(at: Micros) -> String {
    DateTime::from_timestamp_micros(at)
        .map_or_else(|| at.to_string(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}
