//! What a product's service does: asks for decisions and reports outcomes over HTTP, a bounded number at a time.

use std::net::SocketAddr;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;
use serde_json::{Value, json};

/// Requests under way at once.
const CONCURRENCY: usize = 16;
/// Outcomes in one report.
const OUTCOMES_PER_REPORT: usize = 500;
/// How often a request that was refused for load (503) is tried again.
const RETRIES: u32 = 20;

/// The parts of an answer to `/v1/decide` that the demos use.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    pub action: Option<String>,
    #[serde(default)]
    pub scores: Value,
}

impl Answer {
    /// The score of the only scored thing, for threshold decisions; `None` without a model.
    pub fn score(&self) -> Option<f64> {
        match &self.scores {
            Value::Array(scores) => scores.first()?.as_f64(),
            Value::Object(scores) => scores.values().next()?.as_f64(),
            _ => None,
        }
    }
}

/// A client of one lakeloop server.
pub struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    /// A client of the server at this address.
    pub fn new(server: SocketAddr) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self {
            http,
            base: format!("http://{server}"),
        })
    }

    /// Asks for all decisions, several at a time; the answers come in the order of the requests.
    pub async fn decide_all(&self, requests: Vec<Value>) -> anyhow::Result<Vec<Answer>> {
        stream::iter(requests)
            .map(|request| async move {
                let answer = self.post("/v1/decide", &request).await?;
                serde_json::from_value(answer).context("an answer to /v1/decide that is no decision")
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await
    }

    /// Reports all outcomes.
    pub async fn observe_all(&self, outcomes: &[Value]) -> anyhow::Result<()> {
        stream::iter(outcomes.chunks(OUTCOMES_PER_REPORT))
            .map(|chunk| async move { self.post("/v1/observe", &json!({ "outcomes": chunk })).await.map(drop) })
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await
    }

    /// Asks the server to bring its journals into the lake now.
    pub async fn flush(&self) -> anyhow::Result<()> {
        self.post("/v1/admin/flush", &json!({})).await.map(drop)
    }

    /// The version of the model that decides for a strategy.
    pub async fn model_version(&self, strategy: &str) -> anyhow::Result<Option<u64>> {
        let response = self
            .http
            .get(format!("{}/v1/strategies", self.base))
            .send()
            .await?
            .error_for_status()?;
        let listed: Value = serde_json::from_slice(&response.bytes().await?)?;
        let strategies = listed["strategies"]
            .as_array()
            .context("no `strategies` in the answer of /v1/strategies")?;
        let found = strategies.iter().find(|one| one["strategy"] == strategy);
        Ok(found.with_context(|| format!("the server does not know `{strategy}`"))?["model_version"].as_u64())
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        for _ in 0..RETRIES {
            let response = self.http.post(format!("{}{path}", self.base)).json(body).send().await?;
            let status = response.status();
            if status.as_u16() == 503 {
                let wait = response
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|text| text.to_str().ok()?.parse().ok());
                tokio::time::sleep(std::time::Duration::from_secs(wait.unwrap_or(1))).await;
                continue;
            }
            let bytes = response.bytes().await?;
            anyhow::ensure!(
                status.is_success(),
                "{path} answered {status}: {}",
                String::from_utf8_lossy(&bytes)
            );
            return serde_json::from_slice(&bytes).with_context(|| format!("{path} answered no JSON"));
        }
        anyhow::bail!("{path} was refused {RETRIES} times for load")
    }
}
