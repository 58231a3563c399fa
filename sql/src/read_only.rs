//! Plans statements of users, and refuses those that would change something.

use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SQLOptions, SessionContext};

use crate::SqlError;

/// Plans one statement. Nothing is read yet: the frame that comes back does that when it is collected.
///
/// Statements that define, change or copy anything, and those that set the session's options, are refused with
/// [`SqlError::ReadOnly`], also inside EXPLAIN.
pub async fn read_only(ctx: &SessionContext, text: &str) -> Result<DataFrame, SqlError> {
    let state = ctx.state();
    let plan = state
        .create_logical_plan(text)
        .await
        .map_err(|source| SqlError::Statement(Box::new(source)))?;
    refuse_changes(&plan)?;
    Ok(DataFrame::new(state, plan))
}

fn refuse_changes(plan: &LogicalPlan) -> Result<(), SqlError> {
    let options = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    match options.verify_plan(plan) {
        Ok(()) => Ok(()),
        Err(DataFusionError::Plan(refusal)) => Err(SqlError::ReadOnly { found: what(&refusal) }),
        Err(other) => Err(SqlError::Statement(Box::new(other))),
    }
}

/// `DDL not supported: CreateView` says it for programmers; the last words say what it was.
fn what(refusal: &str) -> String {
    let name = refusal.rsplit_once(": ").map_or(refusal, |(_, name)| name);
    let mut words = String::new();
    let mut last_is_lower = false;
    for letter in name.chars() {
        if last_is_lower && letter.is_ascii_uppercase() {
            words.push(' ');
        }
        last_is_lower = letter.is_ascii_lowercase();
        words.push(letter.to_ascii_uppercase());
    }
    words
}
