//! The rules of `[model]` and `[training]`.

use lakeloop_domain::{FeatureType, OutcomeType, SearchParameter};

use super::{Rules, some_of};
use crate::document::quoted;
use crate::lower::outcome_type;
use crate::nearest::nearest;
use crate::raw::{
    RawBaseline, RawBlueprint, RawDecision, RawModel, RawObjective, RawOutcome, RawQualityMetric, RawSearchRange,
};

impl Rules<'_, '_> {
    pub(super) fn objective(&mut self, decision: &RawDecision, outcome: &RawOutcome, model: &RawModel) {
        let Some(objective) = model.objective else { return };
        let (path, number) = (["model", "objective"], outcome_type(outcome) == OutcomeType::Number);
        let ranks = matches!(decision, RawDecision::Rank { .. });
        let asks_quantile = matches!(decision, RawDecision::Number { quantile: Some(_), .. });
        let message = match objective {
            RawObjective::Ndcg if !ranks => {
                "\"ndcg\" puts candidates in order, which only decision.kind = \"rank\" does; remove it, or write that kind"
            }
            RawObjective::Ndcg => return,
            _ if !number => {
                "this is a loss of numbers, but the outcome is none; remove it, or write outcome.type = \"number\""
            }
            _ if asks_quantile => "a quantile has a loss of its own; remove this key, or remove decision.quantile",
            _ => return,
        };
        self.report(&path, message.into());
    }

    /// A fold may begin in the middle of a ranking.
    pub(super) fn folds(&mut self, decision: &RawDecision, model: &RawModel) {
        if model.folds.is_some_and(|n_folds| n_folds > 1) && matches!(decision, RawDecision::Rank { .. }) {
            let message = "rankings are judged by the latest ones alone; remove this key";
            self.report(&["model", "folds"], message.into());
        }
    }

    pub(super) fn metric(&mut self, decision: &RawDecision, outcome: &RawOutcome, model: &RawModel) {
        let Some(metric) = model.metric else { return };
        let path = ["model", "metric"];
        let asks_quantile = matches!(decision, RawDecision::Number { quantile: Some(_), .. });
        if asks_quantile || matches!(model.objective, Some(RawObjective::Ndcg)) {
            let message = "a quantile and a ranking by \"ndcg\" have metrics of their own; remove this key";
            return self.report(&path, message.into());
        }
        let (fits, wanted) = match outcome_type(outcome) {
            OutcomeType::YesNo => (
                matches!(metric, RawQualityMetric::Auc | RawQualityMetric::LogLoss),
                "a yes/no outcome is judged by \"log_loss\" or \"auc\"",
            ),
            OutcomeType::Number => (
                matches!(metric, RawQualityMetric::Rmse | RawQualityMetric::Mae),
                "a number is judged by \"rmse\" or \"mae\"",
            ),
            OutcomeType::Category => (
                matches!(metric, RawQualityMetric::MultiLogLoss),
                "a category is judged by \"multi_log_loss\"",
            ),
        };
        if !fits {
            self.report(&path, format!("{wanted}; write that, or leave it out"));
        }
    }

    /// What may only go one way must have an order, and be seen by the model.
    pub(super) fn monotone(&mut self, raw: &RawBlueprint, model: &RawModel) {
        let Some(seen) = self.seen_by_models(raw) else { return };
        for name in model.monotone.keys() {
            let path = ["model", "monotone", name.as_str()];
            match seen.get(name) {
                Some(FeatureType::Number | FeatureType::Boolean) => {}
                Some(FeatureType::Category) => {
                    let message =
                        "a category has no order to go up in; write a number or boolean feature, or remove it";
                    self.report(&path, message.into());
                }
                None => {
                    let wanted = match nearest(name, seen.keys().map(|name| name.as_str())) {
                        Some(meant) => format!("did you mean {}?", quoted(meant)),
                        None => "write the name of a feature".to_owned(),
                    };
                    self.report(&path, format!("no feature has this name; {wanted}"));
                }
            }
        }
    }

    pub(super) fn range(&mut self, parameter: SearchParameter, range: RawSearchRange) {
        let path = ["model", "search_space", parameter.as_str()];
        let (least, most) = parameter.bounds();
        let RawSearchRange { minimum, maximum } = range;
        // Written so that no number passes that cannot be compared.
        if !(minimum >= least && maximum <= most && minimum <= maximum) {
            let message = format!(
                "from {minimum} to {maximum} is no range of it; write a minimum of at least {least} and a maximum of at most {most}"
            );
            self.report(&path, message);
        }
    }

    /// What may look like a leak is a feature; a constant is always to be beaten.
    pub(super) fn training(&mut self, raw: &RawBlueprint) {
        let Some(training) = &raw.training else { return };
        if let Some(seen) = self.seen_by_models(raw) {
            let known: Vec<String> = seen.into_keys().collect();
            for name in training.allow_leak.iter().flatten() {
                if known.contains(name) {
                    continue;
                }
                let wanted = match nearest(name, known.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean {}?", quoted(meant)),
                    None if known.is_empty() => "remove it".to_owned(),
                    None => format!("write {}", some_of(&known)),
                };
                let message = format!("{} is no feature of this blueprint; {wanted}", quoted(name));
                self.report(&["training", "allow_leak"], message);
            }
        }
        if training
            .must_beat
            .as_ref()
            .is_some_and(|rungs| !rungs.contains(&RawBaseline::Constant))
        {
            let message =
                "a model that does not beat a constant knows nothing; write \"constant\" among them".to_owned();
            self.report(&["training", "must_beat"], message);
        }
    }
}
