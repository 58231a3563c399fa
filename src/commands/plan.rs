//! `lakeloop plan`: what applying would change, for people and for machines.

use std::io::IsTerminal as _;
use std::path::Path;

use lakeloop_config::KeyChange;
use lakeloop_pipeline::{Change, FeaturePlan, GateVerdict, JobContext, Plan, plan, words};
use serde_json::{Value, json};

use crate::arguments::PlanArguments;
use crate::commands::validate;
use crate::output::Output;
use crate::{home, instant};

/// What is said of experiments, which a blueprint can declare only in a later version.
const EXPERIMENTS: &str = "none: this version runs no experiments";

/// Prints the plan of every blueprint. Fails when a gate would refuse one.
pub async fn run(home: &Path, args: &PlanArguments, output: &Output) -> anyhow::Result<()> {
    let parsed = validate::read(home, &args.files)?;
    let (settings, lake) = home::open(home).await?;
    let ctx = JobContext::new(lake, settings, home::system_clock());
    let mut plans = Vec::new();
    for one in &parsed {
        plans.push(plan(&ctx, one).await?);
    }
    if output.is_for_people() {
        let paint = Paint::new();
        for plan in &plans {
            output.say(&in_lines(plan, paint).join("\n"))?;
        }
        let n_changes = plans.iter().filter(|plan| plan.change != Change::Unchanged).count();
        output.say(&match n_changes {
            0 => "\nNothing to apply.".to_owned(),
            1 => "\n1 blueprint to apply.".to_owned(),
            n => format!("\n{n} blueprints to apply."),
        })?;
    } else {
        let rows: Vec<Vec<Value>> = plans.iter().map(as_row).collect();
        output.rows(&COLUMNS, &rows)?;
    }
    let refused: Vec<String> = plans
        .iter()
        .filter_map(|plan| match &plan.gate {
            GateVerdict::Fails(why) => Some(format!("`{}`: {why}", plan.strategy)),
            GateVerdict::NotDeclared | GateVerdict::Passes(_) => None,
        })
        .collect();
    anyhow::ensure!(
        refused.is_empty(),
        "`lakeloop apply` would be refused by the off-policy gate: {}",
        refused.join("; ")
    );
    Ok(())
}

/// Colour, where a terminal shows it and nobody asked for none (https://no-color.org).
#[derive(Clone, Copy)]
struct Paint {
    is_coloured: bool,
}

impl Paint {
    fn new() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            is_coloured: std::io::stdout().is_terminal() && !refused,
        }
    }

    fn with(self, code: &str, text: &str) -> String {
        match self.is_coloured {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }

    fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    fn changed(self, text: &str) -> String {
        self.with("33", text)
    }

    fn strong(self, text: &str) -> String {
        self.with("1", text)
    }
}

fn in_lines(plan: &Plan, paint: Paint) -> Vec<String> {
    let head = match (&plan.in_force, plan.change) {
        (_, Change::Unchanged) => format!("unchanged, {} is in force", plan.version),
        (Some((version, sequence)), _) => paint.changed(&format!("{version} (number {sequence}) → {}", plan.version)),
        (None, _) => paint.good(&format!("new, {}", plan.version)),
    };
    let mut lines = vec![format!("{}: {head}", paint.strong(plan.strategy.as_str()))];
    if plan.change == Change::Unchanged {
        return lines;
    }
    for key in &plan.keys {
        lines.push(format!("  {}", key_line(key, paint)));
    }
    if plan.change == Change::Changed && !plan.decides_otherwise {
        lines.push("  decisions stay as they are".to_owned());
    }
    lines.push(format!("  data: {} decisions are logged", plan.n_decisions));
    if plan.n_decisions > 0 {
        lines.extend(
            plan.features
                .iter()
                .map(|feature| format!("    {}", feature_line(feature, paint))),
        );
    }
    lines.push(format!("  retraining: {}", plan.model.retraining()));
    lines.extend(cost_lines(plan).iter().map(|line| format!("  {line}")));
    lines.extend(
        plan.model
            .over_limits
            .iter()
            .map(|over| format!("  {}", paint.bad(over))),
    );
    lines.push(format!("  off-policy value: {}", off_policy(plan)));
    lines.push(format!(
        "  gate: {}",
        match &plan.gate {
            GateVerdict::NotDeclared => "none is declared".to_owned(),
            GateVerdict::Passes(why) => paint.good(&format!("passes: {why}")),
            GateVerdict::Fails(why) => paint.bad(&format!("refuses: {why}")),
        }
    ));
    lines.push(format!("  experiments: {EXPERIMENTS}"));
    lines
}

fn key_line(change: &KeyChange, paint: Paint) -> String {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => paint.changed(&format!("~ {}: {old} → {new}", change.key)),
        (None, Some(new)) => paint.good(&format!("+ {}: {new}", change.key)),
        (Some(old), None) => paint.bad(&format!("- {}: {old}", change.key)),
        (None, None) => change.key.clone(),
    }
}

fn feature_line(feature: &FeaturePlan, paint: Paint) -> String {
    let percent = |share: Option<f64>| format!("{}%", words::number(share.unwrap_or(0.0) * 100.0));
    let head = format!("{} ({}, {})", feature.name, feature.feature_type.as_str(), feature.from);
    match feature.since {
        Some(since) => format!(
            "{head}: in {} since {}, filled in {}; {}",
            percent(feature.logged_share),
            instant::text(since),
            percent(feature.filled_share),
            feature.note
        ),
        None => paint.changed(&format!("{head}: {}", feature.note)),
    }
}

fn cost_lines(plan: &Plan) -> Vec<String> {
    let model = &plan.model;
    let mut lines = Vec::new();
    if let (Some(bytes), Some(p99_us)) = (model.bytes, model.registered_p99_us) {
        lines.push(format!(
            "model: {bytes} bytes, {} µs a row (p99, as registered)",
            words::number(p99_us)
        ));
    }
    lines.push(match model.decision_us {
        Some((p50_us, p99_us)) => format!(
            "latency: {} µs a decision (p50), {} µs (p99), measured on the serving code",
            words::number(p50_us),
            words::number(p99_us)
        ),
        None => "latency: not measured, nothing is logged to decide on".to_owned(),
    });
    lines
}

fn off_policy(plan: &Plan) -> String {
    match &plan.off_policy {
        Ok(report) => report.in_words(),
        Err(why) => format!("not measured: {why}"),
    }
}

const COLUMNS: [&str; 13] = [
    "strategy",
    "version",
    "change",
    "in_force",
    "decides_otherwise",
    "keys",
    "n_decisions",
    "features",
    "retraining",
    "model",
    "off_policy",
    "gate",
    "experiments",
];

fn as_row(plan: &Plan) -> Vec<Value> {
    let keys: Vec<Value> = plan
        .keys
        .iter()
        .map(|change| json!({ "key": change.key, "old": change.old, "new": change.new }))
        .collect();
    let features: Vec<Value> = plan.features.iter().map(feature_value).collect();
    let model = &plan.model;
    vec![
        json!(plan.strategy),
        json!(plan.version),
        json!(plan.change.as_str()),
        plan.in_force.as_ref().map_or(
            Value::Null,
            |(version, sequence)| json!({ "version": version, "sequence": sequence }),
        ),
        json!(plan.decides_otherwise),
        Value::Array(keys),
        json!(plan.n_decisions),
        Value::Array(features),
        json!({ "needed": model.live.is_none() || model.misfit.is_some(), "in_words": model.retraining() }),
        json!({
            "live": model.live,
            "misfit": model.misfit,
            "unread": model.unread,
            "bytes": model.bytes,
            "registered_p99_us": model.registered_p99_us,
            "decision_p50_us": model.decision_us.map(|(p50_us, _)| p50_us),
            "decision_p99_us": model.decision_us.map(|(_, p99_us)| p99_us),
            "over_limits": model.over_limits,
        }),
        off_policy_value(plan),
        match &plan.gate {
            GateVerdict::NotDeclared => json!({ "verdict": "not_declared", "reason": null }),
            GateVerdict::Passes(why) => json!({ "verdict": "passes", "reason": why }),
            GateVerdict::Fails(why) => json!({ "verdict": "fails", "reason": why }),
        },
        json!(EXPERIMENTS),
    ]
}

fn feature_value(feature: &FeaturePlan) -> Value {
    json!({
        "name": feature.name,
        "type": feature.feature_type.as_str(),
        "from": feature.from,
        "logged_share": feature.logged_share,
        "filled_share": feature.filled_share,
        "since": feature.since.map(instant::text),
        "note": feature.note,
    })
}

fn off_policy_value(plan: &Plan) -> Value {
    let report = match &plan.off_policy {
        Ok(report) => report,
        Err(why) => return json!({ "verdict": "not_measured", "reason": why }),
    };
    let row = report.judge();
    json!({
        "verdict": row.verdict.as_str(),
        "reason": row.refusal,
        "estimator": row.estimator,
        "value": row.value,
        "logged_value": row.logged_value,
        "gain": row.gain,
        "gain_low": row.gain_interval.map(|(low, _)| low),
        "gain_high": row.gain_interval.map(|(_, high)| high),
        "confidence": row.confidence,
        "n_rows": row.n_rows,
        "n_units": row.n_units,
        "effective_rows": row.effective_rows,
        "in_words": report.in_words(),
        "notes": report.notes,
    })
}
