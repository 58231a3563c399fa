//! How long a training takes. Measures, and asserts nothing about time: run it by name with `--ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::time::Instant;

use lakeloop_domain::{Choice, FeatureValue};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use support::{Case, Home, yes_no};

const NAMES: [&str; 12] = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "n10", "n11"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn thirty_thousand_rows_of_fifteen_columns_in_eight_trials() {
    let numbers: String = NAMES.iter().map(|name| format!("{name} = \"number\"\n")).collect();
    let blueprint = format!(
        "name = \"speed\"\ndescription = \"How fast?\"\nunit = \"row\"\n\
         decision = {{ kind = \"yes_no\", default = false }}\n\
         outcome = {{ event = \"done\", aggregation = \"last\", type = \"yes_no\", window = \"2m\", absent = \"exclude\" }}\n\
         schedule = {{ minimum_rows = 200, trials = 8 }}\n\
         [context]\n{numbers}c0 = \"category\"\nc1 = \"category\"\nc2 = \"category\"\n"
    );
    let home = Home::new(&blueprint, "[jobs]\nthreads = 2\n").await;
    let next = |rng: &mut ChaCha8Rng| {
        let numbers: Vec<f64> = NAMES.iter().map(|_| rng.random()).collect();
        let codes = [
            rng.random_range(0..100),
            rng.random_range(0..20),
            rng.random_range(0..5),
        ];
        let logit = 2.0 * numbers[0] - numbers[1] * numbers[2] * 3.0 + f64::from(codes[0] % 7) * 0.3 - 2.0;
        let mut values: Vec<(&'static str, FeatureValue)> = NAMES
            .iter()
            .zip(&numbers)
            .map(|(name, number)| (*name, FeatureValue::Number(*number)))
            .collect();
        for (name, code) in ["c0", "c1", "c2"].into_iter().zip(codes) {
            values.push((name, FeatureValue::Category(format!("text {code}"))));
        }
        Case {
            values,
            choice: Choice::Action("no".into()),
            outcome: yes_no(rng.random_bool(1.0 / (1.0 + (-logit).exp()))),
        }
    };
    let closed = home.live_through(30_000, 1, next).await;
    let started = Instant::now();
    let outcome = home.train(closed).await.unwrap();
    println!(
        "trained in {:.2} s: {}",
        started.elapsed().as_secs_f64(),
        outcome.detail
    );
    for line in home
        .ask("SELECT trial, rounds, artifact_bytes, value, cpu_seconds, parameters FROM trials ORDER BY trial")
        .await
    {
        println!("{line}");
    }
    for line in home
        .ask("SELECT latency_p50_us, latency_p99_us, parity_max_abs FROM models")
        .await
    {
        println!("p50 | p99 | parity: {line}");
    }
}
