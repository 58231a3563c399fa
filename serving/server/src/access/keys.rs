//! Owns the file of API keys: its form, how it is read, and how keys are added and revoked.
//!
//! The file is TOML, readable by its owner only, and replaced as a whole: a reader sees the former file or the new one. It
//! holds no secret, only SHA-256 digests (see [`secret`](crate::access::secret)). A revoked key stays in it, so that the
//! list shows that it was there and so that its id is never given again; the last key that goes leaves a file that lets
//! nobody in, not one that lets everybody in.
//!
//! ```toml
//! [[key]]
//! id = "3f9c2a71d04be856"
//! name = "checkout"
//! scopes = ["predict", "observe"]
//! sha256 = "60e05bd1…"
//! created_at = "2026-03-01T12:00:00Z"
//! expires_at = "2027-03-01T00:00:00Z"    # optional, as are revoked_at and max_per_second
//! ```

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::key::{ApiKey, rfc3339};
use crate::access::scope::Scope;
use crate::access::secret::{NewSecret, is_id};

/// What stands above the keys.
const HEADER: &str =
    "# API keys of this lakeloop, written by `lakeloop keys`. The secrets are not in here: only their SHA-256.\n\n";
/// The longest name of a key, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// What a new key is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWish {
    /// Who or what will have it.
    pub name: String,
    /// What it allows; at least one.
    pub scopes: Vec<Scope>,
    /// From when on it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// Requests in a second, at most.
    pub max_per_second: Option<NonZeroU32>,
}

/// What became of a wish to revoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// The key is refused from now on.
    Revoked,
    /// It had been revoked before.
    Already,
}

/// Why keys could not be read or changed. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("cannot read the API keys of {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the API keys to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is no TOML, or has a key or value that is none of ours.
    #[error("the API keys of {path} cannot be understood; mend the line, or take the file back from a copy: {source}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Where, and what is wrong.
        source: Box<toml::de::Error>,
    },
    /// One key of the file is not sound.
    #[error("{path}: the key `{id}` {detail}")]
    Key {
        /// The file.
        path: PathBuf,
        /// The key's id.
        id: String,
        /// What is wrong and what to write.
        detail: String,
    },
    /// A new key is not sound.
    #[error("{0}")]
    Wish(String),
    /// There is no such key.
    #[error("there is no key `{id}` in {path}; `lakeloop keys list` shows the ids")]
    NoSuchKey {
        /// The file.
        path: PathBuf,
        /// The id that was asked for.
        id: String,
    },
    /// The keys cannot be written as TOML.
    #[error("the API keys cannot be written as TOML")]
    Encode(#[from] toml::ser::Error),
    /// The operating system gives no random bits.
    #[error("the operating system gives no random bits for a key: {0}")]
    Random(getrandom::Error),
}

/// The file of API keys of a home.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default)]
    key: Vec<ApiKey>,
}

impl KeyFile {
    /// The file at a path, which need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All keys, in the order in which they were made; `None` when there is no file.
    pub fn read(&self) -> Result<Option<Vec<ApiKey>>, KeysError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                let path = self.path.clone();
                return Err(KeysError::Read { path, source });
            }
        };
        let contents: Contents = toml::from_str(&text).map_err(|source| KeysError::Form {
            path: self.path.clone(),
            source: Box::new(source),
        })?;
        let mut ids = HashSet::new();
        for key in &contents.key {
            let detail = match key {
                _ if !is_id(&key.id) => "has no id of 16 hexadecimal digits",
                _ if !ids.insert(key.id.as_str()) => "stands there twice; remove one",
                _ if key.digest().is_none() => "has no sha256 of 64 hexadecimal digits",
                _ if key.scopes.is_empty() => "has no scopes; write some of predict, observe, read and admin",
                _ => continue,
            };
            return Err(KeysError::Key {
                path: self.path.clone(),
                id: key.id.clone(),
                detail: detail.to_owned(),
            });
        }
        Ok(Some(contents.key))
    }

    /// Makes a key and adds it. The secret is in the answer and nowhere else.
    pub fn create(&self, wish: KeyWish, now: DateTime<Utc>) -> Result<(ApiKey, NewSecret), KeysError> {
        let name = wish.name.trim();
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            let message = format!("a key needs a name of 1 to {MAX_NAME_BYTES} bytes that says who has it");
            return Err(KeysError::Wish(message));
        }
        if wish.scopes.is_empty() {
            let message = "a key needs a scope: predict, observe, read or admin, or several of them";
            return Err(KeysError::Wish(message.to_owned()));
        }
        if let Some(expires_at) = wish.expires_at.filter(|expires_at| *expires_at <= now) {
            let message = format!(
                "a key that expires at {} would never work; name a later time",
                rfc3339(&expires_at)
            );
            return Err(KeysError::Wish(message));
        }
        let mut scopes = wish.scopes;
        scopes.sort_unstable();
        scopes.dedup();
        let secret = NewSecret::draw().map_err(KeysError::Random)?;
        let key = ApiKey {
            id: secret.id().to_owned(),
            name: name.to_owned(),
            scopes,
            sha256: secret.digest().to_string(),
            created_at: now,
            expires_at: wish.expires_at,
            revoked_at: None,
            max_per_second: wish.max_per_second,
        };
        let added = key.clone();
        self.change(|keys| {
            keys.push(added);
            Ok(())
        })?;
        Ok((key, secret))
    }

    /// Makes a key worthless: running servers refuse it as soon as they see the file.
    pub fn revoke(&self, id: &str, now: DateTime<Utc>) -> Result<Revocation, KeysError> {
        self.change(|keys| {
            let Some(key) = keys.iter_mut().find(|key| key.id == id) else {
                return Err(KeysError::NoSuchKey {
                    path: self.path.clone(),
                    id: id.to_owned(),
                });
            };
            match key.revoked_at {
                Some(_) => Ok(Revocation::Already),
                None => {
                    key.revoked_at = Some(now);
                    Ok(Revocation::Revoked)
                }
            }
        })
    }

    /// Permissions that let others than the owner read or write the file, if it has such.
    pub(crate) fn loose_mode(&self) -> Option<u32> {
        let mode = fs::metadata(&self.path).ok()?.mode() & 0o777;
        (mode & 0o077 != 0).then_some(mode)
    }

    /// Reads, changes and replaces the file, one process at a time.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<ApiKey>) -> Result<T, KeysError>) -> Result<T, KeysError> {
        let failed = |source| KeysError::Write {
            path: self.path.clone(),
            source,
        };
        let lock = owner_only()
            .create(true)
            .truncate(false)
            .open(self.beside(".lock"))
            .map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut keys = self.read()?.unwrap_or_default();
        let result = change(&mut keys)?;
        let text = toml::to_string(&Contents { key: keys })?;
        self.replace(&format!("{HEADER}{text}")).map_err(failed)?;
        Ok(result)
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let next = self.beside(".next");
        // Whatever a process that was killed has left; the lock says that nobody else is at it.
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = owner_only().create_new(true).open(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, &self.path)?;
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        name.into()
    }
}

/// Opens for writing a file that only its owner may read.
fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::access::key::KeyStatus;
    use crate::access::secret::Presented;

    fn noon() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn wish(name: &str) -> KeyWish {
        KeyWish {
            name: name.to_owned(),
            scopes: vec![Scope::Observe, Scope::Predict, Scope::Observe],
            expires_at: Some("2026-06-01T00:00:00Z".parse().unwrap()),
            max_per_second: NonZeroU32::new(50),
        }
    }

    fn file() -> (tempfile::TempDir, KeyFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("keys.toml"));
        (folder, file)
    }

    #[test]
    fn keys_are_kept_without_their_secrets_and_for_the_owner_only() {
        let (_folder, file) = file();
        assert_eq!(file.read().unwrap(), None);
        let (first, secret) = file.create(wish("checkout"), noon()).unwrap();
        let (second, _) = file.create(wish("reports"), noon()).unwrap();
        assert_eq!(first.scopes, [Scope::Predict, Scope::Observe]);
        assert_eq!(file.read().unwrap().unwrap(), [first.clone(), second]);
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(file.loose_mode(), None);

        let text = fs::read_to_string(file.path()).unwrap();
        let whole = secret.reveal();
        let presented = Presented::read(&whole).unwrap();
        assert!(presented.matches(&first.digest().unwrap()));
        assert!(!text.contains(whole.rsplit('_').next().unwrap()), "{text}");
    }

    #[test]
    fn a_revoked_key_stays_in_the_list() {
        let (_folder, file) = file();
        let (key, _) = file.create(wish("checkout"), noon()).unwrap();
        assert_eq!(key.status(noon()), KeyStatus::Active);
        assert_eq!(key.status("2026-06-01T00:00:00Z".parse().unwrap()), KeyStatus::Expired);
        assert_eq!(file.revoke(&key.id, noon()).unwrap(), Revocation::Revoked);
        assert_eq!(file.revoke(&key.id, noon()).unwrap(), Revocation::Already);
        let keys = file.read().unwrap().unwrap();
        assert_eq!((keys.len(), keys[0].status(noon())), (1, KeyStatus::Revoked));
        let message = file.revoke("0000000000000000", noon()).unwrap_err().to_string();
        assert!(message.contains("`lakeloop keys list` shows the ids"), "{message}");
    }

    #[test]
    fn two_at_once_lose_nothing() {
        let (_folder, file) = file();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let file = &file;
                scope.spawn(move || {
                    for n in 0..5 {
                        file.create(wish(&format!("{thread}-{n}")), noon()).unwrap();
                    }
                });
            }
        });
        assert_eq!(file.read().unwrap().unwrap().len(), 20);
    }

    #[test]
    fn what_makes_no_key_is_refused_and_changes_nothing() {
        let (_folder, file) = file();
        let mut nameless = wish(" ");
        nameless.scopes = vec![Scope::Read];
        let mut scopeless = wish("x");
        scopeless.scopes.clear();
        let mut late = wish("x");
        late.expires_at = Some(noon());
        for (wish, said) in [
            (nameless, "a key needs a name"),
            (wish(&"x".repeat(101)), "a key needs a name"),
            (wish("a\nb"), "a key needs a name"),
            (scopeless, "a key needs a scope"),
            (late, "a key that expires at 2026-03-01T12:00:00Z would never work"),
        ] {
            let message = file.create(wish, noon()).unwrap_err().to_string();
            assert!(message.starts_with(said), "{message}");
        }
        assert_eq!(file.read().unwrap(), None);
    }

    #[test]
    fn a_file_that_is_not_sound_is_refused_with_its_line_or_key() {
        let (_folder, file) = file();
        file.create(wish("checkout"), noon()).unwrap();
        let sound = fs::read_to_string(file.path()).unwrap();
        for (from, to, said) in [
            ("[[key]]", "[[kex]]", "kex"),
            ("name =", "nam =", "nam"),
            ("\"predict\"", "\"predicts\"", "predicts"),
            ("max_per_second = 50", "max_per_second = 0", "nonzero"),
            ("id = \"", "id = \"X", "has no id of 16 hexadecimal digits"),
            ("sha256 = \"", "sha256 = \"0", "has no sha256 of 64 hexadecimal digits"),
            ("[\"predict\", \"observe\"]", "[]", "has no scopes"),
        ] {
            let spoilt = sound.replacen(from, to, 1);
            assert_ne!(spoilt, sound, "{from}");
            fs::write(file.path(), &spoilt).unwrap();
            let message = file.read().unwrap_err().to_string();
            assert!(message.contains(said) && message.contains("keys.toml"), "{message}");
            assert!(file.create(wish("other"), noon()).is_err());
            assert_eq!(fs::read_to_string(file.path()).unwrap(), spoilt);
        }
        let twice = format!("{sound}\n{}", sound.trim_start_matches(HEADER));
        fs::write(file.path(), twice).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("stands there twice"));
    }
}
