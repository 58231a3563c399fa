//! Owns the access log: one event for each request that the settings choose.
//!
//! Refusals and failures (400 and above) always get one, unless the log is off. Of the others the chosen share does, and
//! which ones is a hash of the request id: every service that samples in this way by the same id keeps the same requests, and
//! a request can be judged again from its id alone: the first four bytes of the id's SHA-256, as a big-endian number, lie below
//! that share of 2^32.

use std::time::Duration;

use actix_web::body::BodySize;
use actix_web::http::{Method, StatusCode};
use lakeloop_config::AccessLog as Setting;
use lakeloop_config::Share;
use sha2::{Digest as _, Sha256};

use crate::access::Caller;
use crate::request;
use crate::telemetry::Route;

/// Which requests are logged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessLog {
    /// The share of successes; `None`: nothing is logged.
    share: Option<Share>,
}

/// One answered request.
#[derive(Debug)]
pub(crate) struct Line<'r> {
    pub(crate) route: Route,
    pub(crate) method: Method,
    pub(crate) status: StatusCode,
    pub(crate) duration: Duration,
    pub(crate) size: BodySize,
    /// Who asked; `None` when it was not let in.
    pub(crate) caller: Option<&'r Caller>,
}

impl AccessLog {
    /// As the settings say.
    pub(crate) fn new(setting: Setting) -> Self {
        Self {
            share: match setting {
                Setting::Off => None,
                Setting::Share(share) => Some(share),
            },
        }
    }

    /// True when some requests are logged.
    pub(crate) fn is_on(&self) -> bool {
        self.share.is_some()
    }

    /// Writes the line of the request that is being answered, if it is one of the chosen.
    pub(crate) fn write(&self, line: &Line<'_>) {
        let Some(share) = self.share else { return };
        let request_id = request::id().unwrap_or_default();
        if line.status.as_u16() < 400 && !is_chosen(&request_id, share) {
            return;
        }
        let strategy = request::strategy();
        let trace_id = request::trace_id().map(|id| id.to_string());
        let n_bytes = match line.size {
            BodySize::None => Some(0),
            BodySize::Sized(n_bytes) => Some(n_bytes),
            BodySize::Stream => None,
        };
        let key_id = match line.caller {
            Some(Caller::Key(id)) => Some(&**id),
            Some(Caller::Anyone) | None => None,
        };
        tracing::info!(
            target: "lakeloop::access",
            request_id = &*request_id,
            trace_id = trace_id.as_deref(),
            method = line.method.as_str(),
            route = line.route.label(),
            status = line.status.as_u16(),
            duration_us = u64::try_from(line.duration.as_micros()).unwrap_or(u64::MAX),
            n_bytes,
            key_id,
            strategy = strategy.as_deref(),
            "request"
        );
    }
}

/// True for the requests of this share, by their ids.
fn is_chosen(request_id: &str, share: Share) -> bool {
    if share == Share::ALL {
        return true;
    }
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(request_id.as_bytes()));
    let drawn = u64::from(u32::from_be_bytes([a, b, c, d]));
    drawn * 1_000_000 < u64::from(share.millionths()) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_a_hash_of_the_id() {
        // Python 3 hashlib: int.from_bytes(sha256(b"abc").digest()[:4], "big") / 2**32 is 0.7283949…
        assert!(is_chosen("abc", Share::new(0.728_395)));
        assert!(!is_chosen("abc", Share::new(0.728_394)));
        assert!(is_chosen("abc", Share::ALL));
        assert!(!is_chosen("abc", Share::new(0.0)));
    }

    #[test]
    fn the_chosen_are_the_share_and_a_larger_share_keeps_the_smaller() {
        let ids: Vec<String> = (0..20_000).map(|n| format!("request-{n}")).collect();
        let chosen = |share| {
            ids.iter()
                .map(|id| is_chosen(id, Share::new(share)))
                .collect::<Vec<_>>()
        };
        let (tenth, half) = (chosen(0.1), chosen(0.5));
        let count = |chosen: &[bool]| chosen.iter().filter(|is_chosen| **is_chosen).count();
        // Five standard deviations of a binomial: 212 and 354.
        assert!(count(&tenth).abs_diff(2_000) < 212, "{}", count(&tenth));
        assert!(count(&half).abs_diff(10_000) < 354, "{}", count(&half));
        assert!(tenth.iter().zip(&half).all(|(tenth, half)| !tenth || *half));
    }
}
