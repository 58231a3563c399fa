//! Settings of the traces that are sent to a collector of OpenTelemetry.

use std::borrow::Cow;
use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::form::Form;
use crate::listen::ListenAddress;
use crate::log::Share;
use crate::quantity::Period;
use crate::settings::Switch;

/// What is traced, and who gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// Where spans are sent.
    pub endpoint: CollectorUrl,
    /// Headers that are sent with them, by names in lower case.
    pub headers: HashMap<String, String>,
    /// The share of requests that are traced where their callers have not decided.
    pub share: Share,
    /// What the spans name their service.
    pub service_name: String,
    /// How often spans are sent.
    pub interval: Duration,
    /// Spans that wait for it at most; at least 100, which is more than one request has.
    pub max_waiting: usize,
    /// A sending that takes longer has failed.
    pub timeout: Duration,
}

/// The URL at which a collector takes spans: `http` or `https`, a host, perhaps a port, and a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CollectorUrl(String);

impl CollectorUrl {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CollectorUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
            return Err("it does not begin with http:// or https://".into());
        };
        if !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("it holds a space or another character that no URL has".into());
        }
        if rest.contains(['?', '#']) {
            return Err("it ends after the path".into());
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err("what it asks of a caller belongs in traces.headers".into());
        }
        let has_port = authority.contains(':') && !authority.ends_with(']');
        let address = match has_port {
            true => authority.parse::<ListenAddress>(),
            false => format!("{authority}:80").parse(),
        };
        if address.map_err(|error| error.why)?.port() == 0 {
            return Err("nothing answers at port 0".into());
        }
        if path.is_empty() {
            return Err("it has no path, and collectors take spans at /v1/traces".into());
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for CollectorUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for CollectorUrl {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "CollectorUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Form::CollectorUrl.schema()
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTraces {
    endpoint: Switch<CollectorUrl>,
    #[schemars(range(min = 0, max = 1))]
    share: f64,
    #[schemars(schema_with = "crate::form::word")]
    service_name: String,
    interval: Period,
    #[schemars(range(min = 100, max = 100_000))]
    max_waiting: u32,
    timeout: Period,
    #[schemars(schema_with = "crate::form::headers")]
    headers: HashMap<String, String>,
}

impl RawTraces {
    /// `None` where nothing is traced.
    pub(crate) fn into_settings(self) -> Option<TraceSettings> {
        Some(TraceSettings {
            endpoint: self.endpoint.on()?,
            headers: self.headers,
            share: Share::new(self.share),
            service_name: self.service_name,
            interval: self.interval.duration(),
            max_waiting: usize::try_from(self.max_waiting).unwrap_or(usize::MAX),
            timeout: self.timeout.duration(),
        })
    }
}

/// Headers that describe what is sent, and so are not for settings.
const OWN_HEADERS: [&str; 6] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

/// Checks the name of a header.
pub(crate) fn check_header_name(name: &str) -> Result<(), Option<String>> {
    let is_taken = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_taken) {
        return Err(None);
    }
    if OWN_HEADERS.contains(&name) {
        return Err(Some("lakeloop sets this one itself".into()));
    }
    Ok(())
}

/// Checks the value of a header.
pub(crate) fn check_header_value(value: &str) -> Result<(), Option<String>> {
    let is_visible = value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    match is_visible && value.trim() == value && (1..=4096).contains(&value.len()) {
        true => Ok(()),
        false => Err(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_collectors() {
        for text in [
            "http://127.0.0.1:4318/v1/traces",
            "http://collector/v1/traces",
            "http://[::1]/v1/traces",
            "https://[::1]:4318/v1/traces",
            "https://otlp.example.org/shop/otlp/v1/traces",
        ] {
            assert_eq!(text.parse::<CollectorUrl>().unwrap().as_str(), text);
        }
        let path = "it has no path, and collectors take spans at /v1/traces";
        let host = "its host is neither a name nor an address";
        for (text, why) in [
            ("collector:4318", "it does not begin with http:// or https://"),
            ("grpc://collector:4317", "it does not begin with http:// or https://"),
            (
                "HTTP://collector/v1/traces",
                "it does not begin with http:// or https://",
            ),
            ("http://collector:4318", path),
            ("http://collector:4318/", path),
            ("http:///v1/traces", host),
            ("http://::1/v1/traces", host),
            ("http://a_b/v1/traces", host),
            ("http://collector:0/v1/traces", "nothing answers at port 0"),
            ("http://collector:/v1/traces", "its port is no number from 0 to 65535"),
            (
                "http://collector:99999/v1/traces",
                "its port is no number from 0 to 65535",
            ),
            (
                "http://me:secret@collector/v1/traces",
                "what it asks of a caller belongs in traces.headers",
            ),
            ("http://collector/v1/traces?key=1", "it ends after the path"),
            (
                "http://collector/v1/tra ces",
                "it holds a space or another character that no URL has",
            ),
            (
                "http://collector/v1/träces",
                "it holds a space or another character that no URL has",
            ),
        ] {
            assert_eq!(text.parse::<CollectorUrl>().unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn headers_for_collectors() {
        for name in ["authorization", "x-scope-orgid", "x_key2"] {
            assert_eq!(check_header_name(name), Ok(()));
        }
        for name in ["", "Authorization", "x key", "x:key", "ü"] {
            assert_eq!(check_header_name(name), Err(None), "{name}");
        }
        assert_eq!(
            check_header_name("content-type"),
            Err(Some("lakeloop sets this one itself".into()))
        );
        assert_eq!(check_header_value("Bearer 1/2=3"), Ok(()));
        for value in ["", " shop", "a\nb", "größe", &"x".repeat(4097)] {
            assert_eq!(check_header_value(value), Err(None), "{value}");
        }
    }
}
