//! The plot of a demo: reward by day, between the default's and the oracle's.

use std::path::Path;

use plotters::prelude::*;

/// One simulated day.
#[derive(Debug, Clone, Copy)]
pub struct Day {
    /// Orders per visit: what lakeloop earned.
    pub lakeloop: f64,
    /// What the default would have earned on the same visits.
    pub default: f64,
    /// What the best policy would have earned on the same visits.
    pub oracle: f64,
}

/// A series: its legend, its colour, and what it reads off a day.
type Series = (&'static str, RGBColor, fn(&Day) -> f64);

/// Draws the three curves as an SVG file.
pub fn reward_by_day(file: &Path, days: &[Day]) -> anyhow::Result<()> {
    let series: [Series; 3] = [
        ("oracle", RGBColor(0, 121, 107), |day| day.oracle),
        ("lakeloop", RGBColor(216, 67, 21), |day| day.lakeloop),
        ("default", RGBColor(97, 97, 97), |day| day.default),
    ];
    let top = days.iter().map(|day| day.oracle.max(day.lakeloop)).fold(0.0, f64::max) * 1.15;
    let last_day = days.len() as f64;

    let root = SVGBackend::new(file, (860, 480)).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow::anyhow!("cannot draw {}: {error}", file.display());
    root.fill(&WHITE).map_err(|e| failed(&e))?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Orders per visit, by simulated day", ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(42)
        .y_label_area_size(58)
        .build_cartesian_2d(1.0..last_day.max(2.0), 0.0..top)
        .map_err(|e| failed(&e))?;
    chart
        .configure_mesh()
        .x_desc("day")
        .y_desc("orders per visit")
        .x_labels(days.len().min(15))
        .x_label_formatter(&|day| format!("{day:.0}"))
        .y_label_formatter(&|rate| format!("{:.0} %", rate * 100.0))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()
        .map_err(|e| failed(&e))?;
    for (name, color, read) in series {
        let points: Vec<(f64, f64)> = days
            .iter()
            .enumerate()
            .map(|(idx, day)| (idx as f64 + 1.0, read(day)))
            .collect();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(3)))
            .map_err(|e| failed(&e))?
            .label(name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], color.stroke_width(3)));
        chart
            .draw_series(points.iter().map(|point| Circle::new(*point, 3, color.filled())))
            .map_err(|e| failed(&e))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.9))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 15))
        .draw()
        .map_err(|e| failed(&e))?;
    root.present().map_err(|e| failed(&e))?;
    Ok(())
}
