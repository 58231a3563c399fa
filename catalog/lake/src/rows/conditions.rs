//! What a decision depended on besides its features and versions, as columns of `decisions`.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, ListArray, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::DataType;
use lakeloop_domain::{Conditions, LadderStep};

use super::cells::Cells;
use crate::LakeError;
use crate::tables::list_element;

/// [`Conditions`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowConditions<'a> {
    /// The actions that a cap blocked, in declared order.
    pub blocked: &'a [&'a str],
    /// Where the strategy stood on its ladder.
    pub step: Option<LadderStep>,
    /// The action of the caller's rule.
    pub rule_action: Option<&'a str>,
    /// The action that is best by the model's scores, where something else decided.
    pub model_action: Option<&'a str>,
}

/// The columns, put together row by row. Where nothing was blocked, `blocked` is null.
pub(super) struct ConditionColumns {
    blocked: ListBuilder<StringBuilder>,
    steps: StringBuilder,
    rule_actions: StringBuilder,
    model_actions: StringBuilder,
}

impl ConditionColumns {
    pub(super) fn new() -> Self {
        Self {
            blocked: ListBuilder::new(StringBuilder::new()).with_field(list_element(DataType::Utf8)),
            steps: StringBuilder::new(),
            rule_actions: StringBuilder::new(),
            model_actions: StringBuilder::new(),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, conditions: &RowConditions<'_>) {
        for action in conditions.blocked {
            self.blocked.values().append_value(action);
        }
        self.blocked.append(!conditions.blocked.is_empty());
        self.steps.append_option(conditions.step.map(LadderStep::as_str));
        self.rule_actions.append_option(conditions.rule_action);
        self.model_actions.append_option(conditions.model_action);
    }

    pub(super) fn finish(mut self) -> [ArrayRef; 4] {
        [
            Arc::new(self.blocked.finish()),
            Arc::new(self.steps.finish()),
            Arc::new(self.rule_actions.finish()),
            Arc::new(self.model_actions.finish()),
        ]
    }
}

/// The conditions of one row.
pub(super) fn of_row(cells: &Cells, row: usize) -> Result<Conditions, LakeError> {
    let text = |column| Ok::<_, LakeError>(cells.optional_text(column, row)?.map(str::to_owned));
    Ok(Conditions {
        blocked: if cells.array::<ListArray>("blocked")?.is_null(row) {
            Vec::new()
        } else {
            cells.list("blocked", row, |texts: &StringArray, idx| texts.value(idx).to_owned())?
        },
        step: match cells.optional_text("step", row)? {
            Some(_) => Some(cells.word("step", row, LadderStep::parse)?),
            None => None,
        },
        rule_action: text("rule_action")?,
        model_action: text("model_action")?,
    })
}
