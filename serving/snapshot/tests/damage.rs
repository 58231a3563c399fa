//! Files that are damaged, cut off or false: each gives an error, and none is read outside of its bytes.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use lakeloop_domain::{FeatureType, FeatureViewName, ValueRef};
use lakeloop_snapshot::{Column, Snapshot, SnapshotError, SnapshotWriter, Source};

const ENTITIES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// Bytes of the file behind its last checksum: length and checksum of the footer, and the magic.
const TRAILER_BYTES: usize = 16;

fn written(root: &Path) -> (PathBuf, Vec<u8>) {
    let source = Source {
        view: FeatureViewName::new("weather").unwrap(),
        table_version: 3,
        built_at: 1,
    };
    let columns = vec![
        Column {
            name: "temp".to_owned(),
            feature_type: FeatureType::Number,
        },
        Column {
            name: "sky".to_owned(),
            feature_type: FeatureType::Category,
        },
    ];
    let mut writer = SnapshotWriter::new(root, source, columns, 1 << 20).unwrap();
    for (idx, entity) in ENTITIES.iter().enumerate() {
        writer
            .push(
                entity,
                1,
                2,
                &[ValueRef::Number(idx as f64), ValueRef::Category("clear")],
            )
            .unwrap();
    }
    let path = writer.finish().unwrap().path;
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

fn open(path: &Path, bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
    // A file that is mapped must not be written: another takes its place.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
    Snapshot::open(path)
}

/// Reads all that can be read; errors and missing values are as good as values.
fn read_all(snapshot: &Snapshot) {
    for entity in ENTITIES {
        if let Ok(Some(row)) = snapshot.get(entity) {
            let _ = (row.event_time(), row.available_at(), row.counts_at(5));
            for column_idx in 0..4 {
                let _ = row.value(column_idx);
            }
        }
    }
}

#[test]
fn any_changed_byte_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let (path, bytes) = written(root.path());
    for idx in 0..bytes.len() {
        for flipped in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[idx] ^= flipped;
            let error = open(&path, &damaged).unwrap_err();
            assert!(error.to_string().contains("3.snapshot"), "byte {idx}: {error}");
        }
    }
    read_all(&open(&path, &bytes).unwrap());
}

#[test]
fn a_file_that_is_cut_off_or_goes_on_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let (path, bytes) = written(root.path());
    for length in 0..bytes.len() {
        assert!(open(&path, &bytes[..length]).is_err(), "{length} bytes");
    }
    let longer = [bytes.as_slice(), b"and more"].concat();
    assert!(matches!(open(&path, &longer), Err(SnapshotError::NotASnapshot { .. })));
}

#[test]
fn another_format_is_told_from_damage() {
    let root = tempfile::tempdir().unwrap();
    let (path, mut bytes) = written(root.path());
    let footer = footer_at(&bytes);
    bytes[footer] = 2;
    let error = open(&path, &resealed(bytes)).unwrap_err();
    assert!(
        matches!(
            error,
            SnapshotError::Format {
                expected: 1,
                found: 2,
                ..
            }
        ),
        "{error}"
    );
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn footer_at(bytes: &[u8]) -> usize {
    let trailer = bytes.len() - TRAILER_BYTES;
    trailer - word(bytes, trailer) as usize
}

/// The file with the checksum that its footer has now.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let (footer, trailer) = (footer_at(&bytes), bytes.len() - TRAILER_BYTES);
    let checksum = crc32c::crc32c(&bytes[footer..trailer]);
    bytes[trailer + 4..trailer + 8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn false_contents_with_true_checksums_are_never_read_outside() {
    let root = tempfile::tempdir().unwrap();
    let (path, bytes) = written(root.path());
    let footer = footer_at(&bytes);
    // The rows begin behind the magic, the directory ends where the footer begins.
    let (rows_checksum, directory_bytes) = (crc32c::crc32c(&bytes[8..rows_end(&bytes)]), footer - rows_end(&bytes));
    assert!(directory_bytes >= 16);
    let mut n_opened = 0;
    for idx in 8..bytes.len() - TRAILER_BYTES {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut forged = bytes.clone();
            forged[idx] = byte;
            // A changed section gets its checksum put right wherever the footer has the old one.
            for (section, old) in [
                (8..rows_end(&bytes), rows_checksum),
                (
                    rows_end(&bytes)..footer,
                    crc32c::crc32c(&bytes[rows_end(&bytes)..footer]),
                ),
            ] {
                let new = crc32c::crc32c(&forged[section]);
                replace_varint(&mut forged, footer, old, new);
            }
            if let Ok(snapshot) = open(&path, &resealed(forged)) {
                n_opened += 1;
                read_all(&snapshot);
            }
        }
    }
    assert!(n_opened > 500, "the checksums were put right in {n_opened} files only");
}

/// Where the directory begins: its first entry is that of the first row, 0, and its last is the length of the rows.
fn rows_end(bytes: &[u8]) -> usize {
    let footer = footer_at(bytes);
    let end = u64::from_le_bytes(bytes[footer - 8..footer].try_into().unwrap());
    8 + end as usize
}

/// Puts a number in the place of another in the footer, where both take the same number of bytes.
fn replace_varint(bytes: &mut [u8], from: usize, old: u32, new: u32) {
    let varint = |mut number: u32| {
        let mut varint = Vec::new();
        while number >= 0x80 {
            varint.push(number as u8 | 0x80);
            number >>= 7;
        }
        varint.push(number as u8);
        varint
    };
    let (old, new) = (varint(old), varint(new));
    if old.len() == new.len()
        && let Some(at) = bytes[from..].windows(old.len()).position(|window| window == old)
    {
        bytes[from + at..from + at + new.len()].copy_from_slice(&new);
    }
}
