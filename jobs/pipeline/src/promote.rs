//! Judges whether a registered model goes live, and carries the judgement out.
//!
//! Facts go in, a verdict comes out, and only then is anything moved:
//!
//! ```text
//!  winner ──┬─ beats what it must of the ladder ──► registered ──┬─ no worse than the live one ──► live (that one retires)
//!           └─ otherwise ──► not registered                      └─ otherwise ──► stays a candidate
//!
//! and either way the reason is in the run's detail.
//! ```
//!
//! Validation rows are few and noisy, so a difference counts only beyond its standard error. The rows are compared in
//! pairs: both models are scored on the same rows, which takes out what is hard about the rows themselves.

use lakeloop_domain::{Baseline, Micros, ModelRecord, ModelStage, ModelVersion, StageMove};
use lakeloop_lake::registry::{self, StageMoved};
use lakeloop_lake::{Lake, LakeError};

use crate::guards::enough::MIN_VALIDATION_DECISIONS;
use crate::loss::Gain;

/// A model must beat each baseline that it has to by this many standard errors. The search has picked the best of its trials and
/// rounds on the same rows, which shifts the null distribution upwards. Over 200 searches on labels that depend on
/// nothing, in each of five settings (600 and 2,000 rows, 1 to 12 trials), the 97.5th percentile of the gain was 1.75
/// to 2.48 standard errors, so that at most about one search in forty passes; at 2 it was between one in twenty and one in
/// ten in the worst setting (600 rows, 12 trials).
/// `null_distribution_of_the_gain_over_a_constant` in `fit/tests.rs` measures it again.
const STANDARD_ERRORS_OVER_BASELINE: f64 = 2.5;

/// A model that loses to the live one by more than this many standard errors stays. Narrower than the bound above:
/// keeping the live one costs nothing, and the new one alone was picked on these very rows.
const STANDARD_ERRORS_UNDER_LIVE: f64 = 1.0;

/// What a verdict rests on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    /// How much less the model loses than the best constant of the rows fitted on; `None` with fewer than two rows.
    pub over_constant: Option<Gain>,
    /// How much less it loses than each richer baseline whose predictions there are.
    pub over_baselines: Vec<(Baseline, Gain)>,
    /// The live model, with how much less the new one loses than it does; `None` where no model is live, or the live
    /// one cannot score these rows.
    pub over_live: Option<(ModelVersion, Gain)>,
}

/// Whether a model goes live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does.
    GoLive {
        /// Why, in one clause.
        reason: String,
    },
    /// It is not even registered: it does no better than what needs no model.
    Refuse {
        /// Why, in one clause.
        reason: String,
    },
    /// It stays a candidate.
    Stay {
        /// Why, in one clause.
        reason: String,
    },
}

/// Judges by the facts alone. `must_beat` names the baselines that a model has to beat beyond noise; the constant is always
/// one, and one that could not be predicted with these rows is none.
pub(crate) fn judge(facts: &Facts, must_beat: &[Baseline]) -> Verdict {
    let enough = facts
        .over_constant
        .filter(|gain| gain.n_clusters >= MIN_VALIDATION_DECISIONS);
    let Some(gain) = enough else {
        let n_clusters = facts.over_constant.map_or(0, |gain| gain.n_clusters);
        return Verdict::Refuse {
            reason: format!(
                "{n_clusters} independent clusters of validation rows say too little; at least \
                 {MIN_VALIDATION_DECISIONS} are needed"
            ),
        };
    };
    let others = facts
        .over_baselines
        .iter()
        .filter(|(baseline, _)| must_beat.contains(baseline));
    for (baseline, gain) in [(Baseline::Constant, gain)].iter().chain(others) {
        // Written so that a gain that is no number never passes.
        let beats = gain.mean > 0.0 && gain.mean > STANDARD_ERRORS_OVER_BASELINE * gain.standard_error;
        if !beats {
            return Verdict::Refuse {
                reason: format!(
                    "it does not beat {} beyond noise ({})",
                    baseline.in_words(),
                    words(*gain)
                ),
            };
        }
    }
    match facts.over_live {
        None => Verdict::GoLive {
            reason: format!("it beats a constant prediction ({})", words(gain)),
        },
        Some((live, over_live)) if over_live.mean >= -STANDARD_ERRORS_UNDER_LIVE * over_live.standard_error => {
            Verdict::GoLive {
                reason: format!(
                    "it beats a constant prediction ({}) and is no worse than model {live} on the same rows ({})",
                    words(gain),
                    words(over_live)
                ),
            }
        }
        Some((live, over_live)) => Verdict::Stay {
            reason: format!(
                "it is worse than the live model {live} on the same rows ({})",
                words(over_live)
            ),
        },
    }
}

fn words(gain: Gain) -> String {
    format!(
        "gain {:.5} ± {:.5} a row over {} rows",
        gain.mean, gain.standard_error, gain.n_rows
    )
}

/// Carries a verdict out: a model that goes live retires the one that was, in the same commit. Doing it again changes
/// nothing. Returns the model that was retired by it.
pub(crate) async fn carry_out(
    lake: &Lake,
    model: &ModelRecord,
    verdict: &Verdict,
    now: Micros,
) -> Result<Option<ModelVersion>, LakeError> {
    let Verdict::GoLive { reason } = verdict else {
        return Ok(None);
    };
    let wish = StageMove {
        strategy: model.strategy.clone(),
        version: model.version,
        to: ModelStage::Live,
        reason: reason.clone(),
    };
    match registry::move_stage(lake, &wish, now).await? {
        StageMoved::Moved { retired } => Ok(retired),
        StageMoved::Already => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(mean: f64, standard_error: f64, n_rows: usize) -> Gain {
        Gain {
            mean,
            standard_error,
            n_rows,
            n_clusters: n_rows,
        }
    }

    #[test]
    fn verdicts_follow_from_the_facts() {
        let live = ModelVersion(3);
        let rival = |mean, standard_error| Some((live, gain(mean, standard_error, 100)));
        for (over_constant, over_live, goes_live) in [
            // No live model: beyond two and a half standard errors of the constant, or not.
            (Some(gain(0.026, 0.01, 100)), None, true),
            (Some(gain(0.024, 0.01, 100)), None, false),
            (Some(gain(-0.5, 0.01, 100)), None, false),
            (Some(gain(0.5, 0.0, 100)), None, true),
            (Some(gain(0.0, 0.0, 100)), None, false),
            (Some(gain(f64::NAN, 0.01, 100)), None, false),
            (Some(gain(0.5, f64::NAN, 100)), None, false),
            // Too few rows to tell.
            (Some(gain(0.5, 0.01, 29)), None, false),
            (Some(gain(0.5, 0.01, 30)), None, true),
            (None, None, false),
            // A live model: no worse than one standard error below it.
            (Some(gain(0.5, 0.01, 100)), rival(0.1, 0.01), true),
            (Some(gain(0.5, 0.01, 100)), rival(0.0, 0.0), true),
            (Some(gain(0.5, 0.01, 100)), rival(-0.009, 0.01), true),
            (Some(gain(0.5, 0.01, 100)), rival(-0.011, 0.01), false),
            (Some(gain(0.5, 0.01, 100)), rival(f64::NAN, 0.01), false),
            // Better than the live one is not enough when a constant does as well.
            (Some(gain(0.0, 0.01, 100)), rival(0.1, 0.01), false),
        ] {
            let facts = Facts {
                over_constant,
                over_baselines: Vec::new(),
                over_live,
            };
            let verdict = judge(&facts, &Baseline::DEFAULT);
            assert_eq!(
                matches!(verdict, Verdict::GoLive { .. }),
                goes_live,
                "{facts:?} gave {verdict:?}"
            );
        }
    }

    #[test]
    fn every_baseline_that_must_be_beaten_is_and_others_are_not_asked() {
        let facts = Facts {
            over_constant: Some(gain(0.5, 0.01, 100)),
            over_baselines: vec![
                (Baseline::LastValue, gain(0.3, 0.01, 100)),
                (Baseline::Linear, gain(0.01, 0.01, 100)),
            ],
            over_live: None,
        };
        assert!(matches!(judge(&facts, &Baseline::DEFAULT), Verdict::GoLive { .. }));
        let strict = judge(&facts, &Baseline::LADDER);
        assert_eq!(
            strict,
            Verdict::Refuse {
                reason: "it does not beat a linear model beyond noise (gain 0.01000 ± 0.01000 a row over 100 rows)"
                    .to_owned()
            }
        );
    }

    #[test]
    fn a_verdict_says_why() {
        let facts = Facts {
            over_constant: Some(gain(0.5, 0.01, 100)),
            over_baselines: Vec::new(),
            over_live: Some((ModelVersion(3), gain(-0.2, 0.01, 100))),
        };
        assert_eq!(
            judge(&facts, &Baseline::DEFAULT),
            Verdict::Stay {
                reason:
                    "it is worse than the live model 3 on the same rows (gain -0.20000 ± 0.01000 a row over 100 rows)"
                        .to_owned()
            }
        );
    }
}
