//! A listening endpoint: accepts connections, at most so many at a time, until it is shut down.

use std::net::SocketAddr;
use std::sync::Arc;

use datafusion_postgres::pgwire::api::ConnectionManager;
use datafusion_postgres::pgwire::tokio::process_socket;
use lakeloop_lake::Lake;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::postgres;

/// More connections than this at a time wait to be accepted: PostgreSQL's own default.
const MAX_CONNECTIONS: usize = 100;

/// Why an endpoint could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Others than this machine could connect.
    #[error("cannot serve SQL at {listen}: there is no authentication, so only this machine may connect; write 127.0.0.1:{}", listen.port())]
    NotLoopback {
        /// The address.
        listen: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot serve SQL at {listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// A running endpoint. Dropping it leaves it running until the process ends.
#[derive(Debug)]
pub struct Endpoint {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Endpoint {
    /// Where it listens; with the port that the system chose when 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops listening and ends the connections, statements under way included: all they do is read.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        // The task neither panics nor is it cancelled, and there is nothing to do about it if it were.
        let _ = self.accepting.await;
    }
}

/// Serves the lake to PostgreSQL clients on a loopback address, for reading only.
///
/// Any user and database name will do, without a password.
pub async fn serve_postgres(lake: &Lake, listen: SocketAddr) -> Result<Endpoint, WireError> {
    if !listen.ip().is_loopback() {
        return Err(WireError::NotLoopback { listen });
    }
    let failed = |source| WireError::Listen { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let (stop, stopped) = watch::channel(false);
    let accepting = tokio::spawn(accept(listener, lake.clone(), stopped));
    Ok(Endpoint { addr, stop, accepting })
}

async fn accept(listener: TcpListener, lake: Lake, mut stopped: watch::Receiver<bool>) {
    let manager = Arc::new(ConnectionManager::new());
    let mut connections = JoinSet::new();
    loop {
        let has_room = connections.len() < MAX_CONNECTIONS;
        tokio::select! {
            () = told_to_stop(&mut stopped) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, client)) => {
                    connections.spawn(serve(stream, client, lake.clone(), Arc::clone(&manager)));
                }
                Err(error) => tracing::warn!(%error, "a PostgreSQL connection could not be accepted"),
            },
        }
    }
    connections.shutdown().await;
}

/// Returns when the endpoint is to stop. Without a sender nobody can tell it any more, so it goes on.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    let told = stopped.wait_for(|stop| *stop).await.is_ok();
    if !told {
        std::future::pending::<()>().await;
    }
}

async fn serve(stream: TcpStream, client: SocketAddr, lake: Lake, manager: Arc<ConnectionManager>) {
    let handlers = match postgres::handlers(&lake, manager).await {
        Ok(handlers) => handlers,
        Err(error) => return tracing::warn!(%client, %error, "a PostgreSQL connection got no session"),
    };
    if let Err(error) = process_socket(stream, None, handlers).await {
        tracing::debug!(%client, %error, "a PostgreSQL connection broke");
    }
}
