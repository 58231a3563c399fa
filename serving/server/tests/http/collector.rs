//! A collector of OpenTelemetry as far as tests need one: takes OTLP over HTTP and keeps the spans.
//!
//! Messages are read by their field numbers in `opentelemetry/proto/trace/v1/trace.proto`, not by the crate that wrote them.

use std::collections::BTreeMap;
use std::time::Duration;

use lakeloop_config::{Share, TraceSettings};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// What a collector was sent at once.
#[derive(Debug)]
pub struct Received {
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

/// A span as it was sent; ids as hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    /// Empty where it has none.
    pub parent_id: String,
    pub state: String,
    pub name: String,
    /// 1: internal, 2: server.
    pub kind: u64,
    pub started_ns: u64,
    pub ended_ns: u64,
    pub attributes: BTreeMap<String, String>,
    /// 0: unset, 2: error.
    pub status: u64,
}

/// Takes spans on a port of its own.
pub struct Collector {
    url: String,
    received: mpsc::UnboundedReceiver<Received>,
    answers: watch::Sender<bool>,
}

impl Collector {
    /// One that answers at once, or only after [`Collector::answer`].
    pub async fn start(answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let (keep, received) = mpsc::unbounded_channel();
        let (answers, may_answer) = watch::channel(answers);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, keep.clone(), may_answer.clone()));
            }
        });
        Self { url, received, answers }
    }

    /// Settings by which spans of a share of requests come here soon.
    pub fn settings(&self, share: f64) -> TraceSettings {
        settings(&self.url, share)
    }

    pub fn answer(&self) {
        self.answers.send_replace(true);
    }

    /// The next that is sent.
    pub async fn next(&mut self) -> Received {
        let received = tokio::time::timeout(Duration::from_secs(60), self.received.recv()).await;
        received.unwrap().unwrap()
    }

    /// The next spans, at least so many.
    pub async fn spans(&mut self, n_spans: usize) -> Vec<Span> {
        let mut spans = Vec::new();
        while spans.len() < n_spans {
            spans.extend(self.next().await.spans());
        }
        spans
    }

    /// What was sent and not looked at yet.
    pub fn rest(&mut self) -> Vec<Span> {
        let mut spans = Vec::new();
        while let Ok(received) = self.received.try_recv() {
            spans.extend(received.spans());
        }
        spans
    }
}

/// Settings by which spans are sent to an URL soon.
pub fn settings(url: &str, share: f64) -> TraceSettings {
    TraceSettings {
        endpoint: url.parse().unwrap(),
        headers: [("x-scope-orgid".to_owned(), "shop".to_owned())].into(),
        share: Share::new(share),
        service_name: "decisions".into(),
        interval: Duration::from_millis(5),
        max_waiting: 4096,
        timeout: Duration::from_secs(60),
    }
}

async fn serve(connection: TcpStream, keep: mpsc::UnboundedSender<Received>, mut may_answer: watch::Receiver<bool>) {
    let mut stream = BufReader::new(connection);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().trim().parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        // A test that has seen enough takes no more.
        let _ = keep.send(Received { head, body });
        if may_answer.wait_for(|may| *may).await.is_err() {
            return;
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if stream.get_mut().write_all(answer).await.is_err() {
            return;
        }
    }
}

impl Received {
    pub fn spans(&self) -> Vec<Span> {
        let of_resources = messages(&self.body, 1);
        let of_scopes = of_resources.iter().flat_map(|resource| messages(resource, 2));
        of_scopes.flat_map(|scope| messages(scope, 2)).map(Span::read).collect()
    }

    /// The attributes of the process that sent it.
    pub fn resource(&self) -> BTreeMap<String, String> {
        let resources = messages(&self.body, 1).into_iter().flat_map(|spans| messages(spans, 1));
        resources.flat_map(|resource| attributes(resource, 1)).collect()
    }
}

impl Span {
    fn read(message: &[u8]) -> Self {
        let text = |field| String::from_utf8(bytes(message, field).to_vec()).unwrap();
        let hex = |field| bytes(message, field).iter().map(|b| format!("{b:02x}")).collect();
        Self {
            trace_id: hex(1),
            span_id: hex(2),
            state: text(3),
            parent_id: hex(4),
            name: text(5),
            kind: number(message, 6),
            started_ns: number(message, 7),
            ended_ns: number(message, 8),
            attributes: attributes(message, 9),
            status: number(bytes(message, 15), 3),
        }
    }

    /// An attribute; empty where there is none.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

fn attributes(message: &[u8], field: u64) -> BTreeMap<String, String> {
    let read = |pair: &[u8]| {
        let value = bytes(pair, 2);
        let value = match number(value, 3) {
            0 => String::from_utf8(bytes(value, 1).to_vec()).unwrap(),
            number => number.to_string(),
        };
        (String::from_utf8(bytes(pair, 1).to_vec()).unwrap(), value)
    };
    messages(message, field).into_iter().map(read).collect()
}

enum Value<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

/// The fields of a message in the wire format of protocol buffers.
fn fields(mut message: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut message)),
            1 => Value::Number(u64::from_le_bytes(take(&mut message, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut message);
                Value::Bytes(take(&mut message, usize::try_from(length).unwrap()))
            }
            5 => Value::Number(u32::from_le_bytes(take(&mut message, 4).try_into().unwrap()).into()),
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

fn take<'m>(message: &mut &'m [u8], length: usize) -> &'m [u8] {
    let (taken, rest) = message.split_at(length);
    *message = rest;
    taken
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut number = 0;
    for idx in 0.. {
        let byte = take(message, 1)[0];
        number |= u64::from(byte & 0x7f) << (7 * idx);
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn messages(message: &[u8], field: u64) -> Vec<&[u8]> {
    let of_field = |(found, value)| match value {
        Value::Bytes(bytes) if found == field => Some(bytes),
        _ => None,
    };
    fields(message).into_iter().filter_map(of_field).collect()
}

/// The bytes of a field; empty where it is not there, as in the format itself.
fn bytes(message: &[u8], field: u64) -> &[u8] {
    messages(message, field).last().copied().unwrap_or_default()
}

fn number(message: &[u8], field: u64) -> u64 {
    let of_field = |(found, value)| match value {
        Value::Number(number) if found == field => Some(number),
        _ => None,
    };
    fields(message).into_iter().rev().find_map(of_field).unwrap_or_default()
}
