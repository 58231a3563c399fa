//! The gate before registration: the serving code and libxgboost agree on the saved model, or it is not registered.
//!
//! Both score every validation row as it was logged, and variations of some rows that logs may not hold: a feature
//! missing, all of them missing, categories and actions that no vocabulary knows. The saved bytes are what both load,
//! so a fault in saving shows as well. Agreement is within 1e-6, and relative to the prediction where that is beyond 1,
//! because single precision holds about seven digits.

use std::ops::Range;

use lakeloop_decide::encode::{Encoder, WidthError};
use lakeloop_decide::{Model, ScoreError, Scratch};
use lakeloop_domain::{FeatureType, FeatureValue};

use crate::matrix::Matrix;
use crate::rows::{FeatureLayout, TrainingRows};
use crate::scoring::{Sample, chunks, samples};
use crate::xgb::{Predictor, XgbError};

/// The largest difference that counts as agreement.
pub const TOLERANCE: f64 = 1e-6;

/// Rows of which variations are made.
const N_VARIED_ROWS: usize = 64;

/// A text that no vocabulary learned from a context or a view holds: identifiers have no control characters.
const UNKNOWN: &str = "\u{0}unknown";

/// Why a model may not be registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParityError {
    /// The two disagree.
    #[error(
        "the serving code predicts {found} where libxgboost predicts {expected} (row {row_idx} of {n_rows}, output \
         {output_idx}): more than {TOLERANCE} apart, so the model was not registered"
    )]
    Differs {
        /// The position among the rows that were compared at once.
        row_idx: usize,
        /// How many those were.
        n_rows: usize,
        /// The output.
        output_idx: usize,
        /// What libxgboost predicts.
        expected: f64,
        /// What the serving code predicts.
        found: f64,
    },
    /// The serving code gave no score.
    #[error("the serving code cannot score row {row_idx} of the parity check: {source}")]
    Score {
        /// The position among the rows that were compared at once.
        row_idx: usize,
        /// Why not.
        source: ScoreError,
    },
    /// libxgboost failed.
    #[error(transparent)]
    Xgb(#[from] XgbError),
    /// A row does not fit the encoding.
    #[error(transparent)]
    Width(#[from] WidthError),
}

/// What libxgboost is asked with: the saved model and the encoding that it was fitted with.
pub(crate) struct Reference {
    /// The saved model.
    pub predictor: Predictor,
    /// How its rows are made.
    pub encoder: Encoder,
}

/// Compares an uncalibrated model with the reference on a range of rows and on variations of them. Returns the largest
/// absolute difference.
pub(crate) fn check(
    model: &Model,
    reference: &Reference,
    layout: &FeatureLayout,
    rows: &TrainingRows,
    range: Range<usize>,
) -> Result<f64, ParityError> {
    let varied_rows = range.start..range.end.min(range.start + N_VARIED_ROWS);
    let mut largest = compare(model, reference, &variations(&samples(layout, rows, varied_rows)))?;
    for chunk in chunks(range) {
        largest = largest.max(compare(model, reference, &samples(layout, rows, chunk))?);
    }
    Ok(largest)
}

/// Compares on samples.
fn compare(model: &Model, reference: &Reference, samples: &[Sample]) -> Result<f64, ParityError> {
    let n_columns = reference.encoder.n_columns();
    let mut encoded = vec![f32::NAN; samples.len() * n_columns];
    for (sample, row) in samples.iter().zip(encoded.chunks_exact_mut(n_columns)) {
        reference
            .encoder
            .encode_into(&sample.features, sample.action.as_deref(), row)?;
    }
    let expected = reference.predictor.predict(&Matrix::new(encoded, samples.len()))?;
    let n_outputs = expected.len() / samples.len().max(1);
    let mut scratch = Scratch::new();
    let mut largest = 0.0_f64;
    for (row_idx, (sample, expected)) in samples.iter().zip(expected.chunks_exact(n_outputs.max(1))).enumerate() {
        let found = model
            .score_features(&sample.features, sample.action.as_deref(), &mut scratch)
            .map_err(|source| ParityError::Score { row_idx, source })?;
        for (output_idx, (expected, found)) in expected.iter().zip(found).enumerate() {
            let (expected, found) = (f64::from(*expected), *found);
            let difference = (found - expected).abs();
            // Written so that a difference that is no number never passes.
            let agrees = difference <= TOLERANCE * expected.abs().max(1.0);
            if !agrees {
                return Err(ParityError::Differs {
                    row_idx,
                    n_rows: samples.len(),
                    output_idx,
                    expected,
                    found,
                });
            }
            largest = largest.max(difference);
        }
    }
    Ok(largest)
}

/// Each sample with every feature missing, with one feature missing (another one each time), with every category
/// unknown, with no action and with an unknown one.
fn variations(samples: &[Sample]) -> Vec<Sample> {
    let mut varied = Vec::new();
    for (sample_idx, sample) in samples.iter().enumerate() {
        let n_features = sample.features.len();
        let missing = |is_dropped: &dyn Fn(usize) -> bool| {
            let mut varied = sample.clone();
            for (_, feature) in varied
                .features
                .iter_mut()
                .enumerate()
                .filter(|(idx, _)| is_dropped(*idx))
            {
                feature.value = FeatureValue::Missing;
            }
            varied
        };
        varied.push(missing(&|_| true));
        varied.push(missing(&|idx| idx == sample_idx % n_features.max(1)));
        let mut unknown = sample.clone();
        for feature in unknown
            .features
            .iter_mut()
            .filter(|feature| feature.feature_type == FeatureType::Category)
        {
            feature.value = FeatureValue::Category(UNKNOWN.to_owned());
        }
        varied.push(unknown);
        for action in [None, Some(UNKNOWN.to_owned())] {
            varied.push(Sample {
                action,
                ..sample.clone()
            });
        }
    }
    varied
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::matrix::{encode, learn_encoding};
    use crate::parameters::Parameters;
    use crate::provisional::provisional;
    use crate::simulated::{LATE, applied, late, training_data, training_rows};
    use crate::xgb::{LabelledMatrix, Trainer, TrainerOptions};
    use lakeloop_domain::{Calibration, Encoding};

    /// Fits a model, damages the encoding that the serving code is given, and checks.
    fn check_with(damage: impl Fn(&mut Encoding)) -> Result<f64, ParityError> {
        let applied = applied(LATE);
        let data = training_data(&applied, training_rows(&applied, 1_000, 5, late));
        let layout = FeatureLayout::new(&applied.blueprint);
        let encoding = learn_encoding(&applied.blueprint, &layout, &data.rows, data.train()).unwrap();
        let encoder = Encoder::new(&encoding).unwrap();
        let matrix = |range: Range<usize>| encode(&layout, &data.rows, range, &encoder).unwrap();
        let options = TrainerOptions {
            columns: &encoding.columns,
            target: &applied.blueprint.learning_target(),
            n_threads: 1,
            seed: 1,
        };
        let labelled = |rows, labels| LabelledMatrix {
            rows,
            labels,
            weights: None,
            groups: &[],
        };
        let (train, validation) = (matrix(data.train()), matrix(data.validation()));
        let trainer = Trainer::new(
            labelled(&train, &data.labels[data.train()]),
            labelled(&validation, &data.labels[data.validation()]),
            &options,
        );
        let fit = trainer.unwrap().fit(&Parameters::defaults(options.target)).unwrap();
        let mut damaged = encoding.clone();
        damage(&mut damaged);
        let bundle = provisional(
            &applied,
            options.target,
            &damaged,
            &Calibration::Identity,
            &fit.artifact,
        )
        .unwrap();
        let reference = Reference {
            predictor: Predictor::load(&fit.artifact, &encoding.columns).unwrap(),
            encoder,
        };
        check(
            bundle.model().unwrap(),
            &reference,
            &layout,
            &data.rows,
            data.validation(),
        )
    }

    fn cities(encoding: &mut Encoding) -> &mut Vec<String> {
        &mut encoding
            .columns
            .iter_mut()
            .find(|column| column.name == "city")
            .unwrap()
            .vocabulary
    }

    #[test]
    fn a_sound_model_agrees_on_logged_missing_and_unknown_values() {
        let largest = check_with(|_| {}).unwrap();
        assert!(largest <= TOLERANCE, "{largest}");
    }

    #[test]
    fn a_serving_encoding_that_differs_from_the_fitted_one_is_caught() {
        let swapped = check_with(|encoding| cities(encoding).swap(0, 1));
        assert!(matches!(swapped, Err(ParityError::Differs { .. })), "{swapped:?}");
        let shortened = check_with(|encoding| cities(encoding).truncate(1));
        assert!(matches!(shortened, Err(ParityError::Differs { .. })), "{shortened:?}");
        let message = swapped.unwrap_err().to_string();
        assert!(
            message.contains("more than 0.000001 apart, so the model was not registered"),
            "{message}"
        );
    }
}
