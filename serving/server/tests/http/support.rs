//! A home with a running server, and what tests ask of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use lakeloop_config::{Settings, parse_blueprint};
use lakeloop_domain::{DecisionRecord, Micros, OutcomeRecord};
use lakeloop_journal::{Crash, FaultDisk};
use lakeloop_lake::{Lake, blueprints, rows};
use lakeloop_server::{Clock, Server, ServerError, start_on};
use lakeloop_sql::Pins;
use reqwest::Client;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// 2026-03-01T12:00:00Z.
pub const NOON: Micros = 1_772_366_400_000_000;
pub const SECOND: Micros = 1_000_000;
pub const HOUR: Micros = 3600 * SECOND;

/// Yes or no by a threshold, on five numbers, as the golden models read them.
pub const LATE: &str = r#"
name = "late"
description = "Will it be late?"
unit = "parcel"
[decision]
kind = "yes_no"
default = false
[context]
a = { type = "number", missing = "allowed" }
b = { type = "number", missing = "allowed" }
c = { type = "number", missing = "allowed" }
d = { type = "number", missing = "allowed" }
e = { type = "number", missing = "allowed" }
[outcome]
event = "arrived_late"
aggregation = "any"
window = "30m"
[policy]
kind = "threshold"
at = 0.5
"#;

/// A choice that explores always, so that the action depends on the decision id.
pub const DISH: &str = r#"
name = "dish"
description = "Which dish to show first"
unit = "user"
[decision]
kind = "choose"
actions = ["ramen", "tacos", "pizza", "sushi"]
default = "ramen"
[context]
age = "number"
vegetarian = { type = "boolean", missing = "allowed" }
city = { type = "category", missing = "allowed" }
[outcome]
event = "ordered"
aggregation = "any"
window = "30m"
[policy]
kind = "epsilon_greedy"
epsilon = 1.0
"#;

/// A home with its settings, its lake's folder, its journal's disk and its clock.
pub struct Home {
    folder: TempDir,
    pub settings: Settings,
    pub disk: FaultDisk,
    now: Arc<AtomicI64>,
}

impl Home {
    /// A home whose journal goes to the lake only when asked.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::load_with(folder.path(), []).unwrap();
        settings.server.listen = "127.0.0.1:0".parse().unwrap();
        settings.server.workers = 2;
        settings.server.drain_timeout = Duration::from_secs(5);
        settings.server.refresh_interval = Duration::from_millis(5);
        settings.journal.flush_interval = Duration::from_secs(3600);
        settings.features.load_timeout = Duration::from_secs(60);
        settings.server.model_load_timeout = Duration::from_secs(60);
        Self {
            folder,
            settings,
            disk: FaultDisk::new(),
            now: Arc::new(AtomicI64::new(NOON)),
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn set_now(&self, now: Micros) {
        self.now.store(now, Ordering::SeqCst);
    }

    pub async fn lake(&self) -> Lake {
        Lake::open(&self.settings.lake.location, HashMap::new()).await.unwrap()
    }

    pub async fn try_start(&self) -> Result<Site, ServerError> {
        let lake = self.lake().await;
        let now = Arc::clone(&self.now);
        let clock: Clock = Arc::new(move || now.load(Ordering::SeqCst));
        let server = start_on(&self.settings, lake.clone(), clock, Arc::new(self.disk.clone())).await?;
        let base = format!("http://{}", server.addr());
        Ok(Site {
            server,
            lake,
            base,
            client: Client::new(),
        })
    }

    pub async fn start(&self) -> Site {
        self.try_start().await.unwrap()
    }

    /// A server with blueprints in force.
    pub async fn start_with(&self, blueprints: &[&str]) -> Site {
        let lake = self.lake().await;
        for text in blueprints {
            apply(&lake, text).await;
        }
        self.start().await
    }

    /// What a killed process leaves: the journal as the operating system has it at this moment.
    pub fn killed(&mut self) {
        self.disk = self.disk.after(Crash::Process);
    }
}

/// Puts a blueprint in force.
pub async fn apply(lake: &Lake, text: &str) {
    let parsed = parse_blueprint("test.toml", text).unwrap();
    let _ = blueprints::apply(lake, parsed.blueprint, parsed.version, &parsed.source, NOON)
        .await
        .unwrap();
}

/// A running server, and a client of it.
pub struct Site {
    pub server: Server,
    pub lake: Lake,
    pub base: String,
    pub client: Client,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.server.fmt(f)
    }
}

/// An answer: status, headers that matter, body.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub retry_after: Option<String>,
    pub allow: Option<String>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The last part of a problem's type, and its field.
    pub fn problem(&self) -> (u16, String, String) {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status);
        assert!(!document["title"].as_str().unwrap().is_empty());
        let kind = document["type"].as_str().unwrap();
        let slug = kind.strip_prefix("urn:lakeloop:problem:").unwrap();
        let field = document["field"].as_str().unwrap_or_default();
        (self.status, slug.to_owned(), field.to_owned())
    }

    pub fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap().to_owned()
    }
}

impl Site {
    pub async fn send(&self, method: &str, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.exchange(method, path, &[], body).await.0
    }

    /// Sends a request with headers; gives the answer, and all of its headers.
    pub async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> (Answer, HeaderMap) {
        let request = self
            .client
            .request(method.parse().unwrap(), format!("{}{path}", self.base))
            .body(body);
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        let headers = response.headers().clone();
        let header = |name: &str| {
            let value = headers.get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let mut answer = Answer {
            status: response.status().as_u16(),
            content_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after"),
            allow: header("allow"),
            text: String::new(),
        };
        answer.text = response.text().await.unwrap();
        (answer, headers)
    }

    /// Asks for the metrics until one of their lines is this.
    pub async fn until_metric(&self, line: &str) {
        let attempts = async { while !self.metrics().await.lines().any(|found| found == line) {} };
        let waited = tokio::time::timeout(Duration::from_secs(60), attempts).await;
        assert!(waited.is_ok(), "{line} is not in\n{}", self.metrics().await);
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, body.to_owned()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }

    /// An answer that must be a success.
    pub async fn ok(&self, path: &str, body: &str) -> Value {
        let answer = self.post(path, body).await;
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (200, "application/json"),
            "{answer:?}"
        );
        answer.json()
    }

    pub async fn metrics(&self) -> String {
        self.get("/metrics").await.text
    }

    pub async fn decisions(&self) -> Vec<DecisionRecord> {
        decisions(&self.lake).await
    }

    pub async fn outcomes(&self) -> Vec<OutcomeRecord> {
        outcomes(&self.lake).await
    }

    /// Repeats a request until its answer is as wished; the caller's clock is no part of it.
    pub async fn until(&self, path: &str, body: &str, is_wished: impl Fn(&Value) -> bool) -> Value {
        let attempts = async {
            loop {
                let answer = self.ok(path, body).await;
                if is_wished(&answer) {
                    return answer;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), attempts).await.unwrap()
    }
}

/// A connection of its own, for what a well-behaved client would not do.
pub struct Raw {
    stream: BufReader<TcpStream>,
}

impl Raw {
    pub async fn connect(site: &Site) -> Self {
        let stream = TcpStream::connect(site.server.addr()).await.unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub async fn write(&mut self, text: &str) {
        self.try_write(text).await.unwrap();
    }

    pub async fn try_write(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes()).await
    }

    /// Sends the head of a POST and as much of its body as given.
    pub async fn post_part(&mut self, path: &str, body: &str, n_sent: usize) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.write(&format!("{head}{}", &body[..n_sent])).await;
    }

    /// The status and the head of the next answer, and its body; `None` when the connection was closed instead.
    pub async fn answer(&mut self) -> Option<(u16, String, String)> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        self.stream.read_exact(&mut body).await.ok()?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some((status, head, String::from_utf8(body).unwrap()))
    }
}

/// Every row of `decisions`.
pub async fn decisions(lake: &Lake) -> Vec<DecisionRecord> {
    let (session, _) = lakeloop_sql::session(lake, &Pins::default()).await.unwrap();
    let batches = session.table("decisions").await.unwrap().collect().await.unwrap();
    let rows = batches
        .iter()
        .flat_map(|batch| rows::decisions_from_batch(batch).unwrap());
    rows.collect()
}

/// Every row of `outcomes`.
pub async fn outcomes(lake: &Lake) -> Vec<OutcomeRecord> {
    let (session, _) = lakeloop_sql::session(lake, &Pins::default()).await.unwrap();
    let batches = session.table("outcomes").await.unwrap().collect().await.unwrap();
    let rows = batches
        .iter()
        .flat_map(|batch| rows::outcomes_from_batch(batch).unwrap());
    rows.collect()
}
