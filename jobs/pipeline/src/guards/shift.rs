//! Compares the labels before and after the split.
//!
//! Some shift is the loop at work: a model that goes live changes what happens. It is told from a tenth on, and only a
//! jump that makes two different tables of the two sides stops the run.

use lakeloop_domain::{Blueprint, LearningTarget};
use lakeloop_stats::Moments;

use super::Findings;
use crate::training_set::TrainingData;

/// From this share of labels on that would have to change for the two sides to agree, or this many standard deviations
/// between their means, the shift is told …
const TOLD: (f64, f64) = (0.1, 0.5);
/// … and from this on it stops the run.
const STOPS: (f64, f64) = (0.5, 2.0);
/// A difference of fewer standard errors than this is noise.
const STANDARD_ERRORS: f64 = 5.0;

pub(super) fn guard(blueprint: &Blueprint, data: &TrainingData, findings: &mut Findings) {
    let (train, validation) = (&data.labels[data.train()], &data.labels[data.validation()]);
    let shift = match blueprint.learning_target() {
        LearningTarget::Binary => of_classes(train, validation, &["no".to_owned(), "yes".to_owned()]),
        LearningTarget::MultiClass { classes } => of_classes(train, validation, &classes),
        _ => of_means(train, validation),
    };
    let Some((size, (told, stops), sentence)) = shift else {
        return;
    };
    if size >= stops {
        findings.stop(
            sentence,
            blueprint.training.allow_label_shift,
            "allow_label_shift = true",
        );
    } else if size >= told {
        findings.notes.push(sentence);
    }
}

type Shift = (f64, (f64, f64), String);

/// The total variation between the shares of classes, and the class that moved most.
fn of_classes(train: &[f64], validation: &[f64], classes: &[String]) -> Option<Shift> {
    let shares = |labels: &[f64]| {
        let mut shares = vec![0.0; classes.len()];
        labels
            .iter()
            .for_each(|label| shares[*label as usize] += 1.0 / labels.len() as f64);
        shares
    };
    let (before, after) = (shares(train), shares(validation));
    let moved = |class: &usize| (before[*class] - after[*class]).abs();
    let variation = (0..classes.len()).map(|class| moved(&class)).sum::<f64>() / 2.0;
    let most = (0..classes.len()).max_by(|a, b| moved(a).total_cmp(&moved(b)))?;
    let noise = |share: f64, labels: &[f64]| share * (1.0 - share) / labels.len() as f64;
    let error = (noise(before[most], train) + noise(after[most], validation)).sqrt();
    let sentence = format!(
        "the share of label `{}` goes from {:.1} % of the {} rows fitted on to {:.1} % of the {} later ones validated on",
        classes[most],
        before[most] * 100.0,
        train.len(),
        after[most] * 100.0,
        validation.len()
    );
    (moved(&most) > STANDARD_ERRORS * error).then_some((variation, (TOLD.0, STOPS.0), sentence))
}

fn of_means(train: &[f64], validation: &[f64]) -> Option<Shift> {
    let (before, after): (Moments, Moments) = (train.iter().copied().collect(), validation.iter().copied().collect());
    let moved = (before.mean()? - after.mean()?).abs();
    let error = (before.standard_error()?.powi(2) + after.standard_error()?.powi(2)).sqrt();
    let size = moved / before.variance()?.sqrt();
    let sentence = format!(
        "the mean label goes from {:.4} over the {} rows fitted on to {:.4} over the {} later ones validated on",
        before.mean()?,
        train.len(),
        after.mean()?,
        validation.len()
    );
    (size.is_finite() && moved > STANDARD_ERRORS * error).then_some((size, (TOLD.1, STOPS.1), sentence))
}
