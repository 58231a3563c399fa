//! What opening does with a folder that was damaged, torn or is not a journal's, on a real disk.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lakeloop_journal::{Damage, DamageKind, Journal, JournalError, OsDisk};
use support::{NEVER, many, numbers, open, options, records};

const SEGMENT: &str = "0000000001.seg";
const HEADER_BYTES: usize = 24;

/// A closed journal of one segment with four records, and the bytes of that segment.
fn closed_journal() -> (tempfile::TempDir, Vec<u8>) {
    let root = tempfile::tempdir().unwrap();
    let (journal, _) = open(root.path());
    for payload in ["one", "two", "three", "the last"] {
        journal.append(payload.as_bytes()).unwrap();
    }
    journal.close().unwrap();
    let bytes = fs::read(root.path().join(SEGMENT)).unwrap();
    (root, bytes)
}

/// The files of a folder and below, except the lock.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else if path.file_name().unwrap() != "lock" {
            files.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    files
}

/// Opens a damaged folder, checks what is found, and that opening again finds the same without damage.
fn check(folder: &Path, expected: &[&'static str], kinds: &[DamageKind]) -> Vec<Damage> {
    let (journal, recovery) = open(folder);
    assert_eq!(records(&journal), many(expected));
    assert_eq!(recovery.n_records, expected.len() as u64);
    assert_eq!(
        recovery.damage.iter().map(|damage| damage.kind).collect::<Vec<_>>(),
        kinds
    );
    assert_eq!(
        journal.status().n_bytes,
        journal.sealed().len() as u64 * fs::metadata(folder.join(SEGMENT)).map_or(0, |file| file.len())
    );
    journal.close().unwrap();

    let (journal, again) = open(folder);
    assert_eq!(records(&journal), many(expected));
    assert_eq!(again.damage, []);
    assert_eq!(again.segments, recovery.segments);
    journal.append(b"next").unwrap();
    assert_eq!(
        journal.seal().unwrap().unwrap().get(),
        2,
        "the number of the damaged segment is not used again"
    );
    recovery.damage
}

#[test]
fn a_record_torn_at_any_byte_is_set_aside_and_those_before_it_stay() {
    let (_, bytes) = closed_journal();
    let last = bytes.len() - 8 - "the last".len();
    for cut in last + 1..bytes.len() {
        let (root, _) = closed_journal();
        fs::write(root.path().join(SEGMENT), &bytes[..cut]).unwrap();
        let damage = check(root.path(), &["one", "two", "three"], &[DamageKind::TornTail]);
        let moved_to = root.path().join(format!("damaged/0000000001-{last}.bin"));
        let expected = Damage {
            path: root.path().join(SEGMENT),
            segment: damage[0].segment,
            offset: last as u64,
            n_bytes: (cut - last) as u64,
            kind: DamageKind::TornTail,
            moved_to: moved_to.clone(),
        };
        assert_eq!(damage, [expected]);
        assert_eq!(fs::read(moved_to).unwrap(), &bytes[last..cut]);
        assert_eq!(fs::read(root.path().join(SEGMENT)).unwrap(), &bytes[..last]);
    }
}

#[test]
fn a_zero_filled_tail_is_set_aside() {
    let (root, bytes) = closed_journal();
    fs::write(root.path().join(SEGMENT), [bytes, vec![0; 4096]].concat()).unwrap();
    check(
        root.path(),
        &["one", "two", "three", "the last"],
        &[DamageKind::TornTail],
    );
}

#[test]
fn a_corrupt_record_is_set_aside_and_all_others_stay() {
    let (root, mut bytes) = closed_journal();
    let second = HEADER_BYTES + 8 + "one".len();
    bytes[second + 9] ^= 0x10;
    fs::write(root.path().join(SEGMENT), &bytes).unwrap();
    let damage = check(root.path(), &["one", "three", "the last"], &[DamageKind::CorruptRecord]);
    assert_eq!((damage[0].offset, damage[0].n_bytes), (second as u64, 11));
    assert_eq!(fs::read(&damage[0].moved_to).unwrap(), &bytes[second..second + 11]);
    let shown = damage[0].to_string();
    assert!(
        shown.contains("0000000001.seg: 11 bytes at offset 35 were a checksum mismatch"),
        "{shown}"
    );
}

#[test]
fn a_corrupt_length_costs_only_its_own_record() {
    let (root, mut bytes) = closed_journal();
    bytes[HEADER_BYTES] ^= 0x04;
    fs::write(root.path().join(SEGMENT), &bytes).unwrap();
    check(root.path(), &["two", "three", "the last"], &[DamageKind::CorruptRecord]);
}

#[test]
fn a_corrupt_header_costs_no_record() {
    for at in 0..HEADER_BYTES {
        let (root, mut bytes) = closed_journal();
        bytes[at] ^= 0x40;
        fs::write(root.path().join(SEGMENT), &bytes).unwrap();
        check(
            root.path(),
            &["one", "two", "three", "the last"],
            &[DamageKind::CorruptHeader],
        );
    }
}

#[test]
fn several_damages_in_one_segment_are_all_reported() {
    let (root, mut bytes) = closed_journal();
    bytes[3] ^= 1;
    bytes[HEADER_BYTES + 8] ^= 1;
    bytes.truncate(bytes.len() - 1);
    fs::write(root.path().join(SEGMENT), &bytes).unwrap();
    let kinds = [
        DamageKind::CorruptHeader,
        DamageKind::CorruptRecord,
        DamageKind::TornTail,
    ];
    check(root.path(), &["two", "three"], &kinds);
}

#[test]
fn a_segment_without_an_intact_record_is_set_aside_as_a_whole_and_its_number_stays_used() {
    let (root, bytes) = closed_journal();
    fs::write(root.path().join(SEGMENT), &bytes[..HEADER_BYTES + 9]).unwrap();
    check(root.path(), &[], &[DamageKind::TornTail]);
    for unfinished in [&bytes[..10], &[0; 500]] {
        let (root, _) = closed_journal();
        fs::write(root.path().join(SEGMENT), unfinished).unwrap();
        let damage = check(root.path(), &[], &[DamageKind::TornTail]);
        assert_eq!(fs::read(&damage[0].moved_to).unwrap(), unfinished);
    }
    for empty in [&bytes[..0], &bytes[..HEADER_BYTES]] {
        let (root, _) = closed_journal();
        fs::write(root.path().join(SEGMENT), empty).unwrap();
        check(root.path(), &[], &[]);
    }
}

#[test]
fn damage_that_was_set_aside_earlier_is_never_overwritten() {
    let (root, mut bytes) = closed_journal();
    let damaged = root.path().join(format!("damaged/0000000001-{HEADER_BYTES}.bin"));
    fs::create_dir(root.path().join("damaged")).unwrap();
    fs::write(&damaged, "of an earlier time").unwrap();
    bytes[HEADER_BYTES + 8] ^= 1;
    fs::write(root.path().join(SEGMENT), &bytes).unwrap();
    let damage = check(root.path(), &["two", "three", "the last"], &[DamageKind::CorruptRecord]);
    assert_eq!(
        damage[0].moved_to,
        root.path().join(format!("damaged/0000000001-{HEADER_BYTES}-1.bin"))
    );
    assert_eq!(fs::read(damaged).unwrap(), b"of an earlier time");
}

#[test]
fn damage_after_opening_is_an_error_until_the_journal_is_opened_again() {
    let (root, mut bytes) = closed_journal();
    let (journal, recovery) = open(root.path());
    bytes[HEADER_BYTES + 8] ^= 1;
    fs::write(root.path().join(SEGMENT), &bytes).unwrap();
    let read = journal.read(recovery.segments[0]);
    assert!(
        matches!(read, Err(JournalError::DamagedSegment { offset: 24, .. })),
        "{read:?}"
    );
    journal.close().unwrap();
    check(root.path(), &["two", "three", "the last"], &[DamageKind::CorruptRecord]);
}

#[test]
fn what_interrupted_writes_left_is_cleared_away() {
    let (root, _) = closed_journal();
    fs::write(root.path().join("identity.tmp"), "half an iden").unwrap();
    fs::write(root.path().join("0000000001.seg.tmp"), "half a segment").unwrap();
    check(root.path(), &["one", "two", "three", "the last"], &[]);
    assert!(!root.path().join("identity.tmp").exists());
    assert!(!root.path().join("0000000001.seg.tmp").exists());
}

/// Puts `bytes` in the folder of a journal whose first segment has a torn tail, and checks that opening names the
/// file and changes nothing at all.
fn check_refusal(name: &str, bytes: &[u8], expected: &str) {
    let (root, torn) = closed_journal();
    fs::write(root.path().join(SEGMENT), &torn[..torn.len() - 1]).unwrap();
    fs::write(root.path().join(name), bytes).unwrap();
    check_refused(root.path(), name, expected);
}

fn check_refused(folder: &Path, name: &str, expected: &str) {
    let before = content(folder);
    let Err(error) = Journal::open(folder, options(1 << 20, NEVER), Arc::new(OsDisk)) else {
        panic!("{name} was accepted");
    };
    let shown = error.to_string();
    assert!(shown.contains(&folder.join(name).display().to_string()), "{shown}");
    assert!(shown.contains(expected), "{shown}");
    assert_eq!(content(folder), before);
}

#[test]
fn a_folder_that_holds_something_else_is_refused_and_left_as_it_was() {
    check_refusal(
        "notes.txt",
        b"",
        "does not belong in a journal folder: no journal writes a file of this name",
    );
    check_refusal("2.seg", b"", "no journal writes a file of this name");
    check_refusal(
        "0000000002.seg",
        &[b'x'; 100],
        "it does not begin as a journal segment does",
    );
    // The header of segment 2 in format 2; its CRC is from a bitwise CRC-32C in Python 3.11.
    let other_format = b"LAKEJRNL\x02\0\0\0\x12\x45\xba\xc4\x02\0\0\0\0\0\0\0";
    check_refusal(
        "0000000002.seg",
        other_format,
        "has journal format 2, this version reads format 1",
    );
    let (_, first) = closed_journal();
    check_refusal(
        "0000000002.seg",
        &first,
        "its header says segment 1, its name says segment 2",
    );
    check_refusal(
        "identity",
        b"lakeloop journal 1\nid 00\nnext 1\ncrc 00000000\n",
        "it is damaged",
    );
}

#[test]
fn segments_without_an_identity_are_refused() {
    let (root, _) = closed_journal();
    fs::remove_file(root.path().join("identity")).unwrap();
    check_refused(root.path(), "identity", "it is missing although there are segments");
}

#[test]
fn numbers_survive_a_copy_of_the_folder() {
    let (root, _) = closed_journal();
    let (journal, recovery) = open(root.path());
    assert_eq!(numbers(&recovery.segments), [1]);
    let id = journal.id().to_string();
    journal.close().unwrap();
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in content(root.path()) {
        fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    let (journal, recovery) = open(copy.path());
    assert_eq!(journal.id(), id);
    assert_eq!(recovery.n_records, 4);
}
