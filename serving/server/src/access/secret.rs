//! Owns the text of an API key: how it is made, how it is read, and the digest that is kept of it.
//!
//! ```text
//! llk_3f9c2a71d04be856_9b1d…(64 hexadecimal digits)
//!  │         │           └─ secret: 256 random bits
//!  │         └─ id: 64 random bits, not secret; names the key in the file, in logs and to `lakeloop keys revoke`
//!  └─ marks the text as a key of lakeloop, for people and for scanners that look for leaked secrets
//! ```
//!
//! What is kept is the SHA-256 of the secret. A slow password hash would protect nothing here: it makes guessing dear where
//! people choose the secret, and nobody can go through 2^256 equally likely ones; but it would cost every request milliseconds.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const MARK: &str = "llk_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// A new key: the only place where its secret is in the clear.
pub struct NewSecret {
    id: String,
    secret: String,
}

impl NewSecret {
    /// Draws one from the operating system's source of randomness.
    pub(crate) fn draw() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; ID_BYTES + SECRET_BYTES];
        getrandom::fill(&mut bytes)?;
        let (id, secret) = bytes.split_at(ID_BYTES);
        Ok(Self {
            id: hex(id),
            secret: hex(secret),
        })
    }

    /// The part that is not secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole key, as callers send it. It is shown once and kept nowhere.
    pub fn reveal(&self) -> String {
        format!("{MARK}{}_{}", self.id, self.secret)
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.secret)
    }
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSecret")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A key as a caller sends it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Presented<'t> {
    pub(crate) id: &'t str,
    secret: &'t str,
}

impl<'t> Presented<'t> {
    /// Splits a text; `None` when it has not the form of a key.
    pub(crate) fn read(text: &'t str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(MARK)?.split_once('_')?;
        let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let fits = id.len() == 2 * ID_BYTES && secret.len() == 2 * SECRET_BYTES && is_hex(id) && is_hex(secret);
        fits.then_some(Self { id, secret })
    }

    /// True when the secret is the one that the digest was made from. The time that the comparison takes does not depend
    /// on where the two differ.
    pub(crate) fn matches(&self, digest: &Digest) -> bool {
        Digest::of(self.secret).0.ct_eq(&digest.0).into()
    }
}

/// The SHA-256 of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Reads one that [`Display`](fmt::Display) wrote.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.is_ascii() {
            return None;
        }
        for (idx, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * idx..2 * idx + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// True for the id of a key.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 2 * ID_BYTES && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_key_is_read_back_and_matches_its_own_digest_only() {
        let (key, other) = (NewSecret::draw().unwrap(), NewSecret::draw().unwrap());
        let text = key.reveal();
        let presented = Presented::read(&text).unwrap();
        assert_eq!(presented.id, key.id());
        assert!(is_id(key.id()));
        assert!(presented.matches(&key.digest()));
        assert!(!presented.matches(&other.digest()));
        assert_ne!(key.id(), other.id());
        assert!(!format!("{key:?}").contains(&text[21..]), "the secret is not printed");
    }

    #[test]
    fn the_digest_is_sha256_of_the_secret() {
        // printf '%064d' 0 | sha256sum (GNU coreutils 9.1)
        let key = format!("llk_{}_{}", "0".repeat(16), "0".repeat(64));
        let digest = "60e05bd1b195af2f94112fa7197a5c88289058840ce7c6df9693756bc6250f55";
        let digest = Digest::read(digest).unwrap();
        assert!(Presented::read(&key).unwrap().matches(&digest));
        assert_eq!(Digest::read(&digest.to_string()), Some(digest));
    }

    #[test]
    fn other_texts_are_no_keys() {
        let key = format!("llk_{}_{}", "0".repeat(16), "0".repeat(64));
        for text in [
            "",
            "llk_",
            "secret",
            &key[1..],
            &key[..key.len() - 1],
            &key.to_uppercase(),
            &key.replace("_0", "-0"),
            &key.replacen('0', "g", 1),
            &key.replacen("00", "é", 1),
        ] {
            assert!(Presented::read(text).is_none(), "{text}");
        }
        assert!(Digest::read(&"é".repeat(32)).is_none());
        assert!(Digest::read(&"g".repeat(64)).is_none());
    }
}
