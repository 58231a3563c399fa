//! What a caller says about the trace that its request belongs to: W3C Trace Context, headers `traceparent` and `tracestate`.

use actix_web::http::header::{HeaderMap, HeaderName};
use opentelemetry::trace::{SpanId, TraceId, TraceState};

/// The header that names the trace and the span of a caller.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The header in which systems of tracing leave notes for their own.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The caller's span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    /// True when the caller records its part, and asks others for theirs.
    pub(crate) is_sampled: bool,
}

impl Parent {
    /// The caller's span, if the request names one.
    #[inline]
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        headers
            .get(&TRACEPARENT)
            .and_then(|value| Self::parse(value.to_str().ok()?))
    }

    /// Reads a `traceparent`, `00-(32 digits)-(16 digits)-(2 digits)`; later versions may append to that. `None` for what is not of
    /// that form, as the specification asks for.
    fn parse(text: &str) -> Option<Self> {
        let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let has_form = [(version, 2), (trace, 32), (span, 16), (flags, 2)]
            .into_iter()
            .all(|(part, length)| part.len() == length && is_hex(part));
        let is_alone = parts.next().is_none();
        if !has_form || version == "ff" || (version == "00" && !is_alone) {
            return None;
        }
        let parent = Self {
            trace_id: TraceId::from_hex(trace).ok()?,
            span_id: SpanId::from_hex(span).ok()?,
            is_sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (parent.trace_id != TraceId::INVALID && parent.span_id != SpanId::INVALID).then_some(parent)
    }
}

/// The notes of others, which go on with every span; none where they are not of their form.
pub(super) fn state_of(headers: &HeaderMap) -> TraceState {
    let text = headers.get(&TRACESTATE).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn the_parent_is_that_of_the_traceparent() {
        // The examples of W3C Trace Context, sections 3.2.2 and 3.2.4.
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = format!("00-{trace}-00f067aa0ba902b7-01");
        let parent = Parent {
            trace_id: TraceId::from(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736),
            span_id: SpanId::from(0x00f0_67aa_0ba9_02b7),
            is_sampled: true,
        };
        assert_eq!(Parent::parse(&good), Some(parent));
        assert_eq!(
            Parent::parse(&format!("cc-{trace}-00f067aa0ba902b7-01-what-the-future-brings")),
            Some(parent)
        );
        let unsampled = Parent {
            is_sampled: false,
            ..parent
        };
        // Of the flags only the lowest bit says so; 2 says that the id is random.
        for (flags, expected) in [("00", unsampled), ("02", unsampled), ("03", parent), ("ff", parent)] {
            let text = format!("00-{trace}-00f067aa0ba902b7-{flags}");
            assert_eq!(Parent::parse(&text), Some(expected), "{text}");
        }
        for bad in [
            String::new(),
            good.replace("00-4", "ff-4"),
            format!("{good}-more"),
            good.to_uppercase(),
            good.replace(trace, &"0".repeat(32)),
            good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            good.replace(trace, &trace[1..]),
            good.replace('-', "_"),
        ] {
            assert_eq!(Parent::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn notes_go_on_where_they_are_of_their_form() {
        for (text, header) in [
            ("rojo=00f067aa, congo=t61", "rojo=00f067aa,congo=t61"),
            ("rojo", ""),
            ("Ä", ""),
        ] {
            let mut headers = HeaderMap::new();
            assert_eq!(state_of(&headers), TraceState::NONE);
            if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
                headers.insert(TRACESTATE, value);
            }
            assert_eq!(state_of(&headers).header(), header, "{text}");
        }
    }
}
