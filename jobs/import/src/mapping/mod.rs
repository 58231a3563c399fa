//! A mapping: which column of a file becomes what, as people write it in TOML.
//!
//! What can be wrong with a mapping by itself is found here, all at once, each mistake with its line and key and what to
//! write instead. Whether it fits the file and the blueprint is judged later, with the places that are kept here.

mod document;
mod forms;
mod target;

use lakeloop_domain::{FeatureType, FeatureViewName, StrategyName};
use serde::Serialize;

pub use document::MappingProblem;
pub(crate) use document::Place;
use document::{Section, Walk};
pub(crate) use forms::{NumberForm, TextForm, TimeForm, Unit, Zone};

/// A valid mapping.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Mapping {
    /// The texts that mean that there is no value.
    pub(crate) missing: Vec<String>,
    /// The columns of the file that are read, each once; forms point into it.
    pub(crate) columns: Vec<SourceColumn>,
    pub(crate) target: Target,
}

/// A column of the file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SourceColumn {
    pub(crate) name: String,
    /// Where the mapping names it first.
    #[serde(skip)]
    pub(crate) place: Place,
}

/// The position of a column in [`Mapping::columns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct ColumnIdx(pub(crate) usize);

/// Where the rows go.
#[allow(clippy::large_enum_variant, reason = "there is one of it at a time")]
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    Features(FeatureMapping),
    Decisions(DecisionMapping),
}

/// Rows of a feature view.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FeatureMapping {
    pub(crate) view: FeatureViewName,
    pub(crate) entity: TextForm,
    pub(crate) event_time: TimeForm,
    /// `None`: known at the event time, at once.
    pub(crate) available_at: Option<TimeForm>,
    pub(crate) columns: Vec<ViewColumn>,
}

/// One column of a feature view.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ViewColumn {
    pub(crate) name: String,
    pub(crate) feature_type: FeatureType,
    pub(crate) source: ColumnIdx,
}

/// Decisions that were made elsewhere, perhaps with their outcomes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DecisionMapping {
    pub(crate) strategy: StrategyName,
    pub(crate) decision_id: TextForm,
    pub(crate) unit: TextForm,
    pub(crate) event_time: TimeForm,
    pub(crate) choice: ChoiceForm,
    pub(crate) propensity: NumberForm,
    pub(crate) context: Vec<ContextMapping>,
    pub(crate) outcome: Option<OutcomeMapping>,
    /// Where the choice and the context stand.
    #[serde(skip)]
    pub(crate) places: DecisionPlaces,
}

/// Places for what is judged against the blueprint.
#[derive(Debug, Clone, Default)]
pub(crate) struct DecisionPlaces {
    pub(crate) choice: Place,
    pub(crate) context: Place,
}

/// What was decided.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChoiceForm {
    Action(ColumnIdx),
    Value(ColumnIdx),
}

/// One field of the context.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ContextMapping {
    pub(crate) field: String,
    pub(crate) source: ColumnIdx,
    #[serde(skip)]
    pub(crate) place: Place,
}

/// The outcome that stands in the decision's own row.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OutcomeMapping {
    pub(crate) event: String,
    pub(crate) value: ColumnIdx,
    /// `None`: the decision's.
    pub(crate) event_time: Option<TimeForm>,
    #[serde(skip)]
    pub(crate) place: Place,
}

impl Mapping {
    /// Reads a mapping; `file` only names it in messages. The error holds everything that is wrong, in the order of the
    /// text.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, Vec<MappingProblem>> {
        let root = document::parse(file, text)?;
        let mut walk = Walk::new(file, text);
        let mut section = Section::root(root.get_ref());
        let missing = forms::missing_texts(&mut walk, &mut section);
        let target = target::read(&mut walk, &mut section);
        match target {
            Some(target) => walk.into_mapping(missing, target),
            None => Err(walk.into_problems()),
        }
    }

    /// The meaning of the mapping as one text: the same for mappings that differ in comments and layout only.
    pub(crate) fn canonical(&self) -> String {
        serde_json::to_string(self).expect("a mapping is texts, finite numbers and lists, which JSON can write")
    }
}
