//! Owns `POST /v1/observe`: outcomes are checked, given an id, journalled and acknowledged.
//!
//! A body holds one outcome or `{"outcomes": […]}`. All of a body is checked before any of it is written, and it is
//! written in one append; a refusal keeps nothing. The answer comes once the outcomes are as durable as `outcome_ack`
//! asks for. Outcomes may be late and may be repeated: readers count an outcome id once, as it was received first.
//!
//! # Outcome ids
//!
//! A report without `outcome_id` gets one that is worked out from what it says, so that a report which is sent again,
//! because its answer was lost, counts once: the first 32 hexadecimal digits of the SHA-256 of these texts, each
//! followed by a NUL byte (no text can hold one):
//!
//! ```text
//! decision:  "decision", decision id                ┐  event, event time in microseconds, or "" when not given,
//! unit:      "unit", strategy, unit                 ┘  "number" and the value, or "category" and the text
//! ```
//!
//! The value is written as in Rust's `{}`, which is exact. Two *different* outcomes that say the same (a user orders the
//! same dish twice) need an `outcome_id`, or an event time where these are allowed, to count twice.

use std::fmt::Write as _;

use lakeloop_domain::{Micros, OutcomeId, OutcomeRecord, OutcomeValue};
use sha2::{Digest, Sha256};

use crate::json::Json;
use crate::problem::Problem;
use crate::record::encode_outcome;
use crate::state::App;
use crate::wire::{ObserveAnswer, ObserveRequest, Target};

/// Takes the outcomes of one body.
pub(crate) async fn observe(app: &App, body: &[u8]) -> Result<Vec<u8>, Problem> {
    let received_at = (app.clock)();
    let requests = ObserveRequest::read_body(Json::parse(body)?, app.limits.event_times)?;
    let outcomes = requests
        .into_iter()
        .map(|request| outcome(app, request, received_at))
        .collect::<Result<Vec<_>, _>>()?;
    let payloads = outcomes
        .iter()
        .map(encode_outcome)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Problem::internal("encode an outcome", &error))?;
    let ledger = &app.journals.outcomes;
    let position = ledger.append(payloads.iter().map(Vec::as_slice))?;
    ledger.acknowledged(position).await?;
    let answer = ObserveAnswer {
        accepted: outcomes.len(),
        outcome_ids: outcomes.iter().map(|outcome| outcome.outcome_id.as_str()).collect(),
    };
    serde_json::to_vec(&answer).map_err(|error| Problem::internal("write an answer", &error))
}

fn outcome(app: &App, request: ObserveRequest, received_at: Micros) -> Result<OutcomeRecord, Problem> {
    if let Target::Unit { strategy, .. } = &request.target {
        app.strategies.load().get(strategy.as_str())?;
    }
    let outcome_id = match request.outcome_id.clone() {
        Some(outcome_id) => outcome_id,
        None => derived_id(&request)?,
    };
    let (decision_id, strategy, unit) = match request.target {
        Target::Decision(decision_id) => (Some(decision_id), None, None),
        Target::Unit { strategy, unit } => (None, Some(strategy), Some(unit)),
    };
    Ok(OutcomeRecord {
        outcome_id,
        decision_id,
        strategy,
        unit,
        event: request.event,
        value: request.value,
        event_time: request.event_time.unwrap_or(received_at),
        received_at,
    })
}

/// The id that a report without one has; see the module's documentation.
fn derived_id(request: &ObserveRequest) -> Result<OutcomeId, Problem> {
    let event_time = request.event_time.map(|time| time.to_string()).unwrap_or_default();
    let (kind, value) = match &request.value {
        OutcomeValue::Number(number) => ("number", number.to_string()),
        OutcomeValue::Category(category) => ("category", category.clone()),
    };
    let target = match &request.target {
        Target::Decision(decision_id) => vec!["decision", decision_id.as_str()],
        Target::Unit { strategy, unit } => vec!["unit", strategy.as_str(), unit.as_str()],
    };
    let mut hash = Sha256::new();
    for text in target
        .into_iter()
        .chain([request.event.as_str(), &event_time, kind, &value])
    {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    let mut hex = String::with_capacity(32);
    for byte in hash.finalize().iter().take(16) {
        write!(hex, "{byte:02x}").map_err(|error| Problem::internal("write an outcome id", &error))?;
    }
    OutcomeId::new(hex).map_err(|cause| Problem::invalid_id(request.at.field("outcome_id"), &cause))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::wire::EventTimes;

    fn id_of(body: &str) -> String {
        let requests = ObserveRequest::read_body(Json::parse(body.as_bytes()).unwrap(), EventTimes::Allowed).unwrap();
        derived_id(&requests[0]).unwrap().to_string()
    }

    #[test]
    fn derived_ids_are_those_of_sha256() {
        // Made with Python 3 hashlib: sha256(b"decision\0d1\0ordered\0\0number\0" b"1\0").hexdigest()[:32], and so on.
        for (body, expected) in [
            (
                r#"{"decision_id":"d1","event":"ordered"}"#,
                "c9827ca4ecc5ac0f5958303ce7ed9471",
            ),
            (
                r#"{"strategy":"menu","unit":"ada","event":"picked","value":"ramen","event_time":1700000000000000}"#,
                "7ccffc4d98ded4acf3e43b02dd42d5a8",
            ),
            (
                r#"{"decision_id":"d1","event":"spent","value":12.5}"#,
                "ac6f2c50558b25544c93a0000589ac53",
            ),
        ] {
            assert_eq!(id_of(body), expected, "{body}");
        }
    }

    #[test]
    fn what_differs_has_another_id_and_what_is_the_same_has_the_same() {
        let base = r#"{"decision_id":"d1","event":"ordered"}"#;
        for same in [
            r#"{"event":"ordered","decision_id":"d1","value":1}"#,
            r#"{"event":"ordered","decision_id":"d1","value":true}"#,
        ] {
            assert_eq!(id_of(same), id_of(base), "{same}");
        }
        for other in [
            r#"{"decision_id":"d2","event":"ordered"}"#,
            r#"{"decision_id":"d1","event":"orders"}"#,
            r#"{"decision_id":"d1","event":"ordered","value":2}"#,
            r#"{"decision_id":"d1","event":"ordered","value":"1"}"#,
            r#"{"decision_id":"d1","event":"ordered","event_time":1}"#,
            r#"{"strategy":"d1","unit":"d1","event":"ordered"}"#,
        ] {
            assert_ne!(id_of(other), id_of(base), "{other}");
        }
    }
}
