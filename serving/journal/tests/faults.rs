//! A disk that fills up or fails: what is refused is not there, what was taken is.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use lakeloop_journal::{Crash, Disk, DiskFile, FaultDisk, Journal, JournalError, Operation};
use support::{NEVER, many, open_on, options, records};

#[test]
fn a_disk_that_fills_at_any_byte_refuses_cleanly_and_goes_on_when_there_is_room() {
    let n_bytes_in_all = {
        let disk = FaultDisk::new();
        let (journal, _) = open_on(disk.clone(), options(100, NEVER));
        (0..10u8).for_each(|n| drop(journal.append(&[n; 30])));
        journal.status().n_bytes + 200
    };
    for n_bytes in 0..n_bytes_in_all {
        let disk = FaultDisk::new();
        let (journal, _) = open_on(disk.clone(), options(100, NEVER));
        disk.limit(Some(n_bytes));
        let mut taken = Vec::new();
        for n in 0..10u8 {
            match journal.append_many([[n; 15].as_slice(), &[n; 15]].into_iter()) {
                Ok(_) => taken.extend([[n; 15], [n; 15]]),
                Err(JournalError::DiskFull { path, .. }) => assert!(path.starts_with("/journal")),
                Err(other) => panic!("at {n_bytes} bytes: {other}"),
            }
        }
        disk.limit(None);
        journal.append(&[99; 15]).unwrap();
        taken.push([99; 15]);
        journal.seal().unwrap();
        assert_eq!(records(&journal), taken, "at {n_bytes} bytes");
        for crash in [Crash::Process, Crash::Power] {
            let (journal, recovery) = open_on(disk.after(crash), options(100, NEVER));
            assert_eq!(recovery.damage, [], "at {n_bytes} bytes");
            assert_eq!(records(&journal), taken, "at {n_bytes} bytes");
        }
    }
}

#[test]
fn any_append_that_the_disk_fails_is_refused_and_taken_back() {
    for n_before in 0..6 {
        let disk = FaultDisk::new();
        let (journal, _) = open_on(disk.clone(), options(100, NEVER));
        disk.fail_after(Operation::Append, n_before, io::ErrorKind::Other);
        let taken: Vec<Vec<u8>> = (0..6u8)
            .map(|n| vec![n; 30])
            .filter(|payload| journal.append(payload).is_ok())
            .collect();
        assert_eq!(taken.len(), 5);
        journal.seal().unwrap();
        assert_eq!(records(&journal), taken);
    }
}

#[test]
fn a_segment_that_cannot_be_created_refuses_the_append_and_nothing_else() {
    let disk = FaultDisk::new();
    let (journal, _) = open_on(disk.clone(), options(100, NEVER));
    disk.fail_after(Operation::Create, 0, io::ErrorKind::StorageFull);
    assert!(matches!(
        journal.append(b"one"),
        Err(JournalError::DiskFull { action: "create", .. })
    ));
    journal.append(b"two").unwrap();
    assert_eq!(journal.seal().unwrap().unwrap().get(), 1);
}

#[test]
fn a_failed_sync_poisons_the_journal_until_it_is_opened_again() {
    for operation in [Operation::Sync, Operation::SyncFolder] {
        let disk = FaultDisk::new();
        let (journal, _) = open_on(disk.clone(), options(1 << 20, NEVER));
        let durable = match operation {
            Operation::Sync => journal.append(b"durable").unwrap(),
            _ => journal.append_many(std::iter::empty()).unwrap(),
        };
        journal.synced(durable).wait().unwrap();
        let lost = journal.append(b"doubtful").unwrap();
        disk.fail_after(operation, 0, io::ErrorKind::Other);
        let refused = journal.synced(lost).wait();
        assert!(
            matches!(refused, Err(JournalError::Poisoned { .. })),
            "{operation:?}: {refused:?}"
        );
        assert!(matches!(journal.append(b"refused"), Err(JournalError::Poisoned { .. })));
        assert!(matches!(journal.seal(), Err(JournalError::Poisoned { .. })));
        assert!(matches!(
            journal.synced(lost).wait(),
            Err(JournalError::Poisoned { .. })
        ));
        journal.synced(durable).wait().expect("what was durable stays so");
        assert!(journal.status().poisoned.unwrap().contains("cannot sync /journal"));
        assert!(matches!(journal.clone().close(), Err(JournalError::Poisoned { .. })));

        let (journal, recovery) = open_on(disk.after(Crash::Process), options(1 << 20, NEVER));
        assert_eq!(recovery.n_records, if operation == Operation::Sync { 2 } else { 1 });
        journal.append(b"taken again").unwrap();
    }
}

#[test]
fn a_sync_that_succeeds_after_a_failed_one_is_not_believed() {
    let disk = FaultDisk::new();
    let (journal, _) = open_on(disk.clone(), options(1 << 20, NEVER));
    let position = journal.append(b"doubtful").unwrap();
    disk.fail_after(Operation::Sync, 0, io::ErrorKind::Other);
    assert!(journal.synced(position).wait().is_err());
    assert!(journal.synced(position).wait().is_err());
    let (_, recovery) = open_on(disk.after(Crash::Power), options(1 << 20, NEVER));
    assert_eq!(recovery.n_records, 0, "the disk did lose it");
}

#[test]
fn sealed_segments_of_a_poisoned_journal_can_be_read_and_released() {
    let disk = FaultDisk::new();
    let (journal, _) = open_on(disk.clone(), options(1 << 20, NEVER));
    journal.append(b"sealed").unwrap();
    let segment = journal.seal().unwrap().unwrap();
    let position = journal.append(b"doubtful").unwrap();
    disk.fail_after(Operation::Sync, 0, io::ErrorKind::Other);
    assert!(journal.synced(position).wait().is_err());
    assert_eq!(records(&journal), many(&["sealed"]));
    journal.release(segment).unwrap();
    assert_eq!(journal.sealed(), []);
}

struct CountedWaker(AtomicUsize);

impl Wake for CountedWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_write_that_cannot_be_taken_back_poisons_and_tells_all_who_wait() {
    for operation in [Operation::Truncate, Operation::Sync] {
        let gate = Gate::new();
        let (journal, _) = open_on(gate.disk.clone(), options(1 << 20, NEVER));
        let position = journal.append(b"waits").unwrap();
        let counted = Arc::new(CountedWaker(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&counted));
        let blocked = {
            let ticket = journal.synced(position);
            thread::spawn(move || ticket.wait())
        };
        gate.arrived();
        let mut ticket = pin!(journal.synced(position));
        assert!(ticket.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());

        gate.disk.is_gated.store(0, Ordering::SeqCst);
        gate.disk
            .inner
            .fail_after(Operation::Append, 0, io::ErrorKind::StorageFull);
        gate.disk.inner.fail_after(operation, 0, io::ErrorKind::Other);
        assert!(matches!(journal.append(b"half"), Err(JournalError::Poisoned { .. })));
        assert!(matches!(journal.append(b"next"), Err(JournalError::Poisoned { .. })));
        assert!(matches!(blocked.join().unwrap(), Err(JournalError::Poisoned { .. })));
        gate.open();
        while counted.0.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        assert!(matches!(
            ticket.poll(&mut Context::from_waker(&waker)),
            Poll::Ready(Err(_))
        ));
        drop(journal);
        let (journal, _) = open_on(gate.disk.inner.after(Crash::Process), options(1 << 20, NEVER));
        assert_eq!(records(&journal), many(&["waits"]));
    }
}

#[test]
fn a_release_that_fails_can_be_tried_again() {
    for operation in [
        Operation::Create,
        Operation::Append,
        Operation::Sync,
        Operation::Rename,
        Operation::SyncFolder,
        Operation::Remove,
    ] {
        let disk = FaultDisk::new();
        let (journal, _) = open_on(disk.clone(), options(1 << 20, NEVER));
        journal.append(b"one").unwrap();
        let segment = journal.seal().unwrap().unwrap();
        disk.fail_after(operation, 0, io::ErrorKind::Other);
        assert!(
            matches!(journal.release(segment), Err(JournalError::Io { .. })),
            "{operation:?}"
        );
        assert_eq!(journal.sealed(), [segment]);
        journal.release(segment).unwrap();
        assert_eq!((journal.sealed(), journal.status().n_bytes), (vec![], 0));
        journal.append(b"two").unwrap();
        assert_eq!(journal.seal().unwrap().unwrap().get(), 2);
    }
}

#[test]
fn an_open_that_fails_anywhere_can_be_tried_again() {
    let damaged = || {
        let disk = FaultDisk::new();
        let (journal, _) = open_on(disk.clone(), options(1 << 20, NEVER));
        for payload in ["one", "two", "three"] {
            journal.append(payload.as_bytes()).unwrap();
        }
        journal.close().unwrap();
        let path = Path::new("/journal/0000000001.seg");
        let mut bytes = disk.read(path).unwrap();
        bytes[24 + 11 + 8] ^= 1;
        bytes.extend_from_slice(b"torn");
        disk.overwrite(path, &bytes).unwrap();
        disk
    };
    for n_operations in 0.. {
        let disk = damaged();
        disk.cut_power_after(n_operations);
        let is_done = Journal::open(Path::new("/journal"), options(1 << 20, NEVER), Arc::new(disk.clone())).is_ok();
        let (journal, recovery) = open_on(disk.after(Crash::Power), options(1 << 20, NEVER));
        assert_eq!(
            records(&journal),
            many(&["one", "three"]),
            "power lost at operation {n_operations}"
        );
        assert!(is_done || n_operations < 40);
        if is_done {
            assert_eq!(recovery.damage, []);
            break;
        }
    }
}

/// How long a broken journal is waited for before its test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk whose file syncs wait at a gate, so that a test decides what happens meanwhile.
#[derive(Clone)]
struct GatedDisk {
    inner: FaultDisk,
    arrivals: Sender<()>,
    passes: Arc<Mutex<Receiver<()>>>,
    is_gated: Arc<AtomicUsize>,
}

struct Gate {
    disk: GatedDisk,
    arrivals: Receiver<()>,
    passes: Sender<()>,
}

impl Gate {
    fn new() -> Gate {
        let ((arrivals, arrived), (passes, passed)) = (channel(), channel());
        let inner = FaultDisk::new();
        let disk = GatedDisk {
            inner,
            arrivals,
            passes: Arc::new(Mutex::new(passed)),
            is_gated: Arc::default(),
        };
        disk.is_gated.store(1, Ordering::SeqCst);
        // Opening a new journal syncs its identity once.
        passes.send(()).unwrap();
        let gate = Gate {
            disk,
            arrivals: arrived,
            passes,
        };
        drop(open_on(gate.disk.clone(), options(1 << 20, NEVER)));
        gate.arrived();
        gate
    }

    /// Waits until a sync has come to the gate.
    fn arrived(&self) {
        self.arrivals.recv_timeout(PATIENCE).unwrap();
    }

    /// Lets one sync through.
    fn open(&self) {
        self.passes.send(()).unwrap();
    }
}

struct GatedFile {
    inner: Arc<dyn DiskFile>,
    disk: GatedDisk,
}

impl DiskFile for GatedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.inner.append(bytes)
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.inner.truncate(len)
    }
    fn sync(&self) -> io::Result<()> {
        if self.disk.is_gated.load(Ordering::SeqCst) == 1 {
            self.disk.arrivals.send(()).unwrap();
            self.disk.passes.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        self.inner.sync()
    }
}

impl Disk for GatedDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.inner.create_folder(folder)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.inner.list(folder)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.inner.lock(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(GatedFile {
            inner: self.inner.create(path)?,
            disk: self.clone(),
        }))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(GatedFile {
            inner: self.inner.open(path)?,
            disk: self.clone(),
        }))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.inner.read(path)
    }

    fn read_on(&self, path: &Path, bytes: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        self.inner.read_on(path, bytes, most)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.inner.sync_folder(folder)
    }
}

#[test]
fn appends_go_on_during_a_sync_and_those_who_wait_meanwhile_share_the_next() {
    let gate = Gate::new();
    let (journal, _) = open_on(gate.disk.clone(), options(1 << 20, NEVER));
    let n_syncs_before = gate.disk.inner.n_syncs();
    let first = journal.synced(journal.append(b"first").unwrap());
    gate.arrived();
    let shared: Vec<_> = (0..50)
        .map(|_| journal.synced(journal.append(b"meanwhile").unwrap()))
        .collect();
    gate.open();
    first.wait().unwrap();
    gate.arrived();
    assert!(journal.status().n_unsynced_bytes > 0);
    gate.open();
    shared.into_iter().for_each(|ticket| ticket.wait().unwrap());
    assert_eq!(gate.disk.inner.n_syncs() - n_syncs_before, 2);
    assert_eq!(journal.status().n_unsynced_bytes, 0);
}
