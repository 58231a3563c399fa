//! The many-models benchmark: one process that serves a thousand strategies, and what measures it. Run by
//! `tests/bench/hosting`.
//!
//! - `hosting fill HOME N ARTIFACT`: a lake with N strategies `s0`… over 50 numbers, each with two versions of the model in
//!   ARTIFACT (what XGBoost saved), the first live;
//! - `hosting serve HOME [KEY=VALUE…]`: a server on a free port, alone in its process; prints its address, serves until
//!   it is killed;
//! - `hosting ask URL N`: one request to each of the N strategies;
//! - `hosting p99 URL N SECONDS`: two callers that pause between requests to random strategies; prints the 99th percentile of the
//!   answers' times, in microseconds, and the number of answers;
//! - `hosting swap HOME URL N SWAPS`: moves models of the first N strategies between stages while two callers that
//!   pause between requests ask for these strategies; prints how many answers there were, and how many were no success.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lakeloop_config::{Settings, parse_blueprint};
use lakeloop_domain::{
    AppliedBlueprint, BlueprintVersion, Calibration, EncodedColumn, Encoding, FeatureType, LearningTarget, Micros,
    ModelMetrics, ModelRecord, ModelStage, ModelVersion, Provenance, StageMove, StrategyName, TrainingSetId,
};
use lakeloop_lake::registry::{self, StageMoved};
use lakeloop_lake::{Lake, TableName, rows};
use reqwest::Client;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const N_FEATURES: usize = 50;

/// The load is far from what the machine can do: latencies are those of requests, and stage moves have a core.
const PAUSE: Duration = Duration::from_millis(1);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["fill", home, n, artifact] => fill(Path::new(home), n.parse()?, std::fs::read(artifact)?).await,
        ["serve", home, settings @ ..] => serve(Path::new(home), settings).await,
        ["ask", url, n] => ask_each(url, n.parse()?).await,
        ["p99", url, n, seconds] => p99(url, n.parse()?, Duration::from_secs(seconds.parse()?)).await,
        ["swap", home, url, n, swaps] => swap(Path::new(home), url, n.parse()?, swaps.parse()?).await,
        _ => Err("usage: hosting fill|serve|ask|p99|swap …; the head of the example says what each takes".into()),
    }
}

fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

async fn lake_of(home: &Path) -> Result<Lake, Failure> {
    let settings = Settings::load_with(home, [])?;
    Ok(Lake::open(&settings.lake.location, HashMap::new()).await?)
}

/// The lake is written a table at a time, because a thousand applications and registrations one by one are no part of what
/// is measured. Each model has a file of its own, as the registry keeps it.
async fn fill(home: &Path, n_strategies: usize, artifact: Vec<u8>) -> Result<(), Failure> {
    std::fs::create_dir_all(home)?;
    let lake = lake_of(home).await?;
    let mut applied = Vec::with_capacity(n_strategies);
    for idx in 0..n_strategies {
        let context: String = (0..N_FEATURES).map(|idx| format!("f{idx} = \"number\"\n")).collect();
        let text = format!(
            "name = \"s{idx}\"\nunit = \"user\"\n[decision]\nkind = \"yes_no\"\ndefault = false\n[context]\n{context}\
             [outcome]\nevent = \"clicked\"\naggregation = \"any\"\nwindow = \"30m\"\n"
        );
        let parsed = parse_blueprint("bench.toml", &text).map_err(|errors| format!("{errors:?}"))?;
        applied.push(AppliedBlueprint {
            blueprint: parsed.blueprint,
            version: parsed.version,
            sequence: 1,
            source: parsed.source,
            applied_at: now(),
        });
    }
    let batch = rows::blueprints_to_batch(&applied)?;
    let _ = lake.append(&TableName::Blueprints, vec![batch], None).await?;
    for idx in 0..n_strategies {
        let stages = [ModelStage::Live, ModelStage::Candidate];
        for (version, stage) in (1..).zip(stages) {
            let record = model(&format!("s{idx}"), version, stage, artifact.clone())?;
            let batch = rows::models_to_batch(&[record])?;
            let _ = lake.append(&TableName::Models, vec![batch], None).await?;
        }
    }
    Ok(())
}

fn model(strategy: &str, version: u32, stage: ModelStage, artifact: Vec<u8>) -> Result<ModelRecord, Failure> {
    let column = |idx: usize| EncodedColumn {
        name: format!("f{idx}"),
        feature_type: FeatureType::Number,
        vocabulary: Vec::new(),
    };
    Ok(ModelRecord {
        strategy: StrategyName::new(strategy)?,
        version: ModelVersion(version),
        stage,
        stage_reason: "benchmark".to_owned(),
        stage_changed_at: now(),
        registered_at: now(),
        target: LearningTarget::Binary,
        action_is_feature: false,
        encoding: Encoding {
            columns: (0..N_FEATURES).map(column).collect(),
        },
        calibration: Calibration::Identity,
        prediction_interval: None,
        uncertainty: None,
        metrics: ModelMetrics {
            metric: "auc".to_owned(),
            value: 0.7,
            baseline: Some(0.5),
            n_train_rows: 1,
            n_validation_rows: 1,
            artifact_bytes: artifact.len() as u64,
            latency_p50_us: 1.0,
            latency_p99_us: 1.0,
            parity_max_abs: 0.0,
        },
        artifact,
        provenance: Provenance {
            blueprint_version: BlueprintVersion::new("0123456789abcdef")?,
            training_set_id: TrainingSetId::new("benchmark")?,
            table_versions: Vec::new(),
            parameters: "{}".to_owned(),
            seed: 1,
        },
    })
}

async fn serve(home: &Path, settings: &[&str]) -> Result<(), Failure> {
    let given = settings.iter().map(|setting| match setting.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("`{setting}` is no KEY=VALUE")),
    });
    let mut variables = vec![("LAKELOOP_SERVER__LISTEN".to_owned(), "127.0.0.1:0".to_owned())];
    variables.extend(given.collect::<Result<Vec<_>, _>>()?);
    let settings = Settings::load_with(home, variables)?;
    let lake = lake_of(home).await?;
    let started = Instant::now();
    let server = lakeloop_server::start(&settings, lake, Arc::new(now)).await?;
    say(&format!("started in {:.3} s", started.elapsed().as_secs_f64()))?;
    say(&format!("listening on http://{}", server.addr()))?;
    Ok(server.wait().await?)
}

/// A caller's next numbers, the same in each run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        // Marsaglia's xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

fn request(strategy: usize, draws: &mut Draws) -> String {
    let context = (0..N_FEATURES).map(|idx| format!("\"f{idx}\":{}", draws.below(2000) as f64 / 1000.0 - 1.0));
    let context = context.collect::<Vec<_>>().join(",");
    format!("{{\"strategy\":\"s{strategy}\",\"unit\":\"u\",\"context\":{{{context}}}}}")
}

/// Asks once; true when the answer is a success.
async fn ask(client: &Client, url: &str, body: String) -> bool {
    let sent = client.post(format!("{url}/v1/decide")).body(body);
    let answer = sent.header("content-type", "application/json").send().await;
    match answer {
        Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
        Err(_) => false,
    }
}

async fn ask_each(url: &str, n_strategies: usize) -> Result<(), Failure> {
    let (client, mut draws) = (Client::new(), Draws(7));
    for strategy in 0..n_strategies {
        if !ask(&client, url, request(strategy, &mut draws)).await {
            return Err(format!("s{strategy} was not decided").into());
        }
    }
    Ok(())
}

async fn p99(url: &str, n_strategies: usize, lasting: Duration) -> Result<(), Failure> {
    let callers = [11, 13].map(|seed| {
        let url = url.to_owned();
        tokio::spawn(async move {
            let (client, mut draws) = (Client::new(), Draws(seed));
            let (started, mut times) = (Instant::now(), Vec::new());
            while started.elapsed() < lasting {
                let strategy = draws.below(n_strategies);
                let body = request(strategy, &mut draws);
                let asked = Instant::now();
                if !ask(&client, &url, body).await {
                    return Err(format!("s{strategy} was not decided"));
                }
                times.push(asked.elapsed());
                tokio::time::sleep(PAUSE).await;
            }
            Ok(times)
        })
    });
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await??);
    }
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).ok_or("no answer came")?;
    say(&format!("{:.1} {}", p99.as_secs_f64() * 1e6, times.len()))
}

/// Files that stage moves have replaced. Each move writes its models anew, so that ten thousand would leave gigabytes; nothing
/// reads a file again once its strategy was moved anew and the server has seen that.
struct ReplacedFiles {
    folder: PathBuf,
    known: HashSet<PathBuf>,
    /// What each of the last rounds wrote, the last round at the end. A round moves every strategy once.
    rounds: VecDeque<Vec<PathBuf>>,
}

impl ReplacedFiles {
    /// Rounds that a file is kept for after the one that wrote it: the first replaces it, the others are the server's time.
    const N_KEPT: usize = 5;

    fn new(folder: PathBuf) -> Result<Self, Failure> {
        let mut files = Self {
            folder,
            known: HashSet::new(),
            rounds: VecDeque::new(),
        };
        let _ = files.written()?;
        Ok(files)
    }

    /// The files that were not there the last time.
    fn written(&mut self) -> Result<Vec<PathBuf>, Failure> {
        let mut written = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_data = path.extension().is_some_and(|extension| extension == "parquet");
            if is_data && self.known.insert(path.clone()) {
                written.push(path);
            }
        }
        Ok(written)
    }

    /// Ends a round: deletes what is old enough.
    fn next_round(&mut self) -> Result<(), Failure> {
        let written = self.written()?;
        self.rounds.push_back(written);
        if self.rounds.len() > Self::N_KEPT {
            for path in self.rounds.pop_front().unwrap_or_default() {
                std::fs::remove_file(&path)?;
                self.known.remove(&path);
            }
        }
        Ok(())
    }
}

async fn swap(home: &Path, url: &str, n_strategies: usize, n_swaps: u32) -> Result<(), Failure> {
    let lake = lake_of(home).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let (answers, failures) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let callers = [17, 19].map(|seed| {
        let (url, stop) = (url.to_owned(), Arc::clone(&stop));
        let (answers, failures) = (Arc::clone(&answers), Arc::clone(&failures));
        tokio::spawn(async move {
            let (client, mut draws) = (Client::new(), Draws(seed));
            while !stop.load(Ordering::Relaxed) {
                let strategy = draws.below(n_strategies);
                let is_success = ask(&client, &url, request(strategy, &mut draws)).await;
                answers.fetch_add(1, Ordering::Relaxed);
                failures.fetch_add(u64::from(!is_success), Ordering::Relaxed);
                tokio::time::sleep(PAUSE).await;
            }
        })
    });
    let mut replaced = ReplacedFiles::new(home.join("lake").join(TableName::Models.path()))?;
    for n in 0..n_swaps {
        let strategy = n as usize % n_strategies;
        if strategy == 0 {
            replaced.next_round()?;
        }
        let round = n / n_strategies as u32;
        let wish = StageMove {
            strategy: StrategyName::new(format!("s{strategy}"))?,
            version: ModelVersion(2 - round % 2),
            to: ModelStage::Live,
            reason: "benchmark".to_owned(),
        };
        match registry::move_stage(&lake, &wish, now()).await? {
            StageMoved::Moved { .. } => {}
            StageMoved::Already => return Err(format!("model {} of s{strategy} was live", wish.version).into()),
        }
    }
    // The last swaps are seen before the callers go.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await?;
    }
    let (answers, failures) = (answers.load(Ordering::Relaxed), failures.load(Ordering::Relaxed));
    say(&format!("{answers} {failures}"))
}
