//! Owns CORS: which pages of browsers may call, by their origin. Off unless `server.cors_origins` names some.
//!
//! A page of a named origin may send the headers that the routes read and see those that they write. It identifies itself by
//! a key, as every caller does, never by cookies. Preflight requests are answered here, before a key is asked for, since
//! browsers send none with them.

use actix_cors::Cors;
use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use actix_web::middleware::Condition;

use crate::access::API_KEY;
use crate::request::X_REQUEST_ID;
use crate::traces::{TRACEPARENT, TRACESTATE};

/// How long a browser may keep the answer to a preflight request, in seconds.
const MAX_AGE_S: usize = 600;

/// The layer for these origins; without any, one that does nothing.
pub(crate) fn layer(origins: &[String]) -> Condition<Cors> {
    let cors = Cors::default()
        .allowed_methods([Method::GET, Method::POST])
        .allowed_headers([
            ACCEPT,
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_NONE_MATCH,
            API_KEY,
            X_REQUEST_ID,
            TRACEPARENT,
            TRACESTATE,
        ])
        .expose_headers([ETAG, RETRY_AFTER, X_REQUEST_ID])
        .max_age(MAX_AGE_S);
    let cors = origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin));
    Condition::new(!origins.is_empty(), cors)
}
