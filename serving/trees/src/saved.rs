//! Owns the saved form: the parts of XGBoost's JSON and UBJSON schema that predictions depend on, as they are written.
//!
//! Nothing is checked here but types; `compile` does that. Keys that are not named are passed over, so models of
//! later versions load as long as these keys keep their meaning. All forms since XGBoost 1.0 are taken:
//! `weight_drop` beside or inside the trees, base scores as one number or as a list, booleans as 0 and 1.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Unexpected, Visitor};

#[derive(Deserialize)]
pub(crate) struct SavedModel {
    /// Of the XGBoost that saved it: major, minor, patch.
    #[serde(default)]
    pub version: Vec<i64>,
    pub learner: SavedLearner,
}

#[derive(Deserialize)]
pub(crate) struct SavedLearner {
    pub learner_model_param: SavedModelParam,
    pub objective: SavedObjective,
    pub gradient_booster: SavedBooster,
    #[serde(default)]
    pub feature_names: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct SavedModelParam {
    pub base_score: BaseScore,
    pub num_feature: Text,
    #[serde(default)]
    pub num_class: Option<Text>,
    #[serde(default)]
    pub num_target: Option<Text>,
}

#[derive(Deserialize)]
pub(crate) struct SavedObjective {
    pub name: String,
}

/// Trees stand in `model` of a gbtree, and in `gbtree.model` of a dart that XGBoost 3.2 or older saved. A linear
/// booster has neither trees nor their parameters, so both are optional until its name has been looked at.
#[derive(Deserialize)]
pub(crate) struct SavedBooster {
    pub name: String,
    #[serde(default)]
    pub model: Option<SavedTrees>,
    #[serde(default)]
    pub gbtree: Option<SavedNested>,
    #[serde(default)]
    pub weight_drop: Option<Vec<Number>>,
}

#[derive(Deserialize)]
pub(crate) struct SavedNested {
    pub model: SavedTrees,
}

#[derive(Deserialize)]
pub(crate) struct SavedTrees {
    #[serde(default)]
    pub trees: Vec<SavedTree>,
    #[serde(default)]
    pub tree_info: Vec<i64>,
    #[serde(default)]
    pub weight_drop: Option<Vec<Number>>,
}

#[derive(Deserialize)]
pub(crate) struct SavedTree {
    #[serde(default)]
    pub id: Option<i64>,
    pub tree_param: SavedTreeParam,
    pub left_children: Vec<i64>,
    pub right_children: Vec<i64>,
    pub split_indices: Vec<i64>,
    /// The threshold of a split, the value of a leaf.
    pub split_conditions: Vec<Number>,
    pub default_left: Vec<Flag>,
    #[serde(default)]
    pub split_type: Vec<i64>,
    #[serde(default)]
    pub categories: Vec<i64>,
    /// The nodes that split on categories; `categories_segments` and `categories_sizes` give the part of
    /// `categories` that belongs to each.
    #[serde(default)]
    pub categories_nodes: Vec<i64>,
    #[serde(default)]
    pub categories_segments: Vec<i64>,
    #[serde(default)]
    pub categories_sizes: Vec<i64>,
}

#[derive(Deserialize)]
pub(crate) struct SavedTreeParam {
    pub num_nodes: Text,
    #[serde(default)]
    pub num_deleted: Option<Text>,
    #[serde(default)]
    pub size_leaf_vector: Option<Text>,
}

/// A number that XGBoost writes as text.
pub(crate) struct Text(pub String);

impl Text {
    /// The number, if it is a count.
    pub fn whole(&self) -> Option<usize> {
        self.0.parse::<u32>().ok().map(|number| number as usize)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, as text or as it is")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// An f32, rounded once from what is written.
#[derive(Clone, Copy)]
pub(crate) struct Number(pub f32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_f32<E: Error>(self, number: f32) -> Result<Number, E> {
                Ok(Number(number))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number(number as f32))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(if number == MINUS_INFINITY {
                    f32::NEG_INFINITY
                } else {
                    number as f32
                }))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(match number {
                    INFINITY => f32::INFINITY,
                    NAN => f32::NAN,
                    _ => number as f32,
                }))
            }
        }
        // Not deserialize_any: serde_json would round to f64 and then again to f32, which gives another f32 for
        // some texts that XGBoost writes, such as 7.038531E-26.
        deserializer.deserialize_f32(NumberVisitor)
    }
}

/// The whole numbers by which `json` hands on what JSON has no number for. XGBoost writes floats with a point or
/// an exponent, so these mean nothing else.
pub(crate) const MINUS_INFINITY: i64 = i64::MIN;
/// See [`MINUS_INFINITY`].
pub(crate) const INFINITY: u64 = u64::MAX;
/// See [`MINUS_INFINITY`].
pub(crate) const NAN: u64 = u64::MAX - 1;

/// A boolean, or 0 or 1.
#[derive(Clone, Copy)]
pub(crate) struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean, 0 or 1")
            }
            fn visit_bool<E: Error>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Flag, E> {
                Ok(Flag(number != 0))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Flag, E> {
                Ok(Flag(number != 0))
            }
        }
        deserializer.deserialize_any(FlagVisitor)
    }
}

/// One base score, or one for each output: `"5E-1"`, `"[5E-1]"`, `"[1E0,2E0]"`, or the same as numbers.
pub(crate) struct BaseScore(pub Vec<f32>);

impl<'de> Deserialize<'de> for BaseScore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BaseScoreVisitor;
        impl<'de> Visitor<'de> for BaseScoreVisitor {
            type Value = BaseScore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a base score: a number or a list of numbers, as text or as it is")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<BaseScore, E> {
                let list = text.trim().trim_matches(['[', ']', '(', ')']);
                let scores: Result<Vec<f32>, _> = list.split(',').map(|score| score.trim().parse()).collect();
                scores
                    .map(BaseScore)
                    .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
            fn visit_f32<E: Error>(self, number: f32) -> Result<BaseScore, E> {
                Ok(BaseScore(vec![number]))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<BaseScore, E> {
                Ok(BaseScore(vec![number as f32]))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<BaseScore, E> {
                Ok(BaseScore(vec![number as f32]))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<BaseScore, E> {
                Ok(BaseScore(vec![number as f32]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<BaseScore, A::Error> {
                let mut scores = Vec::new();
                while let Some(Number(score)) = list.next_element()? {
                    scores.push(score);
                }
                Ok(BaseScore(scores))
            }
        }
        deserializer.deserialize_any(BaseScoreVisitor)
    }
}
