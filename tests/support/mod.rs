//! What the tests of the whole share: a home in a temporary folder, the real binary, a real server.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use lakeloop_lake::Lake;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Notify;

/// A lakeloop home that is gone after the test.
pub struct Home {
    folder: TempDir,
}

impl Home {
    /// Lays out settings and blueprints.
    pub fn new(settings: &str, blueprints: &[(&str, &str)]) -> Self {
        let home = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(home.path().join("blueprints")).unwrap();
        fs::write(home.path().join("lakeloop.toml"), settings).unwrap();
        for (name, text) in blueprints {
            home.write(&format!("blueprints/{name}.toml"), text);
        }
        home
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }

    pub async fn lake(&self) -> Lake {
        Lake::open(self.path().join("lake").to_str().unwrap(), HashMap::new())
            .await
            .unwrap()
    }

    /// Runs `lakeloop` in this home.
    pub fn run(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        Ran {
            what: args.join(" "),
            output,
        }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lakeloop"));
        command
            .arg("--home")
            .arg(self.path())
            .args(args)
            .env_remove("LAKELOOP_HOME");
        command
    }
}

/// What a command printed, and how it ended.
pub struct Ran {
    what: String,
    output: Output,
}

impl Ran {
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Asserts that it worked; gives what it printed.
    pub fn success(&self) -> String {
        assert!(
            self.output.status.success(),
            "`lakeloop {}`: {}{}",
            self.what,
            self.stdout(),
            self.stderr()
        );
        self.stdout()
    }

    /// Asserts that it failed with this exit code and said all of this on standard error.
    pub fn fails(&self, code: i32, said: &[&str]) {
        assert_eq!(
            self.output.status.code(),
            Some(code),
            "`lakeloop {}`: {}{}",
            self.what,
            self.stdout(),
            self.stderr()
        );
        for words in said {
            assert!(
                self.stderr().contains(words),
                "`lakeloop {}` should say «{words}»: {}",
                self.what,
                self.stderr()
            );
        }
    }
}

/// A running `lakeloop serve`; killed when dropped.
pub struct Served {
    child: Child,
    base: String,
    http: reqwest::Client,
}

impl Served {
    pub fn start(home: &Home) -> Self {
        Self::start_with(home, &["--no-scheduler"])
    }

    /// Starts a server and waits for the line that says where it listens.
    pub fn start_with(home: &Home, args: &[&str]) -> Self {
        let mut all = vec!["serve"];
        all.extend(args);
        let mut child = home
            .command(&all)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let base = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(
            base.starts_with("http://"),
            "`lakeloop serve` said «{line}» instead of where it listens"
        );
        Self {
            child,
            base,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub fn base(&self) -> String {
        self.base.clone()
    }

    /// Posts JSON; gives the status and the answer.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.post_text(path, &body.to_string()).await
    }

    pub async fn post_text(&self, path: &str, body: &str) -> (u16, Value) {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        let answer = request.body(body.to_owned()).send().await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null),
        )
    }

    pub async fn flush(&self) {
        let (status, answer) = self.post("/v1/admin/flush", &serde_json::json!({})).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Waits until the server decides the example `menu` by this version of its model.
    pub async fn wait_for_menu_model(&self, version: u64) {
        let request = serde_json::json!({ "strategy": "menu", "rows": [{
            "age": 30, "hour": 12, "budget": 20, "spicy": 5, "vegetarian": false, "device": "web", "action": "ramen" }] });
        // Each question is a round trip of its own, so nothing else is waited for.
        for _ in 0..50_000 {
            let (status, answer) = self.post("/v1/predict", &request).await;
            if status == 200 && answer["model_version"] == version {
                return;
            }
        }
        panic!("model {version} was not picked up");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the drain.
    pub fn stop(mut self) {
        let asked = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(asked.success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "`lakeloop serve` ended with {status}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The values of a text column.
pub fn texts(column: &ArrayRef) -> Vec<String> {
    let column = cast(column, &DataType::Utf8).unwrap();
    let column = column.as_any().downcast_ref::<arrow::array::StringArray>().unwrap();
    (0..column.len()).map(|row| column.value(row).to_owned()).collect()
}

/// How many answers clients had that acknowledge something.
#[derive(Default)]
pub struct Acknowledged {
    count: AtomicU64,
    news: Notify,
}

impl Acknowledged {
    pub fn one_more(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.news.notify_one();
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    async fn reach(&self, count: u64) {
        while self.count() < count {
            self.news.notified().await;
        }
    }
}

/// How often a server is killed, and after how much.
pub struct Kills {
    pub rounds: u64,
    pub n_clients: u64,
    pub seed: u64,
    /// It is killed after 1 to this many acknowledgements, this one excluded.
    pub before: u64,
}

impl Kills {
    /// Starts a server and kills it, again and again, while clients ask it until it is gone; each client is told where it
    /// listens, the round and its own number. One more server then brings the rest of the journals into the lake.
    pub async fn happen<C>(&self, home: &Home, acknowledged: &Acknowledged, client: impl Fn(String, u64, u64) -> C)
    where
        C: Future<Output = ()> + Send + 'static,
    {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        for round in 0..self.rounds {
            let mut served = Served::start(home);
            let target = acknowledged.count() + rng.random_range(1..self.before);
            let clients: Vec<_> = (0..self.n_clients)
                .map(|n| tokio::spawn(client(served.base(), round, n)))
                .collect();
            acknowledged.reach(target).await;
            served.kill();
            for client in clients {
                client.await.unwrap();
            }
        }
        let served = Served::start(home);
        served.flush().await;
        served.stop();
    }
}
