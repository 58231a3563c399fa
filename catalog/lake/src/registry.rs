//! The registry: every model of every strategy, each in one stage, at most one of a strategy live.
//!
//! ```text
//!   register ──► candidate ──► live ──► retired
//!                    │          ▲          │
//!                    │          └──────────┘ rollback
//!                    └───────────────────► retired
//! ```
//!
//! A move is one commit that replaces the files of the models it touches (the one that moves and, when that goes live,
//! the one that was): at every version of the table a strategy has at most one live model. The judgement is made
//! on the newest version and committed as exactly the next one; a registration or move that comes first has both
//! read and judged again. All columns but the stage's three are carried over as they are, bit for bit.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, StringArray, TimestampMicrosecondArray};
use arrow::compute;
use arrow::datatypes::{DataType, Int32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{Expr, ident, lit};
use deltalake::DeltaTable;
use deltalake::kernel::Action;
use deltalake::protocol::DeltaOperation;
use futures::stream;
use lakeloop_domain::{
    Calibration, Encoding, LearningTarget, Micros, ModelCard, ModelMetrics, ModelRecord, ModelStage, ModelVersion,
    PredictionInterval, Provenance, StageMove, StrategyName, Uncertainty,
};

use crate::append::appending;
use crate::lake::release;
use crate::log::{Change, MAX_ATTEMPTS};
use crate::rows::{cards_from_batch, model_to_batch, models_from_batch};
use crate::{Lake, LakeError, TableName, files, scan};

const TABLE: TableName = TableName::Models;

/// A model that has no version yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NewModel {
    /// The strategy.
    pub strategy: StrategyName,
    /// What it predicts.
    pub target: LearningTarget,
    /// True when the action that is scored is one of its columns.
    pub action_is_feature: bool,
    /// How its input is made.
    pub encoding: Encoding,
    /// How its raw score becomes a probability.
    pub calibration: Calibration,
    /// Where labels lie around its predictions; `None` for probabilities.
    pub prediction_interval: Option<PredictionInterval>,
    /// How sure it is of each action's expected label.
    pub uncertainty: Option<Uncertainty>,
    /// The ensemble as XGBoost saved it.
    pub artifact: Vec<u8>,
    /// How good it is.
    pub metrics: ModelMetrics,
    /// From what it was made.
    pub provenance: Provenance,
    /// Everything that is said about it; its version is filled in.
    pub card: Option<Box<ModelCard>>,
}

/// What became of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum StageMoved {
    /// The model stands where it was to go.
    Moved {
        /// The model that had been live until then and was retired by the same commit.
        retired: Option<ModelVersion>,
    },
    /// It stood there already; nothing was written.
    Already,
}

/// Registers a model as a candidate, under the strategy's next version.
pub async fn register(lake: &Lake, model: NewModel, now: Micros) -> Result<ModelRecord, LakeError> {
    let mut record = ModelRecord {
        strategy: model.strategy,
        version: ModelVersion(1),
        stage: ModelStage::Candidate,
        stage_reason: "registered".to_owned(),
        stage_changed_at: now,
        registered_at: now,
        target: model.target,
        action_is_feature: model.action_is_feature,
        encoding: model.encoding,
        calibration: model.calibration,
        prediction_interval: model.prediction_interval,
        uncertainty: model.uncertainty,
        artifact: model.artifact,
        metrics: model.metrics,
        provenance: model.provenance,
    };
    let mut card = model.card;
    for _ in 0..MAX_ATTEMPTS {
        let state = lake.newest(&TABLE).await?;
        let known = standings(&state, &record.strategy).await?;
        record.version = ModelVersion(known.iter().map(|model| model.version.0).max().unwrap_or(0) + 1);
        if let Some(card) = &mut card {
            card.version = Some(record.version);
        }
        let batch = model_to_batch(&record, card.as_deref())?;
        let adds = files::write(
            &TABLE,
            &state,
            files::Effort::Small,
            files::Encode::Here,
            stream::iter([Ok(batch)]),
        )
        .await?;
        if commit_after(lake, &state, &appending(adds.clone(), None)).await? {
            return Ok(record);
        }
        files::discard(&TABLE, &state, adds).await;
    }
    Err(LakeError::Contended {
        table: TABLE,
        attempts: MAX_ATTEMPTS,
    })
}

/// Moves a model to another stage, in one commit; to live, the one that was live is retired with it.
pub async fn move_stage(lake: &Lake, wish: &StageMove, now: Micros) -> Result<StageMoved, LakeError> {
    for _ in 0..MAX_ATTEMPTS {
        let state = lake.newest(&TABLE).await?;
        let known = standings(&state, &wish.strategy).await?;
        let retired = match judge(&known, wish)? {
            Verdict::Already => return Ok(StageMoved::Already),
            Verdict::Move { retired } => retired,
        };
        let touched: HashSet<&str> = known
            .iter()
            .filter(|model| model.version == wish.version || Some(model.version) == retired)
            .map(|model| model.file.as_str())
            .collect();
        let paths = touched.iter().map(|&file| file.to_owned()).collect();
        let batches = scan::rows_of_files(&TABLE, &state, paths).await?;
        let changed = batches
            .iter()
            .map(|batch| restage(batch, wish, retired, now))
            .collect::<Vec<_>>();
        let adds = files::write(
            &TABLE,
            &state,
            files::Effort::Small,
            files::Encode::Here,
            stream::iter(changed),
        )
        .await?;
        let mut actions = removals(&state, &touched).await?;
        actions.extend(adds.iter().cloned().map(Action::Add));
        let predicate = format!("strategy = '{}' AND version = {}", wish.strategy, wish.version);
        let change = Change {
            actions,
            operation: DeltaOperation::Update {
                predicate: Some(predicate),
            },
            is_blind_append: false,
            transaction: None,
        };
        if commit_after(lake, &state, &change).await? {
            return Ok(StageMoved::Moved { retired });
        }
        files::discard(&TABLE, &state, adds).await;
    }
    Err(LakeError::Contended {
        table: TABLE,
        attempts: MAX_ATTEMPTS,
    })
}

/// The live model of every strategy that has one, by strategy.
pub async fn live(lake: &Lake) -> Result<Vec<ModelRecord>, LakeError> {
    find(lake, Some(ident("stage").eq(lit(ModelStage::Live.as_str())))).await
}

/// The live model of a strategy; `None` while nothing is learned.
pub async fn live_of(lake: &Lake, strategy: &StrategyName) -> Result<Option<ModelRecord>, LakeError> {
    let is_live = ident("stage").eq(lit(ModelStage::Live.as_str()));
    Ok(find(lake, Some(of_strategy(strategy).and(is_live))).await?.pop())
}

/// The models of one strategy or of all, by strategy and version, each with its artifact.
pub async fn list(lake: &Lake, strategy: Option<&StrategyName>) -> Result<Vec<ModelRecord>, LakeError> {
    find(lake, strategy.map(of_strategy)).await
}

/// One model; `None` when there is no such version.
pub async fn get(
    lake: &Lake,
    strategy: &StrategyName,
    version: ModelVersion,
) -> Result<Option<ModelRecord>, LakeError> {
    let filter = of_strategy(strategy).and(ident("version").eq(lit(i64::from(version.0))));
    Ok(find(lake, Some(filter)).await?.pop())
}

/// The card of a model; `None` when there is no such version, or it was registered before there were cards.
pub async fn card(lake: &Lake, strategy: &StrategyName, version: ModelVersion) -> Result<Option<ModelCard>, LakeError> {
    let filter = of_strategy(strategy).and(ident("version").eq(lit(i64::from(version.0))));
    let state = lake.newest(&TABLE).await?;
    let mut cards = Vec::new();
    for batch in scan::rows(&TABLE, &state, Some(filter)).await? {
        cards.extend(cards_from_batch(&batch)?);
    }
    Ok(cards.into_iter().flatten().next())
}

/// Where one model stands, and in which file.
struct Standing {
    version: ModelVersion,
    stage: ModelStage,
    file: String,
}

enum Verdict {
    Already,
    Move { retired: Option<ModelVersion> },
}

/// Whether the move is allowed, and whom it retires.
fn judge(known: &[Standing], wish: &StageMove) -> Result<Verdict, LakeError> {
    use ModelStage::{Candidate, Live, Retired};
    let Some(model) = known.iter().find(|model| model.version == wish.version) else {
        return Err(LakeError::NoSuchModel {
            strategy: wish.strategy.clone(),
            version: wish.version,
        });
    };
    let formerly_live = || {
        known
            .iter()
            .find(|model| model.stage == Live)
            .map(|model| model.version)
    };
    match (model.stage, wish.to) {
        (from, to) if from == to => Ok(Verdict::Already),
        (Candidate | Retired, Live) => Ok(Verdict::Move {
            retired: formerly_live(),
        }),
        (Candidate | Live, Retired) => Ok(Verdict::Move { retired: None }),
        (from, to) => Err(LakeError::StageRefused {
            strategy: wish.strategy.clone(),
            version: wish.version,
            from,
            to,
        }),
    }
}

/// Commits the change when the table is still as `state` has it; false when it is not.
async fn commit_after(lake: &Lake, state: &DeltaTable, change: &Change) -> Result<bool, LakeError> {
    let mut log = lake.existing(&TABLE).await?;
    let is_committed = state.version() == Some(log.tip()) && log.commit(change).await?.is_some();
    if is_committed {
        release(log).await;
    }
    Ok(is_committed)
}

async fn find(lake: &Lake, filter: Option<Expr>) -> Result<Vec<ModelRecord>, LakeError> {
    let state = lake.newest(&TABLE).await?;
    let mut models = Vec::new();
    for batch in scan::rows(&TABLE, &state, filter).await? {
        models.extend(models_from_batch(&batch)?);
    }
    models.sort_by(|a, b| (&a.strategy, a.version).cmp(&(&b.strategy, b.version)));
    Ok(models)
}

fn of_strategy(strategy: &StrategyName) -> Expr {
    ident("strategy").eq(lit(strategy.as_str()))
}

/// Where the models of a strategy stand. Reads no artifact.
async fn standings(state: &DeltaTable, strategy: &StrategyName) -> Result<Vec<Standing>, LakeError> {
    const FILE: &str = "file";
    let failed = |source| LakeError::read(&TABLE, source);
    let provider = state.table_provider().with_file_column(FILE).await.map_err(failed)?;
    let batches = SessionContext::new()
        .read_table(provider)
        .and_then(|frame| frame.filter(of_strategy(strategy)))
        .and_then(|frame| frame.select(vec![ident("version"), ident("stage"), ident(FILE)]))
        .map_err(failed)?
        .collect()
        .await
        .map_err(failed)?;
    let invalid = |column, found: String| LakeError::Value {
        table: TABLE,
        column,
        found,
    };
    let mut standings = Vec::new();
    for batch in &batches {
        let text = |idx: usize| {
            compute::cast(batch.column(idx), &DataType::Utf8)
                .map_err(|source| LakeError::Arrow { table: TABLE, source })
        };
        let (stages, files) = (text(1)?, text(2)?);
        let Some(versions) = batch.column(0).as_primitive_opt::<Int32Type>() else {
            return Err(invalid("version", "is not of its declared type".to_owned()));
        };
        for row in 0..batch.num_rows() {
            let version = versions.value(row);
            let stage = stages.as_string::<i32>().value(row);
            standings.push(Standing {
                version: ModelVersion(u32::try_from(version).map_err(|e| invalid("version", e.to_string()))?),
                stage: ModelStage::parse(stage).ok_or_else(|| invalid("stage", format!("`{stage}` is no stage")))?,
                file: files.as_string::<i32>().value(row).to_owned(),
            });
        }
    }
    Ok(standings)
}

/// What removes the files, whose URLs are given, from the table.
async fn removals(state: &DeltaTable, files: &HashSet<&str>) -> Result<Vec<Action>, LakeError> {
    let views = scan::file_views(state).await?;
    let removed: Vec<Action> = views
        .iter()
        .filter(|view| files.iter().any(|url| url.ends_with(&format!("/{}", view.path()))))
        .map(|view| Action::Remove(view.remove_action(true)))
        .collect();
    if removed.len() == files.len() {
        return Ok(removed);
    }
    let found = format!(
        "{} of the {} files of the models that move are in the log",
        removed.len(),
        files.len()
    );
    Err(LakeError::Value {
        table: TABLE,
        column: "artifact",
        found,
    })
}

/// The rows with the stages that the move leaves behind.
fn restage(
    batch: &RecordBatch,
    wish: &StageMove,
    retired: Option<ModelVersion>,
    now: Micros,
) -> Result<RecordBatch, LakeError> {
    let column = |name: &'static str| {
        batch.column_by_name(name).ok_or(LakeError::Value {
            table: TABLE,
            column: name,
            found: "is absent".to_owned(),
        })
    };
    let strategies = column("strategy")?.as_string::<i32>();
    let versions = column("version")?.as_primitive::<Int32Type>();
    let stages = column("stage")?.as_string::<i32>();
    let reasons = column("stage_reason")?.as_string::<i32>();
    let since = column("stage_changed_at")?.as_primitive::<TimestampMicrosecondType>();

    let reason_retired = format!("model {} went live: {}", wish.version, wish.reason);
    let is = |row: usize, version: ModelVersion| {
        strategies.value(row) == wish.strategy.as_str() && i64::from(versions.value(row)) == i64::from(version.0)
    };
    let (mut new_stages, mut new_reasons, mut new_since) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..batch.num_rows() {
        let (stage, reason, at) = if is(row, wish.version) {
            (wish.to.as_str(), wish.reason.as_str(), now)
        } else if retired.is_some_and(|version| is(row, version)) {
            (ModelStage::Retired.as_str(), reason_retired.as_str(), now)
        } else {
            (stages.value(row), reasons.value(row), since.value(row))
        };
        new_stages.push(stage);
        new_reasons.push(reason);
        new_since.push(at);
    }
    let columns: Vec<ArrayRef> = batch
        .schema_ref()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| match field.name().as_str() {
            "stage" => Arc::new(StringArray::from_iter_values(&new_stages)) as ArrayRef,
            "stage_reason" => Arc::new(StringArray::from_iter_values(&new_reasons)),
            "stage_changed_at" => {
                Arc::new(TimestampMicrosecondArray::from_iter_values(new_since.iter().copied()).with_timezone("UTC"))
            }
            _ => Arc::clone(column),
        })
        .collect();
    RecordBatch::try_new(batch.schema(), columns).map_err(|source| LakeError::Arrow { table: TABLE, source })
}
