//! The Open Bandit Data, from import to values: the example in docs/examples as it is written, and the values that obp 0.5.5
//! computes from the same log. Skipped where the data set is not.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lakeloop_config::parse_blueprint;
use lakeloop_domain::LearningTarget;
use lakeloop_pipeline::EvaluationRows;
use lakeloop_sql::{Pins, session};
use lakeloop_stats::off_policy::{Estimator, Log, Rules};
use serde_json::Value;
use support::Home;

const SETTINGS: &str = "[server]\nlisten = \"127.0.0.1:0\"\nsql_listen = \"off\"\n";
const BLUEPRINT: &str = include_str!("../config/imports/obd-blueprint.toml");
const MAPPING: &str = include_str!("../config/imports/obd.toml");
const EXAMPLE: &str = include_str!("../docs/examples/open-bandit.md");
const N_ITEMS: usize = 34;
const N_POSITIONS: usize = 3;

/// The folder with the data, if it is there.
fn shared() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("LAKELOOP_SHARED").map_or_else(beside, PathBuf::from);
    let found = folder.join("data/obd/random/men/men.csv").exists();
    if !found {
        println!("skipped: no Open Bandit Data under {}", folder.display());
    }
    found.then(|| folder.canonicalize().unwrap())
}

/// What stands between ```sh and ``` in the example, in order.
fn commands() -> String {
    let blocks = EXAMPLE.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

/// The example's commands, one after the other, on the first 2,000 rows of each log.
#[test]
fn the_example_runs_as_it_is_written() {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    for policy in ["random", "bts"] {
        let text = fs::read_to_string(shared.join(format!("data/obd/{policy}/men/men.csv"))).unwrap();
        let sample: Vec<&str> = text.lines().take(2_001).collect();
        let to = folder.path().join(format!("obd/{policy}/men"));
        fs::create_dir_all(&to).unwrap();
        fs::write(to.join("men.csv"), sample.join("\n")).unwrap();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::os::unix::fs::symlink(root.join("config"), folder.path().join("config")).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_lakeloop")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("sh")
        .args(["-e", "-c", &commands()])
        .current_dir(folder.path())
        .env("OBD", folder.path().join("obd"))
        .env("PATH", path)
        .env_remove("LAKELOOP_HOME")
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{stdout}{stderr}");
    for words in ["obd-bts", "SNIPS", "DRos", "nothing to decide by"] {
        assert!(stdout.contains(words), "«{words}» in {stdout}{stderr}");
    }
    assert!(stderr.contains("`greedy+refit` cannot be valued"), "{stderr}");
}

/// The log that `lakeloop evaluate` would take, for a target policy and expected rewards that are given instead of made.
async fn log(shared: &Path, behaviour: &str, target: &str) -> Log {
    let home = Home::new(SETTINGS, &[("obd", BLUEPRINT)]);
    home.run(&["apply"]).success();
    let file = shared.join(format!("data/obd/{behaviour}/men/men.csv"));
    let mapping = home.write("obd.mapping", MAPPING);
    let args = [
        "import",
        file.to_str().unwrap(),
        "--mapping",
        mapping.to_str().unwrap(),
        "--strict",
    ];
    home.run(&args).success();
    let (ctx, _) = session(&home.lake().await, &Pins::default()).await.unwrap();
    let blueprint = parse_blueprint("obd.toml", BLUEPRINT).unwrap().blueprint;
    let rows = EvaluationRows::read(&ctx, &blueprint, 1_893_456_000_000_000, None)
        .await
        .unwrap();
    assert_eq!(rows.len(), 10_000);

    let actions = rows.actions(&blueprint.actions());
    assert_eq!(actions.len(), N_ITEMS);
    let by_position = action_distribution(&shared.join(format!("golden/action_dist_men_{target}.csv")));
    let q_hat = q_hat(&shared.join(format!("golden/qhat_men_{behaviour}_logreg.npz")));
    let text = fs::read_to_string(&file).unwrap();
    let positions: Vec<usize> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(3).unwrap().parse::<usize>().unwrap() - 1)
        .collect();
    // Rows come back by time; their ids count the rows of the file from 1.
    let file_row = |row_idx: usize| {
        let id = rows.decision_id(row_idx);
        id.rsplit('-').next().unwrap().parse::<usize>().unwrap() - 1
    };
    let expected: Vec<Vec<f64>> = (0..rows.len())
        .map(|row_idx| {
            let row = file_row(row_idx);
            let of_row = &q_hat[row * N_ITEMS * N_POSITIONS..][..N_ITEMS * N_POSITIONS];
            of_row
                .iter()
                .skip(positions[row])
                .step_by(N_POSITIONS)
                .copied()
                .collect()
        })
        .collect();
    rows.log(
        &LearningTarget::Binary,
        &actions,
        |row_idx| &by_position[positions[file_row(row_idx)]],
        Some(|row_idx: usize| expected[row_idx].as_slice()),
    )
    .unwrap()
}

/// Equal to obp's on the files as they are: 1e-9 for what needs no q̂, else 1e-7, because q̂ is stored as f32.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_an_imported_log_equal_those_of_obp() {
    let Some(shared) = shared() else { return };
    let golden = fs::read_to_string(shared.join("golden/off_policy_men.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    for (behaviour, target) in [("random", "bts"), ("bts", "random")] {
        let log = log(&shared, behaviour, target).await;
        let of_case = |result: &&Value| {
            result["behavior"] == behaviour && result["evaluation"] == target && result["reg_model"] == "logreg"
        };
        let expected = &golden["results"].as_array().unwrap().iter().find(of_case).unwrap()["estimates"];
        let supported = log.supported(&Rules::lenient()).unwrap();
        for (name, estimator, tolerance) in [
            ("ipw", Estimator::Ips { clip: None }, 1e-9),
            ("snipw", Estimator::Snips { clip: None }, 1e-9),
            ("dm", Estimator::DirectMethod, 1e-7),
            ("dr", Estimator::DoublyRobust { clip: None }, 1e-7),
            ("sndr", Estimator::SelfNormalisedDoublyRobust { clip: None }, 1e-7),
            (
                "SwitchDoublyRobust(tau=10)",
                Estimator::SwitchDoublyRobust { threshold: 10.0 },
                1e-7,
            ),
            (
                "DRos(lambda=100)",
                Estimator::ShrunkDoublyRobust { lambda: 100.0 },
                1e-7,
            ),
        ] {
            let found = supported.estimate(estimator).unwrap().value();
            let expected = expected[name].as_f64().unwrap();
            assert!(
                (found - expected).abs() <= tolerance,
                "{target} on {behaviour}'s log, {name}: {found} is not {expected}"
            );
        }
        // By the default rules this log is refused for intervals: too few clicks for so skewed weights.
        let refusal = log
            .supported(&Rules::default())
            .and_then(|supported| supported.estimate(Estimator::Snips { clip: None }).map(drop));
        assert!(refusal.is_err(), "{target} on {behaviour}'s log");
    }
}

/// `[n_positions][n_items]` from a CSV of `[n_items, n_positions]`.
fn action_distribution(path: &Path) -> Vec<Vec<f64>> {
    let mut by_position = vec![Vec::new(); N_POSITIONS];
    for line in fs::read_to_string(path).unwrap().lines() {
        for (of_position, number) in by_position.iter_mut().zip(line.split(',')) {
            of_position.push(number.parse().unwrap());
        }
    }
    by_position
}

/// The numbers of the array `q`, `[n_rows, n_items, n_positions]` row-major f32, from a compressed npz of one array.
fn q_hat(path: &Path) -> Vec<f64> {
    let archive = fs::read(path).unwrap();
    assert_eq!(&archive[..4], b"PK\x03\x04");
    let u16_at = |bytes: &[u8], at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let start = 30 + u16_at(&archive, 26) + u16_at(&archive, 28);
    let array = miniz_oxide::inflate::decompress_to_vec(&archive[start..]).unwrap();
    assert_eq!(&array[..8], b"\x93NUMPY\x01\x00");
    let numbers = &array[10 + u16_at(&array, 8)..];
    let number = |bytes: &[u8]| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()));
    numbers.chunks_exact(4).map(number).collect()
}
