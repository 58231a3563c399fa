//! A process that appends is killed with SIGKILL, again and again: every record it acknowledged is found, once.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lakeloop_journal::{Journal, OsDisk};
use support::{open, options, records};

const FOLDER_VARIABLE: &str = "LAKELOOP_JOURNAL_KILL_FOLDER";
const ROUND_VARIABLE: &str = "LAKELOOP_JOURNAL_KILL_ROUND";
const N_THREADS: usize = 3;

/// Not a test of its own: what the killed process runs. It appends from several threads, one of which waits for
/// durability, and says what was acknowledged, until it is killed.
#[test]
fn appending_process() {
    let (Ok(folder), Ok(round)) = (env::var(FOLDER_VARIABLE), env::var(ROUND_VARIABLE)) else {
        return;
    };
    let options = options(20_000, Duration::from_millis(1));
    let (journal, _) = Journal::open(Path::new(&folder), options, Arc::new(OsDisk)).unwrap();
    let append = |n_thread: usize| {
        for n in 0.. {
            let record = format!("{round}-{n_thread}-{n}");
            let position = journal.append(record.as_bytes()).unwrap();
            if n_thread == 0 {
                journal.synced(position).wait().unwrap();
            }
            // One write a line, so that a line is never cut.
            io::stdout()
                .lock()
                .write_all(format!("acknowledged {record}\n").as_bytes())
                .unwrap();
            io::stdout().flush().unwrap();
        }
    };
    thread::scope(|scope| (0..N_THREADS).for_each(|n_thread| drop(scope.spawn(move || append(n_thread)))));
}

/// Runs the appending process, kills it after `n_lines` acknowledgements, and answers all that it made.
fn killed_after(n_lines: usize, folder: &Path, round: usize) -> Vec<String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "appending_process", "--nocapture"])
        .env(FOLDER_VARIABLE, folder)
        .env(ROUND_VARIABLE, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some((_, record)) = line.unwrap().split_once("acknowledged ") {
            acknowledged.push(record.to_string());
        }
        if acknowledged.len() == n_lines {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
    acknowledged
}

#[test]
fn a_killed_process_loses_and_doubles_nothing_that_it_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut lake, mut n_found) = (Vec::new(), BTreeSet::new(), 0);
    for (round, n_lines) in [1, 40, 333, 2000].into_iter().enumerate() {
        acknowledged.extend(killed_after(n_lines, root.path(), round));
        let (journal, _) = open(root.path());
        let found = records(&journal);
        n_found += found.len();
        lake.extend(found.into_iter().map(|record| String::from_utf8(record).unwrap()));
        assert_eq!(lake.len(), n_found, "a record was found twice");
        for segment in journal.sealed() {
            journal.release(segment).unwrap();
        }
    }
    assert!(acknowledged.len() >= 2374);
    let lost: Vec<&String> = acknowledged.iter().filter(|record| !lake.contains(*record)).collect();
    assert_eq!(lost, Vec::<&String>::new());
    // Each thread can have appended one record more than it lived to acknowledge, per round.
    assert!(lake.len() <= acknowledged.len() + 4 * N_THREADS);
}
