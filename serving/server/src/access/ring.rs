//! Owns the keys in memory: looking one up by what a caller sent, and how often it may be used.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use lakeloop_domain::Micros;

use crate::access::key::ApiKey;
use crate::access::rate::Rate;
use crate::access::scope::{Scope, Scopes};
use crate::access::secret::{Digest, Presented};

/// Every key of the file, by id.
pub(crate) struct Keyring {
    by_id: HashMap<Box<str>, Holder>,
    /// From when on the time of rates is counted.
    begun: Instant,
}

/// One key, prepared for being checked.
struct Holder {
    id: Arc<str>,
    digest: Digest,
    scopes: Scopes,
    expires_at: Option<Micros>,
    is_revoked: bool,
    rate: Option<Arc<Rate>>,
}

/// Why a key does not open a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such key, or the secret is another.
    Unknown,
    /// Its holder is known; it was revoked.
    Revoked { id: Arc<str> },
    /// Its holder is known; its time is over.
    Expired { id: Arc<str>, at: String },
    /// It does not allow this.
    Lacks { id: Arc<str>, scope: Scope },
    /// It was used too often.
    TooOften {
        id: Arc<str>,
        max_per_second: u32,
        retry_after: Duration,
    },
}

impl Keyring {
    /// No keys.
    pub(crate) fn empty() -> Self {
        Self {
            by_id: HashMap::new(),
            begun: Instant::now(),
        }
    }

    /// Prepares the keys of a file. Keys that `former` knows go on with the rate that they have used up.
    pub(crate) fn new(keys: &[ApiKey], former: &Self) -> Self {
        let holders = keys.iter().filter_map(|key| {
            let holder = Holder {
                id: key.id.as_str().into(),
                // The file was checked when it was read.
                digest: key.digest()?,
                scopes: key.scopes.iter().copied().collect(),
                expires_at: key.expires_at.map(|at| at.timestamp_micros()),
                is_revoked: key.revoked_at.is_some(),
                rate: key
                    .max_per_second
                    .map(|max| former.rate(&key.id, max).unwrap_or_else(|| Arc::new(Rate::new(max)))),
            };
            Some((key.id.as_str().into(), holder))
        });
        Self {
            by_id: holders.collect(),
            begun: former.begun,
        }
    }

    /// The rate of a key, if it is known with the same bound.
    fn rate(&self, id: &str, max_per_second: NonZeroU32) -> Option<Arc<Rate>> {
        let rate = self.by_id.get(id)?.rate.as_ref()?;
        (rate.max_per_second() == max_per_second).then(|| Arc::clone(rate))
    }

    /// True when there is no key at all, live or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Checks a key for a door that wants this scope, or any live key when it wants none; gives the key's id.
    ///
    /// Who does not have the secret learns nothing, not even that the id exists.
    pub(crate) fn check(
        &self,
        presented: Presented<'_>,
        wants: Option<Scope>,
        now: Micros,
    ) -> Result<Arc<str>, Refused> {
        let holder = self.by_id.get(presented.id).ok_or(Refused::Unknown)?;
        if !presented.matches(&holder.digest) {
            return Err(Refused::Unknown);
        }
        let id = || Arc::clone(&holder.id);
        if holder.is_revoked {
            return Err(Refused::Revoked { id: id() });
        }
        if let Some(at) = holder.expires_at.filter(|at| *at <= now) {
            let at = DateTime::<Utc>::from_timestamp_micros(at)
                .map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
                .unwrap_or_default();
            return Err(Refused::Expired { id: id(), at });
        }
        if let Some(scope) = wants.filter(|scope| !holder.scopes.allow(*scope)) {
            return Err(Refused::Lacks { id: id(), scope });
        }
        if let Some(rate) = &holder.rate {
            let now_ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX / 2);
            rate.take(now_ns).map_err(|retry_after| Refused::TooOften {
                id: id(),
                max_per_second: rate.max_per_second().get(),
                retry_after,
            })?;
        }
        Ok(id())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::access::keys::{KeyFile, KeyWish};

    /// 2026-03-01T12:00:00Z.
    const NOON: Micros = 1_772_366_400_000_000;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp_micros(NOON).unwrap()
    }

    #[test]
    fn a_key_opens_what_its_scopes_say_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("keys.toml"));
        let wish = KeyWish {
            name: "checkout".into(),
            scopes: vec![Scope::Predict],
            expires_at: Some(noon() + chrono::Duration::seconds(1)),
            max_per_second: None,
        };
        let (key, secret) = file.create(wish, noon()).unwrap();
        let text = secret.reveal();
        let presented = Presented::read(&text).unwrap();
        let id: Arc<str> = key.id.as_str().into();

        let ring = Keyring::new(&file.read().unwrap().unwrap(), &Keyring::empty());
        assert_eq!(ring.check(presented, Some(Scope::Predict), NOON), Ok(Arc::clone(&id)));
        assert_eq!(ring.check(presented, None, NOON), Ok(Arc::clone(&id)));
        let lacks = |scope| {
            let id = Arc::clone(&id);
            Err(Refused::Lacks { id, scope })
        };
        for scope in [Scope::Observe, Scope::Read, Scope::Admin] {
            assert_eq!(ring.check(presented, Some(scope), NOON), lacks(scope));
        }
        let expired = ring.check(presented, Some(Scope::Predict), NOON + 1_000_000);
        let at = "2026-03-01T12:00:01Z".to_owned();
        assert_eq!(
            expired,
            Err(Refused::Expired {
                id: Arc::clone(&id),
                at
            })
        );

        let forged = format!("llk_{id}_{}", "0".repeat(64));
        let unknown = format!("llk_{}_{}", "0".repeat(16), "0".repeat(64));
        for text in [forged, unknown] {
            let refused = ring.check(Presented::read(&text).unwrap(), None, NOON);
            assert_eq!(refused, Err(Refused::Unknown));
        }

        let _ = file.revoke(&id, noon()).unwrap();
        let ring = Keyring::new(&file.read().unwrap().unwrap(), &ring);
        let refused = ring.check(presented, Some(Scope::Predict), NOON);
        assert_eq!(refused, Err(Refused::Revoked { id: Arc::clone(&id) }));
        assert!(!ring.is_empty());
    }

    #[test]
    fn a_key_that_is_used_too_often_is_told_when_to_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("keys.toml"));
        let wish = KeyWish {
            name: "crawler".into(),
            scopes: vec![Scope::Read],
            expires_at: None,
            // One in a second, so that the burst is over before the next is due, however slow the machine is.
            max_per_second: NonZeroU32::new(1),
        };
        let (_, secret) = file.create(wish, noon()).unwrap();
        let text = secret.reveal();
        let presented = Presented::read(&text).unwrap();
        let keys = file.read().unwrap().unwrap();
        let ring = Keyring::new(&keys, &Keyring::empty());
        let reread = Keyring::new(&keys, &ring);
        let answers: Vec<_> = (0..1000)
            .map(|n| if n % 2 == 0 { &ring } else { &reread }.check(presented, None, NOON))
            .collect();
        assert!(answers[0].is_ok());
        let refused = answers.iter().find_map(|answer| match answer {
            Err(Refused::TooOften {
                max_per_second,
                retry_after,
                ..
            }) => Some((*max_per_second, *retry_after)),
            _ => None,
        });
        let (max_per_second, retry_after) = refused.unwrap();
        assert_eq!(max_per_second, 1);
        assert!(retry_after <= Duration::from_secs(1), "{retry_after:?}");
    }
}
