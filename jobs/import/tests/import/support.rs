//! What the tests of this crate share: lakes and files in temporary folders, an applied strategy, rows read back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;
use lakeloop_config::parse_blueprint;
use lakeloop_domain::{DecisionRecord, Micros, OutcomeRecord};
use lakeloop_import::{ImportError, ImportReport, ImportRequest, import};
use lakeloop_lake::rows::{decisions_from_batch, outcomes_from_batch};
use lakeloop_lake::{Lake, TableName, blueprints};
use tempfile::TempDir;

/// 2024-01-01T00:00:00Z: when the tests import.
pub const NOW: Micros = 1_704_067_200_000_000;

/// A strategy with three actions and a context of each type.
pub const LUNCH: &str = r#"
name = "lunch"
unit = "user"
decision = { kind = "choose", actions = ["soup", "salad", "14"], default = "soup" }
outcome = { event = "ordered", aggregation = "any", window = "1h" }
[context]
age = "number"
vegetarian = { type = "boolean", missing = "allowed" }
city = { type = "category", missing = "allowed" }
"#;

/// A mapping for [`LUNCH`].
pub const LUNCH_MAPPING: &str = r#"
target = "decisions"
strategy = "lunch"
decision_id = "id"
unit = "user"
event_time = "at"
action = "dish"
propensity = "p"
[context]
age = "age"
vegetarian = "veg"
city = "city"
[outcome]
event = "ordered"
value = "ordered"
"#;

pub const LUNCH_HEADER: &str = "id,user,at,dish,p,age,veg,city,ordered\n";

/// A lake and a folder for files.
pub struct World {
    pub folder: TempDir,
    pub lake: Lake,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join("lake");
        let lake = Lake::open(location.to_str().unwrap(), HashMap::new()).await.unwrap();
        Self { folder, lake }
    }

    /// A world in which a blueprint is in force.
    pub async fn with_blueprint(text: &str) -> Self {
        let world = Self::new().await;
        let parsed = parse_blueprint("blueprint.toml", text).unwrap();
        let _ = blueprints::apply(&world.lake, parsed.blueprint, parsed.version, text, NOW)
            .await
            .unwrap();
        world
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub async fn import(&self, file: &Path, mapping: &str) -> Result<ImportReport, ImportError> {
        import(&self.lake, request(file, mapping), &mut |_| ()).await
    }

    pub async fn import_strictly(&self, file: &Path, mapping: &str) -> Result<ImportReport, ImportError> {
        let request = ImportRequest {
            strict: true,
            ..request(file, mapping)
        };
        import(&self.lake, request, &mut |_| ()).await
    }

    pub async fn decisions(&self) -> Vec<DecisionRecord> {
        let batches = self
            .sql(
                &TableName::Decisions,
                "SELECT * FROM t ORDER BY event_time, decision_id",
            )
            .await;
        batches
            .iter()
            .flat_map(|batch| decisions_from_batch(batch).unwrap())
            .collect()
    }

    pub async fn outcomes(&self) -> Vec<OutcomeRecord> {
        let batches = self
            .sql(&TableName::Outcomes, "SELECT * FROM t ORDER BY event_time, decision_id")
            .await;
        batches
            .iter()
            .flat_map(|batch| outcomes_from_batch(batch).unwrap())
            .collect()
    }

    /// Runs SQL on one table, which the query calls `t`.
    pub async fn sql(&self, table: &TableName, text: &str) -> Vec<RecordBatch> {
        let state = self.lake.table(table).await.unwrap().unwrap();
        let session = SessionContext::new();
        session
            .register_table("t", state.table_provider().await.unwrap())
            .unwrap();
        session.sql(text).await.unwrap().collect().await.unwrap()
    }

    /// The rows of a query as lines, cells with `|` between.
    pub async fn lines(&self, table: &TableName, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for batch in self.sql(table, text).await {
            for row in 0..batch.num_rows() {
                let cell = |column: &ArrayRef| arrow::util::display::array_value_to_string(column, row).unwrap();
                lines.push(batch.columns().iter().map(cell).collect::<Vec<_>>().join("|"));
            }
        }
        lines
    }

    pub async fn version(&self, table: &TableName) -> Option<i64> {
        self.lake.version(table).await.unwrap()
    }
}

pub fn request<'a>(file: &'a Path, mapping: &'a str) -> ImportRequest<'a> {
    ImportRequest {
        file,
        mapping_file: "mapping.toml",
        mapping_text: mapping,
        format: None,
        strict: false,
        now: NOW,
    }
}

pub fn view(name: &str) -> TableName {
    format!("features.{name}").parse().unwrap()
}

/// The bad rows of a report, each as it is shown.
pub fn shown(report: &ImportReport) -> Vec<String> {
    report.samples.iter().map(ToString::to_string).collect()
}

/// The folder of the real data sets; `None`, with a word, where there is none.
pub fn shared(path: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("LAKELOOP_SHARED").map_or(beside, PathBuf::from);
    let file = shared.join(path);
    if file.exists() {
        return Some(file);
    }
    println!("skipped: {} is not there", file.display());
    None
}
