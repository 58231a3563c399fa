//! How long a million decisions take. Not run with the other tests: `cargo test -p lakeloop-sql -- --ignored --nocapture`.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use lakeloop_domain::{OutcomeRecord, OutcomeValue, UnitId};
use lakeloop_sql::{Pins, feature_history, session, training_rows};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::support::{at, blueprint, category, decision, home, number, outcome, weather};

const N_DECISIONS: usize = 1_000_000;
const N_PER_COMMIT: usize = 50_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; prints what it measured"]
async fn a_million_decisions() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let home = home().await;
    home.create_weather().await;
    let hourly: Vec<_> = (0..100 * 24)
        .map(|i| {
            (
                format!("station{}", i % 100),
                at(i64::from(i / 100) * 3600),
                at(i64::from(i / 100) * 3600),
                Some(1.0),
                None,
                None,
            )
        })
        .collect();
    home.measure(&hourly).await;
    for first in (0..N_DECISIONS).step_by(N_PER_COMMIT) {
        let mut decisions = Vec::with_capacity(N_PER_COMMIT);
        let mut outcomes: Vec<OutcomeRecord> = Vec::with_capacity(2 * N_PER_COMMIT);
        for i in first..first + N_PER_COMMIT {
            let when = at(0) + i as i64 * 80_000;
            let id = format!("{:032x}", random.random::<u128>());
            let mut features: Vec<_> = (0..10)
                .map(|j| number(&format!("n{j}"), random.random::<f64>()))
                .collect();
            features.extend([
                category("station", &*format!("station{}", i % 100)),
                category("city", "rdu"),
            ]);
            let unit = format!("user{}", random.random_range(0..100_000));
            for k in 0..random.random_range(0..4) {
                let mut reported = outcome(
                    &format!("{i}-{k}"),
                    &id,
                    OutcomeValue::Number(random.random()),
                    when + i64::from(k) * 1_000_000,
                );
                // One in ten names the unit instead of the decision.
                if random.random_range(0..10) == 0 {
                    reported.decision_id = None;
                    reported.strategy = Some(blueprint(vec![]).name);
                    reported.unit = Some(UnitId::new(&*unit).unwrap());
                }
                outcomes.push(reported);
            }
            decisions.push(decision(&id, &unit, when, features));
        }
        home.decide(&decisions).await;
        home.observe(&outcomes).await;
    }
    let (ctx, _) = session(&home.lake, &Pins::default()).await.unwrap();
    let view = weather(None);
    for attempt in ["first", "second"] {
        let begun = Instant::now();
        let history = feature_history(&home.lake, &view.name, "station7", &view.columns)
            .await
            .unwrap();
        println!(
            "{} of 2400 rows of a view, {attempt} time: {:.1} ms",
            history.rows.len(),
            begun.elapsed().as_secs_f64() * 1e3
        );
    }
    let until = at(10_000_000);
    for (what, features) in [
        ("labels and logged features", vec![]),
        ("with a view joined as of each decision", vec![weather(None)]),
    ] {
        let begun = Instant::now();
        let rows = training_rows(&ctx, &blueprint(features), until, None).await.unwrap();
        let n_rows: usize = rows.iter().map(|batch| batch.num_rows()).sum();
        println!("{n_rows} training rows, {what}: {:.2} s", begun.elapsed().as_secs_f64());
    }
}
