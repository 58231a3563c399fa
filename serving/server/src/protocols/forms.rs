//! Owns content negotiation: in which form a body was sent, and in which its answer is wanted.
//!
//! A body without a content type is JSON, and so is one that says `application/x-www-form-urlencoded`, which `curl -d`
//! sends when it is not told otherwise. An answer has the form of the body unless `Accept` prefers the other; equal
//! preferences go to the form that stands first. Refusals are problem documents whatever is accepted.

use std::cmp::Reverse;

use actix_web::HttpRequest;
use actix_web::http::header::{Accept, CONTENT_TYPE, Header, Quality};

use crate::problem::Problem;

/// The media type of the Arrow IPC streaming format.
pub(crate) const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

/// A form of bodies and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Arrow,
}

impl Form {
    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Arrow => ARROW_STREAM,
        }
    }
}

/// The forms of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forms {
    /// How the body is written.
    pub(crate) body: Form,
    /// How the answer is to be written.
    pub(crate) answer: Form,
}

impl Forms {
    /// Reads the headers; refuses forms that are neither.
    pub(crate) fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let body = body_form(request)?;
        let answer = answer_form(request, body)?;
        Ok(Self { body, answer })
    }

    /// True for what `/v1` speaks first.
    pub(crate) fn is_json(self) -> bool {
        (self.body, self.answer) == (Form::Json, Form::Json)
    }
}

fn body_form(request: &HttpRequest) -> Result<Form, Problem> {
    let Some(content_type) = request.headers().get(CONTENT_TYPE) else {
        return Ok(Form::Json);
    };
    let essence = content_type.to_str().unwrap_or_default();
    let essence = essence
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        "" | "application/json" | "application/x-www-form-urlencoded" => Ok(Form::Json),
        ARROW_STREAM => Ok(Form::Arrow),
        other => {
            let other: String = other.chars().take(80).collect();
            let detail =
                format!("the content type `{other}` is not read here; send application/json or {ARROW_STREAM}");
            Err(Problem::UnsupportedMediaType { detail })
        }
    }
}

fn answer_form(request: &HttpRequest, body: Form) -> Result<Form, Problem> {
    if !request.headers().contains_key(Accept::name()) {
        return Ok(body);
    }
    let refused = || Problem::NotAcceptable {
        detail: format!("the `accept` header leaves no form to answer in; accept application/json or {ARROW_STREAM}"),
    };
    let mut accepted = Accept::parse(request).map_err(|_| refused())?.0;
    if accepted.is_empty() {
        return Ok(body);
    }
    accepted.retain(|item| item.quality > Quality::ZERO);
    accepted.sort_by_key(|item| Reverse(item.quality));
    let form = |range: &str| match range {
        "*/*" | "application/*" => Some(body),
        range => [Form::Json, Form::Arrow]
            .into_iter()
            .find(|form| form.media_type() == range),
    };
    accepted
        .iter()
        .find_map(|item| form(item.item.essence_str()))
        .ok_or_else(refused)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn check(content_type: Option<&str>, accept: Option<&str>) -> Result<(Form, Form), u16> {
        use actix_web::ResponseError;
        let mut request = TestRequest::post();
        for (name, value) in [("content-type", content_type), ("accept", accept)] {
            if let Some(value) = value {
                request = request.insert_header((name, value));
            }
        }
        let forms = Forms::of(&request.to_http_request());
        forms
            .map(|forms| (forms.body, forms.answer))
            .map_err(|problem| problem.status_code().as_u16())
    }

    #[test]
    fn the_answer_has_the_form_of_the_body_unless_another_is_preferred() {
        use Form::{Arrow, Json};
        for (content_type, accept, expected) in [
            (None, None, Ok((Json, Json))),
            (Some("application/json; charset=utf-8"), Some("*/*"), Ok((Json, Json))),
            (Some("application/x-www-form-urlencoded"), None, Ok((Json, Json))),
            (Some(ARROW_STREAM), None, Ok((Arrow, Arrow))),
            (Some(ARROW_STREAM), Some("*/*"), Ok((Arrow, Arrow))),
            (Some(ARROW_STREAM), Some("application/json"), Ok((Arrow, Json))),
            (None, Some(ARROW_STREAM), Ok((Json, Arrow))),
            (
                None,
                Some("application/json;q=0.5, application/vnd.apache.arrow.stream"),
                Ok((Json, Arrow)),
            ),
            (
                None,
                Some("text/html, application/vnd.apache.arrow.stream;q=0, */*;q=0.1"),
                Ok((Json, Json)),
            ),
            (Some("text/csv"), None, Err(415)),
            (None, Some("text/html"), Err(406)),
            (None, Some("application/json;q=0"), Err(406)),
        ] {
            assert_eq!(check(content_type, accept), expected, "{content_type:?} {accept:?}");
        }
    }
}
