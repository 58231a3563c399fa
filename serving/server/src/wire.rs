//! Owns the form of requests and answers: what a JSON body may say, and how an answer is written.
//!
//! Requests are strict: a key that is not known is refused with the nearest known one, so that a misspelt
//! `decision_id` never becomes a decision without one. `null` for an optional key means that it is absent. Here a body
//! becomes checked identifiers and instants; whether a strategy exists and whether its context fits is not known here.

use std::borrow::Cow;

use chrono::DateTime;
use lakeloop_domain::{CandidateId, DecisionId, InvalidId, Micros, OutcomeId, OutcomeValue, StrategyName, UnitId};
use serde::Serialize;

use crate::json::{Json, Object};
use crate::nearest::nearest;
use crate::observe::{Report, Target};
use crate::problem::Problem;
use crate::record::EntryValue;

/// The last instant that a caller may give: the end of the year 9999, so that adding a window never overflows.
const LAST_EVENT_TIME: Micros = 253_402_300_799_999_999;

/// Whether callers may say when something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventTimes {
    /// The server's clock decides.
    Refused,
    /// The caller's word counts, as replays and imports need.
    Allowed,
}

impl EventTimes {
    /// The form that the setting `server.allow_event_time` asks for.
    pub(crate) fn from_setting(allow: bool) -> Self {
        if allow { Self::Allowed } else { Self::Refused }
    }
}

/// Where in the body an object stands, for messages: nowhere (the body itself), `list[idx]`, a row of a table or of
/// tensors, counted from 0, or `candidates[idx]` of a request for a decision, which may itself stand in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Body,
    Item { list: &'static str, idx: usize },
    Row { idx: usize },
    Candidate { decision: Option<usize>, idx: usize },
}

impl At {
    /// The path of a key of this object.
    pub(crate) fn field(self, name: &str) -> String {
        match self {
            Self::Body => name.to_owned(),
            Self::Item { .. } | Self::Candidate { .. } => format!("{}.{name}", self.object()),
            Self::Row { idx } => format!("row {idx}, column {name}"),
        }
    }

    /// The path of a context field of this object; in a row, context fields are columns like the others.
    pub(crate) fn context_field(self, name: &str) -> String {
        match self {
            Self::Row { .. } => self.field(name),
            Self::Body | Self::Item { .. } | Self::Candidate { .. } => self.field(&format!("context.{name}")),
        }
    }

    /// The object in words, and as a path.
    pub(crate) fn object(self) -> String {
        match self {
            Self::Body => "the body".to_owned(),
            Self::Item { list, idx } => format!("{list}[{idx}]"),
            Self::Row { idx } => format!("row {idx}"),
            Self::Candidate { decision: None, idx } => format!("candidates[{idx}]"),
            Self::Candidate {
                decision: Some(of),
                idx,
            } => format!("decisions[{of}].candidates[{idx}]"),
        }
    }

    /// The place of a candidate of the request that stands here.
    fn candidate(self, idx: usize) -> Self {
        let decision = match self {
            Self::Item { idx: decision, .. } => Some(decision),
            Self::Body | Self::Row { .. } | Self::Candidate { .. } => None,
        };
        Self::Candidate { decision, idx }
    }
}

/// An object whose keys are all known and stand there once.
pub(crate) struct Fields<'a> {
    at: At,
    entries: Object<'a>,
}

impl<'a> Fields<'a> {
    /// Takes an object apart; refuses anything else, and keys that are not among `known`.
    pub(crate) fn read(json: Json<'a>, at: At, known: &[&str]) -> Result<Self, Problem> {
        let Json::Object(entries) = json else {
            let detail = format!("{} is {}; send a JSON object", at.object(), json.describe());
            return Err(match at {
                At::Body => Problem::Malformed { detail },
                At::Item { .. } | At::Row { .. } | At::Candidate { .. } => Problem::invalid(at.object(), detail),
            });
        };
        for (idx, (key, _)) in entries.iter().enumerate() {
            if !known.contains(&key.as_ref()) {
                return Err(unknown_key(at, key, known));
            }
            if entries[..idx].iter().any(|(earlier, _)| earlier == key) {
                return Err(Problem::invalid(
                    at.field(key),
                    format!("`{key}` is given twice; give it once"),
                ));
            }
        }
        Ok(Self { at, entries })
    }

    /// The value of a key, unless it is absent or null.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json<'a>> {
        let idx = self.entries.iter().position(|(key, _)| key == name)?;
        match self.entries.swap_remove(idx).1 {
            Json::Null => None,
            value => Some(value),
        }
    }

    /// A text, unless it is absent.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "a text", &other)),
        }
    }

    /// A text that must be there.
    pub(crate) fn required_text(&mut self, name: &str) -> Result<Cow<'a, str>, Problem> {
        let text = self.text(name)?;
        text.ok_or_else(|| self.absent(name))
    }

    /// An identifier, unless it is absent.
    fn id<T>(&mut self, name: &str, new: impl FnOnce(String) -> Result<T, InvalidId>) -> Result<Option<T>, Problem> {
        match self.text(name)? {
            None => Ok(None),
            Some(text) => match new(text.into_owned()) {
                Ok(id) => Ok(Some(id)),
                Err(cause) => Err(Problem::invalid_id(self.at.field(name), &cause)),
            },
        }
    }

    /// The object under `context`, empty when it is absent.
    fn context(&mut self) -> Result<Object<'a>, Problem> {
        match self.take("context") {
            None => Ok(Vec::new()),
            Some(Json::Object(context)) => Ok(context),
            Some(other) => Err(self.wrong("context", "an object", &other)),
        }
    }

    /// The instant that a caller gave, if it may.
    fn event_time(&mut self, event_times: EventTimes) -> Result<Option<Micros>, Problem> {
        let Some(json) = self.take("event_time") else {
            return Ok(None);
        };
        let field = self.at.field("event_time");
        if event_times == EventTimes::Refused {
            let detail = "this server takes the time from its own clock; leave `event_time` out, or set \
                          server.allow_event_time = true in lakeloop.toml for replays and imports";
            return Err(Problem::invalid(field, detail));
        }
        let micros = match &json {
            Json::Integer(micros) => Some(*micros),
            Json::Text(text) => DateTime::parse_from_rfc3339(text)
                .ok()
                .map(|instant| instant.timestamp_micros()),
            _ => None,
        };
        match micros {
            Some(micros) if (0..=LAST_EVENT_TIME).contains(&micros) => Ok(Some(micros)),
            _ => Err(self.wrong(
                "event_time",
                "an RFC 3339 text such as \"2026-03-01T12:00:00Z\", or whole microseconds since 1970, from 1970 to \
                 9999",
                &json,
            )),
        }
    }

    /// The refusal of a value of the wrong type.
    pub(crate) fn wrong(&self, name: &str, expected: &str, found: &Json<'_>) -> Problem {
        Problem::invalid(
            self.at.field(name),
            format!("`{name}` is {}; expected {expected}", found.describe()),
        )
    }

    /// The refusal of an object that lacks a key.
    pub(crate) fn absent(&self, name: &str) -> Problem {
        Problem::invalid(
            self.at.field(name),
            format!("{} has no `{name}`; add it", self.at.object()),
        )
    }
}

fn unknown_key(at: At, key: &str, known: &[&str]) -> Problem {
    let meant = match nearest(key, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known are {}", words(known.iter().copied())),
    };
    let shown: String = key.chars().take(80).collect();
    Problem::invalid(at.field(&shown), format!("`{shown}` is not known here; {meant}"))
}

/// Names in backquotes with commas between them.
pub(crate) fn words<'k>(names: impl Iterator<Item = &'k str>) -> String {
    let quoted: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

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
}

impl<'a> DecideRequest<'a> {
    /// Reads one request. A body without `context` has an empty one.
    pub(crate) fn read(json: Json<'a>, at: At, event_times: EventTimes) -> Result<Self, Problem> {
        const KNOWN: [&str; 6] = ["strategy", "unit", "context", "candidates", "decision_id", "event_time"];
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
        Ok(Self {
            at,
            strategy,
            unit,
            context,
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
