//! Owns a strategy as a model of the protocol: its inputs and outputs, and the scoring of tensors.

use std::sync::Arc;

use lakeloop_domain::{ContextField, FeatureType};
use serde::Serialize;

use super::tensor::{Datatype, Tensor, named};
use crate::fields::{At, words};
use crate::json::{Json, Object};
use crate::predict::{live_model, scores};
use crate::problem::{Missing, Problem};
use crate::state::{App, Strategy};

/// The inputs that are no context fields.
const EXTRA: [&str; 2] = ["unit", "action"];

/// The output.
pub(super) const OUTPUT: &str = "scores";

/// A strategy with a live model, of the version that was asked for.
pub(super) struct Served {
    pub(super) strategy: Arc<Strategy>,
    pub(super) version: u32,
}

/// What a model reads and writes.
#[derive(Debug, Serialize)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) versions: Vec<String>,
    pub(super) platform: &'static str,
    pub(super) inputs: Vec<TensorMetadata>,
    pub(super) outputs: Vec<TensorMetadata>,
}

/// A tensor's type; `-1` for a size that is free.
#[derive(Debug, Serialize)]
pub(super) struct TensorMetadata {
    pub(super) name: String,
    pub(super) datatype: &'static str,
    pub(super) shape: Vec<i64>,
}

/// Scores, `[n_rows, n_scores]`, row-major.
pub(super) struct Scored {
    pub(super) shape: [usize; 2],
    pub(super) values: Vec<f64>,
}

impl Served {
    /// A model by its name and, where one is given, its version.
    pub(super) async fn find(app: &App, name: &str, version: Option<&str>) -> Result<Self, Problem> {
        let strategy = app.strategy(name).await?;
        let live = live_model(app, &strategy)?.version().0;
        match version {
            Some(asked) if asked != live.to_string() => {
                let asked: String = asked.chars().take(40).collect();
                let detail = format!("version `{asked}` of `{name}` is not live; the live version is {live}");
                Err(Problem::NotFound {
                    kind: Missing::Model,
                    detail,
                })
            }
            _ => Ok(Self {
                strategy,
                version: live,
            }),
        }
    }

    /// Its inputs and outputs. `unit` is among the inputs where features of the lake may need it; `action`, which is
    /// optional, is not.
    pub(super) fn metadata(&self) -> Metadata {
        let tensor = |name: &str, datatype: Datatype, shape: &[i64]| TensorMetadata {
            name: name.to_owned(),
            datatype: datatype.as_str(),
            shape: shape.to_vec(),
        };
        let context = &self.strategy.blueprint().context;
        let mut inputs: Vec<TensorMetadata> = context
            .iter()
            .filter(|field| field.is_sent())
            .map(|field| {
                let datatype = match field.feature_type {
                    FeatureType::Number if field.is_timestamp() => Datatype::Bytes,
                    FeatureType::Number => Datatype::Fp64,
                    FeatureType::Boolean => Datatype::Bool,
                    FeatureType::Category => Datatype::Bytes,
                };
                tensor(&field.name, datatype, &[-1])
            })
            .collect();
        if !self.strategy.views.is_empty() && !context.iter().any(|field| &*field.name == "unit") {
            inputs.push(tensor("unit", Datatype::Bytes, &[-1]));
        }
        Metadata {
            name: self.strategy.name.to_string(),
            versions: vec![self.version.to_string()],
            platform: "lakeloop_xgboost",
            inputs,
            outputs: vec![tensor(OUTPUT, Datatype::Fp64, &[-1, self.n_scores() as i64])],
        }
    }

    /// How many scores a row without `action` has.
    fn n_scores(&self) -> usize {
        let bundle = &self.strategy.bundle;
        bundle.model().map_or(0, |model| match model.action_is_feature() {
            true => bundle.actions().len(),
            false => model.ensemble().n_outputs(),
        })
    }

    /// Scores tensors; nothing is logged.
    pub(super) async fn score(&self, app: &App, inputs: Vec<Tensor<'_>>) -> Result<Scored, Problem> {
        let rows = self.rows(inputs)?;
        let n_rows = rows.len();
        let rows = rows.into_iter().enumerate();
        let rows = rows.map(|(idx, row)| (At::Row { idx }, Json::Object(row)));
        let answer = scores(app, &self.strategy, rows).await?;
        let n_scores = answer.scores.first().map_or(0, Vec::len);
        if answer.scores.iter().any(|row| row.len() != n_scores) {
            let detail = "some rows name an action and some do not; name one in each row, or leave the input out";
            return Err(Problem::invalid(named("action"), detail));
        }
        Ok(Scored {
            shape: [n_rows, n_scores],
            values: answer.scores.concat(),
        })
    }

    /// Tensors as rows of `/v1/predict`.
    fn rows<'a>(&self, inputs: Vec<Tensor<'a>>) -> Result<Vec<Object<'a>>, Problem> {
        let context = &self.strategy.blueprint().context;
        let is_field = |name: &str| context.iter().any(|field| field.is_sent() && *field.name == *name);
        let n_rows = match inputs.first() {
            Some(first) => first.shape.first().copied().unwrap_or(0),
            None => {
                return Err(Problem::invalid(
                    "inputs",
                    "there is no input; send a tensor for each context field",
                ));
            }
        };
        let mut rows: Vec<Object<'a>> = (0..n_rows).map(|_| Vec::with_capacity(inputs.len())).collect();
        let n_main = inputs
            .iter()
            .filter(|input| !EXTRA.contains(&input.name.as_str()))
            .count();
        let mut seen: Vec<String> = Vec::with_capacity(inputs.len());
        for input in inputs {
            if seen.contains(&input.name) {
                return Err(Problem::invalid(
                    named(&input.name),
                    "the input is given twice; give it once",
                ));
            }
            seen.push(input.name.clone());
            let shape = input.shape.clone();
            match *shape {
                [n] | [n, _] if n != n_rows => {
                    let detail = format!("it has {n} rows, the first input has {n_rows}; send as many in each");
                    return Err(Problem::invalid(named(&input.name), detail));
                }
                [_, n_columns] if n_main == 1 && !is_field(&input.name) && !EXTRA.contains(&input.name.as_str()) => {
                    add_matrix(context, &mut rows, input, n_columns)?;
                }
                [_] | [_, 1] => {
                    let name = input.name;
                    for (row, element) in rows.iter_mut().zip(input.elements) {
                        row.push((name.clone().into(), element));
                    }
                }
                _ => {
                    let detail = format!("its shape is {shape:?}; expected [{n_rows}] or [{n_rows}, 1]");
                    return Err(Problem::invalid(named(&input.name), detail));
                }
            }
        }
        Ok(rows)
    }
}

/// Adds a matrix of all features of the context.
fn add_matrix<'a>(
    context: &[ContextField],
    rows: &mut [Object<'a>],
    input: Tensor<'a>,
    n_columns: usize,
) -> Result<(), Problem> {
    let refused = |detail: String| Problem::invalid(named(&input.name), detail);
    let features: Vec<&ContextField> = context.iter().filter(|field| field.is_feature).collect();
    let is_text = |field: &&&ContextField| field.feature_type == FeatureType::Category || field.timestamp.is_some();
    if let Some(field) = features.iter().find(is_text) {
        let known = words(context.iter().filter(|field| field.is_sent()).map(|field| &*field.name));
        return Err(refused(format!(
            "`{}` is sent as a text, so there is no matrix of all features; send one tensor for each of {known}",
            field.name
        )));
    }
    if features.len() != n_columns {
        let known = words(features.iter().map(|field| &*field.name));
        return Err(refused(format!(
            "it has {n_columns} columns; expected {}: {known}, in this order",
            features.len()
        )));
    }
    let mut elements = input.elements.iter().cloned();
    for row in rows {
        for (field, element) in features.iter().zip(elements.by_ref()) {
            let element = match (field.feature_type, element) {
                (FeatureType::Boolean, Json::Integer(0)) => Json::Bool(false),
                (FeatureType::Boolean, Json::Integer(1)) => Json::Bool(true),
                (FeatureType::Boolean, Json::Number(number)) if number == 0.0 || number == 1.0 => {
                    Json::Bool(number == 1.0)
                }
                (_, element) => element,
            };
            row.push((field.name.to_string().into(), element));
        }
    }
    Ok(())
}
