//! Owns work that must not get in the way of requests: it runs on a thread of its own, to which the operating system gives
//! the processor when no other thread of the server asks for it.
//!
//! Writing rows as Parquet is arithmetic, a tenth of a second at a time. On the threads of the runtime it would hold up
//! what else they run; at equal priority it would hold up requests on a machine whose cores are all busy.

use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How far the priority is lowered, on the scale of `nice`: such a thread gets about a tenth of a core that others want
/// whole, so the work is slowed down by load but never stopped.
const NICENESS: i32 = 10;

/// Why background work did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BackgroundError {
    /// The operating system gave no thread.
    #[error("no thread for background work could be started")]
    Start(#[source] std::io::Error),
    /// The thread panicked, or the runtime ended.
    #[error("background work was interrupted")]
    Interrupted,
}

/// Runs a future to its end on such a thread. What it waits for is driven by the runtime of the caller.
pub(crate) async fn run<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, BackgroundError> {
    let (sender, receiver) = oneshot::channel();
    let runtime = Handle::current();
    thread::Builder::new()
        .name("lakeloop-flush".to_owned())
        .spawn(move || {
            lower_priority();
            // Whoever waited may have gone.
            let _ = sender.send(runtime.block_on(future));
        })
        .map_err(BackgroundError::Start)?;
    receiver.await.map_err(|_| BackgroundError::Interrupted)
}

/// Lowers the priority of this thread. Where that is not possible it keeps its own.
fn lower_priority() {
    // On Linux a priority belongs to a thread, elsewhere to the process.
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes three numbers and touches no memory; 0 names the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}
