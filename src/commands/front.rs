//! `lakeloop models front`: what the latest search of a strategy found, as the front of quality, latency, size and feature
//! cost, and as a plot.

use std::path::Path;

use anyhow::Context;
use lakeloop_domain::{ModelRecord, StrategyName};
use lakeloop_lake::rows::Trial;
use lakeloop_lake::{Lake, registry, trials};
use lakeloop_pipeline::{FrontPoint, pareto_front};
use plotters::prelude::*;
use serde_json::{Value, json};

use crate::output::Output;

/// One trial of the search that is shown.
struct Shown {
    trial: Trial,
    point: FrontPoint,
    is_on_front: bool,
}

/// Prints the front, and draws it with all other complete trials.
pub async fn run(lake: &Lake, strategy: &str, file: &Path, output: &Output) -> anyhow::Result<()> {
    let strategy = StrategyName::new(strategy)?;
    let all = trials::of_strategy(lake, &strategy).await?;
    let latest = all.iter().max_by_key(|trial| trial.started_at);
    let latest = latest.map(|trial| trial.training_set_id.clone()).with_context(|| {
        format!("no model of `{strategy}` was searched for yet; `lakeloop jobs run train --strategy {strategy}` does")
    })?;
    let of_search = all.into_iter().filter(|trial| trial.training_set_id == latest);
    let (found, points): (Vec<Trial>, Vec<FrontPoint>) = of_search
        .filter_map(|trial| FrontPoint::of(&trial).map(|point| (trial, point)))
        .unzip();
    let metric = found.first().map(|trial| trial.metric.clone()).with_context(|| {
        format!("no trial of the latest search for `{strategy}` has a model with its latency; train once more")
    })?;
    let front = pareto_front(&points, &metric);
    let models = registry::list(lake, Some(&strategy)).await?;
    let model = models.iter().find(|model| model.provenance.training_set_id == latest);
    let mut rows: Vec<Vec<Value>> = front.iter().map(|idx| row(&found[*idx], &points[*idx])).collect();
    rows.extend(model.map(registered));
    let shown: Vec<Shown> = found
        .into_iter()
        .zip(points)
        .enumerate()
        .map(|(idx, (trial, point))| Shown {
            trial,
            point,
            is_on_front: front.contains(&idx),
        })
        .collect();
    draw(file, &strategy, &metric, &shown, model)?;
    output.rows(
        &[
            "trial",
            "metric",
            "value",
            "p99_us",
            "bytes",
            "feature_cost_us",
            "rounds",
            "note",
        ],
        &rows,
    )?;
    output.say(&format!("drew {} trials in {}", shown.len(), file.display()))?;
    Ok(())
}

fn row(trial: &Trial, point: &FrontPoint) -> Vec<Value> {
    let note = match (&trial.error, trial.chosen) {
        (Some(error), _) => error.clone(),
        (None, true) => "chosen".into(),
        (None, false) => String::new(),
    };
    vec![
        json!(trial.trial),
        json!(trial.metric),
        json!(point.value),
        json!(point.p99_us),
        json!(point.bytes),
        json!(point.feature_cost_us),
        json!(trial.rounds),
        json!(note),
    ]
}

/// The registered model, which may be its trial cut to fewer rounds.
fn registered(model: &ModelRecord) -> Vec<Value> {
    let parameters: Value = serde_json::from_str(&model.provenance.parameters).unwrap_or_default();
    vec![
        Value::Null,
        json!(model.metrics.metric),
        json!(model.metrics.value),
        json!(model.metrics.latency_p99_us),
        json!(model.metrics.artifact_bytes),
        Value::Null,
        parameters.get("rounds").cloned().unwrap_or(Value::Null),
        json!(format!("registered as model {}", model.version)),
    ]
}

const FRONT: RGBColor = RGBColor(216, 67, 21);
const OTHERS: RGBColor = RGBColor(160, 160, 160);
const REGISTERED: RGBColor = RGBColor(0, 121, 107);

/// Draws value against size, on a logarithmic scale: the front as a line, the registered model as a ring.
fn draw(
    file: &Path,
    strategy: &StrategyName,
    metric: &str,
    shown: &[Shown],
    model: Option<&ModelRecord>,
) -> anyhow::Result<()> {
    let failed = |error: &dyn std::fmt::Display| anyhow::anyhow!("cannot draw {}: {error}", file.display());
    let registered = model.map(|model| (model.metrics.artifact_bytes as f64, model.metrics.value));
    let places = || {
        shown
            .iter()
            .map(|one| (one.point.bytes as f64, one.point.value))
            .chain(registered)
    };
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for (bytes, value) in places() {
        (low, high) = (low.min(value), high.max(value));
        (least, most) = (least.min(bytes), most.max(bytes));
    }
    let margin = ((high - low) * 0.08).max(high.abs() * 1e-4).max(1e-9);
    let root = SVGBackend::new(file, (860, 480)).into_drawing_area();
    root.fill(&WHITE).map_err(|e| failed(&e))?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("Models of {strategy}: {metric} by size"), ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(42)
        .y_label_area_size(74)
        .build_cartesian_2d(
            ((least * 0.8).max(1.0)..most * 1.25).log_scale(),
            // The legend stands above what is drawn.
            low - margin..high + 5.0 * margin,
        )
        .map_err(|e| failed(&e))?;
    chart
        .configure_mesh()
        .x_desc("bytes of the saved model (logarithmic)")
        .y_desc(metric)
        .x_labels(8)
        .x_label_formatter(&|bytes| in_bytes(*bytes))
        .y_label_formatter(&|value| format!("{value:.4}"))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()
        .map_err(|e| failed(&e))?;
    let others = shown.iter().filter(|one| !one.is_on_front);
    let others = others.map(|one| Circle::new((one.point.bytes as f64, one.point.value), 3, OTHERS.filled()));
    let legend = |color: RGBColor| move |(x, y)| Circle::new((x + 9, y), 4, color.filled());
    chart
        .draw_series(others)
        .map_err(|e| failed(&e))?
        .label("other trials")
        .legend(legend(OTHERS));
    let mut front: Vec<&Shown> = shown.iter().filter(|one| one.is_on_front).collect();
    front.sort_by_key(|one| one.point.bytes);
    let fronts = front
        .iter()
        .map(|one| Circle::new((one.point.bytes as f64, one.point.value), 4, FRONT.filled()));
    chart
        .draw_series(fronts)
        .map_err(|e| failed(&e))?
        .label("front of value, latency, size and feature cost")
        .legend(legend(FRONT));
    let times = front.iter().map(|one| {
        let label = format!("{}: {:.1} µs", one.trial.trial, one.point.p99_us);
        let place = (one.point.bytes as f64, one.point.value);
        EmptyElement::at(place) + Text::new(label, (10, -18), ("sans-serif", 12))
    });
    chart.draw_series(times).map_err(|e| failed(&e))?;
    if let Some(place) = registered {
        chart
            .draw_series([Circle::new(place, 8, REGISTERED.stroke_width(3))])
            .map_err(|e| failed(&e))?
            .label("registered")
            .legend(move |(x, y)| Circle::new((x + 9, y), 5, REGISTERED.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.9))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 13))
        .draw()
        .map_err(|e| failed(&e))?;
    root.present().map_err(|e| failed(&e))?;
    Ok(())
}

fn in_bytes(bytes: f64) -> String {
    if bytes >= 1e6 {
        format!("{:.1} MB", bytes / 1e6)
    } else if bytes >= 1e3 {
        format!("{:.0} kB", bytes / 1e3)
    } else {
        format!("{bytes:.0} B")
    }
}
