//! The as-of rule, three times: the query, the history that serving looks in, and the rule written out naively here.

use lakeloop_domain::{FeatureValue, FeatureView, Micros};
use lakeloop_sql::{FeatureHistory, Pins, feature_history, session, training_rows};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::support::{WeatherRow, at, blueprint, category, decision, home, lines, weather};

/// The rule, word for word: of the rows of the entity that had happened and were available, the one with the latest event
/// time, then the latest availability, then the largest values (missing ones count as largest).
fn naive<'a>(rows: &'a [WeatherRow], entity: &str, at: Micros, freshness_us: Option<i64>) -> Option<&'a WeatherRow> {
    let preference = |row: &WeatherRow| {
        let temp = row.3.map_or((1, 0), |temp| (0, temp as i64));
        let rain = row.4.map_or((1, false), |rain| (0, rain));
        let sky = row.5.clone().map_or((1, String::new()), |sky| (0, sky));
        (row.1, row.2, temp, rain, sky)
    };
    let known = rows.iter().filter(|row| row.0 == entity && row.1 <= at && row.2 <= at);
    let newest = known.max_by_key(|row| preference(row))?;
    freshness_us
        .is_none_or(|freshness_us| at - newest.1 <= freshness_us)
        .then_some(newest)
}

fn values(row: Option<&WeatherRow>) -> Vec<FeatureValue> {
    let number = row
        .and_then(|row| row.3)
        .map_or(FeatureValue::Missing, FeatureValue::Number);
    let boolean = row
        .and_then(|row| row.4)
        .map_or(FeatureValue::Missing, FeatureValue::Boolean);
    let text = row
        .and_then(|row| row.5.clone())
        .map_or(FeatureValue::Missing, FeatureValue::Category);
    vec![number, boolean, text]
}

/// The maps of a training row as text.
fn joined(view: &FeatureView, entity: &str, row: Option<&WeatherRow>) -> String {
    let filled: Vec<FeatureValue> = values(row)
        .into_iter()
        .zip(&view.columns)
        .map(|(value, column)| {
            if value == FeatureValue::Missing {
                column.when_missing.clone()
            } else {
                value
            }
        })
        .collect();
    let number = |value: &FeatureValue| {
        value
            .as_number()
            .map_or("NULL".to_owned(), |number| format!("{number:?}"))
    };
    let FeatureValue::Category(sky) = &filled[2] else {
        panic!("sky has a value when missing")
    };
    format!(
        "{{Temp: {}, rain: {}}} {{station: {entity}, sky: {sky}}}",
        number(&filled[0]),
        number(&filled[1])
    )
}

/// Few entities and few distinct instants, so that ties, corrections and late arrivals are the rule.
fn random_rows(random: &mut ChaCha8Rng, n_rows: usize) -> Vec<WeatherRow> {
    let mut row = || {
        let event_time = random.random_range(0..30);
        let delay = if random.random_bool(0.5) {
            0
        } else {
            random.random_range(-3..10)
        };
        (
            format!("e{}", random.random_range(0..4)),
            at(event_time),
            at(event_time + delay),
            random.random_bool(0.9).then(|| f64::from(random.random_range(0..5))),
            random.random_bool(0.9).then(|| random.random_bool(0.5)),
            random
                .random_bool(0.9)
                .then(|| ["clear", "fog", "rain"][random.random_range(0..3)].to_owned()),
        )
    };
    (0..n_rows).map(|_| row()).collect()
}

#[tokio::test]
async fn training_serving_and_the_naive_rule_agree() {
    for seed in 0..6 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let rows = random_rows(&mut random, 150);
        let home = home().await;
        home.create_weather().await;
        for part in rows.chunks(40) {
            home.measure(part).await;
        }
        let moments: Vec<(String, Micros)> = (0..200)
            .map(|_| {
                (
                    format!("e{}", random.random_range(0..5)),
                    at(random.random_range(-2..45)),
                )
            })
            .collect();
        let decisions: Vec<_> = moments
            .iter()
            .enumerate()
            .map(|(i, (entity, moment))| {
                decision(
                    &format!("d{i:03}"),
                    "u",
                    *moment,
                    vec![category("station", entity.as_str())],
                )
            })
            .collect();
        home.decide(&decisions).await;
        let (ctx, versions) = session(&home.lake, &Pins::default()).await.unwrap();

        for freshness_us in [None, Some(0), Some(3_000_000)] {
            let view = weather(freshness_us);
            let mut expected: Vec<String> = moments
                .iter()
                .enumerate()
                .map(|(i, (entity, moment))| {
                    format!(
                        "d{i:03} {}",
                        joined(&view, entity, naive(&rows, entity, *moment, freshness_us))
                    )
                })
                .collect();
            let batches = training_rows(&ctx, &blueprint(vec![view.clone()]), at(1_000), None)
                .await
                .unwrap();
            let mut found = lines(&batches, &["decision_id", "numeric", "categorical"]);
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "seed {seed}, freshness {freshness_us:?}");

            for entity in ["e0", "e3", "e4"] {
                let history = feature_history(&home.lake, &view.name, entity, &view.columns)
                    .await
                    .unwrap();
                assert_eq!(Some(&history.table_version), versions.0.values().next_back());
                assert_history(&history, &rows, entity, freshness_us);
            }
        }
    }
}

fn assert_history(history: &FeatureHistory, rows: &[WeatherRow], entity: &str, freshness_us: Option<i64>) {
    assert_eq!(history.rows.len(), rows.iter().filter(|row| row.0 == entity).count());
    for moment in (-2..45).map(at) {
        let found = history.as_of(moment, freshness_us).map(|row| row.values.clone());
        let expected = naive(rows, entity, moment, freshness_us).map(|row| values(Some(row)));
        assert_eq!(found, expected, "{entity} at {moment}");
    }
}
