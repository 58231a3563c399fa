//! Owns the HTTP client that brings spans to the collector.
//!
//! The thread that sends them has no runtime, so that requests run on the server's. What goes wrong is kept, since the exporter
//! says no more of it than "network error".

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::Client;
use reqwest::redirect::Policy;
use tokio::runtime::Handle;

use crate::problem::Chain;

/// As much of an answer as is read; collectors have nothing to say in more.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Sends requests to the collector.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client,
    runtime: Handle,
    failure: Failure,
}

impl Collector {
    /// A client that gives a request up after this time, and leaves behind why one failed.
    pub(super) fn new(timeout: Duration, runtime: Handle, failure: Failure) -> Result<Self, reqwest::Error> {
        // Spans and headers go where the settings say, and nowhere else.
        let client = Client::builder().timeout(timeout).no_proxy().redirect(Policy::none());
        Ok(Self {
            client: client.build()?,
            runtime,
            failure,
        })
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, request) = (self.client.clone(), reqwest::Request::try_from(request)?);
        let answered = self.runtime.spawn(async move { ask(&client, request).await }).await;
        let answered = answered
            .map_err(HttpError::from)
            .and_then(|answered| answered.map_err(HttpError::from));
        self.failure.note(answered.as_ref().err());
        answered
    }
}

async fn ask(client: &Client, request: reqwest::Request) -> Result<Response<Bytes>, reqwest::Error> {
    let mut response = client.execute(request).await?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_ANSWER_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            break;
        }
    }
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    Ok(answer)
}

/// Why the last request had no answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    fn note(&self, error: Option<&HttpError>) {
        let cause = error.map(|error| Chain(&**error).to_string());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cause;
    }

    /// The cause, if there was no answer.
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
