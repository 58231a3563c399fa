//! The address that a server listens on.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::form::Form;

/// `host:port`; the host is a name or an address (IPv6 in brackets), port 0 lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress {
    host: String,
    port: u16,
}

/// Why a text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not an address ({why}); write host:port, such as 127.0.0.1:8080")]
pub struct InvalidAddress {
    /// The text.
    pub found: String,
    /// What is wrong with it.
    pub why: String,
}

impl ListenAddress {
    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 for any free one.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for ListenAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = |why: &str| InvalidAddress {
            found: text.to_owned(),
            why: why.to_owned(),
        };
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(|| invalid("it has no port"))?;
        let port_is_digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port = port
            .parse()
            .ok()
            .filter(|_| port_is_digits)
            .ok_or_else(|| invalid("its port is no number from 0 to 65535"))?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
            None if is_host(host) => host,
            _ => return Err(invalid("its host is neither a name nor an address")),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// True for host names and for IPv4 addresses.
fn is_host(text: &str) -> bool {
    let looks_like_ipv4 = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_name = !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    is_name && (!looks_like_ipv4 || text.parse::<std::net::Ipv4Addr>().is_ok())
}

impl TryFrom<String> for ListenAddress {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl JsonSchema for ListenAddress {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ListenAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Form::Address.schema()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["127.0.0.1:8080", "localhost:0", "[::1]:5433", "data-1.example.org:80"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("8080", "it has no port"),
            ("localhost:", "its port is no number from 0 to 65535"),
            ("localhost:70000", "its port is no number from 0 to 65535"),
            ("localhost:+80", "its port is no number from 0 to 65535"),
            (":8080", "its host is neither a name nor an address"),
            ("::1:8080", "its host is neither a name nor an address"),
            ("300.0.0.1:80", "its host is neither a name nor an address"),
        ] {
            assert_eq!(text.parse::<ListenAddress>().unwrap_err().why, why, "{text}");
        }
    }
}
