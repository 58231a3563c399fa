//! The rules between the parts of a blueprint.
//!
//! Each rule looks only at sections that are sound, so that one mistake is told once.

use std::collections::BTreeMap;

use lakeloop_domain::{Aggregation, FeatureType, OutcomeType, SearchParameter};

use crate::document::{Document, Problem, joined, quoted};
use crate::expectation::listed;
use crate::lower::{feature_value, label, outcome_type, policy};
use crate::nearest::nearest;
use crate::policy_rules::misfits;
use crate::raw::{
    RawAbsent, RawBaseline, RawBlueprint, RawContextField, RawDecision, RawFeatureView, RawModel, RawObjective,
    RawOutcome, RawPolicy, RawQualityMetric, RawSearchRange,
};

mod caps;
mod weights;

/// The column of a model's input that holds the action.
const ACTION: &str = "action";
/// Stands for the unit itself where a feature view names its entity.
const UNIT: &str = "unit";
/// The columns that every feature view has of its own.
const VIEW_COLUMNS: [&str; 3] = ["entity", "event_time", "available_at"];

/// Everything in which the sound sections do not go together.
pub(crate) fn violations(document: &Document<'_>, raw: &RawBlueprint, unsound: &[String]) -> Vec<Problem> {
    let mut rules = Rules {
        document,
        unsound,
        problems: Vec::new(),
    };
    if let Some(RawDecision::Choose { actions, default }) = &raw.decision {
        rules.actions(actions, default);
    }
    rules.feature_names(raw);
    if let Some(decision) = &raw.decision {
        rules.candidates(raw, decision);
        rules.caps_and_ladder(raw, decision);
    }
    for (name, view) in &raw.features {
        rules.entity(raw, name, view);
        rules.when_missing(name, view);
    }
    rules.training(raw);
    if let (Some(decision), Some(outcome)) = (&raw.decision, &raw.outcome) {
        rules.outcome(decision, outcome);
        rules.reward(raw, outcome);
        let label = label(raw, outcome);
        if !rules.threshold_of_a_reward(raw) {
            rules.policy(decision, &label, raw.policy.as_ref());
        }
        rules.something_to_see(raw, decision, &label);
        rules.quantile(decision, &label);
    }
    if let Some(model) = &raw.model {
        if let (Some(decision), Some(outcome)) = (&raw.decision, &raw.outcome) {
            let label = label(raw, outcome);
            rules.objective(decision, &label, model);
            rules.metric(decision, &label, model);
            rules.folds(decision, model);
        }
        rules.monotone(raw, model);
        for (parameter, range) in model.search_space.iter().flat_map(|space| space.ranges()) {
            rules.range(parameter, range);
        }
    }
    rules.row_weights(raw);
    rules.problems
}

struct Rules<'d, 't> {
    document: &'d Document<'t>,
    unsound: &'d [String],
    problems: Vec<Problem>,
}

impl Rules<'_, '_> {
    fn report(&mut self, path: &[&str], message: String) {
        self.report_at(self.document.offset_of(path), path, message);
    }

    fn report_at(&mut self, offset: usize, path: &[&str], message: String) {
        let key = path.iter().fold(String::new(), |path, key| joined(&path, key));
        self.problems.push(Problem { offset, key, message });
    }

    fn is_sound(&self, section: &str) -> bool {
        !self.unsound.iter().any(|unsound| unsound == section)
    }

    fn actions(&mut self, actions: &[String], default: &str) {
        for (index, action) in actions.iter().enumerate() {
            if actions[..index].contains(action) {
                let path = ["decision", "actions"];
                let items = self.document.value(&path).and_then(|node| node.get_ref().get(index));
                let offset = items.map_or(self.document.offset_of(&path), |item| item.span().start);
                self.report_at(
                    offset,
                    &path,
                    format!("{} stands here twice; write each action once", quoted(action)),
                );
            }
        }
        if !actions.iter().any(|action| action == default) {
            let wanted = match nearest(default, actions.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean {}?", quoted(meant)),
                None => format!("write {}", some_of(actions)),
            };
            let message = format!("{} is not one of the actions; {wanted}", quoted(default));
            self.report(&["decision", "default"], message);
        }
    }

    /// Every feature has one name, and none that means something else.
    fn feature_names(&mut self, raw: &RawBlueprint) {
        let mut owners: BTreeMap<&str, String> = BTreeMap::new();
        let context = raw.context.keys().map(|name| ("context", name));
        let candidates = raw.candidates.iter().flatten().map(|(name, _)| ("candidates", name));
        for (section, name) in context.chain(candidates) {
            let path = [section, name.as_str()];
            if name == ACTION {
                self.report(&path, reserved(name, "the action that is scored"));
            } else if name == UNIT {
                self.report(&path, reserved(name, "the unit itself"));
            } else if let Some(owner) = owners.get(name.as_str()) {
                self.report(&path, taken(owner));
            }
            owners.entry(name).or_insert_with(|| joined(section, name));
        }
        for (view, table) in &raw.features {
            for name in table.columns.keys() {
                let path = ["features", view.as_str(), "columns", name.as_str()];
                if name == ACTION {
                    self.report(&path, reserved(name, "the action that is scored"));
                } else if VIEW_COLUMNS.contains(&name.as_str()) {
                    self.report(&path, reserved(name, "a column that every feature view has"));
                } else if let Some(owner) = owners.get(name.as_str()) {
                    self.report(&path, taken(owner));
                }
                owners
                    .entry(name)
                    .or_insert_with(|| format!("features.{view}.columns.{name}"));
            }
        }
    }

    /// Candidates and rankings need each other.
    fn candidates(&mut self, raw: &RawBlueprint, decision: &RawDecision) {
        if !self.is_sound("candidates") {
            return;
        }
        let ranks = matches!(decision, RawDecision::Rank { .. });
        match &raw.candidates {
            Some(_) if !ranks => {
                let message = "candidates are put in order, which only decision.kind = \"rank\" does; remove this section, or \
                    write that kind";
                self.report(&["candidates"], message.into());
            }
            fields if ranks && !fields.iter().flatten().any(|(_, field)| field.is_feature()) => {
                let message = "a ranking tells candidates apart by what a model sees of each; write at least one field, such as \
                    price = \"number\"";
                self.report(&["candidates"], message.into());
            }
            _ => {}
        }
    }

    fn entity(&mut self, raw: &RawBlueprint, view: &str, table: &RawFeatureView) {
        if table.entity == UNIT || !self.is_sound("context") {
            return;
        }
        let path = ["features", view, "entity"];
        let written = quoted(&table.entity);
        match raw.context.get(&table.entity) {
            Some(field) if field.is_category() => {}
            Some(field) => {
                let found = field.type_word();
                self.report(
                    &path,
                    format!("{written} is a {found} of the context; an entity is a category, or \"unit\""),
                );
            }
            None => {
                let categories = raw.context.iter().filter(|(_, field)| field.is_category());
                let mut wanted: Vec<String> = categories.map(|(name, _)| quoted(name)).collect();
                wanted.truncate(8);
                wanted.push(quoted(UNIT));
                self.report(
                    &path,
                    format!("{written} is not in the context; write {}", listed(&wanted)),
                );
            }
        }
    }

    fn when_missing(&mut self, view: &str, table: &RawFeatureView) {
        for (name, column) in &table.columns {
            let Some(value) = column.when_missing() else { continue };
            let (feature_type, wanted) = match column.feature_type() {
                FeatureType::Number => ("number", "a number"),
                FeatureType::Boolean => ("boolean", "true or false"),
                FeatureType::Category => ("category", "a text in quotes"),
            };
            if !feature_value(value).fits(column.feature_type()) {
                let path = ["features", view, "columns", name, "when_missing"];
                let node = self.document.value(&path);
                let shown = node.map(|node| self.document.shown(node.span())).unwrap_or_default();
                self.report(
                    &path,
                    format!("{shown} does not fit a {feature_type}; write {wanted}, or leave it out"),
                );
            }
        }
    }

    fn outcome(&mut self, decision: &RawDecision, outcome: &RawOutcome) {
        let aggregation = Aggregation::from(outcome.aggregation);
        let absent = match outcome.absent {
            Some(RawAbsent::Label(label)) => Some(label),
            _ => None,
        };
        match outcome_type(outcome) {
            OutcomeType::Category => {
                if !matches!(decision, RawDecision::Choose { .. }) {
                    let message = "\"category\" says which action was right, so it needs decision.kind = \"choose\"; \
                        write \"yes_no\" or \"number\"";
                    self.report(&["outcome", "type"], message.into());
                }
                if !matches!(aggregation, Aggregation::First | Aggregation::Last) {
                    let found = quoted(aggregation.as_str());
                    let message = format!("{found} does not aggregate categories; write \"first\" or \"last\"");
                    self.report(&["outcome", "aggregation"], message);
                }
                if let Some(label) = absent {
                    let message = format!("{label} is no category; write \"exclude\", or leave it out");
                    self.report(&["outcome", "absent"], message);
                }
            }
            OutcomeType::YesNo => self.yes_no_absent(outcome, &["outcome", "absent"]),
            OutcomeType::Number => {}
        }
    }

    /// Outcomes beside the main one are numbers with a name of their own, and the reward weighs what there is.
    fn reward(&mut self, raw: &RawBlueprint, main: &RawOutcome) {
        for (name, other) in &raw.outcomes {
            if *name == main.event {
                let message =
                    "the section outcome goes by the name of its event, which is this one; write another name";
                self.report(&["outcomes", name], message.into());
            }
            match outcome_type(other) {
                OutcomeType::Category => {
                    let message = "a category is no amount; write \"yes_no\" or \"number\"";
                    self.report(&["outcomes", name, "type"], message.into());
                }
                OutcomeType::YesNo => self.yes_no_absent(other, &["outcomes", name, "absent"]),
                OutcomeType::Number => {}
            }
        }
        let Some(reward) = raw.reward.as_ref().filter(|_| self.is_sound("outcomes")) else {
            return;
        };
        let known = || std::iter::once(&main.event).chain(raw.outcomes.keys());
        for name in reward.weights.keys() {
            let path = ["reward", "weights", name.as_str()];
            if !known().any(|known| known == name) {
                let message = match nearest(name, known().map(String::as_str)) {
                    Some(meant) => format!("{} is no outcome; did you mean {}?", quoted(name), quoted(meant)),
                    None => {
                        let names: Vec<String> = known().cloned().collect();
                        format!("{} is no outcome; write {}", quoted(name), some_of(&names))
                    }
                };
                self.report(&path, message);
            } else if *name == main.event && outcome_type(main) == OutcomeType::Category {
                self.report(
                    &path,
                    "a category cannot be weighed; write outcome.type = \"yes_no\" or \"number\"".into(),
                );
            }
        }
        if reward.weights.values().all(|weight| *weight == 0.0) {
            let message = "all weights are 0, so that there is nothing to learn; write what each outcome is worth";
            self.report(&["reward", "weights"], message.into());
        }
    }

    fn yes_no_absent(&mut self, outcome: &RawOutcome, path: &[&str]) {
        if let Some(RawAbsent::Label(label)) = outcome.absent
            && label != 0.0
            && label != 1.0
        {
            self.report(path, format!("{label} is no yes/no label; write 0, 1 or \"exclude\""));
        }
    }

    /// True, and told, when a threshold is to compare a reward, which is no probability.
    fn threshold_of_a_reward(&mut self, raw: &RawBlueprint) -> bool {
        let found = raw.reward.is_some() && matches!(raw.policy, Some(RawPolicy::Threshold { .. }));
        if found {
            let message = "\"threshold\" compares a probability, which a reward is not; write \"epsilon_greedy\" or \
                \"greedy\", or remove the section reward";
            self.report(&["policy", "kind"], message.into());
        }
        found
    }

    fn policy(&mut self, decision: &RawDecision, outcome: &RawOutcome, policy: Option<&RawPolicy>) {
        for (key, message) in policy.into_iter().flat_map(|policy| misfits(decision, outcome, policy)) {
            self.report(&["policy", key], message);
        }
    }

    fn quantile(&mut self, decision: &RawDecision, outcome: &RawOutcome) {
        let RawDecision::Number {
            quantile: Some(quantile),
            ..
        } = decision
        else {
            return;
        };
        let path = ["decision", "quantile"];
        if !(*quantile > 0.0 && *quantile < 1.0) {
            let message = format!("{quantile} is no quantile; write a number above 0 and below 1, such as 0.9");
            self.report(&path, message);
        }
        if outcome_type(outcome) != OutcomeType::Number {
            let message = "only a number has quantiles; write outcome.type = \"number\", or remove this key";
            self.report(&path, message.into());
        }
    }

    fn objective(&mut self, decision: &RawDecision, outcome: &RawOutcome, model: &RawModel) {
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
    fn folds(&mut self, decision: &RawDecision, model: &RawModel) {
        if model.folds.is_some_and(|n_folds| n_folds > 1) && matches!(decision, RawDecision::Rank { .. }) {
            let message = "rankings are judged by the latest ones alone; remove this key";
            self.report(&["model", "folds"], message.into());
        }
    }

    fn metric(&mut self, decision: &RawDecision, outcome: &RawOutcome, model: &RawModel) {
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

    /// The features that a model sees; `None` where some of them cannot be told, because their section is not sound.
    fn seen_by_models(&self, raw: &RawBlueprint) -> Option<BTreeMap<String, FeatureType>> {
        let sections = ["context", "features", "candidates"];
        if sections.iter().any(|section| !self.is_sound(section)) {
            return None;
        }
        let views = raw.features.values().flat_map(|view| &view.columns);
        let columns = views.map(|(name, column)| (name.clone(), column.feature_type()));
        let fields = raw.context.iter().chain(raw.candidates.iter().flatten());
        let fields = fields.flat_map(|(name, field)| field.fields(name));
        let seen = fields.filter(|field| field.is_feature);
        Some(
            seen.map(|field| (field.name.to_string(), field.feature_type))
                .chain(columns)
                .collect(),
        )
    }

    /// What may only go one way must have an order, and be seen by the model.
    fn monotone(&mut self, raw: &RawBlueprint, model: &RawModel) {
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

    fn range(&mut self, parameter: SearchParameter, range: RawSearchRange) {
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
    fn training(&mut self, raw: &RawBlueprint) {
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

    /// A model needs a column: a feature, or the action that is scored.
    fn something_to_see(&mut self, raw: &RawBlueprint, decision: &RawDecision, outcome: &RawOutcome) {
        if !self.is_sound("context") || !self.is_sound("features") || !self.is_sound("policy") {
            return;
        }
        let sees_field = raw.context.values().any(RawContextField::is_feature);
        let sees_column = raw.features.values().any(|view| !view.columns.is_empty());
        let sees_action = matches!(decision, RawDecision::YesNo { .. } | RawDecision::Choose { .. })
            && outcome_type(outcome) != OutcomeType::Category
            && policy(raw.policy.as_ref(), decision, outcome).is_some_and(|policy| policy.scores_each_action());
        // What is missing of candidates is told by their own rule.
        let ranks = matches!(decision, RawDecision::Rank { .. });
        if !sees_field && !sees_column && !sees_action && !ranks {
            let message = "a model would see nothing to decide by; write at least one field, such as age = \"number\"";
            self.report(&["context"], message.into());
        }
    }
}

fn taken(owner: &str) -> String {
    format!("{owner} has this name already; a feature's name is its own, so rename one")
}

fn reserved(name: &str, meaning: &str) -> String {
    format!(
        "the name {} is reserved for {meaning}; write another name",
        quoted(name)
    )
}

/// The first few of some texts, as a choice.
fn some_of(texts: &[String]) -> String {
    const MOST: usize = 8;
    let mut shown: Vec<String> = texts.iter().take(MOST).map(|text| quoted(text)).collect();
    if texts.len() > MOST {
        shown.push("another one of them".into());
    }
    listed(&shown)
}
