//! Owns what callers are told when they do not get what they asked for: the one file that chooses HTTP status and text.
//!
//! Every refusal is an RFC 9457 `application/problem+json` document with `type`, `title`, `status`, a `detail` that says
//! what to change, and, where one value is to blame, its `field` (`context.age`, `outcomes[2].value`). Policy:
//!
//! - the caller can mend it: 4xx, and the detail names what was found and what is expected;
//! - the caller is not let in: 401 without a key that is known here, 403 with one that lacks the scope, 429 with one that is
//!   used too often;
//! - time can mend it (too much is under way, the journal is full, the disk failed, the lake is away): 503 with
//!   `Retry-After`, and nothing of the request was kept unless the detail says so;
//! - neither can: 500 with no detail of the inside; the cause is logged, once, here.
//!
//! Each document has the `request_id` by which the log can be searched for it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use lakeloop_domain::InvalidId;
use lakeloop_journal::JournalError;
use serde::Serialize;

use crate::access::scope::Scope;
use crate::request;

/// Seconds after which a refused request is worth trying again: the flush to the lake that frees the journal, or the
/// restart that reopens it, takes about as long.
const RETRY_AFTER_S: u64 = 2;

/// The same for a server that has too much under way, which is over as soon as something of it is answered.
const RETRY_AFTER_BUSY_S: u64 = 1;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Problem {
    /// The body is not JSON, or not an object.
    Malformed { detail: String },
    /// A value, or a key, that the schema refuses.
    Invalid { field: String, detail: String },
    /// There is no key, or (`is_wrong`) none that is known and live.
    Unauthenticated { detail: String, is_wrong: bool },
    /// The key with this id does not allow what was asked for.
    MissingScope { id: Arc<str>, scope: Scope },
    /// The key was used too often.
    TooOften { detail: String, retry_after: Duration },
    /// No such strategy, model or route.
    NotFound { kind: Missing, detail: String },
    /// The route exists for other methods.
    MethodNotAllowed { method: String, allowed: &'static str },
    /// The decision id already belongs to a decision of another strategy.
    Conflict { detail: String },
    /// The caller accepts no form in which the answer can be written.
    NotAcceptable { detail: String },
    /// The body is larger than the server takes.
    TooLarge { limit: usize },
    /// The body is in a form that is not read here.
    UnsupportedMediaType { detail: String },
    /// The request did not finish in time.
    Timeout { detail: String },
    /// What was asked for cannot be done at the moment.
    Unavailable { cause: Unavailable, detail: String },
    /// The server failed; the cause stands in the log.
    Internal,
}

/// What it is that was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Strategy,
    Model,
    Route,
}

/// What it is that is not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unavailable {
    Journal,
    Lake,
    Server,
    /// Too many requests are under way.
    Requests,
    /// Too many connections are open.
    Connections,
}

impl Problem {
    /// A value that the schema refuses.
    pub(crate) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            detail: detail.into(),
        }
    }

    /// A text that is no identifier of the kind that its field holds.
    pub(crate) fn invalid_id(field: impl Into<String>, cause: &InvalidId) -> Self {
        Self::invalid(field, cause.to_string())
    }

    /// A failure of the server itself: logs the cause and tells the caller nothing of it.
    pub(crate) fn internal(doing: &str, cause: &dyn Error) -> Self {
        let request_id = request::id();
        tracing::error!(request_id = request_id.as_deref(), doing, cause = %Chain(cause), "a request failed");
        Self::Internal
    }

    /// The lake could not be reached or refused; logs the cause.
    pub(crate) fn lake(doing: &str, cause: &dyn Error) -> Self {
        let request_id = request::id();
        tracing::error!(request_id = request_id.as_deref(), doing, cause = %Chain(cause), "the lake is not available");
        Self::lake_away()
    }

    /// Too many requests are under way.
    pub(crate) fn too_many_requests(max_concurrent: usize) -> Self {
        Self::Unavailable {
            cause: Unavailable::Requests,
            detail: format!(
                "{max_concurrent} requests are under way already, which is all that server.max_concurrent allows; nothing of \
                 this request was read; try again"
            ),
        }
    }

    /// Too many connections are open.
    pub(crate) fn too_many_connections(max_connections: usize) -> Self {
        Self::Unavailable {
            cause: Unavailable::Connections,
            detail: format!(
                "{max_connections} connections are open already, which is all that server.max_connections allows; nothing of \
                 this request was read; use a connection for many requests, or try again"
            ),
        }
    }

    /// The lake could not be reached or refused, which is logged already.
    pub(crate) fn lake_away() -> Self {
        Self::Unavailable {
            cause: Unavailable::Lake,
            detail: "the lake cannot be reached at the moment; what was acknowledged is kept and follows when it \
                     is back; try again"
                .into(),
        }
    }

    /// The refusal in the words of its detail, with the field that is to blame.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Invalid { field, detail } if !field.is_empty() => format!("{field}: {detail}"),
            other => other.detail(),
        }
    }

    /// The refusal as a protocol with its own form of errors writes it: `document` in JSON. These protocols know no 422; a
    /// refused value is a bad request to them.
    pub(crate) fn written_as(&self, document: &impl Serialize) -> HttpResponse {
        let status = match self.status_code() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        self.response(status, "application/json", document)
    }

    fn response(&self, status: StatusCode, content_type: &'static str, document: &impl Serialize) -> HttpResponse {
        let mut response = HttpResponse::build(status);
        if let Some(retry_after_s) = self.retry_after_s() {
            response.insert_header((header::RETRY_AFTER, retry_after_s.to_string()));
        }
        if let Some(challenge) = self.challenge() {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Self::MethodNotAllowed { allowed, .. } = self {
            response.insert_header((header::ALLOW, HeaderValue::from_static(allowed)));
        }
        response
            .insert_header((header::CONTENT_TYPE, HeaderValue::from_static(content_type)))
            .body(serde_json::to_vec(document).unwrap_or_default())
    }

    fn title(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "The body is malformed",
            Self::Invalid { .. } => "A value was refused",
            Self::Unauthenticated { is_wrong: false, .. } => "An API key is needed",
            Self::Unauthenticated { is_wrong: true, .. } => "The API key is not valid",
            Self::MissingScope { .. } => "The API key does not allow this",
            Self::TooOften { .. } => "The API key is used too often",
            Self::NotFound { kind, .. } => match kind {
                Missing::Strategy => "Unknown strategy",
                Missing::Model => "No such model",
                Missing::Route => "No such route",
            },
            Self::MethodNotAllowed { .. } => "Method not allowed",
            Self::Conflict { .. } => "The decision id belongs to another strategy",
            Self::NotAcceptable { .. } => "No acceptable form of the answer",
            Self::TooLarge { .. } => "The body is too large",
            Self::UnsupportedMediaType { .. } => "The form of the body is not known",
            Self::Timeout { .. } => "The request took too long",
            Self::Unavailable { cause, .. } => match cause {
                Unavailable::Journal => "The journal takes no records",
                Unavailable::Lake => "The lake is not available",
                Unavailable::Server => "The server is not ready",
                Unavailable::Requests => "Too many requests are under way",
                Unavailable::Connections => "Too many connections are open",
            },
            Self::Internal => "The server failed",
        }
    }

    /// The last part of the `type` URI; clients may match on it, so it never changes.
    fn slug(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::Invalid { .. } => "invalid-value",
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::MissingScope { .. } => "missing-scope",
            Self::TooOften { .. } => "too-often",
            Self::NotFound { kind, .. } => match kind {
                Missing::Strategy => "unknown-strategy",
                Missing::Model => "unknown-model",
                Missing::Route => "unknown-route",
            },
            Self::MethodNotAllowed { .. } => "method-not-allowed",
            Self::Conflict { .. } => "decision-id-conflict",
            Self::NotAcceptable { .. } => "not-acceptable",
            Self::TooLarge { .. } => "too-large",
            Self::UnsupportedMediaType { .. } => "unsupported-media-type",
            Self::Timeout { .. } => "timeout",
            Self::Unavailable { cause, .. } => match cause {
                Unavailable::Journal => "journal-unavailable",
                Unavailable::Lake => "lake-unavailable",
                Unavailable::Server => "not-ready",
                Unavailable::Requests => "too-many-requests",
                Unavailable::Connections => "too-many-connections",
            },
            Self::Internal => "internal",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Malformed { detail }
            | Self::Invalid { detail, .. }
            | Self::Unauthenticated { detail, .. }
            | Self::TooOften { detail, .. }
            | Self::NotFound { detail, .. }
            | Self::Conflict { detail }
            | Self::NotAcceptable { detail }
            | Self::UnsupportedMediaType { detail }
            | Self::Timeout { detail }
            | Self::Unavailable { detail, .. } => detail.clone(),
            Self::MissingScope { id, scope } => {
                format!("the API key {id} lacks the scope `{scope}`; ask for a key that has it")
            }
            Self::MethodNotAllowed { method, allowed } => format!("{method} is not known here; use {allowed}"),
            Self::TooLarge { limit } => {
                format!(
                    "the body is larger than {limit} bytes; send less at once, or raise server.max_body in \
                     the settings"
                )
            }
            Self::Internal => "the server failed; its log says why".into(),
        }
    }

    /// Whole seconds after which it is worth trying again.
    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooOften { retry_after, .. } => Some(retry_after.as_secs_f64().ceil().max(1.0) as u64),
            Self::Unavailable {
                cause: Unavailable::Requests | Unavailable::Connections,
                ..
            } => Some(RETRY_AFTER_BUSY_S),
            Self::Timeout { .. } | Self::Unavailable { .. } => Some(RETRY_AFTER_S),
            _ => None,
        }
    }

    /// What to send to be let in, as RFC 6750 writes it.
    fn challenge(&self) -> Option<String> {
        let realm = "Bearer realm=\"lakeloop\"";
        match self {
            Self::Unauthenticated { is_wrong: false, .. } => Some(realm.to_owned()),
            Self::Unauthenticated { is_wrong: true, .. } => Some(format!("{realm}, error=\"invalid_token\"")),
            Self::MissingScope { scope, .. } => {
                Some(format!("{realm}, error=\"insufficient_scope\", scope=\"{scope}\""))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title(), self.detail())
    }
}

impl From<JournalError> for Problem {
    /// The caller learns that nothing was kept and when to come back; the cause is logged.
    fn from(error: JournalError) -> Self {
        let detail = match &error {
            JournalError::Full { .. } => {
                "the journal is full because the lake has not taken its records yet; nothing of this request was \
                 kept; try again"
            }
            JournalError::DiskFull { .. } => {
                "the disk of the journal is full; nothing of this request was kept; try again"
            }
            JournalError::PayloadTooLarge { .. } => {
                return Self::invalid("", format!("{error}; send less in one record"));
            }
            JournalError::Closed => "the server is shutting down; nothing of this request was kept; try again",
            _ => {
                "the disk of the journal failed; whether this request was kept is not known; repeat it with the \
                 same id once the server is back"
            }
        };
        let request_id = request::id();
        tracing::error!(request_id = request_id.as_deref(), cause = %Chain(&error), "the journal refused a record");
        Self::Unavailable {
            cause: Unavailable::Journal,
            detail: detail.into(),
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Box<str>>,
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
            Self::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
            Self::MissingScope { .. } => StatusCode::FORBIDDEN,
            Self::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Timeout { .. } | Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let document = Document {
            r#type: format!("urn:lakeloop:problem:{}", self.slug()),
            title: self.title(),
            status: status.as_u16(),
            detail: self.detail(),
            field: match self {
                Self::Invalid { field, .. } if !field.is_empty() => Some(field),
                _ => None,
            },
            scope: match self {
                Self::MissingScope { scope, .. } => Some(*scope),
                _ => None,
            },
            request_id: request::id(),
        };
        self.response(status, "application/problem+json", &document)
    }
}

/// An error with all its sources, as one line for the log.
pub(crate) struct Chain<'e>(pub(crate) &'e dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
