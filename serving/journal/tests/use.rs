//! The journal as those who append and those who flush use it, on a real disk.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use lakeloop_journal::{Journal, JournalError, JournalOptions, MAX_PAYLOAD_BYTES, OsDisk};
use support::{NEVER, many, numbers, open, options, records};

#[test]
fn what_is_appended_is_read_in_order() {
    let root = tempfile::tempdir().unwrap();
    let (journal, recovery) = open(root.path());
    assert_eq!(recovery.segments, []);
    assert_eq!(journal.seal().unwrap(), None);
    let large = vec![7; 3 << 20];
    journal.append(b"first").unwrap();
    journal.append(b"").unwrap();
    journal.append_many([b"third".as_slice(), &large].into_iter()).unwrap();
    let sealed = journal.sealed();
    assert_eq!(
        records(&journal).len(),
        0,
        "the roll is not sealed before it is synced: {sealed:?}"
    );
    assert_eq!(
        journal.seal().unwrap(),
        None,
        "the large record closed the segment already"
    );
    assert_eq!(records(&journal), [b"first".to_vec(), vec![], b"third".to_vec(), large]);
}

#[test]
fn everything_is_found_again_after_closing() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("deep/folder");
    let (journal, _) = open(&folder);
    let id = journal.id().to_string();
    journal.append(b"one").unwrap();
    let one = journal.seal().unwrap().unwrap();
    journal.append(b"two").unwrap();
    journal.append(b"three").unwrap();
    journal.close().unwrap();

    let (journal, recovery) = open(&folder);
    assert_eq!(journal.id(), id);
    assert_eq!(recovery.n_records, 3);
    assert_eq!(recovery.damage, []);
    assert_eq!(recovery.segments, journal.sealed());
    assert_eq!(recovery.segments[0], one);
    assert_eq!(records(&journal), many(&["one", "two", "three"]));
}

#[test]
fn segments_roll_at_their_size_and_keep_their_order() {
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(root.path(), options(1000, NEVER), Arc::new(OsDisk)).unwrap();
    let written: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; 100]).collect();
    for payload in &written {
        journal.append(payload).unwrap();
    }
    journal.seal().unwrap();
    // 24 bytes of header and 10 records of 108 bytes reach 1000.
    assert_eq!(numbers(&journal.sealed()), (1..=10).collect::<Vec<u64>>());
    assert_eq!(records(&journal), written);
}

#[test]
fn a_number_is_never_given_twice() {
    let root = tempfile::tempdir().unwrap();
    let mut expected = 1;
    for _ in 0..4 {
        let (journal, _) = open(root.path());
        for _ in 0..3 {
            journal.append(b"record").unwrap();
            let segment = journal.seal().unwrap().unwrap();
            assert_eq!(segment.get(), expected);
            journal.release(segment).unwrap();
            journal.release(segment).unwrap();
            expected += 1;
        }
        assert_eq!(
            fs::read_dir(root.path()).unwrap().count(),
            2,
            "only lock and identity are left"
        );
    }
}

#[test]
fn a_segment_is_read_in_pieces_as_it_is_at_once() {
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = open(root.path());
    for idx in 0..900_u32 {
        journal.append(&idx.to_le_bytes().repeat(250)).unwrap();
    }
    let segment = journal.seal().unwrap().unwrap();
    let mut reading = journal.reading(segment).unwrap();
    let mut n_pauses = 0;
    let in_pieces = loop {
        match reading.go_on().unwrap() {
            ControlFlow::Continue(rest) => reading = rest,
            ControlFlow::Break(records) => break records,
        }
        n_pauses += 1;
    };
    assert!(
        n_pauses >= 6,
        "900 kB are read and checked in pieces: {n_pauses} pauses"
    );
    assert_eq!(in_pieces.len(), 900);
    assert!(in_pieces.iter().eq(journal.read(segment).unwrap().iter()));
}

#[test]
fn only_sealed_segments_can_be_read_and_released() {
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = open(root.path());
    journal.append(b"one").unwrap();
    let one = journal.seal().unwrap().unwrap();
    journal.append(b"two").unwrap();
    journal.append(b"three").unwrap();
    journal.release(one).unwrap();
    assert!(matches!(journal.read(one), Err(JournalError::NoSuchSegment { segment }) if segment == one));

    let root = tempfile::tempdir().unwrap();
    let (other, _) = open(root.path());
    assert!(matches!(other.release(one), Err(JournalError::NoSuchSegment { .. })));
    other.append(b"active").unwrap();
    assert!(matches!(other.read(one), Err(JournalError::NotSealed { .. })));
    assert!(matches!(other.release(one), Err(JournalError::NotSealed { .. })));
}

#[test]
fn a_full_journal_refuses_until_segments_are_released() {
    let root = tempfile::tempdir().unwrap();
    let limits = JournalOptions {
        segment_bytes: 200,
        max_bytes: 500,
        fsync_interval: NEVER,
    };
    let (journal, _) = Journal::open(root.path(), limits.clone(), Arc::new(OsDisk)).unwrap();
    let n_taken = (0..).take_while(|_| journal.append(&[1; 92]).is_ok()).count();
    assert_eq!(n_taken, 4, "4 records of 100 bytes and 2 headers of 24");
    let refused = journal.append(&[1; 92]);
    assert!(
        matches!(refused, Err(JournalError::Full { limit: 500, used: 448 })),
        "{refused:?}"
    );
    journal.append(&[1; 20]).expect("what still fits is taken");
    journal.close().unwrap();

    let (journal, _) = Journal::open(root.path(), limits, Arc::new(OsDisk)).unwrap();
    assert!(matches!(journal.append(&[1; 92]), Err(JournalError::Full { .. })));
    journal.release(journal.sealed()[0]).unwrap();
    journal.append(&[1; 92]).unwrap();
}

#[test]
fn a_payload_beyond_the_limit_is_refused_and_nothing_of_its_batch_stays() {
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = open(root.path());
    let large = vec![0; MAX_PAYLOAD_BYTES + 1];
    let refused = journal.append_many([b"small".as_slice(), &large].into_iter());
    assert!(matches!(refused, Err(JournalError::PayloadTooLarge { .. })));
    assert_eq!(journal.status().n_bytes, 0);
    journal.append(b"next").unwrap();
    journal.seal().unwrap();
    assert_eq!(records(&journal), many(&["next"]));
}

#[test]
fn one_folder_is_open_once() {
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = open(root.path());
    let second = Journal::open(root.path(), options(1 << 20, NEVER), Arc::new(OsDisk));
    assert!(matches!(second, Err(JournalError::Locked { folder }) if folder == root.path()));
    let ticket = journal.synced(journal.append(b"one").unwrap());
    drop(journal);
    let (_journal, recovery) = open(root.path());
    assert_eq!(recovery.n_records, 1);
    ticket.wait().expect("closing syncs what was written");
}

#[test]
fn a_closed_journal_refuses_its_other_clones() {
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = open(root.path());
    let clone = journal.clone();
    journal.append(b"one").unwrap();
    journal.close().unwrap();
    assert!(matches!(clone.append(b"two"), Err(JournalError::Closed)));
    assert!(matches!(clone.seal(), Err(JournalError::Closed)));
    assert!(matches!(
        clone.release(open(root.path()).0.sealed()[0]),
        Err(JournalError::Closed)
    ));
}

#[test]
fn the_status_counts_bytes_and_segments() {
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = open(root.path());
    let position = journal.append(&[1; 100]).unwrap();
    let status = journal.status();
    assert_eq!(
        (
            status.n_bytes,
            status.n_segments,
            status.n_sealed,
            status.n_unsynced_bytes
        ),
        (132, 1, 0, 132)
    );
    journal.synced(position).wait().unwrap();
    assert_eq!(journal.status().n_unsynced_bytes, 0);
    let segment = journal.seal().unwrap().unwrap();
    assert_eq!((journal.status().n_segments, journal.status().n_sealed), (1, 1));
    let on_disk = fs::metadata(root.path().join("0000000001.seg")).unwrap().len();
    assert_eq!(on_disk, 132);
    journal.release(segment).unwrap();
    let status = journal.status();
    assert_eq!((status.n_bytes, status.n_segments, status.max_bytes), (0, 0, 1 << 30));
    assert_eq!(status.poisoned, None);
}

#[test]
fn unsynced_records_are_synced_in_the_background() {
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(
        root.path(),
        options(1 << 20, Duration::from_millis(1)),
        Arc::new(OsDisk),
    )
    .unwrap();
    for _ in 0..3 {
        journal.append(b"record").unwrap();
        while journal.status().n_unsynced_bytes > 0 {
            thread::yield_now();
        }
    }
}

#[test]
fn eight_threads_lose_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(root.path(), options(5_000, Duration::ZERO), Arc::new(OsDisk)).unwrap();
    thread::scope(|scope| {
        for n_thread in 0..8u32 {
            let journal = journal.clone();
            scope.spawn(move || {
                for n in 0..200u32 {
                    let payload = [n_thread.to_le_bytes(), n.to_le_bytes()].concat();
                    let position = journal.append(&payload).unwrap();
                    if n % 10 == 9 {
                        journal.synced(position).wait().unwrap();
                    }
                    if n % 50 == 49 {
                        journal.seal().unwrap();
                    }
                }
            });
        }
    });
    journal.seal().unwrap();
    let found = records(&journal);
    for n_thread in 0..8u32 {
        let own: Vec<&[u8]> = found
            .iter()
            .filter(|r| r[..4] == n_thread.to_le_bytes())
            .map(|r| &r[4..])
            .collect();
        let expected: Vec<[u8; 4]> = (0..200u32).map(u32::to_le_bytes).collect();
        assert_eq!(own, expected, "thread {n_thread}: in order, once");
    }
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 1600);
}

#[test]
fn a_ticket_can_be_awaited() {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = open(root.path());
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    for _ in 0..20 {
        let mut ticket = pin!(journal.synced(journal.append(b"record").unwrap()));
        while ticket
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .map(Result::unwrap)
            .is_pending()
        {
            thread::park();
        }
        assert_eq!(journal.status().n_unsynced_bytes, 0);
    }
}

#[test]
fn a_position_of_another_journal_is_not_waited_for_in_vain() {
    let (root, other_root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (journal, _) = open(root.path());
    let (other, _) = open(other_root.path());
    journal.synced(other.append(&[1; 1000]).unwrap()).wait().unwrap();
}
