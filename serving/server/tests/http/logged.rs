//! What the servers of this process log, kept for the tests that ask for it.

use std::io;
use std::sync::{Mutex, OnceLock};

use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

/// Everything that lakeloop logs in this process, as lines of JSON. Servers of all tests write to it, each with ids of its own.
struct Captured(Mutex<Vec<u8>>);

impl io::Write for &Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for &'static Captured {
    type Writer = &'static Captured;

    fn make_writer(&'w self) -> Self::Writer {
        self
    }
}

fn captured() -> &'static Captured {
    static CAPTURED: OnceLock<&'static Captured> = OnceLock::new();
    CAPTURED.get_or_init(|| {
        let captured: &'static Captured = Box::leak(Box::new(Captured(Mutex::default())));
        let lines = tracing_subscriber::fmt().json().with_env_filter("off,lakeloop=info");
        lines.with_writer(captured).init();
        captured
    })
}

/// Begins to keep what is logged.
pub fn start() {
    captured();
}

/// The events that are wished for.
pub fn events(is_wished: impl Fn(&Value) -> bool) -> Vec<Value> {
    let text = String::from_utf8(captured().0.lock().unwrap().clone()).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
    events.filter(|event| is_wished(event)).collect()
}
