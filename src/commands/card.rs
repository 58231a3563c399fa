//! `lakeloop models card`: prints a model's card, or writes it to a folder with its plots.

use std::path::Path;

use anyhow::Context;
use lakeloop_domain::{CardCalibration, CardLift, ModelCard, ModelVersion, StrategyName};
use lakeloop_lake::{Lake, registry};
use plotters::prelude::*;

use crate::output::Output;

const CURVE: RGBColor = RGBColor(216, 67, 21);
const CHANCE: RGBColor = RGBColor(97, 97, 97);

/// Which card, and where it goes.
pub struct Wanted<'a> {
    /// The strategy.
    pub strategy: &'a str,
    /// The version; without it the live one, or else the latest.
    pub version: Option<u32>,
    /// The folder to write to; without it the card is printed.
    pub out: Option<&'a Path>,
}

/// Prints a card, or writes `card.md`, `card.json`, `calibration.svg` and `lift.svg`.
pub async fn run(lake: &Lake, wanted: &Wanted<'_>, output: &Output) -> anyhow::Result<()> {
    let strategy = StrategyName::new(wanted.strategy)?;
    let version = match wanted.version {
        Some(version) => ModelVersion(version),
        None => standing(lake, &strategy).await?,
    };
    let card = registry::card(lake, &strategy, version).await?.with_context(|| {
        format!(
            "no card of model {version} of `{strategy}`: there is no such version, or it was registered before there were cards; \
             `lakeloop models list {strategy}` shows which there are"
        )
    })?;
    match wanted.out {
        None => output.document(&card.to_markdown(), &card),
        Some(folder) => {
            write(&card, folder)?;
            Ok(output.say(&format!(
                "wrote the card of model {version} of {strategy} to {}",
                folder.display()
            ))?)
        }
    }
}

/// The live version, or else the latest.
async fn standing(lake: &Lake, strategy: &StrategyName) -> anyhow::Result<ModelVersion> {
    let models = registry::list(lake, Some(strategy)).await?;
    let live = models
        .iter()
        .find(|model| model.stage == lakeloop_domain::ModelStage::Live);
    live.or(models.last()).map(|model| model.version).with_context(|| {
        format!("`{strategy}` has no model yet; `lakeloop jobs run train --strategy {strategy}` makes one")
    })
}

fn write(card: &ModelCard, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    let mut markdown = card.to_markdown();
    if let Some(calibration) = card
        .calibration
        .as_ref()
        .filter(|calibration| !calibration.points.is_empty())
    {
        draw_calibration(&folder.join("calibration.svg"), calibration)?;
        markdown.push_str("\n![What was said, and what came true](calibration.svg)\n");
    }
    if !card.lift.is_empty() {
        draw_lift(&folder.join("lift.svg"), &card.lift)?;
        markdown.push_str("\n![The share of the label that the rows ranked first hold](lift.svg)\n");
    }
    write("card.md", &markdown)?;
    write("card.json", &format!("{}\n", serde_json::to_string_pretty(card)?))
}

/// What one of the two plots shows.
struct Plot<'a> {
    caption: &'a str,
    x: &'a str,
    y: &'a str,
    /// Where both axes end.
    end: f64,
    points: Vec<(f64, f64)>,
    /// For each point the ends of a line through it.
    ranges: Vec<(f64, f64)>,
}

/// A calibration plot: on the diagonal, what was said came true.
fn draw_calibration(file: &Path, calibration: &CardCalibration) -> anyhow::Result<()> {
    let points = &calibration.points;
    let highest = points
        .iter()
        .map(|point| point.high.max(point.predicted))
        .fold(0.0, f64::max);
    draw(
        file,
        &Plot {
            caption: "Calibration on the validation rows",
            x: "probability said",
            y: "share that came true",
            end: (highest * 10.0).ceil().clamp(1.0, 10.0) / 10.0,
            points: points.iter().map(|point| (point.predicted, point.observed)).collect(),
            ranges: points.iter().map(|point| (point.low, point.high)).collect(),
        },
    )
}

/// A lift curve: on the diagonal, the order is no better than chance.
fn draw_lift(file: &Path, lift: &[CardLift]) -> anyhow::Result<()> {
    let points = lift.iter().map(|point| (point.share_of_rows, point.share_of_labels));
    draw(
        file,
        &Plot {
            caption: "Lift on the validation rows",
            x: "share of rows, highest score first",
            y: "share of the label that they hold",
            end: 1.0,
            points: std::iter::once((0.0, 0.0)).chain(points).collect(),
            ranges: Vec::new(),
        },
    )
}

fn draw(file: &Path, plot: &Plot<'_>) -> anyhow::Result<()> {
    let failed = |error: &dyn std::fmt::Display| anyhow::anyhow!("cannot draw {}: {error}", file.display());
    let root = SVGBackend::new(file, (560, 520)).into_drawing_area();
    root.fill(&WHITE).map_err(|e| failed(&e))?;
    let mut chart = ChartBuilder::on(&root)
        .caption(plot.caption, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(42)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..plot.end, 0.0..plot.end)
        .map_err(|e| failed(&e))?;
    chart
        .configure_mesh()
        .x_desc(plot.x)
        .y_desc(plot.y)
        .x_label_formatter(&|share| format!("{:.0} %", share * 100.0))
        .y_label_formatter(&|share| format!("{:.0} %", share * 100.0))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()
        .map_err(|e| failed(&e))?;
    let diagonal = [(0.0, 0.0), (plot.end, plot.end)];
    chart
        .draw_series(LineSeries::new(diagonal, CHANCE.stroke_width(1)))
        .map_err(|e| failed(&e))?;
    for ((x, _), (low, high)) in plot.points.iter().zip(&plot.ranges) {
        let range = [(*x, *low), (*x, high.min(plot.end))];
        chart
            .draw_series(LineSeries::new(range, CURVE.mix(0.5).stroke_width(2)))
            .map_err(|e| failed(&e))?;
    }
    chart
        .draw_series(LineSeries::new(plot.points.iter().copied(), CURVE.stroke_width(3)))
        .map_err(|e| failed(&e))?;
    chart
        .draw_series(plot.points.iter().map(|point| Circle::new(*point, 3, CURVE.filled())))
        .map_err(|e| failed(&e))?;
    root.present().map_err(|e| failed(&e))?;
    Ok(())
}
