//! Whole decisions, read back as they were logged: what replays them and values policies on them.
//!
//! The columns are those of the table's schema, which their reader knows; a statement would name them a second time.

use datafusion::error::DataFusionError;
use datafusion::functions::expr_fn::md5;
use datafusion::logical_expr::{Expr, ident, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use lakeloop_domain::{DecisionId, Micros, StrategyName};
use lakeloop_lake::TableName;

use crate::{SqlError, instant};

/// Which decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionRows {
    /// The one of this id, as often as it was logged.
    One(DecisionId),
    /// Those of a range.
    Range(DecisionRange),
}

/// Which decisions of a range of time; without any bound all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecisionRange {
    /// Of this strategy.
    pub strategy: Option<StrategyName>,
    /// Made at this instant or later.
    pub from: Option<Micros>,
    /// Made before this instant.
    pub until: Option<Micros>,
}

/// The decisions with all columns of their table, in no order, planned over the tables of a session. The bounds compare
/// bare columns, so that a table's file statistics skip files.
pub async fn decision_rows(ctx: &SessionContext, which: &DecisionRows) -> Result<DataFrame, SqlError> {
    let schema = lakeloop_lake::schema(&TableName::Decisions).expect("decisions is a table of fixed columns");
    let mut frame = ctx.table("decisions").await.map_err(failed)?;
    // A version from before a column was added does not have it; its rows read as if it were null.
    let there = frame.schema().as_arrow().clone();
    let fields = schema
        .fields()
        .iter()
        .filter(|field| there.field_with_name(field.name()).is_ok());
    let columns: Vec<Expr> = fields.map(|field| ident(field.name())).collect();
    for condition in conditions(which) {
        frame = frame.filter(condition).map_err(failed)?;
    }
    frame.select(columns).map_err(failed)
}

fn conditions(which: &DecisionRows) -> Vec<Expr> {
    match which {
        DecisionRows::One(id) => vec![ident("decision_id").eq(lit(id.as_str()))],
        DecisionRows::Range(range) => {
            let strategy = range
                .strategy
                .as_ref()
                .map(|strategy| ident("strategy").eq(lit(strategy.as_str())));
            let from = range.from.map(|from| ident("event_time").gt_eq(lit(instant(from))));
            let until = range.until.map(|until| ident("event_time").lt(lit(instant(until))));
            strategy.into_iter().chain(from).chain(until).collect()
        }
    }
}

/// About `n_rows` of the `n_all` rows of a frame of decisions, chosen by a hash of the decision's id: the same
/// decisions at every call. All of them where there are no more.
pub fn sample(frame: DataFrame, n_rows: u64, n_all: u64) -> Result<DataFrame, SqlError> {
    if n_rows >= n_all {
        return Ok(frame);
    }
    // The first 64 of 128 bits; as hexadecimal digits they are in the order of the numbers.
    let below = (n_rows as f64 / n_all as f64 * 2.0_f64.powi(64)) as u64;
    frame
        .filter(md5(ident("decision_id")).lt(lit(format!("{below:016x}"))))
        .map_err(failed)
}

fn failed(source: DataFusionError) -> SqlError {
    SqlError::Query {
        query: "decision_rows",
        source: Box::new(source),
    }
}
