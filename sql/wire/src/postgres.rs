//! What answers one PostgreSQL connection: a session over the live lake with PostgreSQL's own catalog beside it.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use datafusion_postgres::hooks::cursor::CursorStatementHook;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::pgwire::api::auth::StartupHandler;
use datafusion_postgres::pgwire::api::auth::noop::NoopStartupHandler;
use datafusion_postgres::pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::{ConnectionManager, PgWireServerHandlers};
use datafusion_postgres::{DfSessionService, QueryHook};
use lakeloop_lake::Lake;
use lakeloop_sql::{SqlError, live_session};

use crate::refusal::RefuseChanges;

/// Why a connection has no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Lake(#[from] SqlError),
    #[error("could not set up PostgreSQL's catalog: {0}")]
    Catalog(#[from] Box<DataFusionError>),
}

/// The handlers of a connection, with a session that no other connection shares: what a client sets is its own. The
/// connections are shared only so that one can cancel a statement of another, as psql does.
pub(crate) async fn handlers(lake: &Lake, connections: Arc<ConnectionManager>) -> Result<Connection, SessionError> {
    let ctx = live_session(lake).await?;
    let catalog = ctx.state().config_options().catalog.default_catalog.clone();
    setup_pg_catalog(&ctx, &catalog, EmptyContextProvider)?;
    // The order matters: the hook that refuses comes first.
    let hooks: Vec<Arc<dyn QueryHook>> = vec![
        Arc::new(RefuseChanges),
        Arc::new(CursorStatementHook),
        Arc::new(SetShowHook),
        Arc::new(TransactionStatementHook),
    ];
    let service = Arc::new(DfSessionService::new_with_hooks(Arc::new(ctx), hooks));
    Ok(Connection { service, connections })
}

pub(crate) struct Connection {
    service: Arc<DfSessionService>,
    connections: Arc<ConnectionManager>,
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.service)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.service)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::new(Welcome {
            connections: Arc::clone(&self.connections),
        })
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(DefaultCancelHandler::new(Arc::clone(&self.connections)))
    }
}

/// Lets everybody in: only this machine can connect.
struct Welcome {
    connections: Arc<ConnectionManager>,
}

impl NoopStartupHandler for Welcome {
    fn connection_manager(&self) -> Option<Arc<ConnectionManager>> {
        Some(Arc::clone(&self.connections))
    }
}
