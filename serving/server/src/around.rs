//! Owns what holds for every request, around whatever answers it.
//!
//! ```text
//! connection within bounds? ─► key? ─► requests within bounds? ─► answer, within the time limit ─► count, id, trace, log
//!            └──────────────────┴──────────────┴─► a problem document ───────────────────────────────────────────┘
//! ```
//!
//! A request that is refused here has not been read beyond its head. With all features off, and neither an id sent nor a
//! refusal, a request costs four atomic operations and one look for a header more than its answer.

use std::sync::Arc;
use std::time::Instant;

use actix_web::body::MessageBody as _;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::HeaderValue;
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{Error, HttpResponse, ResponseError as _};
use tokio::time::timeout;

use crate::access::Caller;
use crate::access_log::Line;
use crate::load::Connection;
use crate::problem::{Problem, Unavailable};
use crate::request::{self, Interest, Request, X_REQUEST_ID};
use crate::state::App;
use crate::telemetry::{Refusal, Route};

/// Lets a request in, has it answered, and sees its answer out.
pub(crate) fn around<S>(
    app: &Arc<App>,
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse, Error>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
{
    let route = Route::of(request.path());
    let trace = match &app.traces {
        Some(traces) => traces.begin(&request, route, &app.clock),
        None => None,
    };
    let interest = match trace {
        Some(_) => Interest::Trail,
        None => app.interest,
    };
    let context = Request::new(request.headers(), interest, trace);
    let begun = match interest {
        Interest::Trail => Some((Instant::now(), request.method().clone())),
        Interest::Answer => None,
    };
    let step = match Passage::open(app, route, &request) {
        Ok(passage) => Step::Answer(passage, service.call(request)),
        Err(problem) => Step::Refuse(request, problem),
    };
    let app = Arc::clone(app);
    context.scope(async move {
        let mut is_beyond = false;
        // The passage is held until the answer is ready.
        let (mut answered, passage): (Result<ServiceResponse, HttpResponse>, _) = match step {
            Step::Answer(passage, answer) => {
                let answered = match route {
                    // A flush takes as long as the lake needs.
                    Route::Flush => answer.await,
                    _ => match timeout(app.limits.request_timeout, answer).await {
                        Ok(answered) => answered,
                        Err(_) => Err(timed_out(&app).into()),
                    },
                };
                // Errors become responses here already, since what follows writes to the response.
                let answered = answered.map_err(|error| error.as_response_error().error_response());
                (answered, Some(passage))
            }
            Step::Refuse(request, problem) => {
                let refusal = refusal(&problem);
                app.telemetry.refused(refusal);
                is_beyond = refusal == Refusal::Connections;
                (Ok(request.into_response(problem.error_response())), None)
            }
        };
        let response = match &mut answered {
            Ok(response) => response.response_mut(),
            Err(response) => response,
        };
        let status = response.status();
        app.telemetry.request(route, status);
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            app.telemetry.refused(Refusal::TooLarge);
        }
        mark(response, interest, is_beyond || app.load.is_draining());
        if let Some((begun, method)) = begun {
            request::answered(status);
            app.access_log.write(&Line {
                route,
                method,
                status,
                duration: begun.elapsed(),
                size: response.body().size(),
                caller: passage.as_ref().map(|passage| &passage.caller),
            });
        }
        answered.map_err(|response| InternalError::from_response("the request was given up", response).into())
    })
}

/// What is to be done with a request.
enum Step<F> {
    /// It has been let in, and this answers it.
    Answer(Passage, F),
    /// It has not.
    Refuse(ServiceRequest, Problem),
}

/// Held while a request is under way; dropped also when its caller goes away.
struct Passage {
    app: Arc<App>,
    caller: Caller,
    is_counted: bool,
}

impl Passage {
    fn open(app: &Arc<App>, route: Route, request: &ServiceRequest) -> Result<Self, Problem> {
        let is_bounded = !route.is_of_watchers();
        let is_beyond = || request.conn_data::<Connection>().is_some_and(Connection::is_beyond);
        if is_bounded && app.load.has_too_many_connections() && is_beyond() {
            return Err(Problem::too_many_connections(app.load.max_connections()));
        }
        let caller = app.access.admit(route, request.headers(), || (app.clock)())?;
        if is_bounded && !app.load.enter() {
            return Err(Problem::too_many_requests(app.load.max_requests()));
        }
        Ok(Self {
            app: Arc::clone(app),
            caller,
            is_counted: is_bounded,
        })
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.is_counted {
            self.app.load.leave();
        }
    }
}

#[cold]
fn timed_out(app: &App) -> Problem {
    app.telemetry.refused(Refusal::TimedOut);
    Problem::Timeout {
        detail: format!(
            "the request was not answered within {:?}; whether it was kept is not known, so repeat it with the same \
             id: it counts once",
            app.limits.request_timeout
        ),
    }
}

/// What a problem that kept a request out is counted as.
fn refusal(problem: &Problem) -> Refusal {
    match problem {
        Problem::Unauthenticated { .. } => Refusal::Unauthenticated,
        Problem::MissingScope { .. } => Refusal::MissingScope,
        Problem::TooOften { .. } => Refusal::TooOften,
        Problem::Unavailable {
            cause: Unavailable::Connections,
            ..
        } => Refusal::Connections,
        _ => Refusal::Requests,
    }
}

/// Writes to an answer what does not depend on who wrote it.
fn mark(response: &mut HttpResponse, interest: Interest, closes: bool) {
    let is_wanted = interest == Interest::Trail || response.status().as_u16() >= 400;
    let id = if is_wanted { request::id() } else { request::known_id() };
    // An id is visible ASCII, which every header can hold.
    if let Some(value) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    if closes {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
}
