//! Owns `POST /v1/observe`: outcomes are checked, given an id, journalled and acknowledged.
//!
//! A body holds one outcome or `{"outcomes": […]}`. All of a body is checked before any of it is written, and it is
//! written in one append; a refusal keeps nothing. The answer comes once the outcomes are as durable as `outcome_ack`
//! asks for. Outcomes may be late and may be repeated: readers count an outcome id once, as it was received first.
//!
//! # Candidates
//!
//! An outcome of a decision that ranked is about one candidate; one that names none would label nothing, so it is refused.
//! Whether a decision ranked is known from its strategy where the report names it by unit, from its id where a server gave
//! it, and, where the caller chose it, as long as the answer to it is remembered; beyond that a report is taken as it is.
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
//! A report that names a candidate begins with "decision candidate" or "unit candidate" instead, and has the candidate behind
//! the unit or the decision id.
//!
//! The value is written as in Rust's `{}`, which is exact. Two *different* outcomes that say the same (a user orders the
//! same dish twice) need an `outcome_id`, or an event time where these are allowed, to count twice.

use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;

use lakeloop_domain::{CandidateId, DecisionId, Micros, OutcomeId, UnitId};
use sha2::{Digest, Sha256};

use crate::answers::Answers;
use crate::fields::At;
use crate::ids::names_a_ranking;
use crate::json::Json;
use crate::problem::Problem;
use crate::record::{EntryValue, OutcomeEntry};
use crate::request;
use crate::scan::{Scalar, Scanner};
use crate::state::{App, Strategies};
use crate::traces::Step;
use crate::wire::{ObserveRequest, is_word};

/// Takes the outcomes of one body.
pub(crate) async fn observe(app: &App, body: &[u8]) -> Result<Vec<u8>, Problem> {
    let received_at = (app.clock)();
    let scanned = Report::scan_body(&Decided::of(app, &app.strategies.load()), body);
    let taken = match scanned {
        Some(reports) => Taken::of(&reports, received_at)?,
        None => {
            let requests = ObserveRequest::read_body(Json::parse(body)?, app.limits.event_times)?;
            checked(app, &requests, received_at)?
        }
    };
    kept(app, taken).await
}

/// Takes outcomes that were parsed, all or none; answers as [`observe`] does.
pub(crate) async fn take(app: &App, requests: &[ObserveRequest]) -> Result<Vec<u8>, Problem> {
    let taken = checked(app, requests, (app.clock)())?;
    kept(app, taken).await
}

fn checked(app: &App, requests: &[ObserveRequest], received_at: Micros) -> Result<Taken, Problem> {
    let reports: Vec<Report<'_>> = requests.iter().map(ObserveRequest::report).collect();
    let strategies = app.strategies.load();
    let decided = Decided::of(app, &strategies);
    for (request, report) in requests.iter().zip(&reports) {
        report.check(&decided, request.at)?;
    }
    Taken::of(&reports, received_at)
}

/// Logs outcomes; the body of the answer once they are as durable as the settings ask for.
async fn kept(app: &App, taken: Taken) -> Result<Vec<u8>, Problem> {
    let ledger = &app.journals.outcomes;
    let appending = request::step(Step::Append);
    let position = ledger.append(taken.records())?;
    drop(appending);
    ledger.acknowledged(position).await?;
    Ok(taken.answer)
}

/// What is known of the decisions that reports are about.
struct Decided<'a> {
    strategies: &'a Strategies,
    answers: &'a Answers,
}

impl<'a> Decided<'a> {
    fn of(app: &'a App, strategies: &'a Strategies) -> Self {
        Self {
            strategies,
            answers: &app.answers,
        }
    }

    /// The strategy of a decision, when that is known to be in force, and whether it ranks.
    fn ranks(&self, decision_id: &str) -> Option<(Arc<str>, bool)> {
        let strategy = self.answers.strategy_of(decision_id)?;
        let ranks = self.strategies.find(&strategy)?.plain().blueprint().ranks();
        Some((strategy, ranks))
    }
}

/// What an outcome belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target<'r> {
    /// One decision.
    Decision(&'r str),
    /// All decisions of a strategy for a unit whose window holds the outcome.
    Unit { strategy: &'r str, unit: &'r str },
}

/// A report of one outcome, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Report<'r> {
    pub(crate) outcome_id: Option<&'r str>,
    pub(crate) target: Target<'r>,
    /// What it is about, for strategies that rank.
    pub(crate) candidate: Option<&'r str>,
    pub(crate) event: &'r str,
    pub(crate) value: EntryValue<'r>,
    pub(crate) event_time: Option<Micros>,
}

impl<'r> Report<'r> {
    /// Scans a body that holds one report or a list of them; `None` where it must be parsed and checked.
    fn scan_body(decided: &Decided<'_>, body: &'r [u8]) -> Option<Vec<Self>> {
        let mut scanner = Scanner::new(body)?;
        let mut reports = Vec::new();
        let mut list = scanner;
        let is_list = list.object(|scanner, key| {
            (key == "outcomes" && reports.is_empty()).then_some(())?;
            scanner.list(|scanner| {
                reports.push(Self::scan(decided, scanner)?);
                Some(())
            })
        });
        match is_list {
            Some(()) => scanner = list,
            None => reports = vec![Self::scan(decided, &mut scanner)?],
        }
        (scanner.is_done() && !reports.is_empty()).then_some(reports)
    }

    fn scan(decided: &Decided<'_>, scanner: &mut Scanner<'r>) -> Option<Self> {
        let (mut outcome_id, mut event, mut value) = (None, None, None);
        let (mut decision_id, mut strategy, mut unit, mut candidate) = (None, None, None, None);
        scanner.object(|scanner, key| {
            let mut text = |allows: &dyn Fn(&str) -> bool| scanner.text().filter(|text| allows(text));
            let is_first = match key {
                "outcome_id" => outcome_id.replace(text(&OutcomeId::allows)?).is_none(),
                "decision_id" => decision_id.replace(text(&DecisionId::allows)?).is_none(),
                "strategy" => strategy
                    .replace(text(&|name| decided.strategies.find(name).is_some())?)
                    .is_none(),
                "unit" => unit.replace(text(&UnitId::allows)?).is_none(),
                "candidate" => candidate.replace(text(&CandidateId::allows)?).is_none(),
                "event" => event.replace(text(&is_word)?).is_none(),
                "value" => value.replace(Self::scan_value(scanner)?).is_none(),
                _ => false,
            };
            is_first.then_some(())
        })?;
        let report = Self {
            outcome_id,
            candidate,
            target: match (decision_id, strategy, unit) {
                (Some(decision_id), None, None) => Target::Decision(decision_id),
                (None, Some(strategy), Some(unit)) => Target::Unit { strategy, unit },
                _ => return None,
            },
            event: event?,
            value: value.unwrap_or(EntryValue::Number(1.0)),
            event_time: None,
        };
        report.check(decided, At::Body).ok().map(|()| report)
    }

    /// Refuses a report about a unit whose strategy is unknown; one without a candidate of what is known to rank; and one with
    /// a candidate of what is known not to.
    fn check(&self, decided: &Decided<'_>, at: At) -> Result<(), Problem> {
        let named;
        let (strategy, ranks) = match self.target {
            Target::Unit { strategy, .. } => (strategy, decided.strategies.get(strategy)?.plain().blueprint().ranks()),
            // Where nothing ranks, only a report with a candidate can be wrong.
            Target::Decision(_) if self.candidate.is_none() && !decided.strategies.any_ranks() => return Ok(()),
            Target::Decision(decision_id) => match decided.ranks(decision_id) {
                Some((strategy, ranks)) => {
                    named = strategy;
                    (&*named, ranks)
                }
                None if self.candidate.is_none() && names_a_ranking(decision_id) => {
                    let detail = format!(
                        "decision `{decision_id}` ranked, so an outcome of it is about a candidate; add the candidate's id as \
                         `candidate`"
                    );
                    return Err(Problem::invalid(at.field("candidate"), detail));
                }
                None => return Ok(()),
            },
        };
        let detail = match (ranks, self.candidate) {
            (true, None) => {
                format!(
                    "strategy `{strategy}` ranks, so an outcome is about a candidate; add the candidate's id as `candidate`"
                )
            }
            (false, Some(_)) => format!("strategy `{strategy}` has no candidates; leave `candidate` out"),
            _ => return Ok(()),
        };
        Err(Problem::invalid(at.field("candidate"), detail))
    }

    fn scan_value(scanner: &mut Scanner<'r>) -> Option<EntryValue<'r>> {
        match scanner.scalar()? {
            Scalar::Bool(boolean) => Some(EntryValue::Number(f64::from(u8::from(boolean)))),
            Scalar::Number(number) => Some(EntryValue::Number(number)),
            Scalar::Text(text) => is_word(text).then_some(EntryValue::Category(text)),
            Scalar::Null => None,
        }
    }

    /// The id that a report without one has, as hexadecimal digits; see the module's documentation. `told` is room for
    /// what is hashed.
    fn derived_id(&self, told: &mut Vec<u8>) -> [u8; 32] {
        told.clear();
        let texts: &[&str] = match (&self.target, self.candidate) {
            (Target::Decision(decision_id), None) => &["decision", decision_id],
            (Target::Decision(decision_id), Some(_)) => &["decision candidate", decision_id],
            (Target::Unit { strategy, unit }, None) => &["unit", strategy, unit],
            (Target::Unit { strategy, unit }, Some(_)) => &["unit candidate", strategy, unit],
        };
        for text in texts.iter().copied().chain(self.candidate).chain([self.event]) {
            told.extend_from_slice(text.as_bytes());
            told.push(0);
        }
        // Writing to a vector cannot fail.
        let _ = match self.event_time {
            Some(time) => write!(told, "{time}\0"),
            None => write!(told, "\0"),
        };
        let _ = match self.value {
            EntryValue::Number(number) => write!(told, "number\0{number}\0"),
            EntryValue::Category(category) => write!(told, "category\0{category}\0"),
        };
        let mut hex = [0; 32];
        for (digits, byte) in hex.chunks_exact_mut(2).zip(Sha256::digest(&told)) {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 15)];
        }
        hex
    }
}

/// The reports of one body, as they are journalled, and the answer to them.
struct Taken {
    bytes: Vec<u8>,
    records: Vec<Range<usize>>,
    answer: Vec<u8>,
}

impl Taken {
    fn of(reports: &[Report<'_>], received_at: Micros) -> Result<Self, Problem> {
        let mut taken = Self {
            // An outcome takes about as much in each.
            bytes: Vec::with_capacity(160 * reports.len()),
            records: Vec::with_capacity(reports.len()),
            answer: Vec::with_capacity(40 + 48 * reports.len()),
        };
        let mut told = Vec::new();
        let failed = |error: &dyn std::error::Error| Problem::internal("take an outcome", error);
        let _ = write!(taken.answer, r#"{{"accepted":{},"outcome_ids":["#, reports.len());
        for (idx, report) in reports.iter().enumerate() {
            let derived;
            let outcome_id = match report.outcome_id {
                Some(outcome_id) => outcome_id,
                None => {
                    derived = report.derived_id(&mut told);
                    str::from_utf8(&derived).map_err(|error| failed(&error))?
                }
            };
            if idx > 0 {
                taken.answer.push(b',');
            }
            serde_json::to_writer(&mut taken.answer, outcome_id).map_err(|error| failed(&error))?;
            let start = taken.bytes.len();
            let entry = OutcomeEntry::of(report, outcome_id, received_at);
            entry.write(&mut taken.bytes).map_err(|error| failed(&error))?;
            taken.records.push(start..taken.bytes.len());
        }
        taken.answer.extend_from_slice(b"]}");
        Ok(taken)
    }

    fn records(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.records.iter().map(|record| &self.bytes[record.clone()])
    }
}

impl<'r> OutcomeEntry<'r> {
    /// The entry of a report.
    fn of(report: &Report<'r>, outcome_id: &'r str, received_at: Micros) -> Self {
        let (decision_id, strategy, unit) = match report.target {
            Target::Decision(decision_id) => (Some(decision_id), None, None),
            Target::Unit { strategy, unit } => (None, Some(strategy), Some(unit)),
        };
        Self {
            outcome_id,
            decision_id,
            strategy,
            unit,
            event: report.event,
            value: report.value,
            candidate: report.candidate,
            event_time: report.event_time.unwrap_or(received_at),
            received_at,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::fields::EventTimes;

    fn id_of(body: &str) -> String {
        let requests = ObserveRequest::read_body(Json::parse(body.as_bytes()).unwrap(), EventTimes::Allowed).unwrap();
        let report = requests[0].report();
        let nothing = Decided {
            strategies: &Strategies::default(),
            answers: &Answers::new(0),
        };
        if let Some(scanned) = Report::scan_body(&nothing, body.as_bytes()) {
            assert_eq!(scanned, [report], "{body}");
        }
        String::from_utf8(report.derived_id(&mut Vec::new()).to_vec()).unwrap()
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
