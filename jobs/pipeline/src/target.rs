//! What a model predicts and by which loss, where the blueprint leaves it open: chosen from the labels, and explained.
//!
//! | outcome | labels | loss |
//! |---|---|---|
//! | yes/no | | logistic: a probability |
//! | category | | softmax: a probability of each class |
//! | number | many zeros, no negatives, amounts that spread widely | Tweedie deviance, variance power 1.5 |
//! | number | all above 0, spread over more than their mean, skewed | gamma deviance |
//! | number | any other | squared error |
//!
//! All of these predict the mean, so that a blueprint that asks for a number gets what it expects, whichever is chosen.
//! The median (absolute error) and other quantiles answer another question and are never chosen unless they are asked for.

use lakeloop_domain::{Blueprint, LearningTarget, Objective};

/// The variance power of amounts many of which are 0: between Poisson counts (1) and gamma amounts (2).
const TWEEDIE_POWER: f64 = 1.5;

/// The power at which the Tweedie deviance is the gamma deviance.
const GAMMA_POWER: f64 = 2.0;

/// From this share of zeros on, amounts are zero-inflated.
const MANY_ZEROS: f64 = 0.05;

/// From this share of the rarer label on downwards, the explanation speaks of imbalance.
const RARE: f64 = 0.05;

/// A target, and why it is this one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChosenTarget {
    /// What is predicted.
    pub target: LearningTarget,
    /// Why, in one clause.
    pub because: String,
}

/// Chooses by the blueprint, and where it leaves the loss open, by the labels that are fitted on.
pub(crate) fn choose_target(blueprint: &Blueprint, labels: &[f64]) -> ChosenTarget {
    let chosen = |target, because: String| ChosenTarget { target, because };
    let asked = blueprint.learning_target();
    match (blueprint.learning.objective, asked) {
        (Some(objective), _) => {
            let target = match objective {
                Objective::SquaredError => LearningTarget::Regression,
                Objective::AbsoluteError => LearningTarget::Quantile { quantile: 0.5 },
                Objective::Tweedie => LearningTarget::Amount { power: TWEEDIE_POWER },
                Objective::Gamma => LearningTarget::Amount { power: GAMMA_POWER },
                Objective::Ndcg => LearningTarget::Order,
            };
            chosen(target, format!("{} loss, as the blueprint asks", objective.as_str()))
        }
        (None, LearningTarget::Binary) => {
            let share = share(labels, |label| label != 0.0);
            let rare = share.min(1.0 - share) < RARE;
            let note = if rare {
                "; the rarer label is kept at its true weight, so that probabilities stay true"
            } else {
                ""
            };
            let because = format!("logistic loss for a yes/no outcome, {:.1} % yes{note}", share * 100.0);
            chosen(LearningTarget::Binary, because)
        }
        (None, LearningTarget::MultiClass { classes }) => {
            let because = format!("softmax loss over {} classes", classes.len());
            chosen(LearningTarget::MultiClass { classes }, because)
        }
        (None, LearningTarget::Quantile { quantile }) => {
            let because = format!("pinball loss for the quantile {quantile}, as the blueprint asks");
            chosen(LearningTarget::Quantile { quantile }, because)
        }
        (None, _) => by_amounts(labels),
    }
}

fn by_amounts(labels: &[f64]) -> ChosenTarget {
    let chosen = |target, because: String| ChosenTarget { target, because };
    let squared = |because: &str| chosen(LearningTarget::Regression, format!("squared error: {because}"));
    if labels.iter().any(|label| *label < 0.0) {
        return squared("there are negative labels, so they are no amounts");
    }
    let above: Vec<f64> = labels.iter().copied().filter(|label| *label > 0.0).collect();
    let zeros = share(labels, |label| label == 0.0);
    let (spread, skewness) = shape(&above);
    let is_wide = spread > 0.7 && skewness > 1.0;
    if zeros >= MANY_ZEROS && is_wide {
        return chosen(
            LearningTarget::Amount { power: TWEEDIE_POWER },
            format!(
                "Tweedie loss: {:.0} % of the amounts are 0 and the others spread {spread:.1} times their mean",
                zeros * 100.0
            ),
        );
    }
    if zeros == 0.0 && spread > 1.0 && skewness > 2.0 {
        return chosen(
            LearningTarget::Amount { power: GAMMA_POWER },
            format!("gamma loss: all amounts are above 0, spread {spread:.1} times their mean and have a long tail"),
        );
    }
    squared("the labels have neither many zeros nor a long tail")
}

fn share(labels: &[f64], is_one: impl Fn(f64) -> bool) -> f64 {
    labels.iter().filter(|label| is_one(**label)).count() as f64 / labels.len().max(1) as f64
}

/// The standard deviation over the mean, and the skewness; zeros without values.
fn shape(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let moment = |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / n;
    let deviation = moment(2).sqrt();
    if mean > 0.0 && deviation > 0.0 {
        (deviation / mean, moment(3) / deviation.powi(3))
    } else {
        (0.0, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::{LATE, applied};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn number(more: &str) -> Blueprint {
        let text = format!(
            "name = \"basket\"\nunit = \"user\"\ndecision = {{ kind = \"number\", default = 0.0 }}\n\
             context = {{ x = \"number\" }}\noutcome = {{ event = \"paid\", aggregation = \"sum\", window = \"30d\" }}\n{more}"
        );
        applied(&text).blueprint
    }

    fn labels(draw: impl Fn(&mut ChaCha8Rng) -> f64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        (0..2_000).map(|_| draw(&mut rng)).collect()
    }

    /// An exponential amount to a power: a long tail.
    fn amount(rng: &mut ChaCha8Rng, power: f64) -> f64 {
        (-(1.0 - rng.random::<f64>()).ln()).powf(power)
    }

    fn check(blueprint: &Blueprint, labels: &[f64], target: LearningTarget, because: &str) {
        let chosen = choose_target(blueprint, labels);
        assert_eq!(chosen.target, target, "{}", chosen.because);
        assert!(chosen.because.contains(because), "{}", chosen.because);
        assert!(chosen.target.answers(&blueprint.learning_target(), blueprint.ranks()));
    }

    #[test]
    fn the_labels_choose_the_loss_of_a_number() {
        let blueprint = number("");
        let zeros = labels(|rng| if rng.random_bool(0.6) { 0.0 } else { amount(rng, 1.0) });
        check(&blueprint, &zeros, LearningTarget::Amount { power: 1.5 }, "Tweedie");
        let tail = labels(|rng| amount(rng, 2.0) + 0.01);
        check(&blueprint, &tail, LearningTarget::Amount { power: 2.0 }, "gamma");
        let negative = labels(|rng| rng.random::<f64>() - 0.5);
        check(&blueprint, &negative, LearningTarget::Regression, "negative");
        let even = labels(|rng| rng.random::<f64>() + 1.0);
        check(&blueprint, &even, LearningTarget::Regression, "squared error");
    }

    #[test]
    fn what_the_blueprint_asks_for_is_not_chosen_again() {
        let even = labels(|rng| rng.random::<f64>() + 1.0);
        for (word, target) in [
            ("squared_error", LearningTarget::Regression),
            ("absolute_error", LearningTarget::Quantile { quantile: 0.5 }),
            ("tweedie", LearningTarget::Amount { power: 1.5 }),
            ("gamma", LearningTarget::Amount { power: 2.0 }),
        ] {
            let blueprint = number(&format!("model = {{ objective = \"{word}\" }}\n"));
            check(&blueprint, &even, target, "as the blueprint asks");
        }
        let rare: Vec<f64> = (0..1_000).map(|idx| f64::from(u8::from(idx % 100 == 0))).collect();
        check(
            &applied(LATE).blueprint,
            &rare,
            LearningTarget::Binary,
            "1.0 % yes; the rarer label",
        );
    }
}
