//! Owns the small file that says who the journal is: its id, and the number its next segment must not go below.
//!
//! The lake remembers `(id, segment number)` of what it has taken. An id that changed, or a number used twice, would
//! make it take records twice or never; so this file is replaced as a whole, carries a checksum, and is never
//! invented anew beside existing segments. It does not know segments or records.
//!
//! ```text
//! lakeloop journal 1
//! id 9f0c…
//! next 43
//! crc 1a2b3c4d
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, write_durably};
use crate::error::JournalError;
use crate::segment::SegmentNumber;

/// Name of the file in the journal's folder.
pub(crate) const FILE_NAME: &str = "identity";

const FIRST_LINE: &str = "lakeloop journal 1";

/// The journal's id and the lowest number its next segment may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub id: String,
    pub next: SegmentNumber,
}

impl Identity {
    /// Reads the identity of `folder`; `None` when it has none.
    pub(crate) fn load(disk: &dyn Disk, folder: &Path) -> Result<Option<Identity>, JournalError> {
        let path = path(folder);
        match disk.read(&path) {
            Ok(bytes) => match Identity::parse(&bytes) {
                Some(identity) => Ok(Some(identity)),
                None => Err(JournalError::Identity {
                    path,
                    why: "it is damaged",
                }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(JournalError::io("read", &path, error)),
        }
    }

    /// A new identity with a random id, not yet stored.
    pub(crate) fn random() -> Identity {
        Identity {
            id: uuid::Uuid::new_v4().simple().to_string(),
            next: SegmentNumber::FIRST,
        }
    }

    /// Stores the identity for good.
    pub(crate) fn store(&self, disk: &dyn Disk, folder: &Path) -> Result<(), JournalError> {
        let path = path(folder);
        write_durably(disk, &path, self.to_text().as_bytes()).map_err(|error| JournalError::io("write", &path, error))
    }

    fn to_text(&self) -> String {
        let body = format!("{FIRST_LINE}\nid {}\nnext {}\n", self.id, self.next);
        let crc = crc32c::crc32c(body.as_bytes());
        format!("{body}crc {crc:08x}\n")
    }

    fn parse(bytes: &[u8]) -> Option<Identity> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        let (_, id, next) = (
            lines.next()?,
            lines.next()?.strip_prefix("id ")?,
            lines.next()?.strip_prefix("next ")?,
        );
        let identity = Identity {
            id: id.to_string(),
            next: SegmentNumber::new(next.parse().ok()?),
        };
        (identity.to_text() == text).then_some(identity)
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE_NAME)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let identity = Identity {
            id: "00ff".to_string(),
            next: SegmentNumber::new(43),
        };
        let text = identity.to_text();
        assert!(text.starts_with("lakeloop journal 1\nid 00ff\nnext 43\ncrc "));
        assert_eq!(Identity::parse(text.as_bytes()), Some(identity));
    }

    #[test]
    fn any_flipped_byte_and_any_cut_is_noticed() {
        let text = Identity::random().to_text().into_bytes();
        for index in 0..text.len() {
            let mut flipped = text.clone();
            flipped[index] ^= 0x01;
            assert_eq!(Identity::parse(&flipped), None, "byte {index}");
            assert_eq!(Identity::parse(&text[..index]), None, "cut at {index}");
        }
    }

    #[test]
    fn ids_are_32_hexadecimal_digits_and_differ() {
        let (one, other) = (Identity::random().id, Identity::random().id);
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }
}
