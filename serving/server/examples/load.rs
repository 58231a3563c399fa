//! A load generator for the HTTP benchmark.
//!
//! - `load decide ADDRESS BODY RATE CONNECTIONS SECONDS` sends the file BODY to `/v1/decide` at RATE requests a second, whether
//!   the answers keep up or not (open loop). A latency is counted from the instant at which the request was due, so that a
//!   server that stalls is charged for all that it kept waiting.
//! - `load observe ADDRESS CONNECTIONS SECONDS` sends batches of 1,000 outcomes to `/v1/observe`, each connection the next
//!   batch as soon as the last one was acknowledged (closed loop). No outcome is sent twice.
//!
//! It prints `key value` lines: rates by the second, latencies in microseconds.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const BATCH: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["decide", address, body, rate, connections, seconds] => {
            let request = request("/v1/decide", &std::fs::read(body)?);
            let plan = Plan {
                interval: Duration::from_secs_f64(1.0 / rate.parse::<f64>()?),
                lasts: Duration::from_secs_f64(seconds.parse()?),
                connections: connections.parse()?,
            };
            decide(address, &request, &plan)
        }
        ["observe", address, connections, seconds] => {
            observe(address, connections.parse()?, Duration::from_secs_f64(seconds.parse()?))
        }
        _ => Err(
            "usage: load decide ADDRESS BODY RATE CONNECTIONS SECONDS | load observe ADDRESS CONNECTIONS SECONDS"
                .into(),
        ),
    }
}

/// When requests are due: one after each interval, the connections in turn.
struct Plan {
    interval: Duration,
    lasts: Duration,
    connections: u32,
}

fn decide(address: &str, request: &[u8], plan: &Plan) -> Result<(), Box<dyn Error>> {
    let start = Instant::now() + Duration::from_millis(50);
    let on_connection = |connection: u32| {
        let mut peer = Peer::connect(address)?;
        let mut latencies = Vec::new();
        let mut due = start + plan.interval * connection;
        while due < start + plan.lasts {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            peer.ask(request)?;
            latencies.push(due.elapsed());
            due += plan.interval * plan.connections;
        }
        Ok::<_, io::Error>(latencies)
    };
    let mut latencies = Vec::new();
    for of_one in on_threads(plan.connections, on_connection)? {
        latencies.extend(of_one);
    }
    let seconds = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let mut out = io::stdout();
    writeln!(out, "requests {}", latencies.len())?;
    writeln!(out, "rate {:.0}", latencies.len() as f64 / seconds)?;
    for (name, share) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999), ("max_us", 1.0)] {
        writeln!(out, "{name} {:.0}", at(share))?;
    }
    Ok(())
}

fn observe(address: &str, connections: u32, lasts: Duration) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let on_connection = |connection: u32| {
        let mut peer = Peer::connect(address)?;
        let mut batch = Batch::new(connection);
        let mut latencies = Vec::new();
        while start.elapsed() < lasts {
            let began = Instant::now();
            peer.ask(batch.next())?;
            latencies.push(began.elapsed());
        }
        Ok::<_, io::Error>(latencies)
    };
    let mut latencies = on_threads(connections, on_connection)?.concat();
    let seconds = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let mut out = io::stdout();
    writeln!(out, "outcomes {}", latencies.len() * BATCH)?;
    writeln!(out, "rate {:.0}", (latencies.len() * BATCH) as f64 / seconds)?;
    writeln!(out, "p50_us {:.0}\np99_us {:.0}", at(0.5), at(0.99))?;
    Ok(())
}

/// Runs the same on a thread for each connection, and gathers what they answer.
fn on_threads<T: Send>(connections: u32, run: impl Fn(u32) -> io::Result<T> + Sync) -> Result<Vec<T>, Box<dyn Error>> {
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..connections).map(|n| scope.spawn(move || run(n))).collect();
        threads
            .into_iter()
            .map(|thread| Ok(thread.join().map_err(|_| "a connection's thread panicked")??))
            .collect()
    })
}

/// The bytes of a request.
fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A request with a batch of outcomes, whose decision ids are numbered on with each one.
struct Batch {
    request: Vec<u8>,
    /// Where the digits of each id stand.
    ids: Vec<usize>,
    next: u64,
}

impl Batch {
    const DIGITS: usize = 12;

    fn new(connection: u32) -> Self {
        let outcome = |n: usize| {
            format!(
                r#"{{"decision_id":"load-{connection:03}-{n:0width$}","event":"clicked"}}"#,
                width = Self::DIGITS
            )
        };
        let outcomes: Vec<String> = (0..BATCH).map(outcome).collect();
        let request = request(
            "/v1/observe",
            format!(r#"{{"outcomes":[{}]}}"#, outcomes.join(",")).as_bytes(),
        );
        let marker = format!("load-{connection:03}-");
        let ids = request
            .windows(marker.len())
            .enumerate()
            .filter(|(_, window)| *window == marker.as_bytes());
        let ids = ids.map(|(at, _)| at + marker.len()).collect();
        Self { request, ids, next: 0 }
    }

    fn next(&mut self) -> &[u8] {
        for at in &self.ids {
            let mut rest = self.next;
            for digit in self.request[*at..at + Self::DIGITS].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            self.next += 1;
        }
        &self.request
    }
}

/// One connection.
struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Peer {
    fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address.trim_start_matches("http://"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 1 << 17],
        })
    }

    /// Sends a request and reads the whole answer, which must be 200.
    fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)?;
        let mut n_read = 0;
        let mut n_wanted = usize::MAX;
        while n_read < n_wanted {
            if n_read == self.buffer.len() {
                self.buffer.resize(2 * n_read, 0);
            }
            match self.stream.read(&mut self.buffer[n_read..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => n_read += n,
            }
            if n_wanted == usize::MAX
                && let Some(n_bytes) = answer_bytes(&self.buffer[..n_read])?
            {
                n_wanted = n_bytes;
            }
        }
        Ok(())
    }
}

/// The length of an answer, once its head is there.
fn answer_bytes(begun: &[u8]) -> io::Result<Option<usize>> {
    let Some(head) = begun.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let refused = |_| io::Error::other(String::from_utf8_lossy(begun).into_owned());
    let text = std::str::from_utf8(&begun[..head]).map_err(|_| io::ErrorKind::InvalidData)?;
    if !text.starts_with("HTTP/1.1 200") {
        return Err(refused(()));
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let body: usize = length.ok_or(()).map_err(refused)?;
    Ok(Some(head + 4 + body))
}
