//! The Open Bandit Data (men, 10,000 rows under each of two policies) with what obp 0.5.5 estimated from them, from the
//! folder that `LAKELOOP_SHARED` names (else `shared` beside the repository).

use std::fs;
use std::path::{Path, PathBuf};

use lakeloop_stats::RatioEstimate;
use lakeloop_stats::off_policy::{Behaviour, Estimator, Log, LoggedRow, Rules};

const N_ITEMS: usize = 34;
const N_POSITIONS: usize = 3;

/// A logging policy and the policy that is valued on its log.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub behaviour: &'static str,
    pub target: &'static str,
}

pub const CASES: [Case; 2] = [
    Case {
        behaviour: "bts",
        target: "random",
    },
    Case {
        behaviour: "random",
        target: "bts",
    },
];

/// The folder with the data, if it is there.
pub fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("LAKELOOP_SHARED").map_or_else(beside, PathBuf::from);
    let found = folder.join("golden/off_policy_men.json").exists();
    if !found {
        println!("skipped: no off-policy data under {}", folder.display());
    }
    found.then_some(folder)
}

/// The log of a case, with the target policy and q̂ of the row's position. Timestamps are the units: a hash of the users
/// is not in the data.
pub fn log(folder: &Path, case: Case) -> Log {
    let by_position = action_distribution(&folder.join(format!("golden/action_dist_men_{}.csv", case.target)));
    let q_hat = q_hat(&folder.join(format!("golden/qhat_men_{}_logreg.npz", case.behaviour)));
    let path = folder.join(format!("data/obd/{}/men/men.csv", case.behaviour));
    let mut rows = csv::Reader::from_path(path).unwrap();
    let mut log = Log::new();
    for (row_idx, row) in rows.records().enumerate() {
        let row = row.unwrap();
        let number = |column: usize| row[column].parse::<f64>().unwrap();
        let position = number(3) as usize - 1;
        let predictions = &q_hat[row_idx * N_ITEMS * N_POSITIONS..][..N_ITEMS * N_POSITIONS];
        let at_position: Vec<f64> = predictions
            .iter()
            .skip(position)
            .step_by(N_POSITIONS)
            .copied()
            .collect();
        log.push(&LoggedRow {
            action_idx: number(2) as usize,
            position,
            reward: number(4),
            behaviour: Behaviour::Chosen(number(5)),
            target: &by_position[position],
            q_hat: Some(&at_position),
            unit: None,
            weight: 1.0,
        })
        .unwrap();
    }
    log
}

/// What obp estimated with this estimator: the value, and the ends of its bootstrap interval of 100 resamples.
pub struct Expected {
    pub estimator: Estimator,
    pub value: f64,
    pub interval: (f64, f64),
}

pub fn expected(folder: &Path, case: Case) -> Vec<Expected> {
    let text = fs::read_to_string(folder.join("golden/off_policy_men.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of_case = |result: &&serde_json::Value| {
        result["behavior"] == case.behaviour && result["evaluation"] == case.target && result["reg_model"] == "logreg"
    };
    let result = golden["results"].as_array().unwrap().iter().find(of_case).unwrap();
    let estimates = result["estimates"].as_object().unwrap();
    let with = |(name, value): (&String, &serde_json::Value)| {
        let interval = &result["ci95"][name];
        Some(Expected {
            estimator: estimator(name)?,
            value: value.as_f64().unwrap(),
            interval: (interval[0].as_f64().unwrap(), interval[1].as_f64().unwrap()),
        })
    };
    estimates.iter().filter_map(with).collect()
}

/// Our estimator of obp's name. `rm` (replay) is the only one that has none.
///
/// One row of bts has the propensity 1/34, so that its weight under random is exactly 1. The golden values were made with
/// a reading of it that is one rounding step smaller, a weight above 1, which a threshold of 1 leaves out; a threshold
/// one step below 1 does the same and touches no other row.
fn estimator(name: &str) -> Option<Estimator> {
    let parameter = || name.split(['=', ')']).nth(1).unwrap().parse::<f64>().unwrap();
    Some(match name {
        "rm" => return None,
        "ipw" => Estimator::Ips { clip: None },
        "snipw" => Estimator::Snips { clip: None },
        "dm" => Estimator::DirectMethod,
        "dr" => Estimator::DoublyRobust { clip: None },
        "sndr" => Estimator::SelfNormalisedDoublyRobust { clip: None },
        _ if name.starts_with("Switch") => Estimator::SwitchDoublyRobust {
            threshold: parameter().next_down(),
        },
        _ if name.starts_with("DRos") => Estimator::ShrunkDoublyRobust { lambda: parameter() },
        _ => panic!("an estimator that is not known: {name}"),
    })
}

/// Without any rule, as obp estimates.
pub fn estimate(log: &Log, estimator: Estimator) -> RatioEstimate<'_> {
    log.supported(&Rules::lenient()).unwrap().estimate(estimator).unwrap()
}

/// `[n_positions][n_items]` from a CSV of `[n_items, n_positions]`.
fn action_distribution(path: &Path) -> [Vec<f64>; N_POSITIONS] {
    let text = fs::read_to_string(path).unwrap();
    let mut by_position = [const { Vec::new() }; N_POSITIONS];
    for line in text.lines() {
        for (of_position, number) in by_position.iter_mut().zip(line.split(',')) {
            of_position.push(number.parse().unwrap());
        }
    }
    by_position
}

/// The numbers of the array `q`, `[n_rows, n_items, n_positions]` row-major f32, from a compressed npz of one array.
fn q_hat(path: &Path) -> Vec<f64> {
    let archive = fs::read(path).unwrap();
    // ZIP, local file header: signature, method at 8, lengths of the name and of what else precedes the stream at 26.
    assert_eq!(&archive[..4], b"PK\x03\x04");
    let u16_at = |bytes: &[u8], at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    assert_eq!(u16_at(&archive, 8), 8, "deflate");
    let start = 30 + u16_at(&archive, 26) + u16_at(&archive, 28);
    let array = miniz_oxide::inflate::decompress_to_vec(&archive[start..]).unwrap();
    // NPY 1.0: magic, length of a textual header, the header, the numbers.
    assert_eq!(&array[..8], b"\x93NUMPY\x01\x00");
    let (header, numbers) = array[10..].split_at(u16_at(&array, 8));
    let header = String::from_utf8_lossy(header);
    assert!(
        header.contains("'<f4'") && header.contains("False") && header.contains("(10000, 34, 3)"),
        "{header}"
    );
    let number = |bytes: &[u8]| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()));
    numbers.chunks_exact(4).map(number).collect()
}
