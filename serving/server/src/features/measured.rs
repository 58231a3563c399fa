//! Measures lookups in a snapshot of many entities; run by `tests/bench/hosting`, which gives the folder and the number.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use lakeloop_domain::{FeatureType, ValueRef};
use lakeloop_snapshot::{Column, Snapshot, SnapshotWriter, Source};

use super::*;

/// 14 numbers, 3 booleans and 3 categories of a few texts.
const N_COLUMNS: usize = 20;

/// Lookups of each kind that are measured.
const N_LOOKUPS: usize = 200_000;

fn column_type(idx: usize) -> FeatureType {
    match idx {
        0..14 => FeatureType::Number,
        14..17 => FeatureType::Boolean,
        _ => FeatureType::Category,
    }
}

fn entity(idx: u64) -> String {
    format!("customer-{idx}")
}

/// A number for an entity and a column: SplitMix64.
fn drawn(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn build(folder: &std::path::Path, n_entities: u64) -> PathBuf {
    let source = Source {
        view: FeatureViewName::new("customers").unwrap(),
        table_version: 1,
        built_at: 1,
    };
    let columns = (0..N_COLUMNS).map(|idx| Column {
        name: format!("c{idx}"),
        feature_type: column_type(idx),
    });
    let mut writer = SnapshotWriter::new(folder, source, columns.collect(), 256 << 20).unwrap();
    let texts = ["lisbon", "berlin", "nairobi", "quito", "hanoi"];
    for idx in 0..n_entities {
        let values: [ValueRef<'_>; N_COLUMNS] = std::array::from_fn(|column_idx| {
            let number = drawn(idx * N_COLUMNS as u64 + column_idx as u64);
            match column_type(column_idx) {
                FeatureType::Number => ValueRef::Number(number as f64),
                FeatureType::Boolean => ValueRef::Boolean(number.is_multiple_of(2)),
                FeatureType::Category => ValueRef::Category(texts[number as usize % texts.len()]),
            }
        });
        writer.push(&entity(idx), 1, 1, &values).unwrap();
    }
    writer.finish().unwrap().path
}

/// Memory of this process in MB, by the kernel's word for it.
fn memory_mb(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(key));
    let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kb.unwrap_or_default() / 1024
}

/// Times of lookups in microseconds, ascending.
fn timed(store: &FeatureStore, view: &[View], entities: impl Iterator<Item = u64>, expected: Lookup) -> Vec<f64> {
    let before = store.telemetry.n_lookups(expected);
    let mut times = Vec::with_capacity(N_LOOKUPS);
    for idx in entities {
        let entity = entity(idx);
        let mut features = Features::with_capacity(N_COLUMNS);
        let started = Instant::now();
        // What the cache or a snapshot answers is there at once.
        let versions = store
            .extend(view, Some(&entity), 2, &mut features)
            .now_or_never()
            .unwrap();
        times.push(started.elapsed().as_secs_f64() * 1e6);
        assert_eq!((versions.len(), features.len()), (1, N_COLUMNS));
        assert_eq!(
            features[0].value,
            FeatureValue::Number(drawn(idx * N_COLUMNS as u64) as f64)
        );
    }
    assert_eq!(
        store.telemetry.n_lookups(expected) - before,
        times.len() as u64,
        "{expected:?}"
    );
    times.sort_unstable_by(f64::total_cmp);
    times
}

#[tokio::test]
#[ignore = "a benchmark: needs gigabytes of disk and a minute"]
async fn lookups_in_many_entities() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let folder = PathBuf::from(variable("LAKELOOP_BENCH_FOLDER"));
    let n_entities: u64 = variable("LAKELOOP_BENCH_ENTITIES").parse().unwrap();
    let started = Instant::now();
    let path = build(&folder, n_entities);
    let (build_s, build_peak_mb) = (started.elapsed().as_secs_f64(), memory_mb("VmHWM"));
    let started = Instant::now();
    let snapshot = Snapshot::open(&path).unwrap();
    let open_s = started.elapsed().as_secs_f64();
    let n_bytes = snapshot.n_bytes();

    let lake = Lake::open(folder.join("lake").to_str().unwrap(), HashMap::new())
        .await
        .unwrap();
    let telemetry = Arc::new(Telemetry::new(1).unwrap());
    let refresh = Duration::from_secs(3600);
    let settings = FeatureSettings {
        cache_bytes: 256 << 20,
        refresh,
        load_timeout: Duration::from_millis(250),
        snapshot: None,
        snapshot_dir: folder.clone(),
    };
    let ages = Ages::new(refresh, refresh);
    let snapshots = Arc::new(Snapshots::new(ages.max_check_age));
    snapshots.put(snapshot);
    let store = FeatureStore::new(lake, &settings, &ages, snapshots, telemetry, Handle::current());
    let column = |idx: usize| FeatureColumn {
        name: format!("c{idx}").into(),
        feature_type: column_type(idx),
        when_missing: FeatureValue::Missing,
    };
    let columns: Vec<FeatureColumn> = (0..N_COLUMNS).map(column).collect();
    let name = FeatureViewName::new("customers").unwrap();
    let view = [View {
        key: ViewKey::of(&name, &columns),
        name,
        entity: Entity::Unit,
        freshness_us: None,
        columns,
    }];
    // Different ones, so that none is in the cache when it comes.
    let some = |offset: u64, n: usize| {
        let mut seen = std::collections::HashSet::new();
        let drawn = (0..u64::MAX).map(move |idx| drawn(offset + idx) % n_entities);
        drawn.filter(move |idx| seen.insert(*idx)).take(n)
    };
    // What of the file is in memory goes: the lookups read the disk.
    let cold = Command::new("dd")
        .arg(format!("if={}", path.display()))
        .args(["iflag=nocache", "count=0"])
        .output();
    assert!(cold.unwrap().status.success());
    let cold = timed(&store, &view, some(1, 20_000), Lookup::Snapshot);
    store.cache.invalidate_all();
    store.cache.run_pending_tasks();
    // Read once, so that the file's pages are in memory and nothing is in the cache.
    std::io::copy(&mut std::fs::File::open(&path).unwrap(), &mut std::io::sink()).unwrap();
    let mut seen = std::collections::HashSet::new();
    let fresh = some(1 << 40, 2 * N_LOOKUPS)
        .filter(|idx| seen.insert(*idx))
        .take(N_LOOKUPS);
    let warm = timed(&store, &view, fresh, Lookup::Snapshot);
    let hot = || (0..N_LOOKUPS as u64).map(|idx| drawn(7 + idx % 1000) % n_entities);
    for idx in some(7, 1000) {
        let mut features = Features::new();
        store
            .extend(&view, Some(&entity(idx)), 2, &mut features)
            .now_or_never()
            .unwrap();
    }
    let hit = timed(&store, &view, hot(), Lookup::Hit);
    let at = |times: &[f64], share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let (own_mb, file_mb) = (memory_mb("RssAnon"), memory_mb("RssFile"));
    for (name, value, unit) in [
        ("snapshot_build_s", build_s, "s"),
        ("snapshot_build_peak_mb", build_peak_mb as f64, "MB"),
        ("snapshot_open_s", open_s, "s"),
        ("snapshot_gb", n_bytes as f64 / 1e9, "GB"),
        ("feature_hit_us", at(&hit, 0.5), "us"),
        ("feature_hit_p99_us", at(&hit, 0.99), "us"),
        ("feature_miss_us", at(&warm, 0.5), "us"),
        ("feature_miss_p99_us", at(&warm, 0.99), "us"),
        ("feature_miss_disk_us", at(&cold, 0.5), "us"),
        ("feature_miss_disk_p99_us", at(&cold, 0.99), "us"),
        ("lookups_own_rss_mb", own_mb as f64, "MB"),
        ("lookups_mapped_rss_mb", file_mb as f64, "MB"),
    ] {
        use std::io::Write as _;
        writeln!(std::io::stdout(), "figure {name} {value:.3} {unit}").unwrap();
    }
}
