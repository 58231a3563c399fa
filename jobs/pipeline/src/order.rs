//! How good an order of candidates is: NDCG over the rankings of validation rows.
//!
//! NDCG of one ranking (Järvelin and Kekäläinen 2002, with gains 2^label − 1 as in Burges et al. 2005): the gains in the
//! order of the scores, each divided by log2 of its position plus two, over the same of the best order. A ranking whose
//! labels are all 0 has no best order and counts as 1, as in libxgboost. Equal scores share their positions' discounts, so
//! that a constant earns nothing by luck of the input's order.

/// The mean NDCG over rankings; `groups` says how many rows each has. `None` without rankings.
pub(crate) fn ndcg(scores: &[f64], labels: &[f64], groups: &[u32]) -> Option<f64> {
    let each = each(scores, labels, groups);
    (!each.is_empty()).then(|| each.iter().map(|(_, ndcg)| ndcg).sum::<f64>() / each.len() as f64)
}

/// The loss of each row: 1 − NDCG of its ranking, divided evenly over the ranking's rows, so that a ranking's rows add up
/// to its loss.
pub(crate) fn losses(scores: &[f64], labels: &[f64], groups: &[u32]) -> Vec<f64> {
    each(scores, labels, groups)
        .into_iter()
        .flat_map(|(n_rows, ndcg)| std::iter::repeat_n((1.0 - ndcg) / n_rows as f64, n_rows))
        .collect()
}

/// The number of rows and the NDCG of each ranking.
fn each(scores: &[f64], labels: &[f64], groups: &[u32]) -> Vec<(usize, f64)> {
    let mut from = 0;
    groups
        .iter()
        .map(|n_rows| {
            let rows = from..(from + *n_rows as usize).min(scores.len()).min(labels.len());
            from = rows.end;
            (rows.len(), of_one(&scores[rows.clone()], &labels[rows]))
        })
        .collect()
}

fn of_one(scores: &[f64], labels: &[f64]) -> f64 {
    let gain = |label: f64| 2f64.powf(label) - 1.0;
    let mut ordered: Vec<(f64, f64)> = scores
        .iter()
        .copied()
        .zip(labels.iter().map(|label| gain(*label)))
        .collect();
    ordered.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut found = 0.0;
    let mut position = 0;
    for ties in ordered.chunk_by(|a, b| a.0 == b.0) {
        let discounts: f64 = (position..position + ties.len()).map(discount).sum();
        found += ties.iter().map(|(_, gain)| gain).sum::<f64>() / ties.len() as f64 * discounts;
        position += ties.len();
    }
    let mut gains: Vec<f64> = ordered.into_iter().map(|(_, gain)| gain).collect();
    gains.sort_by(|a, b| b.total_cmp(a));
    let best: f64 = gains
        .iter()
        .enumerate()
        .map(|(position, gain)| gain * discount(position))
        .sum();
    if best > 0.0 { found / best } else { 1.0 }
}

fn discount(position: usize) -> f64 {
    1.0 / ((position + 2) as f64).log2()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ndcg_of_rankings_with_ties_and_without_a_best_order() {
        // scikit-learn 1.9.1: ndcg_score([[7, 1, 0]], [[0.2, 0.9, 0.5]]), whose gains are the labels, 2^3−1, 2^1−1 and 0.
        let found = ndcg(&[0.2, 0.9, 0.5], &[3.0, 1.0, 0.0], &[3]).unwrap();
        assert!((found - 0.5897053367440438).abs() < 1e-12, "{found}");
        // The same with all scores equal: ndcg_score([[7, 1, 0]], [[0.5, 0.5, 0.5]]).
        let found = ndcg(&[0.5; 3], &[3.0, 1.0, 0.0], &[3]).unwrap();
        assert!((found - 0.744664087649042).abs() < 1e-12, "{found}");
        assert_eq!(ndcg(&[0.3, 0.1, 0.7], &[1.0, 0.0, 0.0], &[2, 1]), Some(1.0));
        assert_eq!(ndcg(&[], &[], &[]), None);
    }

    #[test]
    fn a_rankings_rows_add_up_to_its_loss() {
        let (scores, labels, groups) = ([0.2, 0.9, 0.5, 0.1], [3.0, 1.0, 0.0, 1.0], [3, 1]);
        let found = losses(&scores, &labels, &groups);
        let value = ndcg(&scores, &labels, &groups).unwrap();
        assert_eq!(found.len(), 4);
        assert!((found.iter().sum::<f64>() / 2.0 - (1.0 - value)).abs() < 1e-12);
        assert_eq!(found[3], 0.0);
    }
}
