//! Files that nobody made for these tests, by the mappings that stand in config/imports. Skipped where the files are not.

use std::collections::BTreeMap;

use crate::support::{World, shared, view};
use lakeloop_lake::TableName;

const WEATHER: &str = include_str!("../../../../config/imports/weather.toml");
const OBD: &str = include_str!("../../../../config/imports/obd.toml");
const OBD_BLUEPRINT: &str = include_str!("../../../../config/imports/obd-blueprint.toml");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_year_of_hourly_weather() {
    let Some(file) = shared("data/rdu_flights17/weather.csv") else {
        return;
    };
    let world = World::new().await;
    let report = world.import_strictly(&file, WEATHER).await.unwrap();
    assert_eq!((report.rows_read, report.bad_rows), (8734, 0));
    assert_eq!(report.rows_written, BTreeMap::from([(view("weather"), 8734)]));

    // The file tells each hour twice: by the local clock, which the mapping reads, and in UTC, which it does not.
    let text = std::fs::read_to_string(&file).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let mut expected: Vec<String> = rows
        .iter()
        .map(|row| {
            let value = |text: &str| {
                text.parse::<f64>()
                    .map(|value| format!("{value:?}"))
                    .unwrap_or_default()
            };
            let (temp, pressure, visib) = (value(row[5]), value(row[12]), value(row[13]));
            format!(
                "{}|{}Z|{temp}|{pressure}|{visib}",
                row[0],
                row[14].trim().replace(' ', "T")
            )
        })
        .collect();
    expected.sort();
    let imported = "SELECT entity, event_time, temp, pressure, visib FROM t WHERE event_time = available_at";
    let mut imported = world.lines(&view("weather"), imported).await;
    imported.sort();
    assert_eq!(imported, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_decisions_of_a_random_policy() {
    let Some(file) = shared("data/obd/random/men/men.csv") else {
        return;
    };
    let world = World::with_blueprint(OBD_BLUEPRINT).await;
    let report = world.import_strictly(&file, OBD).await.unwrap();
    assert_eq!((report.rows_read, report.bad_rows), (10_000, 0));
    let written = BTreeMap::from([(TableName::Decisions, 10_000), (TableName::Outcomes, 10_000)]);
    assert_eq!(report.rows_written, written);

    let decisions = world.decisions().await;
    assert!(decisions.iter().all(|decision| decision.propensity == 1.0 / 34.0));
    assert!(
        decisions
            .iter()
            .all(|decision| decision.actions.len() == 34 && decision.features.len() == 5)
    );
    let ids: std::collections::BTreeSet<_> = decisions.iter().map(|decision| decision.decision_id.as_str()).collect();
    assert_eq!((ids.len(), ids.contains("obd-random-men-10000")), (10_000, true));
    // The first row of the file: 2019-11-24 00:03:13.442536+00:00, item 14, position 3.
    let first = decisions
        .iter()
        .find(|decision| decision.decision_id.as_str() == "obd-random-men-1")
        .unwrap();
    assert_eq!(first.event_time, 1_574_553_793_442_536);
    assert_eq!(first.choice, lakeloop_domain::Choice::Action("14".to_owned()));

    // Counted by `awk -F, 'NR>1 {n+=$5} END {print n}'`.
    let clicks = world.lines(&TableName::Outcomes, "SELECT sum(value) FROM t").await;
    assert_eq!(clicks, ["46.0"]);
}
