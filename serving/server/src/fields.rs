//! Owns an object of a request's body as it is taken apart: its place in the body, keys that are all known and stand there
//! once, and values of the type that each key asks for.
//!
//! A refusal names the key by its path and says what to write. What the keys mean is not known here.

use std::borrow::Cow;

use chrono::DateTime;
use lakeloop_domain::{InvalidId, Micros};

use crate::json::{Json, Object};
use crate::nearest::nearest;
use crate::problem::Problem;

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
    pub(crate) fn candidate(self, idx: usize) -> Self {
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
    pub(crate) fn id<T>(
        &mut self,
        name: &str,
        new: impl FnOnce(String) -> Result<T, InvalidId>,
    ) -> Result<Option<T>, Problem> {
        match self.text(name)? {
            None => Ok(None),
            Some(text) => match new(text.into_owned()) {
                Ok(id) => Ok(Some(id)),
                Err(cause) => Err(Problem::invalid_id(self.at.field(name), &cause)),
            },
        }
    }

    /// The object under `context`, empty when it is absent.
    pub(crate) fn context(&mut self) -> Result<Object<'a>, Problem> {
        match self.take("context") {
            None => Ok(Vec::new()),
            Some(Json::Object(context)) => Ok(context),
            Some(other) => Err(self.wrong("context", "an object", &other)),
        }
    }

    /// The instant that a caller gave, if it may.
    pub(crate) fn event_time(&mut self, event_times: EventTimes) -> Result<Option<Micros>, Problem> {
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
