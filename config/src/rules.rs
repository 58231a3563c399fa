//! The rules between the parts of a blueprint.
//!
//! Each rule looks only at sections that are sound, so that one mistake is told once.

use lakeloop_domain::{Aggregation, OutcomeType};

use crate::document::{Document, Problem, joined, quoted};
use crate::expectation::listed;
use crate::lower::{label, outcome_type};
use crate::nearest::nearest;
use crate::policy_rules::misfits;
use crate::raw::{RawAbsent, RawBlueprint, RawDecision, RawOutcome, RawPolicy};

mod caps;
mod features;
mod learning;
mod weights;

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
