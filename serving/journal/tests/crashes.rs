//! Whatever the order of appends, syncs, seals, flushes, faults, kills and power losses: what was promised is in the
//! lake or the journal, once.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lakeloop_journal::{Crash, FaultDisk, Journal, JournalError, JournalOptions, Operation};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::NEVER;

#[derive(Debug, Clone)]
enum Step {
    /// This many records of this many filling bytes.
    Append(usize, usize),
    /// Waits until everything is durable.
    Sync,
    Seal,
    /// Takes up to this many sealed segments into the lake.
    Flush(usize),
    Reopen,
    Crash(Crash),
    /// The power goes at a later operation.
    CutPower(u64),
    Limit(u64),
    Fail(Operation, u64),
}

/// What the outside world knows: what it appended, was promised, and has taken into the lake.
struct Model {
    disk: FaultDisk,
    options: JournalOptions,
    journal: Option<Journal>,
    next_record: u64,
    id: Option<String>,
    /// Appends that were answered with success and can only be lost with the power.
    written: BTreeSet<u64>,
    /// Those of them that the open journal took.
    appended: BTreeSet<u64>,
    /// Those whose ticket resolved, or that an open found.
    promised: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    lake: BTreeSet<u64>,
    lake_version: u64,
    /// Whether a sync of this disk was made to fail, after which what is found at open is not known to be durable.
    is_doubtful: bool,
}

impl Model {
    fn new(fsync_interval: Duration) -> Model {
        let options = JournalOptions {
            segment_bytes: 300,
            max_bytes: 5_000,
            fsync_interval,
        };
        let mut model = Model {
            disk: FaultDisk::new(),
            options,
            journal: None,
            next_record: 0,
            id: None,
            written: BTreeSet::new(),
            appended: BTreeSet::new(),
            promised: BTreeSet::new(),
            refused: BTreeSet::new(),
            lake: BTreeSet::new(),
            lake_version: 0,
            is_doubtful: false,
        };
        model.open();
        model
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(n_records, n_filling) => self.append(*n_records, *n_filling),
            Step::Sync => self.sync(),
            Step::Seal => drop(self.journal().seal()),
            Step::Flush(n_segments) => self.flush(*n_segments),
            Step::Reopen => {
                drop(self.journal.take());
                self.open();
            }
            Step::Crash(crash) => self.crash(*crash),
            Step::CutPower(n_operations) => self.disk.cut_power_after(*n_operations),
            Step::Limit(n_bytes) => self.disk.limit(Some(*n_bytes)),
            Step::Fail(operation, n_before) => {
                self.is_doubtful |= *operation == Operation::Sync;
                self.disk.fail_after(*operation, *n_before, io::ErrorKind::Other);
            }
        }
        if self.disk.is_off() {
            self.crash(Crash::PowerKeepingSome { seed: self.next_record });
        }
    }

    fn journal(&self) -> &Journal {
        self.journal.as_ref().expect("it is closed only within a step")
    }

    fn append(&mut self, n_records: usize, n_filling: usize) {
        let records: Vec<u64> = (self.next_record..).take(n_records).collect();
        self.next_record += n_records as u64;
        let payloads: Vec<Vec<u8>> = records.iter().map(|record| payload(*record, n_filling)).collect();
        match self.journal().append_many(payloads.iter().map(Vec::as_slice)) {
            Ok(_) => {
                self.written.extend(&records);
                self.appended.extend(&records);
            }
            // A write that failed and could not be taken back: neither written nor refused.
            Err(JournalError::Poisoned { .. }) => {}
            Err(_) if self.disk.is_off() => {}
            Err(_) => self.refused.extend(records),
        }
    }

    fn sync(&mut self) {
        let Ok(position) = self.journal().append_many(std::iter::empty()) else {
            return;
        };
        if self.journal().synced(position).wait().is_ok() {
            self.promised.extend(&self.appended);
        }
    }

    /// Takes segments oldest first; a segment is remembered in the same step, as one commit does.
    fn flush(&mut self, n_segments: usize) {
        let journal = self.journal().clone();
        for segment in journal.sealed().into_iter().take(n_segments) {
            if segment.get() > self.lake_version {
                let Ok(payloads) = journal.read(segment) else { return };
                self.lake_version = segment.get();
                for payload in payloads.iter() {
                    assert!(self.lake.insert(record_of(payload)), "a record entered the lake twice");
                }
            }
            if journal.release(segment).is_err() {
                return;
            }
        }
    }

    fn crash(&mut self, crash: Crash) {
        self.disk = self.disk.after(crash);
        self.journal = None;
        if crash != Crash::Process {
            self.written = self.promised.clone();
            self.is_doubtful = false;
        }
        self.open();
    }

    /// Opens, with as many attempts as there are faults in the way, and checks what is found.
    fn open(&mut self) {
        let (journal, recovery) = loop {
            let attempt = Journal::open(Path::new("/journal"), self.options.clone(), Arc::new(self.disk.clone()));
            match attempt {
                Ok(opened) => break opened,
                Err(JournalError::Io { .. } | JournalError::DiskFull { .. }) => {
                    self.disk.limit(None);
                    if self.disk.is_off() {
                        self.disk = self.disk.after(Crash::PowerKeepingSome { seed: self.next_record });
                        self.written = self.promised.clone();
                        self.is_doubtful = false;
                    }
                }
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(self.id.get_or_insert(journal.id().to_string()), journal.id());
        assert_eq!(recovery.segments, journal.sealed());
        let mut found = BTreeSet::new();
        for segment in journal.sealed() {
            let payloads = journal.read(segment).unwrap();
            if segment.get() > self.lake_version {
                for payload in payloads.iter() {
                    let record = record_of(payload);
                    assert!(found.insert(record), "record {record} is there twice");
                    assert!(record < self.next_record);
                }
            }
        }
        assert!(found.is_disjoint(&self.lake), "records would enter the lake twice");
        assert!(found.is_disjoint(&self.refused), "a refused record came back");
        let kept: BTreeSet<u64> = found.union(&self.lake).copied().collect();
        assert!(
            kept.is_superset(&self.written),
            "lost: {:?}",
            self.written.difference(&kept)
        );
        self.written = kept;
        self.appended.clear();
        match self.is_doubtful {
            true => self.promised.extend(&self.lake),
            false => self.promised.clone_from(&self.written),
        }
        self.journal = Some(journal);
    }
}

fn payload(record: u64, n_filling: usize) -> Vec<u8> {
    let filling = (0..n_filling).map(|index| (record as u8).wrapping_add(index as u8));
    record.to_le_bytes().into_iter().chain(filling).collect()
}

fn record_of(payload: &[u8]) -> u64 {
    let record = u64::from_le_bytes(payload[..8].try_into().unwrap());
    assert_eq!(
        payload,
        self::payload(record, payload.len() - 8),
        "a payload was changed"
    );
    record
}

fn crashes() -> impl Strategy<Value = Crash> {
    prop_oneof![
        Just(Crash::Process),
        Just(Crash::Power),
        any::<u64>().prop_map(|seed| Crash::PowerKeepingSome { seed }),
    ]
}

fn operations() -> impl Strategy<Value = Operation> {
    prop::sample::select(vec![
        Operation::Create,
        Operation::Append,
        Operation::Truncate,
        Operation::Sync,
        Operation::SyncFolder,
        Operation::Rename,
        Operation::Remove,
    ])
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1..4usize, 0..200usize).prop_map(|(n_records, n_filling)| Step::Append(n_records, n_filling)),
        4 => Just(Step::Sync),
        3 => Just(Step::Seal),
        4 => (1..4usize).prop_map(Step::Flush),
        1 => Just(Step::Reopen),
        2 => crashes().prop_map(Step::Crash),
        2 => (0..12u64).prop_map(Step::CutPower),
        1 => (0..6_000u64).prop_map(Step::Limit),
        1 => (operations(), 0..4u64).prop_map(|(operation, n_before)| Step::Fail(operation, n_before)),
    ]
}

fn run(fsync_interval: Duration, steps: &[Step]) {
    let mut model = Model::new(fsync_interval);
    for step in steps {
        model.step(step);
    }
    model.crash(Crash::Power);
    model.step(&Step::Flush(usize::MAX));
    assert!(model.lake.is_superset(&model.promised));
    assert_eq!(model.journal().status().n_bytes, 0);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(2022),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_keeps_what_was_promised(steps in prop::collection::vec(steps(), 1..60)) {
        run(NEVER, &steps);
    }

    #[test]
    fn any_sequence_keeps_what_was_promised_while_syncs_run_in_the_background(
        steps in prop::collection::vec(steps(), 1..60),
    ) {
        run(Duration::ZERO, &steps);
    }
}

#[test]
fn a_power_loss_at_any_operation_keeps_what_was_promised() {
    let story = [
        Step::Append(2, 100),
        Step::Sync,
        Step::Append(3, 50),
        Step::Append(1, 200),
        Step::Seal,
        Step::Append(1, 10),
        Step::Flush(1),
        Step::Append(2, 10),
        Step::Sync,
        Step::Flush(9),
        Step::Append(1, 10),
        Step::Seal,
        Step::Flush(9),
    ];
    for n_operations in 0..80 {
        for seed in 0..4 {
            let mut model = Model::new(NEVER);
            model.next_record = seed * 1_000;
            model.step(&Step::CutPower(n_operations));
            story.iter().for_each(|step| model.step(step));
            model.crash(Crash::Power);
        }
    }
}
