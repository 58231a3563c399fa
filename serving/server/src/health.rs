//! Owns `/healthz` and `/readyz`: whether the process lives, and whether it can keep what it is sent.
//!
//! A live server that is not ready answers 503 and says why; an orchestrator should route around it but not restart it,
//! except where the reason asks for a restart.

use crate::problem::{Problem, Unavailable};
use crate::state::App;

/// Ready means that both journals take records and that the server is not about to stop. A lake that is away does not count:
/// decisions go on without it.
pub(crate) fn ready(app: &App) -> Result<&'static str, Problem> {
    let stopping = app.load.is_draining().then(|| "the server is stopping".to_owned());
    let of_journals = app.journals.ledgers().into_iter().filter_map(|ledger| ledger.refusal());
    let refusals: Vec<String> = stopping.into_iter().chain(of_journals).collect();
    if refusals.is_empty() {
        Ok(r#"{"status":"ready"}"#)
    } else {
        Err(Problem::Unavailable {
            cause: Unavailable::Server,
            detail: refusals.join("; "),
        })
    }
}

/// An answer at all is what liveness means.
pub(crate) fn alive() -> &'static str {
    r#"{"status":"ok"}"#
}
