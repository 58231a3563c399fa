//! The two targets of a mapping, each with the keys that it needs.

use lakeloop_domain::{FeatureType, FeatureViewName, StrategyName};

use super::document::{Node, Section, Walk};
use super::forms::{ByRow, column, literal, number_form, text_form, time_form};
use super::{
    ChoiceForm, ContextMapping, DecisionMapping, DecisionPlaces, FeatureMapping, OutcomeMapping, Target, ViewColumn,
};

const TIME_EXPECTED: &str = "the column of the time, or a table that says how to read it";

/// Reads the keys of the target that the mapping names; `None` when anything of it is not sound.
pub(super) fn read(walk: &mut Walk<'_>, section: &mut Section<'_, '_>) -> Option<Target> {
    let node = section.required(walk, "target", "\"features\" or \"decisions\"")?;
    match node.as_str() {
        Some("features") => {
            let features = features(walk, section);
            section.refuse_others(walk);
            features.map(Target::Features)
        }
        Some("decisions") => {
            let decisions = decisions(walk, section);
            section.refuse_others(walk);
            decisions.map(Target::Decisions)
        }
        _ => {
            walk.report(node.offset(), &node.path, "write \"features\" or \"decisions\"");
            None
        }
    }
}

fn features(walk: &mut Walk<'_>, section: &mut Section<'_, '_>) -> Option<FeatureMapping> {
    let view = section
        .required(walk, "view", "the name of the feature view")
        .and_then(|node| {
            let name = literal(walk, &node, "the name of the feature view")?;
            or_report(walk, &node, FeatureViewName::new(name))
        });
    let entity = section
        .required(walk, "entity", "the column of the key, or { value = \"…\" }")
        .and_then(|node| text_form(walk, &node, ByRow::Refused));
    let event_time = section
        .required(walk, "event_time", TIME_EXPECTED)
        .and_then(|node| time_form(walk, &node));
    let available_at = match section.get("available_at") {
        Some(node) if node.as_str() != Some("event_time") => Some(time_form(walk, &node)),
        _ => None,
    };
    let columns = section
        .required(
            walk,
            "columns",
            "a table [columns] with: column of the view = \"column of the file\"",
        )
        .and_then(|node| view_columns(walk, &node));
    Some(FeatureMapping {
        view: view?,
        entity: entity?,
        event_time: event_time?,
        available_at: match available_at {
            Some(form) => Some(form?),
            None => None,
        },
        columns: columns?,
    })
}

fn view_columns(walk: &mut Walk<'_>, node: &Node<'_, '_>) -> Option<Vec<ViewColumn>> {
    let Some(section) = node.section().filter(|section| !section.is_empty()) else {
        walk.report(
            node.offset(),
            &node.path,
            "write at least one: column of the view = \"column of the file\"",
        );
        return None;
    };
    let columns: Vec<_> = section
        .entries()
        .map(|(name, node)| view_column(walk, name, &node))
        .collect();
    columns.into_iter().collect()
}

fn view_column(walk: &mut Walk<'_>, name: &str, node: &Node<'_, '_>) -> Option<ViewColumn> {
    let Some(mut section) = node.section() else {
        return Some(ViewColumn {
            name: name.to_owned(),
            feature_type: FeatureType::Number,
            source: column(walk, node)?,
        });
    };
    let source = section
        .required(walk, "column", "the name of a column of the file")
        .and_then(|node| column(walk, &node));
    let feature_type = match section.get("type") {
        None => Some(FeatureType::Number),
        Some(node) => feature_type(walk, &node),
    };
    section.refuse_others(walk);
    Some(ViewColumn {
        name: name.to_owned(),
        feature_type: feature_type?,
        source: source?,
    })
}

fn feature_type(walk: &mut Walk<'_>, node: &Node<'_, '_>) -> Option<FeatureType> {
    let all = [FeatureType::Number, FeatureType::Boolean, FeatureType::Category];
    let found = all
        .into_iter()
        .find(|feature_type| node.as_str() == Some(feature_type.as_str()));
    if found.is_none() {
        walk.report(
            node.offset(),
            &node.path,
            "write \"number\", \"boolean\" or \"category\"",
        );
    }
    found
}

fn decisions(walk: &mut Walk<'_>, section: &mut Section<'_, '_>) -> Option<DecisionMapping> {
    let strategy = section
        .required(walk, "strategy", "the name of an applied strategy")
        .and_then(|node| {
            let name = literal(walk, &node, "the name of an applied strategy")?;
            or_report(walk, &node, StrategyName::new(name))
        });
    let decision_id = section
        .required(
            walk,
            "decision_id",
            "a column of unique ids, or { prefix = \"…\", row = true } to count the rows",
        )
        .and_then(|node| text_form(walk, &node, ByRow::OrColumn));
    let unit = section
        .required(walk, "unit", "the column of whom or what a decision was for")
        .and_then(|node| text_form(walk, &node, ByRow::Allowed));
    let event_time = section
        .required(walk, "event_time", TIME_EXPECTED)
        .and_then(|node| time_form(walk, &node));
    let choice = choice(walk, section);
    let propensity = propensity(walk, section);
    let (context_offset, context) = match section.get("context") {
        None => (0, Some(Vec::new())),
        Some(node) => (node.offset(), context(walk, &node)),
    };
    let outcome = section.get("outcome").map(|node| outcome(walk, &node));
    let (choice, choice_place) = choice?;
    Some(DecisionMapping {
        strategy: strategy?,
        decision_id: decision_id?,
        unit: unit?,
        event_time: event_time?,
        choice,
        propensity: propensity?,
        context: context?,
        outcome: match outcome {
            Some(outcome) => Some(outcome?),
            None => None,
        },
        places: DecisionPlaces {
            choice: choice_place,
            context: walk.place(context_offset, "context"),
        },
    })
}

fn choice(walk: &mut Walk<'_>, section: &mut Section<'_, '_>) -> Option<(ChoiceForm, super::Place)> {
    match (section.get("action"), section.get("value")) {
        (Some(node), None) => Some((
            ChoiceForm::Action(column(walk, &node)?),
            walk.place(node.offset(), &node.path),
        )),
        (None, Some(node)) => Some((
            ChoiceForm::Value(column(walk, &node)?),
            walk.place(node.offset(), &node.path),
        )),
        (Some(_), Some(node)) => {
            walk.report(
                node.offset(),
                &node.path,
                "a decision has an action or a value; remove one of the two",
            );
            None
        }
        (None, None) => {
            let message =
                "missing; write the column of the action taken (for decisions that are numbers: value = \"column\")";
            walk.report(section.offset(), "action", message);
            None
        }
    }
}

/// The probability of the choice. There is no default: a guessed one would make every later valuation wrong.
fn propensity(walk: &mut Walk<'_>, section: &mut Section<'_, '_>) -> Option<super::NumberForm> {
    let expected = "the column that holds the probability with which the action was chosen, or { value = 1.0 } when the \
                    choice was not random; without it no other policy can be valued on these decisions";
    let node = section.required(walk, "propensity", expected)?;
    let form = number_form(walk, &node)?;
    match form {
        super::NumberForm::Constant(value) if !(value > 0.0 && value <= 1.0) => {
            walk.report(
                node.offset(),
                &node.path,
                "not a probability; write a number above 0 and at most 1",
            );
            None
        }
        form => Some(form),
    }
}

fn context(walk: &mut Walk<'_>, node: &Node<'_, '_>) -> Option<Vec<ContextMapping>> {
    let Some(section) = node.section() else {
        walk.report(
            node.offset(),
            &node.path,
            "write a table: field of the blueprint's context = \"column of the file\"",
        );
        return None;
    };
    let fields: Vec<_> = section
        .entries()
        .map(|(field, node)| {
            Some(ContextMapping {
                field: field.to_owned(),
                source: column(walk, &node)?,
                place: walk.place(node.offset(), &node.path),
            })
        })
        .collect();
    fields.into_iter().collect()
}

fn outcome(walk: &mut Walk<'_>, node: &Node<'_, '_>) -> Option<OutcomeMapping> {
    let Some(mut section) = node.section() else {
        walk.report(node.offset(), &node.path, "write a table with event and value");
        return None;
    };
    let event = section.required(
        walk,
        "event",
        "the name of the event that the blueprint's outcome declares",
    );
    let place = event.as_ref().map(|node| walk.place(node.offset(), &node.path));
    let event = event.and_then(|node| literal(walk, &node, "the name of an event"));
    let value = section
        .required(walk, "value", "the column of the outcome's value")
        .and_then(|node| column(walk, &node));
    let event_time = section.get("event_time").map(|node| time_form(walk, &node));
    section.refuse_others(walk);
    Some(OutcomeMapping {
        event: event?.to_owned(),
        value: value?,
        event_time: match event_time {
            Some(form) => Some(form?),
            None => None,
        },
        place: place?,
    })
}

fn or_report<T>(walk: &mut Walk<'_>, node: &Node<'_, '_>, id: Result<T, lakeloop_domain::InvalidId>) -> Option<T> {
    match id {
        Ok(id) => Some(id),
        Err(error) => {
            walk.report(node.offset(), &node.path, error.to_string());
            None
        }
    }
}
