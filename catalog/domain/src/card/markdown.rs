//! A card in Markdown: short tables in the order in which questions are asked.

use std::fmt::Write as _;

use super::{CardCalibration, ModelCard};
use crate::Calibration;

impl ModelCard {
    /// The card for people, as Markdown. Plots are tables of their points.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        let version = self.version.map_or_else(String::new, |version| format!(" {version}"));
        let _ = writeln!(
            text,
            "# Model{version} of `{}`\n\n{}\n",
            self.strategy,
            escaped(&self.description)
        );
        self.write_data(&mut text);
        self.write_quality(&mut text);
        if let Some(calibration) = &self.calibration {
            write_calibration(calibration, &mut text);
        }
        self.write_interval_and_lift(&mut text);
        self.write_importance(&mut text);
        self.write_slices(&mut text);
        self.write_guards_and_cost(&mut text);
        text
    }

    fn write_data(&self, text: &mut String) {
        let data = &self.data;
        let versions: Vec<String> = data
            .table_versions
            .iter()
            .map(|(table, at)| format!("`{table}` {at}"))
            .collect();
        let shares = data.label_means.map_or_else(String::new, |(fitted, validated)| {
            format!(
                "\n| mean label | {} fitted on, {} validated on |",
                short(fitted),
                short(validated)
            )
        });
        let _ = writeln!(
            text,
            "## Data\n\n| | |\n|---|---|\n| fitted on | {} rows, decided {} to {} |\n| left out between | {} rows |\n\
             | validated on | {} later rows of {} units, decided {} to {} |\n| units known from fitting | {} of the validation rows |{shares}\n\
             | table versions | {} |\n| training set | `{}` |\n| blueprint | `{}` |\n",
            data.n_train_rows,
            data.fitted_on.0,
            data.fitted_on.1,
            data.n_gap_rows,
            data.n_validation_rows,
            data.n_validation_units,
            data.validated_on.0,
            data.validated_on.1,
            percent(data.share_of_known_units),
            versions.join(", "),
            data.training_set_id,
            data.blueprint_version,
        );
    }

    fn write_quality(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "## How good it is\n\n| metric | value | 95 % interval | made by |\n|---|---|---|---|"
        );
        for metric in &self.metrics {
            let interval = metric.interval.map_or_else(
                || "unknown".to_owned(),
                |(low, high)| format!("{} to {}", short(low), short(high)),
            );
            let _ = writeln!(
                text,
                "| {} | {} | {interval} | {} |",
                metric.name,
                short(metric.value),
                metric.method
            );
        }
        let _ = writeln!(
            text,
            "\nThe search chose among its trials by these rows, so the values flatter a little; the folds below were not chosen by.\n\n\
             | baseline | its metric | the model's gain a row | had to be beaten |\n|---|---|---|---|"
        );
        for rung in &self.baselines {
            let _ = writeln!(
                text,
                "| {} | {} | {} ± {} | {} |",
                rung.baseline.in_words(),
                short(rung.value),
                short(rung.gain),
                short(rung.standard_error),
                if rung.must_beat { "yes" } else { "no" }
            );
        }
        if !self.folds.is_empty() {
            let _ = writeln!(
                text,
                "\n| fold | fitted on | validated on | metric | mean label |\n|---|---|---|---|---|"
            );
        }
        for (idx, fold) in self.folds.iter().enumerate() {
            let mean = fold.label_mean.map_or_else(String::new, short);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {mean} |",
                idx + 1,
                fold.n_train_rows,
                fold.n_validation_rows,
                short(fold.value)
            );
        }
        text.push('\n');
    }

    fn write_interval_and_lift(&self, text: &mut String) {
        if let Some(found) = &self.interval {
            let interval = &found.interval;
            let _ = writeln!(
                text,
                "## Where labels lie around predictions\n\n{} of labels are expected between {} and {} from the prediction (split \
                 conformal, by the last fold and the validation rows). Made by the last fold alone it covered {} of the \
                 validation rows.\n",
                percent(interval.coverage),
                signed(interval.low),
                signed(interval.high),
                percent(found.covered)
            );
        }
        if self.lift.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "## Lift\n\n| rows ranked first | share of the label | lift |\n|---|---|---|"
        );
        for point in &self.lift {
            let (rows, labels) = (percent(point.share_of_rows), percent(point.share_of_labels));
            let _ = writeln!(text, "| {rows} | {labels} | {:.2} |", point.lift);
        }
        text.push('\n');
    }

    fn write_importance(&self, text: &mut String) {
        const MOST: usize = 30;
        let _ = writeln!(
            text,
            "## What it decides by\n\n| column | share of gain | mean size of SHAP value |\n|---|---|---|"
        );
        for column in self.importance.iter().take(MOST) {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} |",
                column.column,
                percent(column.gain),
                short(column.shap)
            );
        }
        if self.importance.len() > MOST {
            let _ = writeln!(text, "\nand {} columns more.", self.importance.len() - MOST);
        }
        text.push('\n');
    }

    fn write_slices(&self, text: &mut String) {
        let _ = writeln!(text, "## Where it is weak\n");
        if self.weak_slices.is_empty() {
            let _ = writeln!(
                text,
                "In none of {} slices is it worse than elsewhere beyond noise.\n",
                self.n_slices
            );
            return;
        }
        let _ = writeln!(
            text,
            "Worse than elsewhere in {} of {} slices (p-values corrected for that many looks):\n\n\
             | column | values | rows | metric there | elsewhere | p |\n|---|---|---|---|---|---|",
            self.weak_slices.len(),
            self.n_slices
        );
        for slice in &self.weak_slices {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {} | {:.1e} |",
                slice.column,
                escaped(&slice.values),
                slice.n_rows,
                short(slice.value),
                short(slice.elsewhere),
                slice.p_value
            );
        }
        text.push('\n');
    }

    fn write_guards_and_cost(&self, text: &mut String) {
        if !self.guards.is_empty() {
            let _ = writeln!(text, "## What the guards found\n");
            for sentence in &self.guards {
                let _ = writeln!(text, "- {}", escaped(sentence));
            }
            text.push('\n');
        }
        let cost = &self.cost;
        let _ = writeln!(
            text,
            "## What it costs\n\n| | |\n|---|---|\n| size | {} bytes, {} rounds |\n| scoring one row | {:.1} µs (median), {:.1} µs \
             (p99) |\n| search | {} trials, {:.1} processor seconds at most |\n| validation | {:.1} seconds |",
            cost.artifact_bytes,
            cost.n_rounds,
            cost.latency_p50_us,
            cost.latency_p99_us,
            cost.n_trials,
            cost.search_cpu_seconds,
            cost.validation_seconds
        );
    }
}

fn write_calibration(calibration: &CardCalibration, text: &mut String) {
    let map = match &calibration.map {
        Calibration::Identity => "none".to_owned(),
        Calibration::Platt { slope, intercept } => {
            format!("Platt, slope {}, intercept {}", short(*slope), short(*intercept))
        }
        Calibration::Isotonic { raw, .. } => format!("isotonic, {} knots", raw.len()),
        Calibration::Shift { by } => format!("shift by {}", short(*by)),
    };
    let _ = writeln!(
        text,
        "## Calibration\n\nMap: {map} ({}). Expected calibration error on the validation rows: {:.4} before, {:.4} after.\n\n\
         | said | came true | 95 % interval | rows |\n|---|---|---|---|",
        calibration.reason, calibration.error_before, calibration.error_after
    );
    for point in &calibration.points {
        let _ = writeln!(
            text,
            "| {} | {} | {} to {} | {} |",
            percent(point.predicted),
            percent(point.observed),
            percent(point.low),
            percent(point.high),
            point.n_rows
        );
    }
    text.push('\n');
}

/// Four significant digits.
fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    format!("{value:.*}", digits.clamp(0, 12) as usize)
}

fn signed(value: f64) -> String {
    let sign = if value >= 0.0 { "+" } else { "" };
    format!("{sign}{}", short(value))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A text that cannot end a table's cell or line.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_and_texts_cannot_break_a_table() {
        for (value, expected) in [
            (0.123456, "0.1235"),
            (12.34567, "12.35"),
            (123456.7, "123457"),
            (-0.000123456, "-0.0001235"),
            (0.0, "0"),
        ] {
            assert_eq!(short(value), expected);
        }
        assert_eq!((signed(1.5).as_str(), signed(-1.5).as_str()), ("+1.500", "-1.500"));
        assert_eq!(percent(0.1234), "12.3 %");
        assert_eq!(escaped("a|b\nc"), "a\\|b c");
    }
}
