//! The session over the lake: every table under its name, each at one version, for reading only.
//!
//! All statements of a session see the same versions, so that what is read twice is the same twice. The versions that
//! were read are an answer of [`session`], to be kept with whatever was made from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemorySchemaProvider, Session, TableProvider};
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::DeltaTable;
use futures::future::try_join_all;
use lakeloop_lake::{Lake, TableName};

use crate::off_policy::{Evaluations, OFF_POLICY};
use crate::{Query, SqlError};

/// The schema that holds the feature views.
pub(crate) const FEATURES: &str = "features";
/// The catalog and the schema that hold everything else; statements need not name them.
pub(crate) const CATALOG: &str = "lakeloop";
pub(crate) const SCHEMA: &str = "public";

/// Versions of tables; a table that is not there is meant at its newest version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins(pub BTreeMap<TableName, i64>);

/// A session with every table of the lake under its name (`decisions`, …, `features.<view>`), at its pinned or newest
/// version, the views of [`Query::VIEWS`], and the table function `off_policy('strategy', 'candidate')`; with the versions.
///
/// A pinned table or version that does not exist is an error. Costs one look-up a table, and for a pinned one the
/// reading of its log.
pub async fn session(lake: &Lake, pins: &Pins) -> Result<(SessionContext, Pins), SqlError> {
    let ctx = empty_session().map_err(SqlError::session)?;
    let views = lake.feature_views().await?.into_iter().map(TableName::Features);
    let mut names: Vec<TableName> = TableName::ALL.into_iter().chain(views).collect();
    names.extend(
        pins.0
            .keys()
            .filter(|pinned| !names.contains(pinned))
            .cloned()
            .collect::<Vec<_>>(),
    );
    let opened = try_join_all(names.into_iter().map(|name| open(lake, name, pins))).await?;

    let mut versions = Pins::default();
    let mut evaluations = None;
    for (name, table) in opened.into_iter().flatten() {
        let provider = read_only_provider(&table).await.map_err(SqlError::session)?;
        if name == TableName::Evaluations {
            evaluations = Some(Arc::clone(&provider));
        }
        ctx.register_table(reference(&name), provider)
            .map_err(SqlError::session)?;
        if let Some(version) = table.version().and_then(|version| i64::try_from(version).ok()) {
            versions.0.insert(name, version);
        }
    }
    for query in Query::VIEWS {
        let view = query.bind(&ctx, &[]).await?.into_view();
        ctx.register_table(query.name, view).map_err(SqlError::session)?;
    }
    ctx.register_udtf(OFF_POLICY, Arc::new(Evaluations::Pinned(evaluations)));
    Ok((ctx, versions))
}

async fn open(lake: &Lake, name: TableName, pins: &Pins) -> Result<Option<(TableName, DeltaTable)>, SqlError> {
    let table = match pins.0.get(&name) {
        Some(version) => Some(lake.table_at(&name, *version).await?),
        None => lake.table(&name).await?,
    };
    Ok(table.map(|table| (name, table)))
}

/// A session with the lake's catalog and its two schemas, but no table.
pub(crate) fn empty_session() -> Result<SessionContext, DataFusionError> {
    let config = SessionConfig::new()
        .with_information_schema(true)
        .with_default_catalog_and_schema(CATALOG, SCHEMA);
    let ctx = SessionContext::new_with_config(config);
    if let Some(catalog) = ctx.catalog(CATALOG) {
        catalog.register_schema(FEATURES, Arc::new(MemorySchemaProvider::new()))?;
    }
    Ok(ctx)
}

fn reference(name: &TableName) -> TableReference {
    match name {
        TableName::Features(view) => TableReference::partial(FEATURES, view.as_str()),
        fixed => TableReference::bare(fixed.to_string()),
    }
}

/// The table as statements see it.
pub(crate) async fn read_only_provider(table: &DeltaTable) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    Ok(Arc::new(ReadOnlyTable {
        inner: table.table_provider().await?,
    }))
}

/// A table that can be scanned and nothing else: no statement reaches the writing side of the Delta table behind it.
#[derive(Debug)]
struct ReadOnlyTable {
    inner: Arc<dyn TableProvider>,
}

#[async_trait]
impl TableProvider for ReadOnlyTable {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn table_type(&self) -> TableType {
        self.inner.table_type()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        self.inner.scan(state, projection, filters, limit).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        self.inner.supports_filters_pushdown(filters)
    }
}
