//! Owns the form of requests and answers: what a JSON body may say, and how an answer is written.
//!
//! Requests are strict: a key that is not known is refused with the nearest known one, so that a misspelt
//! `decision_id` never becomes a decision without one. `null` for an optional key means that it is absent. Here a body
//! becomes checked identifiers and instants; whether a strategy exists and whether its context fits is not known here.

use std::borrow::Cow;

use lakeloop_domain::{CandidateId, DecisionId, Micros, OutcomeId, OutcomeValue, StrategyName, UnitId};
use serde::Serialize;

use crate::fields::{At, EventTimes, Fields};
use crate::json::{Json, Object};
use crate::observe::{Report, Target};
use crate::problem::Problem;
use crate::record::EntryValue;

/// The items of a body that holds one list, such as `{"outcomes": […]}`.
fn items<'a>(json: Json<'a>, list: &'static str) -> Result<Vec<Json<'a>>, Problem> {
    let mut fields = Fields::read(json, At::Body, &[list])?;
    match fields.take(list) {
        Some(Json::List(items)) if !items.is_empty() => Ok(items),
        Some(Json::List(_)) => Err(Problem::invalid(list, format!("`{list}` is empty; send at least one"))),
        Some(other) => Err(fields.wrong(list, "a list", &other)),
        None => Err(fields.absent(list)),
    }
}

/// Reads each item of a list, with its place.
fn read_items<'a, T>(
    json: Json<'a>,
    list: &'static str,
    read: impl Fn(Json<'a>, At) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let items = items(json, list)?;
    items
        .into_iter()
        .enumerate()
        .map(|(idx, item)| read(item, At::Item { list, idx }))
        .collect()
}

/// A request for one decision.
pub(crate) struct DecideRequest<'a> {
    pub(crate) at: At,
    pub(crate) strategy: Cow<'a, str>,
    pub(crate) unit: UnitId,
    pub(crate) context: Object<'a>,
    /// `None` when there is no such key.
    pub(crate) candidates: Option<Vec<CandidateRequest<'a>>>,
    pub(crate) decision_id: Option<DecisionId>,
    pub(crate) event_time: Option<Micros>,
    /// What the caller's own rule would do.
    pub(crate) rule_action: Option<Cow<'a, str>>,
}

impl<'a> DecideRequest<'a> {
    /// Reads one request. A body without `context` has an empty one.
    pub(crate) fn read(json: Json<'a>, at: At, event_times: EventTimes) -> Result<Self, Problem> {
        const KNOWN: [&str; 7] = [
            "strategy",
            "unit",
            "context",
            "candidates",
            "decision_id",
            "event_time",
            "rule_action",
        ];
        let mut fields = Fields::read(json, at, &KNOWN)?;
        let strategy = fields.required_text("strategy")?;
        let unit = fields.id("unit", UnitId::new)?.ok_or_else(|| fields.absent("unit"))?;
        let context = fields.context()?;
        let candidates = match fields.take("candidates") {
            None => None,
            Some(Json::List(items)) if items.is_empty() => {
                let detail = "`candidates` is empty; send at least one";
                return Err(Problem::invalid(at.field("candidates"), detail));
            }
            Some(Json::List(items)) => {
                let each = items.into_iter().enumerate();
                let read = each.map(|(idx, item)| CandidateRequest::read(item, at.candidate(idx)));
                Some(read.collect::<Result<_, Problem>>()?)
            }
            Some(other) => return Err(fields.wrong("candidates", "a list", &other)),
        };
        let rule_action = match fields.take("rule_action") {
            None => None,
            Some(Json::Text(action)) => Some(action),
            Some(Json::Bool(yes)) => Some(Cow::Borrowed(if yes { "yes" } else { "no" })),
            Some(other) => return Err(fields.wrong("rule_action", "a text", &other)),
        };
        Ok(Self {
            at,
            strategy,
            unit,
            context,
            rule_action,
            candidates,
            decision_id: fields.id("decision_id", DecisionId::new)?,
            event_time: fields.event_time(event_times)?,
        })
    }

    /// The id that the caller chose for the decision, if it chose one.
    pub(crate) fn chosen_id(&self) -> Option<&str> {
        self.decision_id.as_ref().map(DecisionId::as_str)
    }

    /// Reads `{"decisions": […]}`.
    pub(crate) fn read_many(json: Json<'a>, event_times: EventTimes) -> Result<Vec<Self>, Problem> {
        read_items(json, "decisions", |item, at| Self::read(item, at, event_times))
    }
}

/// One of the candidates of a request.
pub(crate) struct CandidateRequest<'a> {
    pub(crate) at: At,
    pub(crate) id: CandidateId,
    pub(crate) context: Object<'a>,
}

impl<'a> CandidateRequest<'a> {
    fn read(json: Json<'a>, at: At) -> Result<Self, Problem> {
        let mut fields = Fields::read(json, at, &["id", "context"])?;
        Ok(Self {
            at,
            id: fields.id("id", CandidateId::new)?.ok_or_else(|| fields.absent("id"))?,
            context: fields.context()?,
        })
    }
}

/// What a report is about, as it was parsed.
enum OwnedTarget {
    Decision(DecisionId),
    Unit { strategy: StrategyName, unit: UnitId },
}

/// A report of one outcome, as it was parsed.
pub(crate) struct ObserveRequest {
    pub(crate) at: At,
    outcome_id: Option<OutcomeId>,
    target: OwnedTarget,
    candidate: Option<CandidateId>,
    event: String,
    value: OutcomeValue,
    event_time: Option<Micros>,
}

impl ObserveRequest {
    /// Reads a body that holds one outcome, or `{"outcomes": […]}`.
    pub(crate) fn read_body(json: Json<'_>, event_times: EventTimes) -> Result<Vec<Self>, Problem> {
        let is_list = matches!(&json, Json::Object(entries) if entries.iter().any(|(key, _)| key == "outcomes"));
        if is_list {
            read_items(json, "outcomes", |item, at| Self::read(item, at, event_times))
        } else {
            Ok(vec![Self::read(json, At::Body, event_times)?])
        }
    }

    /// The report, borrowed.
    pub(crate) fn report(&self) -> Report<'_> {
        Report {
            outcome_id: self.outcome_id.as_ref().map(OutcomeId::as_str),
            target: match &self.target {
                OwnedTarget::Decision(decision_id) => Target::Decision(decision_id.as_str()),
                OwnedTarget::Unit { strategy, unit } => Target::Unit {
                    strategy: strategy.as_str(),
                    unit: unit.as_str(),
                },
            },
            candidate: self.candidate.as_ref().map(CandidateId::as_str),
            event: &self.event,
            value: match &self.value {
                OutcomeValue::Number(number) => EntryValue::Number(*number),
                OutcomeValue::Category(category) => EntryValue::Category(category),
            },
            event_time: self.event_time,
        }
    }

    fn read(json: Json<'_>, at: At, event_times: EventTimes) -> Result<Self, Problem> {
        const KNOWN: [&str; 8] = [
            "candidate",
            "outcome_id",
            "decision_id",
            "strategy",
            "unit",
            "event",
            "value",
            "event_time",
        ];
        let mut fields = Fields::read(json, at, &KNOWN)?;
        let decision_id = fields.id("decision_id", DecisionId::new)?;
        let strategy = fields.id("strategy", StrategyName::new)?;
        let unit = fields.id("unit", UnitId::new)?;
        let target = match (decision_id, strategy, unit) {
            (Some(decision_id), None, None) => OwnedTarget::Decision(decision_id),
            (None, Some(strategy), Some(unit)) => OwnedTarget::Unit { strategy, unit },
            (None, None, None) => {
                let detail = "the outcome names no decision; add `decision_id`, or `strategy` and `unit`";
                return Err(Problem::invalid(at.field("decision_id"), detail));
            }
            (None, Some(_), None) => return Err(fields.absent("unit")),
            (None, None, Some(_)) => return Err(fields.absent("strategy")),
            (Some(_), _, _) => {
                let detail = "an outcome names a decision, or a strategy with a unit, not both; leave one out";
                return Err(Problem::invalid(at.field("decision_id"), detail));
            }
        };
        let event = fields.required_text("event")?.into_owned();
        check_word(&event).map_err(|detail| Problem::invalid(at.field("event"), detail))?;
        let value = match fields.take("value") {
            None => OutcomeValue::Number(1.0),
            Some(Json::Bool(boolean)) => OutcomeValue::Number(f64::from(u8::from(boolean))),
            Some(Json::Integer(number)) => OutcomeValue::Number(number as f64),
            Some(Json::Number(number)) => OutcomeValue::Number(number),
            Some(Json::Text(text)) => {
                check_word(&text).map_err(|detail| Problem::invalid(at.field("value"), detail))?;
                OutcomeValue::Category(text.into_owned())
            }
            Some(other) => return Err(fields.wrong("value", "a number, a boolean or a text", &other)),
        };
        Ok(Self {
            at,
            candidate: fields.id("candidate", CandidateId::new)?,
            outcome_id: fields.id("outcome_id", OutcomeId::new)?,
            target,
            event,
            value,
            event_time: fields.event_time(event_times)?,
        })
    }
}

/// The rule for names of events and for categories as outcomes.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control)
}

fn check_word(text: &str) -> Result<(), &'static str> {
    match is_word(text) {
        true => Ok(()),
        false => Err("write 1 to 256 bytes without control characters"),
    }
}

/// A request for raw scores.
pub(crate) struct PredictRequest<'a> {
    pub(crate) strategy: Cow<'a, str>,
    pub(crate) rows: Vec<Json<'a>>,
}

impl<'a> PredictRequest<'a> {
    /// Reads `{"strategy": …, "rows": […]}`.
    pub(crate) fn read(json: Json<'a>) -> Result<Self, Problem> {
        let mut fields = Fields::read(json, At::Body, &["strategy", "rows"])?;
        let strategy = fields.required_text("strategy")?;
        match fields.take("rows") {
            Some(Json::List(rows)) if !rows.is_empty() => Ok(Self { strategy, rows }),
            Some(Json::List(_)) => Err(Problem::invalid("rows", "`rows` is empty; send at least one")),
            Some(other) => Err(fields.wrong("rows", "a list", &other)),
            None => Err(fields.absent("rows")),
        }
    }
}

/// The answer to a request for raw scores.
#[derive(Serialize)]
pub(crate) struct PredictAnswer {
    pub(crate) model_version: u32,
    pub(crate) scores: Vec<Vec<f64>>,
}
