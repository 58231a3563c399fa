//! The threads of a search: who takes which trial next and knows of which, and who listens to them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::error::PipelineError;
use crate::parameters::Space;
use crate::race::Rungs;
use crate::search::{Asked, Deadline, LOOKBACK, Problem, SoFar, Watcher, ended, parameters_of};
use crate::trial::{Trainers, Trial, run};

/// Up to this many encoded values every thread gets a copy of the train rows of its own (80 MB); beyond it, one fit at a
/// time uses all threads, and the model depends in its last bits on how many they are.
const MAX_COPIED_VALUES: usize = 20_000_000;

/// The trials that have ended, and who takes which next.
pub(crate) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    ended: Vec<Option<Trial>>,
    next: usize,
}

impl Board {
    /// A place for each trial; those that ended before have ended.
    pub fn new(n_trials: usize, ended_before: &[(usize, Trial)]) -> Self {
        let mut ended: Vec<Option<Trial>> = Vec::new();
        ended.resize_with(n_trials, || None);
        for (idx, trial) in ended_before.iter().filter(|(idx, _)| *idx < n_trials) {
            ended[*idx] = Some(trial.clone());
        }
        Self {
            state: Mutex::new(State { ended, next: 0 }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A worker that panicked left whole trials behind: each is put down in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next position with the trials that it knows of; `None` when there is none, or when `is_over`.
    fn take(&self, is_timed: bool, is_over: &dyn Fn() -> bool) -> Option<(usize, Vec<Trial>)> {
        let mut state = self.lock();
        while state.ended.get(state.next).is_some_and(Option::is_some) {
            state.next += 1;
        }
        let idx = state.next;
        // The first trial runs whatever the budget, if only for a round, so that there is something to choose.
        if idx >= state.ended.len() || idx > 0 && is_over() {
            return None;
        }
        state.next += 1;
        if is_timed {
            let known = state.ended.iter().flatten().cloned().collect();
            return Some((idx, known));
        }
        let n_known = (idx + 1).saturating_sub(LOOKBACK);
        while state.ended[..n_known].iter().any(Option::is_none) {
            if is_over() {
                return None;
            }
            let waited = self.changed.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let known = state.ended[..n_known].iter().flatten().cloned().collect();
        Some((idx, known))
    }

    fn put(&self, idx: usize, trial: Trial) {
        self.lock().ended[idx] = Some(trial);
        self.changed.notify_all();
    }

    /// Those that ended. A gap means that the search was over before that trial was.
    pub fn into_trials(self) -> Vec<Trial> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.ended.into_iter().flatten().collect()
    }
}

/// Runs trials on several threads until there are no more, or no time.
pub(crate) fn run_all(problem: &Problem<'_>, board: &Board, watcher: &mut Watcher<'_>) -> Result<(), PipelineError> {
    let n_trials = board.lock().ended.len();
    let n_workers = n_workers(problem, n_trials);
    let (is_over, fit_seconds) = (AtomicBool::new(false), Mutex::new(BestFit::default()));
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..n_workers {
            let (sender, is_over, fit_seconds) = (sender.clone(), &is_over, &fit_seconds);
            scope.spawn(move || work(problem, board, is_over, fit_seconds, &sender));
        }
        drop(sender);
        let watched = watch(problem, n_trials, &receiver, watcher, &is_over);
        is_over.store(true, Ordering::Relaxed);
        board.changed.notify_all();
        watched
    })
}

/// Listens to the workers and to whoever watches, until all workers have ended.
fn watch(
    problem: &Problem<'_>,
    n_trials: usize,
    receiver: &mpsc::Receiver<(usize, Trial)>,
    watcher: &mut Watcher<'_>,
    is_over: &AtomicBool,
) -> Result<(), PipelineError> {
    // Trials with fewer features come after those that are counted.
    let before = || problem.ended_before.iter().filter(|(idx, _)| *idx < n_trials);
    let values = before().filter_map(|(_, trial)| trial.complete_value());
    let mut best = values.min_by(|a, b| problem.metric.badness(*a).total_cmp(&problem.metric.badness(*b)));
    let mut n_done = before().count() as u32;
    loop {
        let so_far = SoFar {
            n_done,
            n_trials: n_trials as u32,
            best,
            seconds_left: problem.deadline.map(|deadline| deadline.seconds_left()),
        };
        if (watcher.so_far)(so_far).is_break() {
            return Err(PipelineError::Stopped);
        }
        let (idx, trial) = loop {
            match (watcher.asked)() {
                Asked::GoOn => {}
                Asked::ChooseNow => is_over.store(true, Ordering::Relaxed),
                Asked::Stop => return Err(PipelineError::Stopped),
            }
            match receiver.recv_timeout(Duration::from_millis(100)) {
                Ok(ended) => break ended,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            }
        };
        let values = best.into_iter().chain(trial.complete_value());
        best = values.min_by(|a, b| problem.metric.badness(*a).total_cmp(&problem.metric.badness(*b)));
        (watcher.ended)(idx, &trial)?;
        n_done += 1;
    }
}

/// How long the fit of the best model so far took: the last fit will take about as long.
#[derive(Debug, Clone, Copy)]
struct BestFit {
    badness: f64,
    seconds: f64,
}

impl Default for BestFit {
    fn default() -> Self {
        Self {
            badness: f64::INFINITY,
            seconds: 0.0,
        }
    }
}

/// How many fits run at a time.
fn n_workers(problem: &Problem<'_>, n_trials: usize) -> usize {
    ((problem.max_threads / problem.threads_a_fit.max(1)) as usize).clamp(1, n_trials.max(1))
}

/// With how many threads each fit runs, by the number of encoded values.
pub(crate) fn threads_a_fit(n_values: usize, max_threads: u32) -> u32 {
    if n_values > MAX_COPIED_VALUES {
        max_threads.max(1)
    } else {
        1
    }
}

/// Takes one trial after the other until none is left. libxgboost's copy of the rows belongs to this thread.
fn work(
    problem: &Problem<'_>,
    board: &Board,
    is_over: &AtomicBool,
    best_fit: &Mutex<BestFit>,
    sender: &mpsc::Sender<(usize, Trial)>,
) {
    let best_seconds = || best_fit.lock().unwrap_or_else(PoisonError::into_inner).seconds;
    // A fit that is still running may become the best one, whose last fits then take as long again.
    let ends = |running: f64| {
        let is_near = |deadline: Deadline| deadline.is_near(best_seconds().max(running));
        is_over.load(Ordering::Relaxed) || problem.deadline.is_some_and(is_near)
    };
    let mut trainers = Trainers::new(problem.encoding, problem.sample, problem.folds);
    let space = Space::new(
        problem.target,
        problem.folds[0].train.rows.n_rows(),
        &problem.applied.blueprint.learning.search_space,
    );
    let is_timed = problem.deadline.is_some();
    loop {
        let Some((idx, known)) = board.take(is_timed, &|| ends(0.0)) else {
            return;
        };
        let started_at = (problem.clock)();
        let parameters = parameters_of(problem, &space, idx, &known);
        let earlier: Vec<&Rungs> = known.iter().map(|trial| &trial.rungs).collect();
        let begun = Instant::now();
        let ends = || ends(begun.elapsed().as_secs_f64());
        let (rungs, fitted) = run(problem, &mut trainers, &parameters, &earlier, &ends);
        let trial = ended(problem, (idx, parameters), started_at, rungs, fitted);
        if let Ok(fitted) = &trial.fitted {
            let mut best = best_fit.lock().unwrap_or_else(PoisonError::into_inner);
            let badness = problem.metric.badness(fitted.value);
            if badness < best.badness {
                let seconds = fitted.cpu_seconds / problem.folds.len() as f64;
                *best = BestFit { badness, seconds };
            }
        }
        board.put(idx, trial.clone());
        if sender.send((idx, trial)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::simulated::ended_trial;

    #[test]
    fn a_trial_knows_of_those_some_places_before_it_whoever_was_faster() {
        let board = Board::new(8, &[(1, ended_trial(0.2))]);
        let never = || false;
        let taken: Vec<usize> = (0..3).map(|_| board.take(false, &never).unwrap().0).collect();
        assert_eq!(taken, [0, 2, 3], "what had ended before is not run again");
        board.put(3, ended_trial(0.3));
        board.put(0, ended_trial(0.4));
        let (idx, known) = board.take(false, &never).unwrap();
        assert_eq!((idx, known.len()), (4, 1), "trial 4 knows of trial 0 alone");
        let (idx, known) = board.take(true, &never).unwrap();
        assert_eq!(
            (idx, known.len()),
            (5, 3),
            "with a budget of time, of all that have ended"
        );
        assert!(board.take(false, &|| true).is_none());
        assert!(
            Board::new(2, &[]).take(true, &|| true).is_some(),
            "the first one runs all the same"
        );
    }
}
