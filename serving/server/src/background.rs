//! Owns work that must not get in the way of requests: a thread for the flush, and threads for the arithmetic of it, to
//! which the operating system gives the processor when no other thread asks for it.
//!
//! ```text
//!  flush ─► segments ───────────────► rows as Parquet ───────────────────────────► files, log
//!              │ idle thread ── end      │ idle thread ───────────────────── end
//!              └── starved ─► flush      └── starved ─► low-priority thread ─ end
//! ```
//!
//! Reading a segment takes tens of milliseconds, and writing its rows as Parquet a tenth of a second. On the threads of the
//! runtime that would hold up what else they run. At a merely lower priority it holds requests up too, by as long as the
//! scheduler lets a thread run before it gives the core to another. So it begins as work for idle cores, which whatever else
//! wakes up takes the core from at once. On a machine whose cores are never idle such work would not come to an end; at its
//! next pause it is then moved on, and with it all that follows in the same flush: the arithmetic to a thread that gets a small
//! share of a core in any case, and the reading to the flush's own. A flush that is far behind gives way to nobody.
//!
//! Threads inherit the priority of the one that starts them and cannot raise it. So only what starts none runs there, in a
//! runtime of its own: what writes files and asks the log may start threads that serve requests later. Nor may it hold a lock
//! that requests need, for on idle cores it may stand still meanwhile.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How far the priority is lowered, on the scale of `nice`: such a thread gets about a tenth of a core that others want
/// whole, so the work is slowed down by load but never stopped.
const NICENESS: i32 = 10;

/// After this long on idle cores it is asked whether there are any.
const PATIENCE: Duration = Duration::from_millis(250);

/// Work that had less than this share of a core until then is starved.
const LEAST_SHARE: f64 = 0.1;

/// A flush with more than this before it no longer gives way: the lake falls ever further behind the journal, which in the end would
/// be full and refuse requests.
const FAR_BEHIND_BYTES: u64 = 256 << 20;

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

/// Runs a future to its end on a thread of its own, which it may block. What it waits for is driven by the runtime of the
/// caller.
pub(crate) async fn run<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, BackgroundError> {
    let (sender, receiver) = oneshot::channel();
    let runtime = Handle::current();
    thread::Builder::new()
        .name("lakeloop-flush".to_owned())
        .spawn(move || {
            // Whoever waited may have gone.
            let _ = sender.send(runtime.block_on(future));
        })
        .map_err(BackgroundError::Start)?;
    receiver.await.map_err(|_| BackgroundError::Interrupted)
}

/// Arithmetic, which waits for nothing but pauses now and then.
pub(crate) type Work<'w> = Pin<Box<dyn Future<Output = ()> + Send + 'w>>;

/// The work of one flush that requests go before. Work that is dropped because no thread or runtime could be had for it is logged.
#[derive(Debug)]
pub(crate) struct Background {
    /// True once work was starved: there are no idle cores, which the next piece of work need not find out again.
    is_starved: AtomicBool,
    /// Where arithmetic goes then.
    otherwise: Priority,
}

impl Background {
    /// For a flush that has so many bytes of the journals before it.
    pub(crate) fn of_flush(n_bytes: u64) -> Self {
        let is_far_behind = n_bytes > FAR_BEHIND_BYTES;
        Self {
            is_starved: AtomicBool::new(is_far_behind),
            otherwise: if is_far_behind { Priority::Even } else { Priority::Low },
        }
    }

    /// Does the work on idle cores, and blocks until it is done, or starved: then what is left of it is returned.
    pub(crate) fn on_idle_cores<'w>(&self, work: Work<'w>) -> Option<Work<'w>> {
        if self.is_starved.load(Ordering::Relaxed) {
            return Some(work);
        }
        let left = on_thread(work, Priority::Idle);
        self.is_starved.fetch_or(left.is_some(), Ordering::Relaxed);
        left
    }

    /// Does the work on idle cores, or where there are none at a low priority (or none, for a flush that is far behind), and
    /// blocks until it is done.
    pub(crate) fn give_way(&self, work: Work<'_>) {
        if let Some(work) = self.on_idle_cores(work) {
            let _ = on_thread(work, self.otherwise);
        }
    }
}

/// Does the work on a new thread; what is left when it is to go on elsewhere.
fn on_thread(work: Work<'_>, priority: Priority) -> Option<Work<'_>> {
    let runtime = match Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime for background work could be made");
            return None;
        }
    };
    thread::scope(|scope| {
        let working = move || {
            priority.take();
            runtime.block_on(until_starved(work, priority))
        };
        let started = thread::Builder::new()
            .name("lakeloop-encode".to_owned())
            .spawn_scoped(scope, working);
        match started {
            // A panic was told by its own message; the work is gone, which its owner notices.
            Ok(thread) => thread.join().ok().flatten(),
            Err(error) => {
                tracing::error!(%error, "no thread for background work could be started");
                None
            }
        }
    })
}

/// Does the work to its end, or on idle cores to a pause at which it turns out to be starved: then it is returned.
async fn until_starved(mut work: Work<'_>, priority: Priority) -> Option<Work<'_>> {
    let begun = Instant::now();
    let is_done = poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending if priority == Priority::Idle && is_starved(begun.elapsed(), processor_time()) => {
            Poll::Ready(false)
        }
        Poll::Pending => Poll::Pending,
    })
    .await;
    (!is_done).then_some(work)
}

fn is_starved(lasted: Duration, used: Option<Duration>) -> bool {
    lasted >= PATIENCE && used.is_none_or(|used| used.as_secs_f64() < LEAST_SHARE * lasted.as_secs_f64())
}

/// When a thread gets the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Priority {
    /// When nobody else wants it.
    Idle,
    /// Less than others.
    Low,
    /// As others do.
    Even,
}

impl Priority {
    /// Gives the priority to this thread. Where that is not possible it keeps its own.
    #[cfg(target_os = "linux")]
    fn take(self) {
        match self {
            Self::Idle => {
                // SAFETY: a `sched_param` is plain numbers, of which zero is the one that this policy takes.
                let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
                // SAFETY: the call reads the parameters, which outlive it; 0 names the calling thread.
                let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
            }
            // SAFETY: the call takes three numbers and touches no memory; 0 names the calling thread, for on Linux a
            // priority belongs to a thread.
            Self::Low => drop(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) }),
            Self::Even => {}
        }
    }

    /// Elsewhere priorities belong to processes.
    #[cfg(not(target_os = "linux"))]
    fn take(self) {}
}

/// How long this thread has had a processor; `None` where that is not known.
fn processor_time() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to `time`, which outlives it.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0;
    // A thread's time is not negative, and nanoseconds are below a thousand million.
    (!failed).then(|| Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.max(0) as u32))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn work_is_starved_when_it_had_time_and_no_processor() {
        let ms = Duration::from_millis;
        for (lasted, used, starved) in [
            (ms(249), Some(ms(0)), false),
            (ms(250), Some(ms(0)), true),
            (ms(250), Some(ms(24)), true),
            (ms(250), Some(ms(26)), false),
            (ms(1000), Some(ms(99)), true),
            (ms(1000), Some(ms(101)), false),
            (ms(250), None, true),
        ] {
            assert_eq!(is_starved(lasted, used), starved, "{lasted:?} {used:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_future_ends_whether_it_waits_or_not() {
        assert_eq!(run(async { 7 }).await.unwrap(), 7);
        let waits = async {
            tokio::task::yield_now().await;
            8
        };
        assert_eq!(run(waits).await.unwrap(), 8);
        let interrupted = run(async { panic!("planned") }).await;
        assert!(
            matches!(interrupted, Err(BackgroundError::Interrupted)),
            "{interrupted:?}"
        );
    }

    #[test]
    fn work_is_done_when_it_returns_also_what_it_spawned() {
        let numbers: Vec<u32> = (0..1000).collect();
        let mut sum = 0;
        Background::of_flush(0).give_way(Box::pin(async {
            for number in &numbers {
                sum += number;
                tokio::task::yield_now().await;
            }
            sum += tokio::spawn(async { 500 }).await.unwrap();
        }));
        assert_eq!(sum, 500_000);
    }

    #[test]
    fn work_that_panics_is_given_up() {
        let mut was_done = false;
        Background::of_flush(0).give_way(Box::pin(async {
            was_done = std::hint::black_box(false);
            assert!(was_done, "planned");
            was_done = true;
        }));
        assert!(!was_done);
    }

    #[test]
    fn what_one_thread_leaves_another_goes_on_with() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let (sender, receiver) = oneshot::channel();
        let mut received = None;
        let mut work: Work<'_> = Box::pin(async { received = receiver.await.ok() });
        // Polled once here, to its pause.
        let is_pending = runtime.block_on(poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_pending())));
        assert!(is_pending);
        sender.send(9).unwrap();
        assert!(on_thread(work, Priority::Low).is_none());
        assert_eq!(received, Some(9));
    }

    #[test]
    fn a_flush_that_is_far_behind_looks_for_no_idle_cores() {
        let background = Background::of_flush(FAR_BEHIND_BYTES + 1);
        assert_eq!(background.otherwise, Priority::Even);
        let mut was_done = false;
        let left = background.on_idle_cores(Box::pin(async { was_done = true }));
        assert!(left.is_some());
        drop(left);
        background.give_way(Box::pin(async { was_done = true }));
        assert!(was_done);
    }
}
