//! The off-policy gate: whether a blueprint may be put in force by what it is worth on logged decisions.
//!
//! Of two gates, that of the blueprint in force and that of the new one, the smaller margin and the larger confidence hold: a
//! gate that the same change could take away would be none. It asks only where decisions would differ, and of a strategy
//! that has decided before. What the log cannot tell does not pass.

use datafusion::prelude::SessionContext;
use lakeloop_config::ParsedBlueprint;
use lakeloop_domain::{AppliedBlueprint, Blueprint, OffPolicyGate};
use lakeloop_lake::evaluations;
use lakeloop_lake::registry;
use lakeloop_sql::{DecisionRange, DecisionRows, Pins, decision_rows, session};

use super::{applied, decides_otherwise, in_force};
use crate::context::JobContext;
use crate::error::PipelineError;
use crate::evaluate::{Candidate, DecidingModel, EvaluationOptions, EvaluationReport, bundle_of, evaluate, words};

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateVerdict {
    /// None is declared.
    NotDeclared,
    /// It passes, and why.
    Passes(String),
    /// It does not, and why.
    Fails(String),
}

/// A gate that was asked, with the evaluation it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Gated {
    /// What it says.
    pub verdict: GateVerdict,
    /// What the blueprint is worth; `None` where nothing had to be valued.
    pub report: Option<EvaluationReport>,
}

/// What there is to judge by.
pub(crate) enum Valued {
    /// There is nothing to value; the sentence says why, and no gate has anything against it.
    Nothing(String),
    /// An evaluation, which may have been refused.
    Report(Box<EvaluationReport>),
}

impl Valued {
    pub fn into_report(self) -> Result<EvaluationReport, String> {
        match self {
            Self::Nothing(why) => Err(why),
            Self::Report(report) => Ok(*report),
        }
    }
}

/// Asks the declared gate before a blueprint is applied, and keeps the evaluation in `evaluations`. Costs nothing where no gate is
/// declared.
pub async fn gate(ctx: &JobContext, parsed: &ParsedBlueprint) -> Result<Gated, PipelineError> {
    let in_force = in_force(&ctx.lake, &parsed.blueprint.name).await?;
    if declared(&parsed.blueprint, in_force.as_ref()).is_none() {
        return Ok(Gated {
            verdict: GateVerdict::NotDeclared,
            report: None,
        });
    }
    let (session, _) = session(&ctx.lake, &Pins::default()).await?;
    let n_decisions = n_decisions(&session, &parsed.blueprint).await?;
    let valued = value(ctx, parsed, in_force.as_ref(), n_decisions).await?;
    let verdict = judge(&parsed.blueprint, in_force.as_ref(), &valued);
    let report = valued.into_report().ok();
    if let Some(report) = &report {
        evaluations::record(&ctx.lake, &report.estimates).await?;
    }
    Ok(Gated { verdict, report })
}

/// How many decisions of the strategy are logged.
pub(crate) async fn n_decisions(session: &SessionContext, blueprint: &Blueprint) -> Result<u64, PipelineError> {
    let of_strategy = DecisionRows::Range(DecisionRange {
        strategy: Some(blueprint.name.clone()),
        from: None,
        until: None,
    });
    let frame = decision_rows(session, &of_strategy).await?;
    Ok(frame.count().await.map_err(PipelineError::Decisions)? as u64)
}

/// Values the blueprint as it would decide right after it was applied: by the live model where that fits, else without one.
pub(crate) async fn value(
    ctx: &JobContext,
    parsed: &ParsedBlueprint,
    in_force: Option<&AppliedBlueprint>,
    n_decisions: u64,
) -> Result<Valued, PipelineError> {
    let nothing = |why: &str| Ok(Valued::Nothing(why.to_owned()));
    let Some(in_force) = in_force else {
        return nothing("the strategy is new");
    };
    if in_force.version == parsed.version {
        return nothing("nothing changes");
    }
    if !decides_otherwise(&in_force.blueprint, &parsed.blueprint) {
        return nothing("what changes does not change decisions");
    }
    if n_decisions == 0 {
        return nothing("no decision is logged");
    }
    let candidate_applied = applied(parsed);
    let live = registry::live_of(&ctx.lake, &parsed.blueprint.name).await?;
    let by = match bundle_of(&candidate_applied, live.as_ref()) {
        Ok(_) => DecidingModel::Live,
        Err(_) => DecidingModel::None,
    };
    let candidate = Candidate {
        name: parsed.version.to_string(),
        applied: candidate_applied,
        by,
    };
    let confidence = declared(&parsed.blueprint, Some(in_force)).map(|gate| gate.confidence);
    let options = EvaluationOptions {
        confidence: confidence.unwrap_or(EvaluationOptions::default().confidence),
        n_resamples: 0,
        fits_rewards: false,
        ..EvaluationOptions::default()
    };
    Ok(Valued::Report(Box::new(evaluate(ctx, &candidate, &options).await?)))
}

/// The gate that holds: the stricter of the two that are declared.
fn declared(new: &Blueprint, in_force: Option<&AppliedBlueprint>) -> Option<OffPolicyGate> {
    let gates = [
        new.gate.off_policy,
        in_force.and_then(|applied| applied.blueprint.gate.off_policy),
    ];
    gates.into_iter().flatten().reduce(|a, b| OffPolicyGate {
        margin: a.margin.min(b.margin),
        confidence: a.confidence.max(b.confidence),
    })
}

/// Judges by what was found.
pub(crate) fn judge(new: &Blueprint, in_force: Option<&AppliedBlueprint>, valued: &Valued) -> GateVerdict {
    let Some(gate) = declared(new, in_force) else {
        return GateVerdict::NotDeclared;
    };
    let report = match valued {
        Valued::Nothing(why) => return GateVerdict::Passes(why.clone()),
        Valued::Report(report) => report,
    };
    let row = report.judge();
    let facts = match (&row.refusal, row.gain, row.gain_interval) {
        (Some(refusal), ..) => return GateVerdict::Fails(format!("the log cannot tell: {refusal}")),
        (None, Some(gain), Some(interval)) => Facts {
            gain,
            interval,
            n_units: row.n_units,
        },
        (None, ..) => {
            return GateVerdict::Fails("the log cannot tell: the difference has no interval".to_owned());
        }
    };
    within_margin(gate, &facts)
}

/// What a gate's verdict rests on.
#[derive(Debug, Clone, Copy)]
struct Facts {
    gain: f64,
    interval: (f64, f64),
    n_units: u64,
}

fn within_margin(gate: OffPolicyGate, facts: &Facts) -> GateVerdict {
    let Facts {
        gain,
        interval: (low, high),
        n_units,
    } = *facts;
    let allowed = match gate.margin == 0.0 {
        true => "0".to_owned(),
        false => words::signed(-gate.margin),
    };
    let measured = format!(
        "{} a decision against what was logged, {}% interval {} to {}",
        words::signed(gain),
        words::number(gate.confidence * 100.0),
        words::signed(low),
        words::signed(high)
    );
    if low >= -gate.margin {
        return GateVerdict::Passes(format!("{measured}; {allowed} is allowed"));
    }
    if high < -gate.margin {
        return GateVerdict::Fails(format!("it is worse: {measured}; {allowed} is allowed"));
    }
    // The half width shrinks with the root of the number of units.
    let half = gain - low;
    let room = gain + gate.margin;
    let more = match room > 0.0 {
        true => format!(
            "; about {:.0} units would be needed to tell, there are {n_units}",
            (n_units as f64 * (half / room).powi(2)).ceil()
        ),
        false => String::new(),
    };
    GateVerdict::Fails(format!(
        "it may be worse than allowed: {measured}; {allowed} is allowed{more}"
    ))
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_passes_only_what_is_shown_to_lie_above_the_margin() {
        let verdict = |margin, gain, interval| {
            within_margin(
                OffPolicyGate {
                    margin,
                    confidence: 0.95,
                },
                &Facts {
                    gain,
                    interval,
                    n_units: 100,
                },
            )
        };
        let passes = |margin, gain, interval| matches!(verdict(margin, gain, interval), GateVerdict::Passes(_));
        assert!(passes(0.0, 0.2, (0.1, 0.3)));
        assert!(passes(0.0, 0.0, (0.0, 0.0)));
        assert!(passes(0.1, 0.0, (-0.1, 0.1)));
        assert!(!passes(0.1, 0.0, (-0.11, 0.11)));
        assert!(!passes(0.1, -0.5, (-0.6, -0.4)));
        assert!(!passes(0.0, f64::NAN, (f64::NAN, f64::NAN)));
        let GateVerdict::Fails(worse) = verdict(0.1, -0.5, (-0.6, -0.4)) else {
            panic!("worse passes")
        };
        assert_eq!(
            worse,
            "it is worse: -0.5 a decision against what was logged, 95% interval -0.6 to -0.4; -0.1 is allowed"
        );
        let GateVerdict::Fails(unclear) = verdict(0.1, 0.1, (-0.3, 0.5)) else {
            panic!("unclear passes")
        };
        // Half as wide takes four times as many.
        assert!(
            unclear.ends_with("about 400 units would be needed to tell, there are 100"),
            "{unclear}"
        );
    }
}
