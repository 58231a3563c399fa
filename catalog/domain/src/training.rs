//! What a blueprint says about training: which guards it lets pass, and what a model must beat.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A prediction that needs no model, or hardly one: what a model has to be better than.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// One prediction for all: the mean label, or each class's share.
    Constant,
    /// What the unit's last known label says.
    LastValue,
    /// One split of one column.
    Stump,
    /// A linear model of all columns.
    Linear,
}

impl Baseline {
    /// All, from the simplest to the richest.
    pub const LADDER: [Self; 4] = [Self::Constant, Self::LastValue, Self::Stump, Self::Linear];

    /// What a model must beat unless the blueprint says otherwise: what could be answered without any model.
    pub const DEFAULT: [Self; 2] = [Self::Constant, Self::LastValue];

    /// The word that blueprints and tables use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::LastValue => "last_value",
            Self::Stump => "stump",
            Self::Linear => "linear",
        }
    }

    /// The same in words, with its article.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Constant => "a constant prediction",
            Self::LastValue => "the unit's last value",
            Self::Stump => "one split of one column",
            Self::Linear => "a linear model",
        }
    }
}

/// What training lets pass that it would stop at otherwise, and what a model must beat.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrainingRules {
    /// Features that may predict the label suspiciously well, or be filled only where there is an outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_leak: Vec<Arc<str>>,
    /// True: rows may repeat across the split.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_duplicates: bool,
    /// True: labels may be distributed differently before and after the split.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_label_shift: bool,
    /// What a model must beat beyond noise; `None`: [`Baseline::DEFAULT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_beat: Option<Vec<Baseline>>,
}

impl TrainingRules {
    /// True when nothing was declared.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What a model must beat beyond noise.
    pub fn must_beat(&self) -> &[Baseline] {
        self.must_beat.as_deref().unwrap_or(&Baseline::DEFAULT)
    }
}
