//! From a log to estimates next to what was logged: every estimator, its intervals, and what follows.

use lakeloop_lake::rows::Verdict;
use lakeloop_stats::off_policy::{Estimator, Log, Refusal, Rules, SlateEstimator, SlateLog, SlateWeight};
use lakeloop_stats::{Bootstrap, Independent, RatioEstimate};

/// The threshold of Switch-DR: a row that counts more than ten times is left to the model.
const SWITCH_THRESHOLD: f64 = 10.0;
/// The λ of DRos: weights up to about its root, 10, are hardly touched.
const SHRINKAGE: f64 = 100.0;

/// Beyond this many units a bootstrap takes minutes; the other interval gives the same.
const MAX_BOOTSTRAP_UNITS: usize = 200_000;

/// The estimator that judges, by the name of its estimate (decision 0012).
pub(crate) const JUDGE: &str = "SNIPS";

/// How estimates are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct How {
    /// What the log must offer.
    pub rules: Rules,
    /// Of all intervals.
    pub confidence: f64,
    /// How the bootstrap draws; `None`: no bootstrap.
    pub bootstrap: Option<Bootstrap>,
}

/// What one estimator says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Estimate {
    /// The estimator, with its parameter.
    pub estimator: String,
    /// The numbers, or why there are none.
    pub numbers: Result<Numbers, String>,
}

/// An estimate next to what was logged. Intervals are by units; `None` where they are not defined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Numbers {
    pub value: f64,
    pub interval: Option<(f64, f64)>,
    pub bootstrap: Option<(f64, f64)>,
    pub gain: Option<f64>,
    pub gain_interval: Option<(f64, f64)>,
}

impl Numbers {
    /// What follows: better or worse only where the interval of the gain says so.
    pub fn verdict(&self) -> Verdict {
        match self.gain_interval {
            Some((low, _)) if low > 0.0 => Verdict::Better,
            Some((_, high)) if high < 0.0 => Verdict::Worse,
            _ => Verdict::Undecided,
        }
    }
}

/// How much the log and the candidate have in common, in the worst case of its positions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Support {
    pub effective_rows: Option<f64>,
    pub mean_weight: Option<f64>,
    pub max_weight: Option<f64>,
    pub overlap: Option<f64>,
    pub unsupported: Option<f64>,
}

/// What was logged, what the log supports, and every estimate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Estimated {
    pub logged_value: Option<f64>,
    pub logged_interval: Option<(f64, f64)>,
    pub support: Support,
    pub estimates: Vec<Estimate>,
}

/// Why there are no expected rewards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WithoutQHat {
    /// Nobody asked: the estimators that read them are left out.
    NotAsked,
    /// They could not be fitted: those estimators say so.
    Failed(String),
}

/// Estimates from single actions. `without` says why there are no expected rewards, where there are none.
pub(crate) fn of_log(log: &Log, actions: &[String], without: Option<&WithoutQHat>, how: &How) -> Estimated {
    let diagnostics = log.diagnose();
    let supported = log.supported(&how.rules);
    // What was logged can be said also where nothing else can.
    let lenient = Rules::lenient();
    let logged = log
        .supported(&lenient)
        .and_then(|supported| supported.logged_value())
        .ok();
    let say = |refusal: Refusal| in_words(&refusal, actions);
    let estimates = each_estimator()
        .into_iter()
        .filter(|(_, estimator)| without != Some(&WithoutQHat::NotAsked) || !needs_q_hat(*estimator))
        .map(|(name, estimator)| {
            let numbers = match (&supported, without) {
                (Err(refusal), _) => Err(say(refusal.clone())),
                (Ok(_), Some(WithoutQHat::Failed(why))) if needs_q_hat(estimator) => Err(why.clone()),
                (Ok(supported), _) => match supported.estimate(estimator) {
                    Ok(estimate) => {
                        let mut numbers = numbers(&estimate, logged.as_ref(), how);
                        if estimator == Estimator::DirectMethod {
                            // Its spread leaves the model's error out, so its gain has no interval to go by.
                            numbers.gain_interval = None;
                        }
                        Ok(numbers)
                    }
                    Err(refusal) => Err(say(refusal)),
                },
            };
            Estimate {
                estimator: name,
                numbers,
            }
        })
        .collect();
    Estimated {
        logged_value: logged.as_ref().map(RatioEstimate::value),
        logged_interval: logged.as_ref().and_then(|logged| interval(logged, how)),
        support: Support {
            effective_rows: diagnostics.effective_rows,
            mean_weight: diagnostics.mean_weight,
            max_weight: diagnostics.max_weight,
            overlap: diagnostics.overlap,
            unsupported: diagnostics.unsupported,
        },
        estimates,
    }
}

/// Estimates from rankings, position by position.
pub(crate) fn of_slates(log: &SlateLog, how: &How) -> Estimated {
    let weight = SlateWeight::PositionWise;
    let positions = log.diagnose(weight);
    let logged = log.logged_value().ok();
    let smallest = |numbers: &mut dyn Iterator<Item = Option<f64>>| numbers.flatten().reduce(f64::min);
    let estimates = [
        (JUDGE, SlateEstimator::Snips { weight }),
        ("IPS", SlateEstimator::Ips { weight }),
    ];
    let estimates = estimates.map(|(name, estimator)| Estimate {
        estimator: name.to_owned(),
        numbers: match log.estimate(estimator, &how.rules) {
            Ok(estimate) => Ok(numbers(&estimate, logged.as_ref(), how)),
            Err(refusal) => Err(in_words(&refusal, &[])),
        },
    });
    Estimated {
        logged_value: logged.as_ref().map(RatioEstimate::value),
        logged_interval: logged.as_ref().and_then(|logged| interval(logged, how)),
        support: Support {
            effective_rows: smallest(&mut positions.iter().map(|position| position.effective_rows)),
            mean_weight: positions
                .iter()
                .filter_map(|position| position.mean_weight)
                .max_by(|a, b| (a - 1.0).abs().total_cmp(&(b - 1.0).abs())),
            max_weight: positions
                .iter()
                .filter_map(|position| position.max_weight)
                .reduce(f64::max),
            overlap: smallest(&mut positions.iter().map(|position| position.overlap)),
            unsupported: None,
        },
        estimates: estimates.to_vec(),
    }
}

/// Every estimator with its name in tables, the one that judges first.
fn each_estimator() -> Vec<(String, Estimator)> {
    let plain = |estimator: Estimator| (estimator.name().to_owned(), estimator);
    vec![
        plain(Estimator::Snips { clip: None }),
        plain(Estimator::Ips { clip: None }),
        plain(Estimator::DirectMethod),
        plain(Estimator::DoublyRobust { clip: None }),
        plain(Estimator::SelfNormalisedDoublyRobust { clip: None }),
        (
            format!("Switch-DR (τ = {SWITCH_THRESHOLD})"),
            Estimator::SwitchDoublyRobust {
                threshold: SWITCH_THRESHOLD,
            },
        ),
        (
            format!("DRos (λ = {SHRINKAGE})"),
            Estimator::ShrunkDoublyRobust { lambda: SHRINKAGE },
        ),
    ]
}

fn needs_q_hat(estimator: Estimator) -> bool {
    !matches!(estimator, Estimator::Ips { .. } | Estimator::Snips { .. })
}

fn numbers<'a>(estimate: &RatioEstimate<'a>, logged: Option<&RatioEstimate<'a>>, how: &How) -> Numbers {
    let gain = logged.and_then(|logged| estimate.minus(logged));
    let bootstrap = how
        .bootstrap
        .filter(|_| estimate.n_independent(Independent::Units) <= MAX_BOOTSTRAP_UNITS);
    let bootstrap =
        bootstrap.and_then(|bootstrap| estimate.bootstrap_interval(how.confidence, Independent::Units, &bootstrap));
    Numbers {
        value: estimate.value(),
        interval: interval(estimate, how),
        bootstrap: bootstrap.map(|interval| (interval.low, interval.high)),
        gain: gain.as_ref().map(RatioEstimate::value),
        gain_interval: gain.as_ref().and_then(|gain| interval(gain, how)),
    }
}

fn interval(estimate: &RatioEstimate<'_>, how: &How) -> Option<(f64, f64)> {
    let interval = estimate.interval(how.confidence, Independent::Units)?;
    Some((interval.low, interval.high))
}

/// The refusal with the action's name in place of its number.
fn in_words(refusal: &Refusal, actions: &[String]) -> String {
    match refusal {
        Refusal::Unsupported {
            share,
            at_most,
            action_idx,
            worst_share,
            ..
        } if *action_idx < actions.len() => format!(
            "{share:.4} of the candidate's choices are actions that the log has no support for (at most {at_most} allowed); \
             the most of them, {worst_share:.4}, are `{}`",
            actions[*action_idx]
        ),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(gain_interval: Option<(f64, f64)>) -> Numbers {
        Numbers {
            value: 1.0,
            interval: None,
            bootstrap: None,
            gain: Some(0.0),
            gain_interval,
        }
    }

    #[test]
    fn a_verdict_needs_an_interval_that_excludes_zero() {
        for (interval, verdict) in [
            (Some((0.1, 0.2)), Verdict::Better),
            (Some((-0.2, -0.1)), Verdict::Worse),
            (Some((0.0, 0.2)), Verdict::Undecided),
            (Some((-0.2, 0.2)), Verdict::Undecided),
            (None, Verdict::Undecided),
        ] {
            assert_eq!(numbers(interval).verdict(), verdict, "{interval:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_action() {
        let refusal = Refusal::Unsupported {
            share: 0.25,
            at_most: 0.001,
            position: 0,
            action_idx: 1,
            worst_share: 0.25,
        };
        let actions = ["soup".to_owned(), "stew".to_owned()];
        assert!(in_words(&refusal, &actions).ends_with("are `stew`"));
    }
}
