//! Owns what callers are told when they do not get what they asked for: the one file that chooses HTTP status and text.
//!
//! Every refusal is an RFC 9457 `application/problem+json` document with `type`, `title`, `status`, a `detail` that says
//! what to change, and, where one value is to blame, its `field` (`context.age`, `outcomes[2].value`). Policy:
//!
//! - the caller can mend it: 4xx, and the detail names what was found and what is expected;
//! - time can mend it (the journal is full, the disk failed, the lake is away): 503 with `Retry-After`, and nothing
//!   of the request was kept unless the detail says so;
//! - neither can: 500 with no detail of the inside; the cause is logged, once, here.

use std::error::Error;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use lakeloop_domain::InvalidId;
use lakeloop_journal::JournalError;
use serde::Serialize;

/// Seconds after which a refused request is worth trying again: the flush to the lake that frees the journal, or the
/// restart that reopens it, takes about as long.
const RETRY_AFTER_S: u32 = 2;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Problem {
    /// The body is not JSON, or not an object.
    Malformed { detail: String },
    /// A value, or a key, that the schema refuses.
    Invalid { field: String, detail: String },
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
        tracing::error!(doing, cause = %Chain(cause), "a request failed");
        Self::Internal
    }

    /// The lake could not be reached or refused; logs the cause.
    pub(crate) fn lake(doing: &str, cause: &dyn Error) -> Self {
        tracing::error!(doing, cause = %Chain(cause), "the lake is not available");
        Self::lake_away()
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
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_S.to_string()));
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
            },
            Self::Internal => "The server failed",
        }
    }

    /// The last part of the `type` URI; clients may match on it, so it never changes.
    fn slug(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::Invalid { .. } => "invalid-value",
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
            },
            Self::Internal => "internal",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Malformed { detail }
            | Self::Invalid { detail, .. }
            | Self::NotFound { detail, .. }
            | Self::Conflict { detail }
            | Self::NotAcceptable { detail }
            | Self::UnsupportedMediaType { detail }
            | Self::Timeout { detail }
            | Self::Unavailable { detail, .. } => detail.clone(),
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
        tracing::error!(cause = %Chain(&error), "the journal refused a record");
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
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
            Self::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
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
