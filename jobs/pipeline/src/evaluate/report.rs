//! What came of an evaluation: rows for the table, and a sentence for people.

use lakeloop_domain::{BlueprintVersion, EvaluationId, Micros, ModelVersion, StrategyName};
use lakeloop_lake::rows::{Evaluation, Verdict};

use super::estimates::{Estimate, Estimated, JUDGE, Numbers, Support as Common};
use super::{Candidate, Support};

/// An evaluation with all its estimates.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationReport {
    /// One row an estimator, the one that judges first; what `evaluations` keeps.
    pub estimates: Vec<Evaluation>,
    /// The interval of what was logged.
    pub logged_interval: Option<(f64, f64)>,
    /// What must be said beside the numbers.
    pub notes: Vec<String>,
}

/// Everything about an evaluation but its numbers.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub evaluation_id: EvaluationId,
    pub candidate: Candidate,
    pub model_version: Option<ModelVersion>,
    pub evaluated_at: Micros,
    pub as_of: Micros,
    pub window_start: Option<Micros>,
    pub table_versions: Vec<(String, i64)>,
    pub confidence: f64,
    pub support: Support,
}

impl Setting {
    pub fn report(
        self,
        estimated: Estimated,
        (n_rows, n_units): (usize, usize),
        notes: Vec<String>,
    ) -> EvaluationReport {
        let Estimated {
            logged_value,
            logged_interval,
            support,
            estimates,
        } = estimated;
        let row = |estimate: Estimate| self.row(estimate, logged_value, &support, (n_rows as u64, n_units as u64));
        EvaluationReport {
            estimates: estimates.into_iter().map(row).collect(),
            logged_interval,
            notes,
        }
    }

    /// An evaluation that has no log to rest on.
    pub fn refused(self, why: &str, notes: Vec<String>) -> EvaluationReport {
        let estimated = Estimated {
            logged_value: None,
            logged_interval: None,
            support: Common::default(),
            estimates: vec![Estimate {
                estimator: JUDGE.to_owned(),
                numbers: Err(why.to_owned()),
            }],
        };
        self.report(estimated, (0, 0), notes)
    }

    fn row(
        &self,
        estimate: Estimate,
        logged_value: Option<f64>,
        support: &Common,
        (n_rows, n_units): (u64, u64),
    ) -> Evaluation {
        let (numbers, refusal) = match estimate.numbers {
            Ok(numbers) => (Some(numbers), None),
            Err(refusal) => (None, Some(refusal)),
        };
        let blueprint = &self.candidate.applied.blueprint;
        Evaluation {
            evaluation_id: self.evaluation_id.clone(),
            strategy: blueprint.name.clone(),
            candidate: self.candidate.name.clone(),
            blueprint_version: self.candidate.applied.version.clone(),
            model_version: self.model_version,
            policy: serde_json::to_string(&blueprint.policy).expect("a policy always has a JSON form"),
            evaluated_at: self.evaluated_at,
            as_of: self.as_of,
            window_start: self.window_start,
            table_versions: self.table_versions.clone(),
            estimator: estimate.estimator,
            value: numbers.map(|numbers| numbers.value),
            interval: numbers.and_then(|numbers| numbers.interval),
            bootstrap: numbers.and_then(|numbers| numbers.bootstrap),
            confidence: self.confidence,
            logged_value,
            gain: numbers.and_then(|numbers| numbers.gain),
            gain_interval: numbers.and_then(|numbers| numbers.gain_interval),
            verdict: numbers.as_ref().map_or(Verdict::Refused, Numbers::verdict),
            refusal,
            rules: self.support.as_str().to_owned(),
            n_rows,
            n_units,
            effective_rows: support.effective_rows,
            mean_weight: support.mean_weight,
            max_weight: support.max_weight,
            overlap: support.overlap,
            unsupported: support.unsupported,
        }
    }
}

impl EvaluationReport {
    /// The estimate that judges.
    pub fn judge(&self) -> &Evaluation {
        let judge = self.estimates.iter().find(|row| row.estimator == JUDGE);
        judge.unwrap_or(&self.estimates[0])
    }

    /// The verdict of the estimate that judges.
    pub fn verdict(&self) -> Verdict {
        self.judge().verdict
    }

    /// The strategy.
    pub fn strategy(&self) -> &StrategyName {
        &self.judge().strategy
    }

    /// The version of the candidate's blueprint.
    pub fn version(&self) -> &BlueprintVersion {
        &self.judge().blueprint_version
    }

    /// What follows, in one sentence.
    pub fn in_words(&self) -> String {
        let row = self.judge();
        let name = &row.candidate;
        if let Some(refusal) = &row.refusal {
            return format!("`{name}` cannot be valued: {refusal}");
        }
        let (Some(value), Some(logged), Some(gain)) = (row.value, row.logged_value, row.gain) else {
            return format!("`{name}` cannot be compared: what was logged has no mean");
        };
        let interval = match row.gain_interval {
            Some((low, high)) => format!(
                "{}% interval {} to {}",
                words::number(row.confidence * 100.0),
                words::signed(low),
                words::signed(high)
            ),
            None => "no interval".to_owned(),
        };
        let what = match row.verdict {
            Verdict::Better => format!("`{name}` is better than what was logged"),
            Verdict::Worse => format!("`{name}` is worse than what was logged"),
            Verdict::Undecided | Verdict::Refused => format!("`{name}` cannot be told from what was logged"),
        };
        let lenient = match row.rules == Support::Lenient.as_str() {
            true => "; by lenient rules, so nothing to decide by",
            false => "",
        };
        format!(
            "{what}: {} a decision against {}, a difference of {} ({interval}; {JUDGE} over {} decisions of {} units){lenient}",
            words::number(value),
            words::number(logged),
            words::signed(gain),
            row.n_rows,
            row.n_units,
        )
    }
}

/// Numbers and instants in sentences.
pub mod words {
    use chrono::{DateTime, SecondsFormat};
    use lakeloop_domain::Micros;

    /// Four significant digits, without an exponent.
    pub fn number(number: f64) -> String {
        if number == 0.0 || !number.is_finite() {
            return format!("{number}");
        }
        let magnitude = number.abs().log10().floor();
        let n_decimals = (3.0 - magnitude).clamp(0.0, 12.0) as usize;
        let text = format!("{number:.n_decimals$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    }

    /// The same with its sign.
    pub fn signed(value: f64) -> String {
        match value > 0.0 {
            true => format!("+{}", number(value)),
            false => number(value),
        }
    }

    /// In UTC, to the second.
    pub fn instant(at: Micros) -> String {
        DateTime::from_timestamp_micros(at)
            .map_or_else(|| at.to_string(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn numbers_have_four_significant_digits() {
            for (value, text) in [
                (0.0, "0"),
                (0.000_123_456, "0.0001235"),
                (0.5, "0.5"),
                (-1.234_56, "-1.235"),
                (95.0, "95"),
                (12_345.678, "12346"),
                (f64::NAN, "NaN"),
            ] {
                assert_eq!(number(value), text);
            }
            assert_eq!(
                (signed(0.25), signed(-0.25), signed(0.0)),
                ("+0.25".into(), "-0.25".into(), "0".into())
            );
        }
    }
}
