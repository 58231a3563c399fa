//! The table function `off_policy('strategy', 'candidate')`: the latest evaluation of a candidate, a row an estimator.
//!
//! It reads what `lakeloop evaluate` has written to `evaluations`, and computes nothing itself: a SELECT neither fits models
//! nor writes, wherever it is asked. A name that was never evaluated is an error that names the nearest ones.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use lakeloop_lake::{Lake, TableName};

use crate::Query;
use crate::session::{empty_session, read_only_provider};

/// The function's name.
pub(crate) const OFF_POLICY: &str = "off_policy";

/// Columns of `evaluations` that the function answers, in order.
const COLUMNS: [&str; 28] = [
    "estimator",
    "value",
    "low",
    "high",
    "logged_value",
    "gain",
    "gain_low",
    "gain_high",
    "verdict",
    "refusal",
    "confidence",
    "bootstrap_low",
    "bootstrap_high",
    "n_rows",
    "n_units",
    "effective_rows",
    "mean_weight",
    "max_weight",
    "overlap",
    "unsupported",
    "rules",
    "blueprint_version",
    "model_version",
    "policy",
    "as_of",
    "window_start",
    "evaluated_at",
    "evaluation_id",
];

/// Words this much alike, from 0 to 1, are worth suggesting.
const ALIKE: f64 = 0.5;

/// Where the evaluations are read.
#[derive(Clone)]
pub(crate) enum Evaluations {
    /// In a table at one version; `None` where the lake has none.
    Pinned(Option<Arc<dyn TableProvider>>),
    /// In the lake, at its newest version.
    Live(Lake),
}

impl fmt::Debug for Evaluations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(_) => f.write_str("Pinned"),
            Self::Live(lake) => f.debug_tuple("Live").field(&lake.location()).finish(),
        }
    }
}

impl TableFunctionImpl for Evaluations {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let [strategy, candidate] = args.exprs() else {
            return Err(misused());
        };
        let (Some(strategy), Some(candidate)) = (text(strategy), text(candidate)) else {
            return Err(misused());
        };
        Ok(Arc::new(OffPolicy {
            evaluations: self.clone(),
            strategy,
            candidate,
            schema: columns(),
        }))
    }
}

fn misused() -> DataFusionError {
    DataFusionError::Plan(format!(
        "{OFF_POLICY} takes two texts: SELECT * FROM {OFF_POLICY}('strategy', 'candidate')"
    ))
}

fn text(argument: &Expr) -> Option<String> {
    match argument {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    }
}

/// The columns with the types of the table; all may be null.
fn columns() -> SchemaRef {
    let table = lakeloop_lake::schema(&TableName::Evaluations).expect("evaluations is a table of fixed columns");
    let field = |name: &&str| {
        let field = table.field_with_name(name).expect("the table has the column");
        Field::new(*name, field.data_type().clone(), true)
    };
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

/// One call of the function.
#[derive(Debug)]
struct OffPolicy {
    evaluations: Evaluations,
    strategy: String,
    candidate: String,
    schema: SchemaRef,
}

impl OffPolicy {
    async fn rows(&self) -> Result<Vec<RecordBatch>, DataFusionError> {
        let ctx = empty_session()?;
        let table = match &self.evaluations {
            Evaluations::Pinned(table) => table.clone(),
            Evaluations::Live(lake) => {
                let opened = lake.table(&TableName::Evaluations).await;
                match opened.map_err(|error| DataFusionError::External(Box::new(error)))? {
                    Some(table) => Some(read_only_provider(&table).await?),
                    None => None,
                }
            }
        };
        let Some(table) = table else {
            return Err(self.unknown(&[]));
        };
        ctx.register_table(TableName::Evaluations.to_string(), table)?;
        let values = [
            ("strategy", ScalarValue::from(self.strategy.as_str())),
            ("candidate", ScalarValue::from(self.candidate.as_str())),
        ];
        let found = ctx
            .sql(Query::OFF_POLICY.text)
            .await?
            .with_param_values(values.to_vec())?
            .collect()
            .await?;
        if found.iter().all(|batch| batch.num_rows() == 0) {
            return Err(self.unknown(&known(&ctx).await?));
        }
        found.iter().map(|batch| self.conform(batch)).collect()
    }

    /// The batch in the declared types: engines hand out texts as views.
    fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| cast(column, field.data_type()));
        Ok(RecordBatch::try_new(
            Arc::clone(&self.schema),
            columns.collect::<Result<_, _>>()?,
        )?)
    }

    /// What to say of a name that was not evaluated. `known` are (strategy, candidate).
    fn unknown(&self, known: &[(String, String)]) -> DataFusionError {
        let (strategy, candidate) = (&self.strategy, &self.candidate);
        let candidates = names(known.iter().filter(|(of, _)| of == strategy).map(|(_, name)| name));
        let (what, known) = if candidates.is_empty() {
            let strategies = names(known.iter().map(|(name, _)| name));
            (
                format!("no candidate of strategy `{strategy}` was evaluated"),
                listed(strategy, &strategies),
            )
        } else {
            (
                format!("candidate `{candidate}` of strategy `{strategy}` was not evaluated"),
                listed(candidate, &candidates),
            )
        };
        DataFusionError::Plan(format!(
            "{OFF_POLICY}: {what}; {known}. `lakeloop evaluate STRATEGY --policy CANDIDATE.toml` evaluates one"
        ))
    }
}

fn names<'n>(names: impl Iterator<Item = &'n String>) -> BTreeSet<&'n str> {
    names.map(String::as_str).collect()
}

/// The names that come nearest, or the first few.
fn listed(wanted: &str, known: &BTreeSet<&str>) -> String {
    const MOST: usize = 8;
    let likeness = |name: &&&str| normalized_levenshtein(wanted, name);
    let nearest = known.iter().filter(|name| likeness(name) >= ALIKE);
    if let Some(meant) = nearest.max_by(|a, b| likeness(a).total_cmp(&likeness(b))) {
        return format!("did you mean `{meant}`?");
    }
    let some: Vec<String> = known.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    match some.as_slice() {
        [] => "nothing was evaluated yet".to_owned(),
        some => format!("evaluated are {}", some.join(", ")),
    }
}

/// Every strategy and candidate that was evaluated.
async fn known(ctx: &SessionContext) -> Result<Vec<(String, String)>, DataFusionError> {
    let frame = ctx.table(TableName::Evaluations.to_string()).await?;
    let batches = frame
        .select_columns(&["strategy", "candidate"])?
        .distinct()?
        .collect()
        .await?;
    let mut known = Vec::new();
    for batch in &batches {
        let strategies = cast(batch.column(0), &DataType::Utf8)?;
        let candidates = cast(batch.column(1), &DataType::Utf8)?;
        let (strategies, candidates) = (strategies.as_string::<i32>(), candidates.as_string::<i32>());
        known.extend((0..batch.num_rows()).map(|row| (strategies.value(row).into(), candidates.value(row).into())));
    }
    Ok(known)
}

#[async_trait]
impl TableProvider for OffPolicy {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let rows = MemTable::try_new(self.schema(), vec![self.rows().await?])?;
        rows.scan(state, projection, filters, limit).await
    }
}
