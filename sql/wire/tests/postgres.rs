//! The endpoint as a PostgreSQL client meets it: the protocol's messages over a socket.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::net::SocketAddr;

use arrow::array::RecordBatch;
use lakeloop_domain::{
    BlueprintVersion, DecisionId, EvaluationId, OutcomeId, OutcomeRecord, OutcomeValue, StrategyName,
};
use lakeloop_lake::{Append, Lake, TableName, evaluations, rows};
use lakeloop_wire::{WireError, serve_postgres};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn lake() -> (Lake, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap(), HashMap::new())
        .await
        .unwrap();
    (lake, folder)
}

fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn outcomes(ids: &[&str]) -> RecordBatch {
    let outcome = |id: &&str| OutcomeRecord {
        outcome_id: OutcomeId::new(*id).unwrap(),
        decision_id: Some(DecisionId::new("d1").unwrap()),
        strategy: None,
        unit: None,
        candidate: None,
        event: "click".into(),
        value: OutcomeValue::Number(0.5),
        event_time: 1_767_225_600_000_000,
        received_at: 1_767_225_600_000_001,
    };
    rows::outcomes_to_batch(&ids.iter().map(outcome).collect::<Vec<_>>()).unwrap()
}

struct Client {
    stream: TcpStream,
}

/// What came back for one statement: rows of text, or the error's code and message.
#[derive(Debug, PartialEq)]
enum Answer {
    Rows(Vec<Vec<Option<String>>>),
    Error(String, String),
}

impl Client {
    async fn connect(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let parameters = b"user\0ann\0database\0lakeloop\0\0";
        let mut startup = Vec::new();
        startup.extend(u32::try_from(8 + parameters.len()).unwrap().to_be_bytes());
        startup.extend(196_608_u32.to_be_bytes());
        startup.extend(parameters);
        stream.write_all(&startup).await.unwrap();
        let mut client = Self { stream };
        while client.message().await.0 != b'Z' {}
        client
    }

    async fn send(&mut self, kind: u8, body: &[u8]) {
        self.stream.write_u8(kind).await.unwrap();
        self.stream
            .write_u32(u32::try_from(4 + body.len()).unwrap())
            .await
            .unwrap();
        self.stream.write_all(body).await.unwrap();
    }

    async fn message(&mut self) -> (u8, Vec<u8>) {
        let kind = self.stream.read_u8().await.unwrap();
        let length = self.stream.read_u32().await.unwrap() as usize - 4;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.unwrap();
        (kind, body)
    }

    async fn answer(&mut self) -> Answer {
        let mut rows = Vec::new();
        let mut error = None;
        loop {
            match self.message().await {
                (b'D', body) => rows.push(cells(&body)),
                (b'E', body) => error = Some(code_and_message(&body)),
                (b'Z', _) => break,
                _ => {}
            }
        }
        error.map_or(Answer::Rows(rows), |(code, message)| Answer::Error(code, message))
    }

    /// The simple query protocol.
    async fn query(&mut self, sql: &str) -> Answer {
        self.send(b'Q', format!("{sql}\0").as_bytes()).await;
        self.answer().await
    }

    /// The extended one, as drivers use it: parse, bind one text, execute, sync.
    async fn prepared(&mut self, sql: &str, value: &str) -> Answer {
        self.send(b'P', format!("\0{sql}\0\0\0").as_bytes()).await;
        let mut bind = b"\0\0\0\0\0\x01".to_vec();
        bind.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        bind.extend(value.as_bytes());
        bind.extend([0, 0]);
        self.send(b'B', &bind).await;
        self.send(b'E', b"\0\0\0\0\0").await;
        self.send(b'S', b"").await;
        self.answer().await
    }

    async fn one(&mut self, sql: &str) -> String {
        match self.query(sql).await {
            Answer::Rows(rows) => rows[0][0].clone().unwrap(),
            error => panic!("{sql}: {error:?}"),
        }
    }
}

fn cells(mut body: &[u8]) -> Vec<Option<String>> {
    let mut cells = Vec::new();
    let n_cells = u16::from_be_bytes([body[0], body[1]]);
    body = &body[2..];
    for _ in 0..n_cells {
        let length = i32::from_be_bytes(body[..4].try_into().unwrap());
        body = &body[4..];
        cells.push(usize::try_from(length).ok().map(|length| {
            let (cell, rest) = body.split_at(length);
            body = rest;
            String::from_utf8(cell.to_vec()).unwrap()
        }));
    }
    cells
}

fn code_and_message(body: &[u8]) -> (String, String) {
    let fields: Vec<String> = body
        .split(|byte| *byte == 0)
        .map(|field| String::from_utf8_lossy(field).into_owned())
        .collect();
    let field = |letter: char| {
        fields
            .iter()
            .find_map(|field| field.strip_prefix(letter))
            .unwrap()
            .to_owned()
    };
    (field('C'), field('M'))
}

#[tokio::test]
async fn clients_read_the_newest_rows() {
    let (lake, _folder) = lake().await;
    let endpoint = serve_postgres(&lake, local()).await.unwrap();
    let mut client = Client::connect(endpoint.addr()).await;
    let counted = "SELECT COUNT(*) AS n FROM outcomes";
    assert_eq!(client.one(counted).await, "0");
    let appended = lake
        .append(&TableName::Outcomes, vec![outcomes(&["o1", "o2"])], None)
        .await
        .unwrap();
    assert!(matches!(appended, Append::Committed { .. }));
    assert_eq!(client.one(counted).await, "2");

    let row = |cells: &[Option<&str>]| cells.iter().map(|cell| cell.map(str::to_owned)).collect::<Vec<_>>();
    let found = client
        .query("SELECT outcome_id, value, unit FROM outcomes ORDER BY outcome_id")
        .await;
    assert_eq!(
        found,
        Answer::Rows(vec![
            row(&[Some("o1"), Some("0.5"), None]),
            row(&[Some("o2"), Some("0.5"), None])
        ])
    );
    let found = client
        .prepared("SELECT outcome_id FROM outcomes WHERE outcome_id = $1", "o2")
        .await;
    assert_eq!(found, Answer::Rows(vec![row(&[Some("o2")])]));
    assert_eq!(client.one("SELECT COUNT(*) FROM current_models").await, "0");
    // What psql asks for \dt.
    let listed = client
        .query("SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relname = 'decisions'")
        .await;
    assert_eq!(listed, Answer::Rows(vec![row(&[Some("decisions")])]));
    endpoint.shutdown().await;
}

#[tokio::test]
async fn changes_are_refused_and_the_connection_lives_on() {
    let (lake, _folder) = lake().await;
    let endpoint = serve_postgres(&lake, local()).await.unwrap();
    let mut client = Client::connect(endpoint.addr()).await;
    for (statement, word) in [
        ("INSERT INTO outcomes (outcome_id) VALUES ('o')", "INSERT"),
        ("UPDATE outcomes SET value = 1", "UPDATE"),
        ("DELETE FROM outcomes", "DELETE"),
        ("TRUNCATE outcomes", "TRUNCATE"),
        ("CREATE TABLE t AS SELECT 1 AS n", "CREATE"),
        ("CREATE VIEW v AS SELECT 1 AS n", "CREATE"),
        ("DROP TABLE outcomes", "DROP"),
        ("COPY outcomes TO '/tmp/x.csv'", "COPY"),
        (
            "EXPLAIN ANALYZE INSERT INTO outcomes (outcome_id) VALUES ('o')",
            "EXPLAIN",
        ),
    ] {
        let message = format!("the lake is read-only here: {word} is refused; write a SELECT");
        assert_eq!(
            client.query(statement).await,
            Answer::Error("25006".into(), message),
            "{statement}"
        );
    }
    let refused = client.prepared("DELETE FROM outcomes WHERE outcome_id = $1", "o").await;
    assert!(matches!(refused, Answer::Error(code, _) if code == "25006"));
    assert!(matches!(
        client.query("SELECT nothing FROM outcomes").await,
        Answer::Error(..)
    ));
    // What drivers send around their queries.
    for statement in ["BEGIN", "SET application_name = 'test'", "COMMIT"] {
        assert_eq!(client.query(statement).await, Answer::Rows(vec![]), "{statement}");
    }
    assert_eq!(client.one("SELECT COUNT(*) FROM outcomes").await, "0");
    assert_eq!(lake.version(&TableName::Outcomes).await.unwrap(), Some(0));
    endpoint.shutdown().await;
}

#[tokio::test]
async fn clients_ask_what_a_candidate_is_worth() {
    let (lake, _folder) = lake().await;
    let endpoint = serve_postgres(&lake, local()).await.unwrap();
    let mut client = Client::connect(endpoint.addr()).await;
    let query = "SELECT estimator, value, verdict FROM off_policy('menu', 'bold')";
    let Answer::Error(_, message) = client.query(query).await else {
        panic!("nothing was evaluated")
    };
    assert!(message.contains("nothing was evaluated yet"), "{message}");
    let row = rows::Evaluation {
        evaluation_id: EvaluationId::new("e1").unwrap(),
        strategy: StrategyName::new("menu").unwrap(),
        candidate: "bold".into(),
        blueprint_version: BlueprintVersion::new("0123456789abcdef").unwrap(),
        model_version: None,
        policy: "{}".into(),
        evaluated_at: 1_767_225_600_000_000,
        as_of: 1_767_225_600_000_000,
        window_start: None,
        table_versions: vec![("decisions".into(), 3)],
        estimator: "SNIPS".into(),
        value: Some(0.5),
        interval: Some((0.25, 0.75)),
        bootstrap: None,
        confidence: 0.95,
        logged_value: Some(0.125),
        gain: Some(0.375),
        gain_interval: Some((0.25, 0.5)),
        verdict: rows::Verdict::Better,
        refusal: None,
        rules: "default".into(),
        n_rows: 100,
        n_units: 90,
        effective_rows: None,
        mean_weight: None,
        max_weight: None,
        overlap: None,
        unsupported: None,
    };
    evaluations::record(&lake, &[row]).await.unwrap();
    let cells = ["SNIPS", "0.5", "better"].map(|cell| Some(cell.to_owned()));
    assert_eq!(client.query(query).await, Answer::Rows(vec![cells.to_vec()]));
    let found = client
        .prepared(
            "SELECT estimator, value, verdict FROM off_policy('menu', 'bold') WHERE verdict = $1",
            "better",
        )
        .await;
    assert_eq!(found, Answer::Rows(vec![cells.to_vec()]));
    endpoint.shutdown().await;
}

#[tokio::test]
async fn what_one_client_sets_is_its_own() {
    let (lake, _folder) = lake().await;
    let endpoint = serve_postgres(&lake, local()).await.unwrap();
    let (mut one, mut other) = (
        Client::connect(endpoint.addr()).await,
        Client::connect(endpoint.addr()).await,
    );
    one.query("SET datafusion.execution.batch_size = 17").await;
    let shown = "SELECT value FROM information_schema.df_settings WHERE name = 'datafusion.execution.batch_size'";
    assert_eq!(one.one(shown).await, "17");
    assert_ne!(other.one(shown).await, "17");
    endpoint.shutdown().await;
}

#[tokio::test]
async fn an_endpoint_ends_when_it_is_told_to() {
    let (lake, _folder) = lake().await;
    let endpoint = serve_postgres(&lake, local()).await.unwrap();
    let addr = endpoint.addr();
    let mut client = Client::connect(addr).await;
    assert!(matches!(
        serve_postgres(&lake, addr).await,
        Err(WireError::Listen { .. })
    ));
    endpoint.shutdown().await;
    assert!(TcpStream::connect(addr).await.is_err());
    assert_eq!(client.stream.read(&mut [0]).await.unwrap_or(0), 0);
    let error = serve_postgres(&lake, "0.0.0.0:5432".parse().unwrap())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("write 127.0.0.1:5432"), "{error}");
}
