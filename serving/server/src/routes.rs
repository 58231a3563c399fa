//! Owns the routes: which path and method leads where.
//!
//! A body is at most `server.max_body` large (after decompression), and whatever goes wrong is a problem document, also for
//! paths and methods that do not exist. What else holds for every request is the business of the `around` module.

use std::sync::Arc;
use std::time::Instant;

use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::web::{self, Bytes, Data, PayloadConfig, ServiceConfig};
use actix_web::{Error, FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder};

use crate::decide;
use crate::health;
use crate::listing;
use crate::observe;
use crate::predict;
use crate::problem::{Missing, Problem};
use crate::protocols;
use crate::protocols::arrow;
use crate::protocols::forms::Forms;
use crate::state::App;

/// A body, or why it could not be read.
pub(crate) type Body = Result<Bytes, Error>;

/// One route: where it is, the method that it answers, and what answers.
pub(crate) struct Entry {
    /// The path, with its variables in braces.
    pub(crate) path: &'static str,
    /// `GET` or `POST`.
    pub(crate) method: &'static str,
    route: actix_web::Route,
}

impl Entry {
    /// A route that is read from.
    pub(crate) fn get<F, Args>(path: &'static str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let (method, route) = ("GET", web::get().to(handler));
        Self { path, method, route }
    }

    /// A route that is sent to.
    pub(crate) fn post<F, Args>(path: &'static str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let (method, route) = ("POST", web::post().to(handler));
        Self { path, method, route }
    }

    fn resource(self) -> Resource {
        let allowed = self.method;
        web::resource(self.path)
            .route(self.route)
            .default_service(web::to(move |request: HttpRequest| {
                method_not_allowed(request, allowed)
            }))
    }
}

/// Every route. `openapi` describes each of them, which a test holds the two to.
pub(crate) fn table() -> Vec<Entry> {
    let native = vec![
        Entry::post("/v1/decide", decide_one),
        Entry::post("/v1/decide/batch", decide_batch),
        Entry::post("/v1/observe", observe_outcomes),
        Entry::post("/v1/predict", predict_scores),
        Entry::post("/v1/admin/flush", flush),
        Entry::get("/v1/strategies", list_strategies),
        Entry::get("/v1/models", list_models),
        Entry::get("/healthz", alive),
        Entry::get("/readyz", ready),
        Entry::get("/metrics", metrics),
    ];
    native.into_iter().chain(protocols::routes()).collect()
}

/// Adds every route.
pub(crate) fn configure(app: &Arc<App>, config: &mut ServiceConfig) {
    config
        .app_data(Data::from(Arc::clone(app)))
        .app_data(PayloadConfig::new(app.limits.max_body_bytes));
    for entry in table() {
        config.service(entry.resource());
    }
    config.default_service(web::to(no_such_route));
}

/// The body, unless it is too large or broke off.
pub(crate) fn body(app: &App, body: Body) -> Result<Bytes, Problem> {
    body.map_err(|error| match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => Problem::TooLarge {
            limit: app.limits.max_body_bytes,
        },
        _ => Problem::Malformed {
            detail: format!("the body could not be read: {error}"),
        },
    })
}

/// A success in JSON.
pub(crate) fn json(bytes: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .body(bytes.into())
}

async fn decide_one(app: Data<App>, bytes: Body) -> Result<HttpResponse, Problem> {
    let begun = Instant::now();
    let answer = decide::one(&app, &body(&app, bytes)?).await;
    app.telemetry.decide_seconds.record(begun.elapsed().as_secs_f64());
    answer.map(json)
}

async fn decide_batch(app: Data<App>, request: HttpRequest, bytes: Body) -> Result<HttpResponse, Problem> {
    let forms = Forms::of(&request)?;
    let bytes = body(&app, bytes)?;
    match forms.is_json() {
        true => decide::batch(&app, &bytes).await.map(json),
        false => arrow::decide(&app, bytes, forms).await,
    }
}

async fn observe_outcomes(app: Data<App>, bytes: Body) -> Result<HttpResponse, Problem> {
    observe::observe(&app, &body(&app, bytes)?).await.map(json)
}

async fn predict_scores(app: Data<App>, request: HttpRequest, bytes: Body) -> Result<HttpResponse, Problem> {
    let forms = Forms::of(&request)?;
    let bytes = body(&app, bytes)?;
    match forms.is_json() {
        true => predict::predict(&app, &bytes).await.map(json),
        false => arrow::predict(&app, bytes, forms).await,
    }
}

async fn flush(app: Data<App>) -> Result<HttpResponse, Problem> {
    // The writer task has logged the cause of a failure already.
    let flushed = app.flush.flush().await.map_err(|_| Problem::lake_away())?;
    let answer = serde_json::to_vec(&flushed).map_err(|error| Problem::internal("write an answer", &error))?;
    Ok(json(answer))
}

async fn list_strategies(app: Data<App>) -> Result<HttpResponse, Problem> {
    listing::strategies(&app).map(json)
}

async fn list_models(app: Data<App>) -> Result<HttpResponse, Problem> {
    listing::models(&app).await.map(json)
}

async fn alive() -> HttpResponse {
    json(health::alive())
}

async fn ready(app: Data<App>) -> Result<HttpResponse, Problem> {
    health::ready(&app).map(json)
}

async fn metrics(app: Data<App>) -> HttpResponse {
    let now = (app.clock)();
    for ledger in app.journals.ledgers() {
        let status = ledger.journal.status();
        let lag_seconds = ledger.lag_seconds(&status, now);
        app.telemetry.journal(ledger.book, &status, lag_seconds);
    }
    app.telemetry.requests_in_flight.set(app.load.n_requests() as f64);
    app.telemetry.connections.set(app.load.n_connections() as f64);
    HttpResponse::Ok()
        .insert_header((
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        ))
        .body(app.telemetry.render())
}

async fn method_not_allowed(request: HttpRequest, allowed: &'static str) -> Result<HttpResponse, Problem> {
    Err(Problem::MethodNotAllowed {
        method: request.method().to_string(),
        allowed,
    })
}

async fn no_such_route(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path: String = request.path().chars().take(80).collect();
    Err(Problem::NotFound {
        kind: Missing::Route,
        detail: format!("there is nothing at `{path}`; decisions are asked for at /v1/decide"),
    })
}
