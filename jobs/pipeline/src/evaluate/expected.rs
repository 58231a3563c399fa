//! Fits the models that an evaluation needs for itself: each on other units than those it is used on (cross-fitting).
//!
//! Units are dealt into five folds. The model of a fold is fitted on three of the others and stopped early by the fourth,
//! so that nothing of a unit reaches the model that predicts for it, however many decisions the unit has. Chernozhukov,
//! Chetverikov, Demirer, Duflo, Hansen, Newey & Robins 2018, "Double/debiased machine learning", section 3, for q̂; the same
//! models decide where a policy is valued with models fitted anew.

use std::sync::Arc;

use arrow::array::UInt64Array;
use arrow::compute::take_record_batch;
use lakeloop_decide::Bundle;
use lakeloop_decide::encode::Encoder;
use lakeloop_domain::{AppliedBlueprint, Calibration, DecisionKind, Encoding, LearningTarget, Policy, Uncertainty};

use super::rows::EvaluationRows;
use crate::error::PipelineError;
use crate::matrix::{encode, learn_encoding};
use crate::parameters::Parameters;
use crate::provisional::unregistered;
use crate::rows::{FeatureLayout, TrainingRows};
use crate::scoring::score_encoded;
use crate::training_set::labels;
use crate::uncertainty::{Seen, uncertainty};
use crate::weights::evaluation_weights;
use crate::xgb::{LabelledMatrix, Trainer, TrainerOptions};

/// Enough that a model sees three fifths of the log, few enough to be fitted while somebody waits.
const N_FOLDS: usize = 5;

/// How fits are seeded and spread over threads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fitting {
    /// Seed of folds and fits.
    pub seed: u64,
    /// Threads of each fit.
    pub n_threads: u32,
}

/// One model for each fold, and the fold of each row.
pub(crate) struct CrossFit {
    models: Vec<FittedFold>,
    fold_of_row: Arc<[usize]>,
}

/// The model of a fold.
struct FittedFold {
    target: LearningTarget,
    encoding: Encoding,
    artifact: Vec<u8>,
    /// How sure it is of each action, where it scores each and enough is known to tell.
    uncertainty: Option<Uncertainty>,
    /// The rows that it was fitted on and stopped by.
    n_learned: u64,
}

impl CrossFit {
    /// The models in bundles of a blueprint that asks for such models as they were fitted for, with what they know besides
    /// their scores, as a registered model has it.
    pub fn bundles(&self, applied: &AppliedBlueprint) -> Result<FoldBundles, PipelineError> {
        let bundle = |fitted: &FittedFold| {
            let model = unregistered(
                applied,
                &fitted.target,
                &fitted.encoding,
                &Calibration::Identity,
                &fitted.artifact,
            )?;
            let model = model.with_knowledge(fitted.uncertainty.clone(), fitted.n_learned)?;
            Ok(Bundle::new(applied.clone(), Some(model))?)
        };
        let bundles: Result<Vec<_>, PipelineError> = self.models.iter().map(bundle).collect();
        Ok(FoldBundles {
            bundles: bundles?,
            fold_of_row: Arc::clone(&self.fold_of_row),
        })
    }
}

/// One bundle for each fold, and the fold of each row.
pub(crate) struct FoldBundles {
    bundles: Vec<Bundle>,
    fold_of_row: Arc<[usize]>,
}

impl FoldBundles {
    /// The bundle whose model has seen nothing of the row's unit.
    pub fn of_row(&self, row_idx: usize) -> &Bundle {
        &self.bundles[self.fold_of_row[row_idx]]
    }
}

/// The blueprint that expected rewards are fitted by: every action is scored, whatever the policy needs.
pub(crate) fn scoring_each_action(applied: &AppliedBlueprint) -> AppliedBlueprint {
    let mut scoring = applied.clone();
    if matches!(
        scoring.blueprint.decision,
        DecisionKind::YesNo { .. } | DecisionKind::Choose { .. }
    ) {
        scoring.blueprint.policy = Policy::Greedy;
    }
    scoring
}

/// Fits one model a fold. Fails where libxgboost does, and where there are fewer units than folds.
pub(crate) fn cross_fit(
    applied: &AppliedBlueprint,
    rows: &EvaluationRows,
    fitting: Fitting,
) -> Result<CrossFit, PipelineError> {
    let fold_of_row: Arc<[usize]> = (0..rows.len())
        .map(|row_idx| fold(rows.unit(row_idx), fitting.seed))
        .collect();
    let models = (0..N_FOLDS)
        .map(|held_out| fit_fold(applied, rows, &fold_of_row, held_out, fitting))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(CrossFit { models, fold_of_row })
}

/// Deals units out evenly, by a finaliser of their number (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
/// generators", the variant 13 of Stafford's mixers).
fn fold(unit: u64, seed: u64) -> usize {
    let mut bits = unit
        .wrapping_add(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) % N_FOLDS as u64) as usize
}

fn fit_fold(
    applied: &AppliedBlueprint,
    rows: &EvaluationRows,
    fold_of_row: &[usize],
    held_out: usize,
    fitting: Fitting,
) -> Result<FittedFold, PipelineError> {
    let stopping = (held_out + 1) % N_FOLDS;
    let idxs_of = |wanted: &dyn Fn(usize) -> bool| -> Vec<u64> {
        let of_fold = fold_of_row.iter().enumerate().filter(|(_, fold)| wanted(**fold));
        of_fold.map(|(row_idx, _)| row_idx as u64).collect()
    };
    let fitted_on = idxs_of(&|fold| fold != held_out && fold != stopping);
    let stopped_by = idxs_of(&|fold| fold == stopping);
    if fitted_on.is_empty() || stopped_by.is_empty() {
        return Err(PipelineError::TooFewToFit {
            n_units: rows.n_units(),
            n_folds: N_FOLDS,
        });
    }
    let (n_fit, n_stop) = (fitted_on.len(), stopped_by.len());
    let order: UInt64Array = fitted_on.into_iter().chain(stopped_by).collect();
    let taken = take_record_batch(rows.rows.batch(), &order).map_err(PipelineError::TrainingRows)?;
    let taken = TrainingRows::new(&[taken]).map_err(PipelineError::TrainingRows)?;
    let blueprint = &applied.blueprint;
    let target = blueprint.learning_target();
    let layout = FeatureLayout::new(blueprint);
    let encoding = learn_encoding(blueprint, &layout, &taken, 0..n_fit)?;
    let encoder = Encoder::new(&encoding)?;
    let labels = labels(blueprint, &taken)?;
    let train = encode(&layout, &taken, 0..n_fit, &encoder)?;
    let validation = encode(&layout, &taken, n_fit..n_fit + n_stop, &encoder)?;
    let options = TrainerOptions {
        columns: &encoding.columns,
        target: &target,
        n_threads: fitting.n_threads,
        seed: fitting.seed,
    };
    let weights = evaluation_weights(blueprint, &taken, n_fit);
    let weights = |range: std::ops::Range<usize>| weights.as_ref().map(|weights| &weights[range]);
    let fitted_on = LabelledMatrix {
        rows: &train,
        labels: &labels[..n_fit],
        weights: weights(0..n_fit),
        groups: &[],
    };
    let stopped_by = LabelledMatrix {
        rows: &validation,
        labels: &labels[n_fit..],
        weights: weights(n_fit..n_fit + n_stop),
        groups: &[],
    };
    let trainer = Trainer::new(fitted_on, stopped_by, &options)?;
    let fit = trainer.fit(&Parameters::defaults(&target))?;
    let artifact = fit.artifact;
    let model = unregistered(applied, &target, &encoding, &Calibration::Identity, &artifact)?;
    let seen = Seen {
        rows: &taken,
        labels: &labels,
        train: 0..n_fit,
        validation: n_fit..n_fit + n_stop,
        own_scores: &score_encoded(&model, &train)?,
        validation_scores: &score_encoded(&model, &validation)?,
    };
    Ok(FittedFold {
        uncertainty: uncertainty(blueprint, &seen),
        n_learned: (n_fit + n_stop) as u64,
        target,
        encoding,
        artifact,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_dealt_evenly_and_a_unit_always_to_the_same_fold() {
        let mut counts = [0; N_FOLDS];
        for unit in 0..10_000 {
            counts[fold(unit, 7)] += 1;
            assert_eq!(fold(unit, 7), fold(unit, 7));
        }
        // Five standard deviations of a binomial of 10,000 draws at one fifth.
        assert!(counts.iter().all(|n| (1_800..=2_200).contains(n)), "{counts:?}");
        assert!((0..100).any(|unit| fold(unit, 7) != fold(unit, 8)));
    }
}
