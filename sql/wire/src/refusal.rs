//! Refuses statements that are no queries, before they are planned.

use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::QueryHook;
use datafusion_postgres::hooks::HookClient;
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::api::results::Response;
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};

/// PostgreSQL's code for a change in a read-only transaction.
const READ_ONLY: &str = "25006";

/// The first to see each statement; says nothing about those that may run.
pub(crate) struct RefuseChanges;

/// Queries and their explanation, and what clients say about their own connection: settings, cursors, and transactions,
/// which have nothing to undo here.
fn may_run(statement: &Statement) -> bool {
    match statement {
        Statement::Explain { statement, .. } => may_run(statement),
        Statement::Query(_)
        | Statement::ExplainTable { .. }
        | Statement::Set(_)
        | Statement::ShowVariable { .. }
        | Statement::ShowStatus { .. }
        | Statement::ShowCatalogs { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::ShowFunctions { .. }
        | Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Declare { .. }
        | Statement::Fetch { .. }
        | Statement::Close { .. } => true,
        _ => false,
    }
}

fn refusal(statement: &Statement) -> Option<PgWireError> {
    if may_run(statement) {
        return None;
    }
    let text = statement.to_string();
    let word = text.split_whitespace().next().unwrap_or_default();
    let message = format!("the lake is read-only here: {word} is refused; write a SELECT");
    let error = ErrorInfo::new("ERROR".to_owned(), READ_ONLY.to_owned(), message);
    Some(PgWireError::UserError(Box::new(error)))
}

#[async_trait]
impl QueryHook for RefuseChanges {
    async fn handle_simple_query(
        &self,
        statement: &Statement,
        _session: &SessionContext,
        _client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        refusal(statement).map(Err)
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        _session: &SessionContext,
        _client: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        refusal(statement).map(Err)
    }

    async fn handle_extended_query(
        &self,
        statement: &Statement,
        _plan: &LogicalPlan,
        _values: &ParamValues,
        _session: &SessionContext,
        _client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        refusal(statement).map(Err)
    }
}
