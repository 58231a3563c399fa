//! A session for endpoints that live long: each statement sees the newest version of the tables that it names.
//!
//! Tables are looked up while a statement is planned. One statement that names a table twice may, between two commits,
//! see two versions of it; where that matters, [`session`](crate::session) is the right one.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use lakeloop_domain::FeatureViewName;
use lakeloop_lake::{Lake, TableName};

use crate::off_policy::{Evaluations, OFF_POLICY};
use crate::session::{CATALOG, FEATURES, SCHEMA, empty_session, read_only_provider};
use crate::{Query, SqlError};

/// A session over the lake whose tables are always at their newest version.
///
/// Feature views that are created later are found by name at once, and listed after the next statement that names one.
pub async fn live_session(lake: &Lake) -> Result<SessionContext, SqlError> {
    let ctx = empty_session().map_err(SqlError::session)?;
    let catalog = ctx.catalog(CATALOG).ok_or_else(|| {
        SqlError::session(DataFusionError::Internal(format!(
            "the session has no catalog {CATALOG}"
        )))
    })?;
    let views = lake.feature_views().await?;
    let fixed = LiveSchema {
        lake: lake.clone(),
        kind: Kind::Fixed,
    };
    let features = LiveSchema {
        lake: lake.clone(),
        kind: Kind::Features(Mutex::new(views)),
    };
    catalog
        .register_schema(SCHEMA, Arc::new(fixed))
        .map_err(SqlError::session)?;
    catalog
        .register_schema(FEATURES, Arc::new(features))
        .map_err(SqlError::session)?;
    ctx.register_udtf(OFF_POLICY, Arc::new(Evaluations::Live(lake.clone())));
    Ok(ctx)
}

struct LiveSchema {
    lake: Lake,
    kind: Kind,
}

enum Kind {
    /// The tables that every lake has, and the views over them.
    Fixed,
    /// The feature views that are known so far.
    Features(Mutex<Vec<FeatureViewName>>),
}

impl fmt::Debug for LiveSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSchema")
            .field("lake", &self.lake.location())
            .finish_non_exhaustive()
    }
}

impl LiveSchema {
    fn name_of(&self, name: &str) -> Option<TableName> {
        match &self.kind {
            Kind::Fixed => TableName::ALL.into_iter().find(|table| table.to_string() == name),
            Kind::Features(_) => FeatureViewName::new(name).ok().map(TableName::Features),
        }
    }

    fn view_of(&self, name: &str) -> Option<Query> {
        matches!(self.kind, Kind::Fixed)
            .then(|| Query::VIEWS.into_iter().find(|query| query.name == name))
            .flatten()
    }

    fn remember(&self, table: &TableName) {
        if let (Kind::Features(known), TableName::Features(view)) = (&self.kind, table) {
            // A panic while the list is locked cannot leave it half changed.
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if !known.contains(view) {
                known.push(view.clone());
            }
        }
    }

    async fn open(&self, table: &TableName) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let opened = self
            .lake
            .table(table)
            .await
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let Some(opened) = opened else { return Ok(None) };
        self.remember(table);
        read_only_provider(&opened).await.map(Some)
    }
}

#[async_trait]
impl SchemaProvider for LiveSchema {
    fn table_names(&self) -> Vec<String> {
        match &self.kind {
            Kind::Fixed => {
                let views = Query::VIEWS.iter().map(|query| query.name.to_owned());
                TableName::ALL.iter().map(TableName::to_string).chain(views).collect()
            }
            Kind::Features(known) => {
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                known.iter().map(FeatureViewName::to_string).collect()
            }
        }
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some(query) = self.view_of(name) {
            let ctx = empty_session()?;
            for table in TableName::ALL {
                if let Some(provider) = self.open(&table).await? {
                    ctx.register_table(table.to_string(), provider)?;
                }
            }
            return Ok(Some(ctx.sql(query.text).await?.into_view()));
        }
        match self.name_of(name) {
            Some(table) => self.open(&table).await,
            None => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.view_of(name).is_some()
            || self
                .name_of(name)
                .is_some_and(|table| self.table_names().contains(&table_key(&table)))
    }
}

fn table_key(table: &TableName) -> String {
    match table {
        TableName::Features(view) => view.to_string(),
        fixed => fixed.to_string(),
    }
}
