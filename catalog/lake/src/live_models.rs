//! Follows which model of each strategy is live, without reading the models themselves.
//!
//! The first look reads four narrow columns of the registry; each later one reads those of the files that were
//! committed since. A model's artifact is read by [`load`] when somebody wants to decide by it.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray as _;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::ident;
use deltalake::DeltaTable;
use lakeloop_domain::{ModelRecord, ModelStage, ModelVersion, StrategyName};

use crate::changes::Changes;
use crate::lake::signed;
use crate::rows::models_from_batch;
use crate::{Lake, LakeError, TableName, files};

const TABLE: TableName = TableName::Models;

/// Names the file of a row in what is read here.
const FILE: &str = "file";

/// A model that is live, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveModel {
    /// The strategy.
    pub strategy: StrategyName,
    /// Its version within the strategy.
    pub version: ModelVersion,
    /// Size of the saved model in bytes.
    pub artifact_bytes: u64,
    /// The file that holds it; its path below the table.
    file: String,
}

/// The live model of each strategy as of a version of the registry.
#[derive(Debug, Clone, Default)]
pub struct LiveModels {
    version: Option<i64>,
    by_strategy: BTreeMap<StrategyName, LiveModel>,
}

impl LiveModels {
    /// The version of the `models` table that was read last; `None` before the first look.
    pub fn version(&self) -> Option<i64> {
        self.version
    }

    /// The live model of a strategy, if there is one.
    pub fn get(&self, strategy: &StrategyName) -> Option<&LiveModel> {
        self.by_strategy.get(strategy)
    }

    /// Takes in what was committed since the last look; answers the strategies that have another live model now, or
    /// none any more. Costs one look-up when nothing was committed. An error leaves everything as it was.
    pub async fn catch_up(&mut self, lake: &Lake) -> Result<BTreeSet<StrategyName>, LakeError> {
        if self.version.is_some() && lake.version(&TABLE).await? == self.version {
            return Ok(BTreeSet::new());
        }
        let changes = match self.version {
            Some(version) => lake.changes(&TABLE, version).await?,
            None => Changes::Unknown,
        };
        let (standings, mut next) = match changes {
            Changes::Appended(new) | Changes::Rewritten(new) => {
                let standings = match new.paths.is_empty() {
                    true => Vec::new(),
                    false => standings(&new.table, Some(new.paths)).await?,
                };
                let next = Self {
                    version: Some(new.version),
                    by_strategy: self.by_strategy.clone(),
                };
                (standings, next)
            }
            Changes::Unknown => {
                let state = lake.newest(&TABLE).await?;
                let next = Self {
                    version: state.version().map(signed),
                    by_strategy: BTreeMap::new(),
                };
                (standings(&state, None).await?, next)
            }
        };
        for (model, stage) in standings {
            next.take(model, stage);
        }
        let version_of = |models: &Self, strategy: &StrategyName| models.get(strategy).map(|model| model.version);
        let changed = self
            .by_strategy
            .keys()
            .chain(next.by_strategy.keys())
            .filter(|strategy| version_of(self, strategy) != version_of(&next, strategy))
            .cloned()
            .collect();
        *self = next;
        Ok(changed)
    }

    /// Takes in where one model stands now. The order does not matter: a strategy has one live model at most, and one
    /// that is not live any more ends only itself.
    fn take(&mut self, model: LiveModel, stage: ModelStage) {
        let is_known = self
            .get(&model.strategy)
            .is_some_and(|known| known.version == model.version);
        match stage {
            ModelStage::Live => {
                self.by_strategy.insert(model.strategy.clone(), model);
            }
            _ if is_known => {
                self.by_strategy.remove(&model.strategy);
            }
            _ => {}
        }
    }
}

/// Reads a live model with its artifact: one file, found without asking the table.
pub async fn load(lake: &Lake, model: &LiveModel) -> Result<ModelRecord, LakeError> {
    let handle = lake.existing(&TABLE).await?.handle().clone();
    let mut found = Vec::new();
    for batch in files::read(&TABLE, &handle, &model.file).await? {
        found.extend(models_from_batch(&batch)?);
    }
    let wanted = |record: &ModelRecord| record.strategy == model.strategy && record.version == model.version;
    found.into_iter().find(wanted).ok_or_else(|| LakeError::NoSuchModel {
        strategy: model.strategy.clone(),
        version: model.version,
    })
}

/// Where the models of the table, or of some of its files, stand.
async fn standings(state: &DeltaTable, paths: Option<Vec<String>>) -> Result<Vec<(LiveModel, ModelStage)>, LakeError> {
    let failed = |source| LakeError::read(&TABLE, source);
    let provider = state.table_provider().with_file_column(FILE);
    let provider = match paths {
        Some(paths) => provider.with_file_paths(paths),
        None => provider,
    };
    let columns = ["strategy", "version", "stage", "artifact_bytes", FILE].map(ident);
    let batches = SessionContext::new()
        .read_table(provider.await.map_err(failed)?)
        .and_then(|frame| frame.select(columns))
        .map_err(failed)?
        .collect()
        .await
        .map_err(failed)?;
    let mut standings = Vec::new();
    for batch in &batches {
        read(batch, &mut standings)?;
    }
    Ok(standings)
}

fn read(batch: &RecordBatch, standings: &mut Vec<(LiveModel, ModelStage)>) -> Result<(), LakeError> {
    let invalid = |column, found: String| LakeError::Value {
        table: TABLE,
        column,
        found,
    };
    let text = |idx: usize| {
        cast(batch.column(idx), &DataType::Utf8).map_err(|source| LakeError::Arrow { table: TABLE, source })
    };
    let (strategies, stages, urls) = (text(0)?, text(2)?, text(4)?);
    let versions = batch.column(1).as_primitive_opt::<Int32Type>();
    let sizes = batch.column(3).as_primitive_opt::<Int64Type>();
    let (Some(versions), Some(sizes)) = (versions, sizes) else {
        return Err(invalid("version", "is not of its declared type".to_owned()));
    };
    for row in 0..batch.num_rows() {
        let strategy = strategies.as_string::<i32>().value(row);
        let stage = stages.as_string::<i32>().value(row);
        let url = urls.as_string::<i32>().value(row);
        let model = LiveModel {
            strategy: StrategyName::new(strategy).map_err(|error| invalid("strategy", error.to_string()))?,
            version: ModelVersion(
                u32::try_from(versions.value(row)).map_err(|error| invalid("version", error.to_string()))?,
            ),
            artifact_bytes: u64::try_from(sizes.value(row))
                .map_err(|error| invalid("artifact_bytes", error.to_string()))?,
            // Tables have no partitions, so their files lie beside each other.
            file: url.rsplit_once('/').map_or(url, |(_, name)| name).to_owned(),
        };
        let stage = ModelStage::parse(stage).ok_or_else(|| invalid("stage", format!("`{stage}` is no stage")))?;
        standings.push((model, stage));
    }
    Ok(())
}
