//! What is valued: a blueprint with the model it would decide by, as a distribution over actions for each logged row.

use lakeloop_decide::{Bundle, Model, Scratch, probabilities_blocked};
use lakeloop_domain::{AppliedBlueprint, Features, ModelRecord, ModelVersion, StrategyName};
use lakeloop_lake::{Lake, registry};

use super::expected::FoldBundles;
use crate::error::PipelineError;

/// A blueprint that is to be valued, under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The name that its evaluation gets.
    pub name: String,
    /// The blueprint; its sequence and instant do not matter.
    pub applied: AppliedBlueprint,
    /// By which model it decides.
    pub by: DecidingModel,
}

/// By which model a candidate decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecidingModel {
    /// The live one; none where none is live.
    Live,
    /// A registered one.
    Version(ModelVersion),
    /// None: it decides as it does while nothing is learned.
    None,
    /// Models that are fitted for the evaluation by the candidate's blueprint, each on other units than it decides for: what
    /// training would make of the candidate.
    Refitted,
}

/// By what each row is decided.
pub(crate) enum Deciding<'b> {
    One(&'b Bundle),
    Folds(&'b FoldBundles),
}

impl Deciding<'_> {
    /// The bundle that decides for a row.
    pub fn of_row(&self, row_idx: usize) -> &Bundle {
        match self {
            Self::One(bundle) => bundle,
            Self::Folds(folds) => folds.of_row(row_idx),
        }
    }

    /// Writes the probability of each of the bundle's actions to the beginning of `shares`, which has room for them. What caps
    /// blocked for the logged decision is blocked here too, for the default has its share; where the model fails, the
    /// default is certain, as it is when it serves.
    pub fn fill(
        &self,
        row_idx: usize,
        features: &Features,
        blocked: &[String],
        scratch: &mut Scratch,
        shares: &mut [f64],
    ) {
        let bundle = self.of_row(row_idx);
        shares.fill(0.0);
        // An action that the candidate does not have is one that it never takes.
        let position = |action: &String| bundle.actions().iter().position(|one| one == action);
        let blocked = blocked.iter().filter_map(position);
        let blocked: Vec<u32> = blocked.filter_map(|idx| u32::try_from(idx).ok()).collect();
        match probabilities_blocked(bundle, features, &blocked, scratch) {
            Ok(of_each) => shares[..of_each.len()].copy_from_slice(of_each),
            Err(_) => {
                let default = bundle.blueprint().default_action();
                let idx = bundle
                    .actions()
                    .iter()
                    .position(|action| Some(action.as_str()) == default);
                shares[idx.unwrap_or(0)] = 1.0;
            }
        }
    }
}

/// The registered model that a candidate decides by; `None` without one.
pub(crate) async fn model_of(
    lake: &Lake,
    strategy: &StrategyName,
    by: DecidingModel,
) -> Result<Option<ModelRecord>, PipelineError> {
    match by {
        DecidingModel::None | DecidingModel::Refitted => Ok(None),
        DecidingModel::Live => Ok(registry::live_of(lake, strategy).await?),
        DecidingModel::Version(version) => {
            let found = registry::get(lake, strategy, version).await?;
            match found {
                Some(model) => Ok(Some(model)),
                None => {
                    let known = registry::list(lake, Some(strategy)).await?;
                    Err(PipelineError::UnknownModel {
                        strategy: strategy.clone(),
                        version,
                        known: known.iter().map(|model| model.version).collect(),
                    })
                }
            }
        }
    }
}

/// The bundle of a blueprint and a registered model. Fails when the two do not fit.
pub(crate) fn bundle_of(applied: &AppliedBlueprint, model: Option<&ModelRecord>) -> Result<Bundle, PipelineError> {
    let model = model.map(Model::from_record).transpose()?;
    Ok(Bundle::new(applied.clone(), model)?)
}
