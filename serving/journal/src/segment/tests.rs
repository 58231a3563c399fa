//! The bytes of a segment, intact and damaged in every small way.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const NUMBER: SegmentNumber = SegmentNumber(42);
const PAYLOADS: [&[u8]; 4] = [b"a decision", b"", b"\x00\xff", b"the last record"];

fn segment_of(number: SegmentNumber, payloads: &[&[u8]]) -> Vec<u8> {
    let mut bytes = header(number).to_vec();
    for payload in payloads {
        let offset = bytes.len() as u64;
        push_record(&mut bytes, number, offset, payload);
    }
    bytes
}

fn scanned(bytes: &[u8]) -> Scan {
    match scan(bytes, NUMBER) {
        Content::Segment(scan) => scan,
        other => panic!("not a segment: {other:?}"),
    }
}

fn payloads_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    scanned(bytes)
        .payloads
        .into_iter()
        .map(|payload| bytes[payload].to_vec())
        .collect()
}

#[test]
fn a_segment_of_the_first_format_is_read_for_ever() {
    // Made by a bitwise CRC-32C in Python 3.11 from the description of the format; that CRC gives 0xe3069283 for
    // "123456789", the check value of the catalogue of parametrised CRC algorithms.
    let golden = "4c414b454a524e4c01000000015813d82a000000000000000a0000008c213fdf61206465636973696f6e\
                  00000000ec7c744702000000f59b40ea00ff";
    let golden: Vec<u8> = (0..golden.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&golden[at..at + 2], 16).unwrap())
        .collect();
    assert_eq!(segment_of(NUMBER, &PAYLOADS[..3]), golden);
    assert_eq!(payloads_of(&golden), &PAYLOADS[..3]);
}

#[test]
fn file_names_have_one_spelling() {
    assert_eq!(NUMBER.file_name(), "0000000042.seg");
    assert_eq!(SegmentNumber::of_file_name("0000000042.seg"), Some(NUMBER));
    assert_eq!(
        SegmentNumber::of_file_name("12345678901.seg"),
        Some(SegmentNumber(12_345_678_901))
    );
    for name in [
        "42.seg",
        "00000000042.seg",
        "0000000000.seg",
        "+000000042.seg",
        "0000000042",
        "0000000042.seg.tmp",
    ] {
        assert_eq!(SegmentNumber::of_file_name(name), None, "{name}");
    }
}

#[test]
fn every_cut_keeps_all_records_before_it() {
    let bytes = segment_of(NUMBER, &PAYLOADS);
    let ends: Vec<usize> = scanned(&bytes).payloads.iter().map(|payload| payload.end).collect();
    for cut in 0..bytes.len() {
        let torn = &bytes[..cut];
        let n_whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(payloads_of(torn), &PAYLOADS[..n_whole], "cut at {cut}");
        let clean = ends[..n_whole]
            .last()
            .copied()
            .unwrap_or(if cut >= HEADER_BYTES { HEADER_BYTES } else { 0 });
        let expected = match cut - clean {
            0 => vec![],
            _ => vec![Gap {
                bytes: clean..cut,
                kind: DamageKind::TornTail,
            }],
        };
        assert_eq!(scanned(torn).gaps, expected, "cut at {cut}");
    }
}

#[test]
fn every_changed_bit_costs_at_most_its_own_record() {
    let bytes = segment_of(NUMBER, &PAYLOADS);
    let whole = scanned(&bytes);
    for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        let hit = whole
            .payloads
            .iter()
            .position(|payload| at < payload.end)
            .filter(|_| at >= HEADER_BYTES);
        let mut expected = PAYLOADS.to_vec();
        let kind = match hit {
            None => DamageKind::CorruptHeader,
            Some(hit) => {
                expected.remove(hit);
                if hit + 1 == PAYLOADS.len() {
                    DamageKind::TornTail
                } else {
                    DamageKind::CorruptRecord
                }
            }
        };
        assert_eq!(payloads_of(&flipped), expected, "byte {at} bit {bit}");
        let gaps = scanned(&flipped).gaps;
        assert_eq!(
            gaps.iter().map(|gap| gap.kind).collect::<Vec<_>>(),
            [kind],
            "byte {at} bit {bit}"
        );
        assert!(gaps[0].bytes.contains(&at), "byte {at} bit {bit}");
    }
}

#[test]
fn zeros_after_the_records_are_a_torn_tail() {
    let bytes = segment_of(NUMBER, &PAYLOADS);
    for n_zeros in [1, 7, 8, 9, 4096, 100_000] {
        let padded = [bytes.as_slice(), &vec![0; n_zeros]].concat();
        assert_eq!(payloads_of(&padded), PAYLOADS);
        assert_eq!(
            scanned(&padded).gaps,
            [Gap {
                bytes: bytes.len()..padded.len(),
                kind: DamageKind::TornTail
            }]
        );
    }
}

#[test]
fn a_payload_that_holds_a_segment_is_not_searched_for_records() {
    let inner = segment_of(NUMBER, &PAYLOADS);
    let mut outer = segment_of(NUMBER, &[&inner, b"next"]);
    outer[HEADER_BYTES + RECORD_HEAD_BYTES] ^= 1;
    assert_eq!(payloads_of(&outer), [b"next"]);
}

#[test]
fn records_of_another_segment_are_not_taken() {
    let mut bytes = segment_of(NUMBER, &PAYLOADS);
    let stale = segment_of(
        SegmentNumber(41),
        &[b"a decision", b"", b"\x00\xff", b"the last record", b"stale"],
    );
    bytes.extend_from_slice(&stale[bytes.len()..]);
    assert_eq!(payloads_of(&bytes), PAYLOADS);
}

#[test]
fn the_search_for_intact_records_is_bounded() {
    // Each of these bytes begins what could be a record of 64 KiB, none of them intact.
    let searched = [0, 0, 1, 0].repeat(1 << 16);
    let mut bytes = segment_of(NUMBER, &[b"kept"]);
    let n_whole = bytes.len();
    bytes.extend_from_slice(&searched);
    let offset = bytes.len() as u64;
    push_record(&mut bytes, NUMBER, offset, b"out of reach of the search");
    assert_eq!(payloads_of(&bytes), [b"kept"]);
    assert_eq!(
        scanned(&bytes).gaps,
        [Gap {
            bytes: n_whole..bytes.len(),
            kind: DamageKind::TornTail
        }]
    );

    let mut bytes = segment_of(NUMBER, &[b"kept", &searched, b"reached by its neighbour's length"]);
    bytes[n_whole + RECORD_HEAD_BYTES] ^= 1;
    assert_eq!(
        payloads_of(&bytes),
        [b"kept".as_slice(), b"reached by its neighbour's length"]
    );
}

#[test]
fn what_no_journal_of_this_version_wrote_is_told_apart() {
    let check = |bytes: &[u8], expected: Content| assert_eq!(scan(bytes, NUMBER), expected);
    let foreign = || Content::Foreign("it does not begin as a journal segment does".to_string());
    check(b"PAR1", foreign());
    check(b"a text file that is longer than the header of a segment", foreign());
    check(&header_of_format(2, NUMBER), Content::OtherFormat(2));
    check(
        &segment_of(SegmentNumber(41), &PAYLOADS),
        Content::Foreign("its header says segment 41, its name says segment 42".to_string()),
    );
    check(&[], Content::Segment(Scan::default()));
    let torn = Gap {
        bytes: 0..4096,
        kind: DamageKind::TornTail,
    };
    check(
        &[0; 4096],
        Content::Segment(Scan {
            payloads: vec![],
            gaps: vec![torn],
        }),
    );
}
