//! Whether rows are enough to fit and to judge by, and how many more are needed where they are not.

use lakeloop_domain::LearningTarget;

use crate::split::TimeSplit;

/// With fewer validation decisions a mean is too far from normal for its standard error to say much.
pub(crate) const MIN_VALIDATION_DECISIONS: usize = 30;
/// Rows of another label than the most frequent one that are needed to fit on …
const MIN_RARE_TRAIN_ROWS: usize = 10;
/// … and to validate on.
const MIN_RARE_VALIDATION_ROWS: usize = 5;

/// One sentence about what is missing; `None` when nothing is. `decisions` says for each row which decision it stems from.
pub(crate) fn what_is_missing(
    target: &LearningTarget,
    split: &TimeSplit,
    labels: &[f64],
    decisions: &[usize],
) -> Option<String> {
    let n_decisions = decisions.last().map_or(0, |last| last + 1);
    let n_validation = n_decisions - decisions.get(split.validation_from).copied().unwrap_or(n_decisions);
    if n_validation < MIN_VALIDATION_DECISIONS {
        let needed = scaled(n_decisions, MIN_VALIDATION_DECISIONS, n_validation.max(1)) - n_decisions;
        return Some(format!(
            "{n_decisions} decisions leave {n_validation} to validate on, and {MIN_VALIDATION_DECISIONS} are needed: about \
             {needed} more decisions with an outcome"
        ));
    }
    let classes = match target {
        LearningTarget::Binary => vec!["no".to_owned(), "yes".to_owned()],
        LearningTarget::MultiClass { classes } => classes.clone(),
        _ => return None,
    };
    let (train, validation) = (&labels[..split.n_train], &labels[split.validation_from..]);
    let most_frequent = most_frequent(labels, classes.len());
    let n_rare = |labels: &[f64]| labels.iter().filter(|label| **label as usize != most_frequent).count();
    let (in_train, in_validation) = (n_rare(train), n_rare(validation));
    if in_train == 0 || (in_train >= MIN_RARE_TRAIN_ROWS && in_validation >= MIN_RARE_VALIDATION_ROWS) {
        // Labels that are all the same have a sentence of their own.
        return None;
    }
    let rare: Vec<String> = (0..classes.len())
        .filter(|class| *class != most_frequent)
        .map(|class| format!("`{}`", classes[class]))
        .collect();
    let needed = [
        scaled(labels.len(), MIN_RARE_TRAIN_ROWS, in_train),
        scaled(labels.len(), MIN_RARE_VALIDATION_ROWS, in_validation.max(1)),
    ];
    let needed = needed.into_iter().max().unwrap_or(0).saturating_sub(labels.len());
    Some(format!(
        "{in_train} of {} rows to fit on and {in_validation} of {} to validate on are {}, and {MIN_RARE_TRAIN_ROWS} and \
         {MIN_RARE_VALIDATION_ROWS} are needed: at this rate about {needed} more rows",
        train.len(),
        validation.len(),
        rare.join(" or ")
    ))
}

/// How many there must be in all for `found` of them to become `wanted`.
fn scaled(n_all: usize, wanted: usize, found: usize) -> usize {
    (n_all * wanted).div_ceil(found)
}

fn most_frequent(labels: &[f64], n_classes: usize) -> usize {
    let mut counts = vec![0_usize; n_classes];
    labels.iter().for_each(|label| counts[*label as usize] += 1);
    (0..n_classes)
        .max_by_key(|class| (counts[*class], n_classes - class))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::split;

    fn missing(labels: &[f64]) -> String {
        let times: Vec<i64> = (0..labels.len() as i64).collect();
        let decisions: Vec<usize> = (0..labels.len()).collect();
        let split = split(&times, 0).unwrap_or_else(|| unreachable!("times differ"));
        what_is_missing(&LearningTarget::Binary, &split, labels, &decisions).unwrap_or_default()
    }

    #[test]
    fn twelve_rows_say_how_many_more_are_needed() {
        let labels: Vec<f64> = (0..12).map(|idx| f64::from(idx % 2)).collect();
        assert_eq!(
            missing(&labels),
            "12 decisions leave 3 to validate on, and 30 are needed: about 108 more decisions with an outcome"
        );
    }

    #[test]
    fn too_few_positives_say_how_many_more_rows_are_needed() {
        let labels: Vec<f64> = (0..1_000).map(|idx| f64::from(u8::from(idx % 150 == 149))).collect();
        assert_eq!(
            missing(&labels),
            "5 of 800 rows to fit on and 1 of 200 to validate on are `yes`, and 10 and 5 are needed: at this rate about 4000 more \
             rows"
        );
        let labels: Vec<f64> = (0..1_000).map(|idx| f64::from(u8::from(idx % 20 == 19))).collect();
        assert_eq!(missing(&labels), "");
    }
}
