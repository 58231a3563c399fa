//! The rules of `training.weights`.

use lakeloop_domain::OutcomeType;

use super::Rules;
use crate::lower::outcome_type;
use crate::raw::{RawBlueprint, RawDecision, RawObjective, RawPolicy, RawRowWeights};

impl Rules<'_, '_> {
    /// Weights are limited, and counted by, only where that means something.
    pub(super) fn row_weights(&mut self, raw: &RawBlueprint) {
        if raw
            .training
            .as_ref()
            .is_some_and(|training| training.clip.is_some() && training.weights.is_none())
        {
            let message =
                "it limits weights, and none are declared; write weights = \"inverse_propensity\", or remove it";
            self.report(&["training", "clip"], message.into());
        }
        let Some(weights) = raw.training.as_ref().and_then(|training| training.weights) else {
            return;
        };
        let path = ["training", "weights"];
        let learns_order = raw
            .model
            .as_ref()
            .is_some_and(|model| matches!(model.objective, Some(RawObjective::Ndcg)));
        if learns_order {
            let message = "an order is learned from whole rankings, whose rows have no weights; remove this key, or \
                model.objective";
            self.report(&path, message.into());
        } else if weights == RawRowWeights::Position {
            self.position_weights(raw);
        }
    }

    /// What positions do can be told where candidates stand at all of them by chance.
    fn position_weights(&mut self, raw: &RawBlueprint) {
        let path = ["training", "weights"];
        if !matches!(raw.decision, Some(RawDecision::Rank { .. })) {
            let message = "only rankings have positions; write \"inverse_propensity\", or remove it";
            self.report(&path, message.into());
        } else if raw.reward.is_some()
            || raw
                .outcome
                .as_ref()
                .is_some_and(|outcome| outcome_type(outcome) != OutcomeType::YesNo)
        {
            let message = "positions are told by how often they have a yes, which this label is not; write \
                \"inverse_propensity\", or remove it";
            self.report(&path, message.into());
        } else if !matches!(
            raw.policy,
            None | Some(RawPolicy::EpsilonGreedy { .. } | RawPolicy::EpsilonDecreasing { .. })
        ) {
            let message = "what positions do can be told only where orders are drawn by chance; write policy.kind = \
                \"epsilon_greedy\", or remove it";
            self.report(&path, message.into());
        }
    }
}
