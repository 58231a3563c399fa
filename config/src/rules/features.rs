//! The rules of what a model sees: names, entities, values for what is missing.

use std::collections::BTreeMap;

use lakeloop_domain::{FeatureType, OutcomeType};

use super::Rules;
use crate::document::{joined, quoted};
use crate::expectation::listed;
use crate::lower::{feature_value, outcome_type, policy};
use crate::raw::{RawBlueprint, RawContextField, RawDecision, RawFeatureView, RawOutcome};

/// The column of a model's input that holds the action.
const ACTION: &str = "action";
/// Stands for the unit itself where a feature view names its entity.
const UNIT: &str = "unit";
/// The columns that every feature view has of its own.
const VIEW_COLUMNS: [&str; 3] = ["entity", "event_time", "available_at"];

impl Rules<'_, '_> {
    /// Every feature has one name, and none that means something else.
    pub(super) fn feature_names(&mut self, raw: &RawBlueprint) {
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

    pub(super) fn entity(&mut self, raw: &RawBlueprint, view: &str, table: &RawFeatureView) {
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

    pub(super) fn when_missing(&mut self, view: &str, table: &RawFeatureView) {
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

    /// The features that a model sees; `None` where some of them cannot be told, because their section is not sound.
    pub(super) fn seen_by_models(&self, raw: &RawBlueprint) -> Option<BTreeMap<String, FeatureType>> {
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

    /// A model needs a column: a feature, or the action that is scored.
    pub(super) fn something_to_see(&mut self, raw: &RawBlueprint, decision: &RawDecision, outcome: &RawOutcome) {
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
