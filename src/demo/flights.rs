//! The flights demo: a year of departures from Raleigh-Durham, replayed in time order.
//!
//! Each flight asks, at its scheduled departure, whether it will arrive more than 15 minutes late, with what is known
//! before departure and the weather of that hour from a feature view. What happened is reported at arrival, and the
//! model is trained again on the first of every month. All clock times in the two files are local to the airport (the
//! weather's own `time_hour` is UTC and is not used), so both are placed in its time zone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use chrono::{Datelike, Duration, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::America::New_York;
use lakeloop_domain::{DecisionReason, FeatureValue, Micros, NamedValue};
use lakeloop_import::{ImportRequest, import};
use lakeloop_lake::{TableName, rows};
use lakeloop_sql::{Pins, session};
use lakeloop_stats::{Example, metrics};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Answer;
use super::figure;
use super::menu::in_short;
use super::stage::Stage;
use crate::arguments::FlightsDemoArguments;
use crate::output::Output;

const BLUEPRINT: &str = include_str!("../../config/blueprints/flights.toml");
const WEATHER_MAPPING: &str = include_str!("../../config/imports/weather.toml");
/// A flight is late when it arrives more than this many minutes after schedule.
const LATE_MINUTES: f64 = 15.0;
/// Minutes on the ground between leaving the gate and reaching the next one, beside the time in the air.
const TAXI_MINUTES: f64 = 20.0;
const MINUTE: Micros = 60_000_000;
const SEED: u64 = 7;

/// One row of flights.csv: what is known before departure, and (never sent) what came of it.
#[derive(Debug, Deserialize)]
struct FlightRow {
    year: i32,
    month: u32,
    day: u32,
    hour: f64,
    minute: f64,
    sched_dep_time: u32,
    sched_arr_time: u32,
    carrier: String,
    flight: u32,
    origin: String,
    dest: String,
    distance: f64,
    dep_delay: Option<f64>,
    arr_delay: Option<f64>,
    air_time: Option<f64>,
}

/// A flight in the world's time.
struct Flight {
    row: FlightRow,
    id: String,
    departs: Micros,
    date: NaiveDate,
}

impl Flight {
    /// Places a row in time; the file's position makes the id unique.
    fn new(row_idx: usize, row: FlightRow) -> anyhow::Result<Self> {
        let date = NaiveDate::from_ymd_opt(row.year, row.month, row.day)
            .with_context(|| format!("flights.csv: row {} has no valid date", row_idx + 2))?;
        let clock = date
            .and_hms_opt(row.sched_dep_time / 100, row.sched_dep_time % 100, 0)
            .with_context(|| format!("flights.csv: row {} has no valid departure time", row_idx + 2))?;
        let id = format!(
            "{}{}-{date}-{:04}-{row_idx}",
            row.carrier, row.flight, row.sched_dep_time
        );
        Ok(Self {
            departs: airport_time(clock),
            date,
            id,
            row,
        })
    }

    fn request(&self) -> Value {
        let row = &self.row;
        json!({
            "strategy": "flights", "unit": format!("{}{}", row.carrier, row.flight),
            "decision_id": self.id, "event_time": self.departs,
            "context": {
                "month": row.month, "day": row.day, "wday": self.date.weekday().num_days_from_monday(),
                "hour": row.hour, "minute": row.minute, "distance": row.distance, "sched_arr_time": row.sched_arr_time,
                "carrier": row.carrier, "dest": row.dest, "origin": row.origin,
            },
        })
    }

    /// True when it arrived late; `None` when it never arrived.
    fn late(&self) -> Option<bool> {
        self.row.arr_delay.map(|minutes| minutes > LATE_MINUTES)
    }

    /// When its outcome is known, with the report; `None` for flights that were cancelled or diverted.
    fn arrival(&self) -> Option<(Micros, Value)> {
        let late = self.late()?;
        let minutes = self.row.dep_delay.unwrap_or(0.0) + self.row.air_time.unwrap_or(0.0) + TAXI_MINUTES;
        let at = self.departs + (minutes.max(1.0) * MINUTE as f64) as Micros;
        Some((
            at,
            json!({ "decision_id": self.id, "event": "arrived", "value": late, "event_time": at }),
        ))
    }
}

/// Replays the year and prints the AUC of the scores that were served in its last fifth.
pub async fn run(args: &FlightsDemoArguments, output: &Output) -> anyhow::Result<()> {
    let started = Instant::now();
    let flights = read_flights(&args.data.join("flights.csv"))?;
    let first = flights.first().context("flights.csv holds no flight")?.departs;
    let stage = Stage::set_up(&args.folder, BLUEPRINT, SEED, first).await?;
    import_weather(&stage, &args.data.join("weather.csv")).await?;

    let mut months: BTreeMap<(i32, u32), Vec<&Flight>> = BTreeMap::new();
    for flight in &flights {
        months
            .entry((flight.date.year(), flight.date.month()))
            .or_default()
            .push(flight);
    }
    let mut scored: Vec<(&Flight, Answer)> = Vec::with_capacity(flights.len());
    let mut in_the_air: BTreeMap<(Micros, &str), Value> = BTreeMap::new();
    for (month_idx, (month, departures)) in months.iter().enumerate() {
        if month_idx > 0 {
            let first_of_month = NaiveDate::from_ymd_opt(month.0, month.1, 1).context("a month without a first day")?;
            let at = airport_time(first_of_month.and_time(chrono::NaiveTime::MIN));
            report_arrivals(&stage, &mut in_the_air, at).await?;
            let outcome = stage.train(at).await?;
            eprintln!("{}-{:02}-01  training: {}", month.0, month.1, in_short(&outcome.detail));
        }
        for day in departures.chunk_by(|a, b| a.date == b.date) {
            report_arrivals(&stage, &mut in_the_air, day[0].departs).await?;
            stage.set_time(day[0].departs);
            let answers = stage
                .client
                .decide_all(day.iter().map(|flight| flight.request()).collect())
                .await?;
            for (flight, answer) in day.iter().zip(answers) {
                if let Some((at, report)) = flight.arrival() {
                    in_the_air.insert((at, &flight.id), report);
                }
                scored.push((flight, answer));
            }
        }
        eprintln!(
            "{}-{:02}     {} departures, {}",
            month.0,
            month.1,
            departures.len(),
            stage.live_model().await?
        );
    }
    report_arrivals(&stage, &mut in_the_air, Micros::MAX).await?;

    let served_auc = auc_of_last_fifth(&scored)?;
    let last = flights.last().map_or(first, |flight| flight.departs);
    let (n_found, n_scored) = find_vectors_again(&stage, last + 40 * 60 * MINUTE).await?;
    output.say(&format!(
        "\n{} flights were asked about at their scheduled departure and {} arrivals reported. Over the last fifth of the year \
         the scores that were served have an AUC of {served_auc:.4}.\nOf {n_scored} scored rows whose outcome is known, \
         {n_found} stand in the training set built afterwards with the served vector, bit for bit.\nTime: {:.0} s",
        scored.len(),
        scored.iter().filter(|(flight, _)| flight.late().is_some()).count(),
        started.elapsed().as_secs_f64()
    ))?;
    figure("served_auc", format_args!("{served_auc:.4}"), "auc")?;
    figure("vectors_found_again", n_found, "rows")?;
    figure("vectors_scored", n_scored, "rows")?;
    anyhow::ensure!(n_scored > 0, "no flight was scored");
    anyhow::ensure!(
        n_found == n_scored,
        "{} served vectors are not in the training set",
        n_scored - n_found
    );
    stage.end(args.keep).await
}

/// Reads the flights in order of departure.
fn read_flights(file: &Path) -> anyhow::Result<Vec<Flight>> {
    let mut reader = csv::Reader::from_path(file).with_context(|| format!("cannot read {}", file.display()))?;
    let rows = reader.deserialize::<FlightRow>().enumerate();
    let mut flights = rows
        .map(|(idx, row)| {
            Flight::new(
                idx,
                row.with_context(|| format!("{}: row {}", file.display(), idx + 2))?,
            )
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    flights.sort_by(|a, b| (a.departs, &a.id).cmp(&(b.departs, &b.id)));
    Ok(flights)
}

/// A clock time at the airport as an instant. When clocks go back an hour occurs twice: the first is taken; when they go
/// forward an hour does not exist: the time an hour later is.
fn airport_time(clock: NaiveDateTime) -> Micros {
    New_York
        .from_local_datetime(&clock)
        .earliest()
        .or_else(|| New_York.from_local_datetime(&(clock + Duration::hours(1))).earliest())
        .map_or_else(|| clock.and_utc().timestamp_micros(), |at| at.timestamp_micros())
}

async fn import_weather(stage: &Stage, file: &Path) -> anyhow::Result<()> {
    let request = ImportRequest {
        file,
        mapping_file: "config/imports/weather.toml",
        mapping_text: WEATHER_MAPPING,
        format: None,
        strict: true,
        now: crate::home::now(),
    };
    let report = import(&stage.lake, request, &mut |_| ()).await?;
    eprintln!("weather: {} hourly rows imported", report.rows_read);
    Ok(())
}

/// Reports what arrived until `now`.
async fn report_arrivals(
    stage: &Stage,
    in_the_air: &mut BTreeMap<(Micros, &str), Value>,
    now: Micros,
) -> anyhow::Result<()> {
    let still_flying = in_the_air.split_off(&(now, ""));
    let landed = std::mem::replace(in_the_air, still_flying);
    if landed.is_empty() {
        return Ok(());
    }
    let reports: Vec<Value> = landed.into_values().collect();
    stage.client.observe_all(&reports).await
}

/// AUC of the served scores over the flights that departed after four fifths of all that arrived. The same cut as an
/// offline chronological split makes.
fn auc_of_last_fifth(scored: &[(&Flight, Answer)]) -> anyhow::Result<f64> {
    let arrived: Vec<(&Flight, &Answer, bool)> = scored
        .iter()
        .filter_map(|(flight, answer)| Some((*flight, answer, flight.late()?)))
        .collect();
    let cut = arrived.len() * 4 / 5;
    let served = arrived[cut..].iter().map(|(flight, answer, late)| {
        let score = answer
            .score()
            .with_context(|| format!("{} was served without a model", flight.id))?;
        Ok(Example::new(score, *late))
    });
    let served = served.collect::<anyhow::Result<Vec<_>>>()?;
    metrics::auc(&served).context("the last fifth holds flights of one kind only")
}

/// Builds one more training set and looks up every scored decision in it: (found with the same bits, scored with a known
/// outcome).
async fn find_vectors_again(stage: &Stage, as_of: Micros) -> anyhow::Result<(usize, usize)> {
    let outcome = stage.train(as_of).await?;
    let training_set = outcome
        .training_set_id
        .context("the last training built no training set")?;
    let (ctx, _) = session(&stage.lake, &Pins::default()).await?;
    let trained = ctx
        .sql("SELECT * FROM training_rows WHERE training_set_id = $training_set_id")
        .await?
        .with_param_values(vec![(
            "training_set_id",
            datafusion::scalar::ScalarValue::from(training_set.as_str()),
        )])?
        .collect()
        .await?;
    let mut trained_on: BTreeMap<String, Vec<NamedValue>> = BTreeMap::new();
    for batch in &trained {
        for row in rows::training_rows_from_batch(batch)? {
            trained_on.insert(row.decision_id.to_string(), row.features);
        }
    }
    let decided = ctx
        .sql(&format!("SELECT * FROM {}", TableName::Decisions.sql_name()))
        .await?
        .collect()
        .await?;
    let observed = ctx
        .sql("SELECT DISTINCT decision_id FROM outcomes")
        .await?
        .collect()
        .await?;
    let mut with_outcome = BTreeSet::new();
    for batch in &observed {
        let ids = cast(batch.column(0), &DataType::Utf8)?;
        with_outcome.extend(ids.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    let (mut n_found, mut n_scored) = (0, 0);
    for batch in &decided {
        for decision in rows::decisions_from_batch(batch)? {
            let id = decision.decision_id.to_string();
            if decision.reason == DecisionReason::NoModel || !with_outcome.contains(&id) {
                continue;
            }
            n_scored += 1;
            n_found += usize::from(
                trained_on
                    .get(&id)
                    .is_some_and(|row| same_bits(row, &decision.features)),
            );
        }
    }
    Ok((n_found, n_scored))
}

/// True when both hold the same values under the same names, numbers to the last bit.
fn same_bits(one: &[NamedValue], two: &[NamedValue]) -> bool {
    let by_name = |values: &[NamedValue]| -> BTreeMap<String, String> {
        values
            .iter()
            .map(|named| {
                let value = match &named.value {
                    FeatureValue::Number(number) => format!("{:016x}", number.to_bits()),
                    other => format!("{other:?}"),
                };
                (named.name.to_string(), value)
            })
            .collect()
    };
    by_name(one) == by_name(two)
}
