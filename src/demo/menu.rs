//! The menu demo: from the default dish towards the oracle, one simulated day after the other.

use std::time::Instant;

use anyhow::Context;
use lakeloop_config::EXAMPLE_BLUEPRINT;
use lakeloop_domain::Micros;
use lakeloop_pipeline::due_times;
use lakeloop_sql::{Pins, session};
use lakeloop_world::{DISHES, MenuWorld, Visit};
use serde_json::{Value, json};

use super::figure;
use super::plot::{self, Day};
use super::stage::Stage;
use crate::arguments::MenuDemoArguments;
use crate::commands::sql::answer;
use crate::output::Output;

/// 2026-01-05T00:00:00Z, a Monday: the first day of the world.
const FIRST_DAY: Micros = 1_767_571_200_000_000;
const DAY: Micros = 86_400_000_000;
/// Visits begin at six in the morning.
const MORNING: Micros = DAY / 4;
/// A visitor who orders does so this long after seeing the dish.
const ORDER_AFTER: Micros = 5 * 60_000_000;
/// When the demo retrains: nightly, on what the days before have shown.
const NIGHTLY: &str = "0 3 * * *";
/// Models that each night's search tries: fewer than the example's, because fourteen nights pass in two minutes.
const TRIALS: i64 = 3;

/// The answers that the demo ends with.
const QUESTIONS: [(&str, &str); 3] = [
    (
        "Decisions by reason",
        "SELECT reason, COUNT(*) AS decisions, ROUND(AVG(propensity), 4) AS mean_propensity \
         FROM decisions GROUP BY reason ORDER BY decisions DESC",
    ),
    (
        "Orders per visit, by model version",
        "SELECT d.model_version, COUNT(*) AS decisions, \
         ROUND(CAST(COUNT(o.decision_id) AS DOUBLE) / COUNT(*), 3) AS orders_per_visit \
         FROM decisions AS d LEFT JOIN (SELECT DISTINCT decision_id FROM outcomes WHERE event = 'ordered') AS o \
         ON o.decision_id = d.decision_id GROUP BY d.model_version ORDER BY d.model_version NULLS FIRST",
    ),
    (
        "Models",
        "SELECT version, stage, metric, ROUND(metric_value, 4) AS value, n_train_rows, artifact_bytes, \
         ROUND(latency_p99_us, 1) AS p99_us FROM models ORDER BY version DESC LIMIT 5",
    ),
];

/// Runs the demo and prints how much of the gap between default and oracle was closed.
pub async fn run(args: &MenuDemoArguments, output: &Output) -> anyhow::Result<()> {
    anyhow::ensure!(args.days >= 5, "--days {}: the figure needs at least 5 days", args.days);
    anyhow::ensure!(
        args.visits >= 100,
        "--visits {}: a day needs at least 100 visits",
        args.visits
    );
    let started = Instant::now();
    let blueprint = with_schedule(EXAMPLE_BLUEPRINT)?;
    let stage = Stage::set_up(&args.folder, &blueprint, args.seed, FIRST_DAY).await?;
    let cron = stage
        .blueprint
        .schedule
        .train
        .clone()
        .context("the demo's blueprint has no schedule")?;
    let mut world = MenuWorld::new(args.seed);
    let mut days = Vec::new();

    eprintln!(
        "a simulated restaurant app: {} dishes, {} visits a day, retrained at 03:00",
        DISHES.len(),
        args.visits
    );
    for day_idx in 0..args.days {
        let day_start = FIRST_DAY + i64::from(day_idx) * DAY;
        // Nothing is logged before the first morning, so the first night has nothing to train on.
        let night = if day_idx == 0 {
            Vec::new()
        } else {
            due_times(&cron, day_start, day_start + MORNING)?
        };
        for due in night {
            let outcome = stage.train(due).await?;
            eprintln!("  03:00 training: {}", in_short(&outcome.detail));
        }
        let model = stage.live_model().await?;
        let day = live_through(&stage, &mut world, day_start, args.visits).await?;
        eprintln!("{}", day_line(day_idx + 1, &day, &model));
        days.push(day);
    }
    stage.client.flush().await?;

    let plot_file = args.folder.join("reward.svg");
    plot::reward_by_day(&plot_file, &days)?;
    for (title, query) in QUESTIONS {
        output.say(&format!(
            "\n{title}\n  lakeloop --home {} sql \"{query}\"",
            args.folder.display()
        ))?;
        let (ctx, _) = session(&stage.lake, &Pins::default()).await?;
        answer(&ctx, query, output).await?;
    }
    let last_fifth = &days[days.len() - days.len().div_ceil(5)..];
    let mean = |read: fn(&Day) -> f64| last_fifth.iter().map(read).sum::<f64>() / last_fifth.len() as f64;
    let (earned, default, oracle) = (mean(|d| d.lakeloop), mean(|d| d.default), mean(|d| d.oracle));
    let closed = 100.0 * (earned - default) / (oracle - default);
    output.say(&format!(
        "\nIn the last fifth of {} decisions the default dish would have sold to {:.1} % of visitors, the best possible \
         policy to {:.1} %; lakeloop, exploring as it goes, sold to {:.1} %: {closed:.0} % of the gap closed.\n\
         Plot: {}   Time: {:.0} s",
        args.days * args.visits,
        100.0 * default,
        100.0 * oracle,
        100.0 * earned,
        plot_file.display(),
        started.elapsed().as_secs_f64(),
    ))?;
    figure("gap_closed", format_args!("{closed:.1}"), "%")?;
    stage.end(args.keep).await
}

/// The example blueprint with a nightly schedule in place of its own.
fn with_schedule(blueprint: &str) -> anyhow::Result<String> {
    let mut table: toml::Table = blueprint.parse().context("the example blueprint does not parse")?;
    let schedule = table.entry("schedule").or_insert_with(|| toml::Table::new().into());
    let schedule = schedule
        .as_table_mut()
        .context("the example blueprint's schedule is no table")?;
    schedule.insert("train".into(), NIGHTLY.into());
    schedule.insert("trials".into(), TRIALS.into());
    Ok(table.to_string())
}

/// One day: every visit asks for a dish; those who order report it five minutes later.
async fn live_through(stage: &Stage, world: &mut MenuWorld, day_start: Micros, n_visits: u32) -> anyhow::Result<Day> {
    let pace = DAY / 2 / i64::from(n_visits);
    let at = |visit_idx: usize| day_start + MORNING + pace * visit_idx as i64;
    let id = |visit_idx: usize| format!("visit-{}-{visit_idx}", (day_start - FIRST_DAY) / DAY + 1);
    let visits: Vec<Visit> = (0..n_visits).map(|_| world.next_visit()).collect();
    let requests = visits.iter().enumerate().map(|(idx, visit)| {
        json!({
            "strategy": "menu", "unit": visit.unit, "decision_id": id(idx), "event_time": at(idx), "context": visit.context,
        })
    });
    stage.set_time(day_start + MORNING);
    let answers = stage.client.decide_all(requests.collect()).await?;

    let shown: Vec<&str> = answers
        .iter()
        .map(|answer| answer.action.as_deref().unwrap_or_default())
        .collect();
    let orders: Vec<Value> = visits
        .iter()
        .zip(&shown)
        .enumerate()
        .filter(|(_, (visit, dish))| visit.orders(dish))
        .map(|(idx, _)| json!({ "decision_id": id(idx), "event": "ordered", "event_time": at(idx) + ORDER_AFTER }))
        .collect();
    stage.client.observe_all(&orders).await?;

    let share = |orders: usize| orders as f64 / visits.len() as f64;
    Ok(Day {
        lakeloop: share(orders.len()),
        default: share(visits.iter().filter(|visit| visit.orders(DISHES[0])).count()),
        oracle: share(visits.iter().filter(|visit| visit.orders(visit.best_dish())).count()),
    })
}

/// What a run did, without its reasons; `job_runs` keeps the whole sentence.
pub fn in_short(detail: &str) -> &str {
    detail.split(": ").next().unwrap_or(detail)
}

/// A line with a bar: how far the day came from the default (left end) to the oracle (right end).
fn day_line(number: u32, day: &Day, model: &str) -> String {
    const WIDTH: usize = 30;
    let gap = (day.lakeloop - day.default) / (day.oracle - day.default);
    let filled = (gap.clamp(0.0, 1.0) * WIDTH as f64).round() as usize;
    format!(
        "day {number:>2}  {:>5.1} % order  default {:>4.1} {}{} {:>4.1} oracle  {model}",
        100.0 * day.lakeloop,
        100.0 * day.default,
        "█".repeat(filled),
        "░".repeat(WIDTH - filled),
        100.0 * day.oracle,
    )
}
