//! One API key without its secret: what it allows, until when, and how it stands in the file.

use std::num::NonZeroU32;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::access::scope::Scope;
use crate::access::secret::Digest;

/// One key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Names the key: 16 hexadecimal digits, which are part of the key's text.
    pub id: String,
    /// Who or what has it.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// Digest of the secret, in hexadecimal digits.
    pub(super) sha256: String,
    /// When it was made.
    #[serde(serialize_with = "write_instant")]
    pub created_at: DateTime<Utc>,
    /// From when on it is refused; `None`: never.
    #[serde(default, serialize_with = "write_option", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked; `None`: it was not.
    #[serde(default, serialize_with = "write_option", skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
    /// Requests in a second, at most; `None`: without such a bound.
    #[serde(default, deserialize_with = "read_rate", skip_serializing_if = "Option::is_none")]
    pub max_per_second: Option<NonZeroU32>,
}

impl ApiKey {
    /// What the key is worth at an instant.
    pub fn status(&self, now: DateTime<Utc>) -> KeyStatus {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => KeyStatus::Revoked,
            (None, Some(expires_at)) if expires_at <= now => KeyStatus::Expired,
            _ => KeyStatus::Active,
        }
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        Digest::read(&self.sha256)
    }
}

/// What a key is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// It opens what its scopes allow.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl KeyStatus {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

pub(super) fn rfc3339(instant: &DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn write_instant<S: Serializer>(instant: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(instant))
}

fn write_option<S: Serializer>(instant: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match instant {
        Some(instant) => write_instant(instant, serializer),
        None => serializer.serialize_none(),
    }
}

fn read_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU32>, D::Error> {
    NonZeroU32::deserialize(deserializer).map(Some)
}
