//! Decisions that were made elsewhere, and their outcomes, judged by the blueprint in force.

use std::collections::HashSet;

use lakeloop_domain::{
    AppliedBlueprint, Blueprint, Choice, ContextField, DecisionId, DecisionKind, DecisionReason, DecisionRecord,
    FeatureType, FeatureValue, Features, InvalidId, Micros, NamedValue, OutcomeId, OutcomeRecord, OutcomeType,
    OutcomeValue, UnitId,
};
use sha2::{Digest as _, Sha256};

use crate::BadRow;
use crate::identity::hex;
use crate::mapping::{ChoiceForm, ColumnIdx, DecisionMapping, MappingProblem, NumberForm, OutcomeMapping, TextForm};
use crate::values::{Values, quoted};

/// How rows become decisions.
#[derive(Debug, Clone)]
pub(crate) struct DecisionPlan {
    mapping: DecisionMapping,
    applied: AppliedBlueprint,
    /// The column of each field of the blueprint's context, in its order.
    context: Vec<Option<ColumnIdx>>,
    actions: Vec<String>,
    received_at: Micros,
}

/// The decision ids of the rows so far, as the first half of their SHA-256: a million take 16 MB.
pub(crate) type SeenIds = HashSet<[u8; 16]>;

impl DecisionPlan {
    /// Fits a mapping to the blueprint in force; the error holds everything in which they differ.
    pub(crate) fn new(
        mapping_file: &str,
        mapping: DecisionMapping,
        applied: AppliedBlueprint,
        received_at: Micros,
    ) -> Result<Self, Vec<MappingProblem>> {
        let problems = misfits(mapping_file, &mapping, &applied.blueprint);
        if !problems.is_empty() {
            return Err(problems);
        }
        let column_of = |field: &ContextField| {
            let mapped = mapping.context.iter().find(|mapped| mapped.field == *field.name);
            mapped.map(|mapped| mapped.source)
        };
        Ok(Self {
            context: applied.blueprint.context.iter().map(column_of).collect(),
            actions: applied.blueprint.actions(),
            mapping,
            applied,
            received_at,
        })
    }

    /// True when the rows hold outcomes as well.
    pub(crate) fn has_outcomes(&self) -> bool {
        self.mapping.outcome.is_some()
    }

    pub(crate) fn decision(
        &self,
        values: Values<'_>,
        seen: &mut SeenIds,
    ) -> Result<(DecisionRecord, Option<OutcomeRecord>), BadRow> {
        let mapping = &self.mapping;
        let decision_id = id(values, &mapping.decision_id, DecisionId::new)?;
        let event_time = values.instant(&mapping.event_time)?;
        let decision = DecisionRecord {
            strategy: mapping.strategy.clone(),
            blueprint_version: self.applied.version.clone(),
            model_version: None,
            unit: id(values, &mapping.unit, UnitId::new)?,
            event_time,
            received_at: self.received_at,
            features: self.features(values, event_time)?,
            feature_versions: Vec::new(),
            actions: self.actions.clone(),
            scores: Vec::new(),
            choice: self.choice(values)?,
            propensity: propensity(values, mapping.propensity)?,
            reason: DecisionReason::Imported,
            policy: None,
            salt: String::new(),
            conditions: Default::default(),
            decision_id,
        };
        let outcome = match &mapping.outcome {
            Some(outcome) => self.outcome(values, outcome, &decision)?,
            None => None,
        };
        // Only a row that is good otherwise takes its id. Ids that count rows cannot repeat.
        if let TextForm::Column(column) = mapping.decision_id
            && !seen.insert(short_digest(decision.decision_id.as_str()))
        {
            return Err(values.bad(column, "an id that no earlier row has"));
        }
        Ok((decision, outcome))
    }

    fn features(&self, values: Values<'_>, decided_at: Micros) -> Result<Features, BadRow> {
        let fields = self.applied.blueprint.context.iter().zip(&self.context);
        // The parts of a timestamp come right after the column that it stands in.
        let mut timestamp = None;
        let features = fields.map(|(field, column)| {
            if field.is_timestamp() {
                timestamp = match column {
                    Some(column) => values.timestamp(*column)?,
                    None => None,
                };
            }
            let value = match (field.timestamp, column) {
                (Some(part), _) => timestamp.map_or(FeatureValue::Missing, |timestamp| {
                    FeatureValue::Number(timestamp.part(part, decided_at))
                }),
                (None, Some(column)) => values.feature(*column, field.feature_type)?,
                (None, None) => FeatureValue::Missing,
            };
            match column {
                Some(column) if value == FeatureValue::Missing && !field.missing_allowed => Err(values.bad(
                    *column,
                    &format!("a value, because the blueprint requires `{}`", field.name),
                )),
                _ => Ok(NamedValue {
                    name: field.name.clone(),
                    feature_type: field.feature_type,
                    value,
                }),
            }
        });
        features.collect()
    }

    fn choice(&self, values: Values<'_>) -> Result<Choice, BadRow> {
        let column = match self.mapping.choice {
            ChoiceForm::Value(column) => {
                return Ok(Choice::Number(values.required_number(NumberForm::Column(column))?));
            }
            ChoiceForm::Action(column) => column,
        };
        let expected = || format!("one of the blueprint's actions: {}", shortened(&self.actions));
        if matches!(self.applied.blueprint.decision, DecisionKind::YesNo { .. }) {
            return match values.boolean(column)? {
                Some(true) => Ok(Choice::Action("yes".to_owned())),
                Some(false) => Ok(Choice::Action("no".to_owned())),
                None => Err(values.bad(column, &expected())),
            };
        }
        match values.text(column)?.filter(|action| self.actions.contains(action)) {
            Some(action) => Ok(Choice::Action(action)),
            None => Err(values.bad(column, &expected())),
        }
    }

    /// The outcome in the decision's row; `None` where it has no value.
    fn outcome(
        &self,
        values: Values<'_>,
        mapping: &OutcomeMapping,
        decision: &DecisionRecord,
    ) -> Result<Option<OutcomeRecord>, BadRow> {
        let value = match self.applied.blueprint.outcome.outcome_type {
            OutcomeType::Category => match values.text(mapping.value)? {
                Some(text) if !self.actions.contains(&text) => {
                    let expected = format!("one of the blueprint's actions: {}", shortened(&self.actions));
                    return Err(values.bad(mapping.value, &expected));
                }
                text => text.map(OutcomeValue::Category),
            },
            // Yes and no may be written as words; any number counts as yes when it is not 0.
            OutcomeType::YesNo => match values.boolean(mapping.value) {
                Ok(boolean) => boolean.map(|yes| OutcomeValue::Number(f64::from(u8::from(yes)))),
                Err(_) => values.number(mapping.value)?.map(OutcomeValue::Number),
            },
            OutcomeType::Number => values.number(mapping.value)?.map(OutcomeValue::Number),
        };
        let Some(value) = value else { return Ok(None) };
        let event_time = match &mapping.event_time {
            Some(form) => values.instant(form)?,
            None => decision.event_time,
        };
        let outcome_id = outcome_id(&decision.decision_id, &mapping.event);
        Ok(Some(OutcomeRecord {
            outcome_id: outcome_id.map_err(|error| unfit_id(values, &mapping.event, error))?,
            decision_id: Some(decision.decision_id.clone()),
            strategy: None,
            unit: None,
            candidate: None,
            event: mapping.event.clone(),
            value,
            event_time,
            received_at: self.received_at,
        }))
    }
}

/// The id of an imported outcome: the first 32 hexadecimal digits of the SHA-256 of "import", the decision id and the
/// event, each followed by a NUL byte. A decision has one outcome of an event in a file, so this names it for ever.
fn outcome_id(decision_id: &DecisionId, event: &str) -> Result<OutcomeId, InvalidId> {
    let mut digest = Sha256::new();
    for text in ["import", decision_id.as_str(), event] {
        digest.update(text.as_bytes());
        digest.update([0]);
    }
    OutcomeId::new(hex(&digest.finalize()[..16]))
}

fn short_digest(text: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    short
}

fn id<T>(values: Values<'_>, form: &TextForm, make: fn(String) -> Result<T, InvalidId>) -> Result<T, BadRow> {
    let text = values.required_text(form, "1 to 256 bytes without control characters")?;
    make(text.clone()).map_err(|error| match form {
        TextForm::Column(column) => values.bad(*column, error.expected),
        TextForm::Constant(_) | TextForm::Row { .. } => unfit_id(values, &text, error),
    })
}

fn unfit_id(values: Values<'_>, found: &str, error: InvalidId) -> BadRow {
    values.bad_row(error.kind, quoted(found), error.expected)
}

fn propensity(values: Values<'_>, form: NumberForm) -> Result<f64, BadRow> {
    let propensity = values.required_number(form)?;
    match form {
        NumberForm::Column(column) if !(propensity > 0.0 && propensity <= 1.0) => {
            Err(values.bad(column, "a probability above 0 and at most 1"))
        }
        _ => Ok(propensity),
    }
}

/// Everything in which a mapping does not fit a blueprint.
fn misfits(file: &str, mapping: &DecisionMapping, blueprint: &Blueprint) -> Vec<MappingProblem> {
    let mut problems = Vec::new();
    let strategy = &blueprint.name;
    match (&blueprint.decision, mapping.choice) {
        (DecisionKind::Number { .. }, ChoiceForm::Action(_)) => problems.push(mapping.places.choice.problem(
            file,
            format!("strategy `{strategy}` decides a number; write value = \"column\" in place of action"),
        )),
        // The candidates of a ranking have no place in a row of plain columns.
        (DecisionKind::Rank { .. }, _) => problems.push(mapping.places.choice.problem(
            file,
            format!(
                "strategy `{strategy}` ranks candidates, and rankings that were made elsewhere cannot be imported in this version; \
                 import decisions of strategies that choose or estimate"
            ),
        )),
        (DecisionKind::YesNo { .. } | DecisionKind::Choose { .. }, ChoiceForm::Value(_)) => {
            problems.push(mapping.places.choice.problem(
                file,
                format!("strategy `{strategy}` chooses an action; write action = \"column\" in place of value"),
            ));
        }
        _ => {}
    }
    let sent = || blueprint.context.iter().filter(|field| field.is_sent());
    let declared: Vec<String> = sent().map(|field| field.name.to_string()).collect();
    for mapped in mapping
        .context
        .iter()
        .filter(|mapped| !declared.contains(&mapped.field))
    {
        let message = format!(
            "the blueprint of `{strategy}` has no such field; it has {}",
            shortened(&declared)
        );
        problems.push(mapped.place.problem(file, message));
    }
    for field in sent().filter(|field| !field.missing_allowed) {
        if !mapping.context.iter().any(|mapped| mapped.field == *field.name) {
            let kind = type_words(field);
            let message = format!(
                "the blueprint of `{strategy}` requires `{}`; write {} = \"a column of {kind}\"",
                field.name, field.name
            );
            problems.push(mapping.places.context.problem(file, message));
        }
    }
    if let Some(outcome) = &mapping.outcome
        && outcome.event != blueprint.outcome.event
    {
        let message = format!(
            "the blueprint of `{strategy}` learns from \"{}\"; write that",
            blueprint.outcome.event
        );
        problems.push(outcome.place.problem(file, message));
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

fn type_words(field: &ContextField) -> &'static str {
    if field.is_timestamp() {
        return "times";
    }
    match field.feature_type {
        FeatureType::Number => "numbers",
        FeatureType::Boolean => "booleans",
        FeatureType::Category => "texts",
    }
}

fn shortened(words: &[String]) -> String {
    const MOST: usize = 12;
    let mut shown = words.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if words.is_empty() {
        shown.push_str("none");
    }
    if words.len() > MOST {
        shown.push_str(&format!(" and {} more", words.len() - MOST));
    }
    shown
}
