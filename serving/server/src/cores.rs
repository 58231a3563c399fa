//! Owns which core each thread that answers requests runs on.
//!
//! A scheduler likes to run a thread beside the one that woke it. With callers on the same machine, a proxy say, it tends to
//! gather several of the threads that answer on one core while another has nothing to do, and their requests wait for each other.
//! So where there are as many such threads as cores, each keeps to a core of its own. All other threads are free, and make room.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(target_os = "linux")]
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
#[cfg(target_os = "linux")]
use nix::unistd::Pid;

#[cfg(target_os = "linux")]
const THIS_THREAD: Pid = Pid::from_raw(0);

/// The cores that this process may use, by what a thread that was free was allowed.
static ALL: OnceLock<Vec<usize>> = OnceLock::new();

/// The cores of the threads that answer requests.
#[derive(Debug)]
pub(crate) struct Cores {
    /// Empty where threads are free.
    each: Vec<usize>,
    n_taken: AtomicUsize,
}

impl Cores {
    /// A core for each of so many threads, where this process may use exactly as many; otherwise none.
    pub(crate) fn for_threads(n_threads: usize) -> Self {
        let all = ALL.get_or_init(allowed);
        Self {
            each: if all.len() == n_threads {
                all.clone()
            } else {
                Vec::new()
            },
            n_taken: AtomicUsize::new(0),
        }
    }

    /// Keeps this thread on the next core. Where that is not possible the thread stays free.
    pub(crate) fn take_next(&self) {
        if !self.each.is_empty() {
            let n_taken = self.n_taken.fetch_add(1, Ordering::Relaxed);
            keep_to(&[self.each[n_taken % self.each.len()]]);
        }
    }
}

/// Frees this thread, which one that keeps to its core has started.
pub(crate) fn leave() {
    if let Some(all) = ALL.get() {
        keep_to(all);
    }
}

/// The cores that this thread may use; none where that is not known.
#[cfg(target_os = "linux")]
fn allowed() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(THIS_THREAD) else {
        return Vec::new();
    };
    (0..CpuSet::count())
        .filter(|core| set.is_set(*core) == Ok(true))
        .collect()
}

/// Keeps this thread to some cores; to those that it has where there are none.
#[cfg(target_os = "linux")]
fn keep_to(cores: &[usize]) {
    let mut set = CpuSet::new();
    // The operating system refuses an empty set.
    if cores.iter().all(|core| set.set(*core).is_ok()) {
        let _ = sched_setaffinity(THIS_THREAD, &set);
    }
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> Vec<usize> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
fn keep_to(_cores: &[usize]) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use super::*;

    /// What a thread is allowed after the call; the thread of the test stays as it is.
    fn after(act: impl FnOnce() + Send) -> Vec<usize> {
        let acts = || {
            act();
            allowed()
        };
        thread::scope(|scope| scope.spawn(acts).join().unwrap_or_default())
    }

    #[test]
    fn each_thread_keeps_to_a_core_of_its_own_where_there_is_one_for_each() {
        let all = allowed();
        let cores = Cores::for_threads(all.len());
        let taken: Vec<Vec<usize>> = all.iter().map(|_| after(|| cores.take_next())).collect();
        assert_eq!(taken.concat(), all);
        let freed = after(|| {
            cores.take_next();
            leave();
        });
        assert_eq!(freed, all);
    }

    #[test]
    fn threads_are_free_where_there_are_more_or_fewer_of_them() {
        let all = allowed();
        for n_threads in [all.len() + 1, all.len() - 1] {
            let cores = Cores::for_threads(n_threads);
            assert_eq!(after(|| cores.take_next()), all);
        }
    }
}
