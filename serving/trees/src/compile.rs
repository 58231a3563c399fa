//! Owns the way from the saved form to an ensemble: the head of a model, and its trees one after the other.

use crate::complete::CompleteTrees;
use crate::ensemble::Ensemble;
use crate::error::ModelError;
use crate::layout::{Layout, MAX_FEATURES};
use crate::objective::{Link, Objective};
use crate::saved::{Number, SavedBooster, SavedModel, SavedModelParam, SavedTrees, Text};
use crate::technique::{Choice, Forms};
use crate::tree;

/// Outputs get a base margin each, also where the file names only their number.
const MAX_OUTPUTS: usize = 1 << 16;

pub(crate) fn compile(saved: SavedModel, choice: Choice<'_>) -> Result<Ensemble, ModelError> {
    let learner = saved.learner;
    let objective = objective(&learner.objective.name)?;
    let n_features = n_features(&learner.learner_model_param)?;
    let n_outputs = n_outputs(&learner.learner_model_param)?;
    let base_margins = base_margins(
        &learner.learner_model_param,
        n_outputs,
        base_link(objective, &saved.version),
    )?;
    let (trees, weights) = trees(learner.gradient_booster)?;
    if !learner.feature_names.is_empty() && learner.feature_names.len() != n_features {
        let expected = format!("none, or one for each of {n_features} features");
        return Err(ModelError::invalid(
            "learner.feature_names",
            learner.feature_names.len(),
            expected,
        ));
    }
    let layout = layout(&trees, &weights, n_features, n_outputs)?;
    let complete = CompleteTrees::new(&layout);
    let (forms, plan) = Forms { layout, complete }.planned(choice, &base_margins, n_features);
    Ok(Ensemble {
        forms,
        plan,
        base_margins,
        n_features,
        objective,
        feature_names: learner.feature_names,
    })
}

fn objective(name: &str) -> Result<Objective, ModelError> {
    Objective::from_name(name).ok_or_else(|| {
        let supported = Objective::ALL.map(Objective::name).join(", ");
        ModelError::unsupported("learner.objective.name", name, supported)
    })
}

fn n_features(param: &SavedModelParam) -> Result<usize, ModelError> {
    let key = "learner.learner_model_param.num_feature";
    match whole(key, Some(&param.num_feature))? {
        0 => Err(ModelError::invalid(key, 0, "at least 1")),
        found if found > MAX_FEATURES => Err(ModelError::TooLarge {
            what: "features",
            found,
            limit: MAX_FEATURES,
        }),
        n_features => Ok(n_features),
    }
}

fn n_outputs(param: &SavedModelParam) -> Result<usize, ModelError> {
    let n_classes = whole("learner.learner_model_param.num_class", param.num_class.as_ref())?;
    let n_targets = whole("learner.learner_model_param.num_target", param.num_target.as_ref())?;
    if n_classes > 1 && n_targets > 1 {
        let supported = "several classes or several targets, not both";
        return Err(ModelError::unsupported(
            "learner.learner_model_param.num_target",
            n_targets,
            supported,
        ));
    }
    match n_classes.max(n_targets).max(1) {
        found if found > MAX_OUTPUTS => Err(ModelError::TooLarge {
            what: "outputs",
            found,
            limit: MAX_OUTPUTS,
        }),
        n_outputs => Ok(n_outputs),
    }
}

/// The link that a base score went through when it was saved. Before XGBoost 1.3 that of `binary:logitraw` was a
/// probability, and margins were made of it as `binary:logistic` does; since then it is a margin itself.
fn base_link(objective: Objective, version: &[i64]) -> Link {
    match objective {
        Objective::BinaryLogitRaw if !version.is_empty() && version < [1, 3].as_slice() => Link::Logistic,
        _ => objective.link(),
    }
}

/// One base margin an output; before XGBoost 3.1 one base score stood for all.
fn base_margins(param: &SavedModelParam, n_outputs: usize, link: Link) -> Result<Vec<f32>, ModelError> {
    let key = "learner.learner_model_param.base_score";
    let scores = match param.base_score.0.as_slice() {
        [score] => vec![*score; n_outputs],
        scores if scores.len() == n_outputs => scores.to_vec(),
        scores => {
            return Err(ModelError::invalid(
                key,
                format!("{scores:?}"),
                format!("1 or {n_outputs} numbers"),
            ));
        }
    };
    let margin = |score: f32| {
        let margin = link.base_margin(score).filter(|margin| margin.is_finite());
        margin.ok_or_else(|| {
            let expected = match link {
                Link::Logistic => "a number from 0 to 1",
                Link::Exponential => "a number above 0",
                Link::Identity | Link::Step | Link::Softmax | Link::Sorted => "a finite number",
            };
            ModelError::invalid(key, score, expected)
        })
    };
    scores.into_iter().map(margin).collect()
}

/// The trees, and a weight for each: those of dart, otherwise 1.
fn trees(booster: SavedBooster) -> Result<(SavedTrees, Vec<f32>), ModelError> {
    let key = "learner.gradient_booster.name";
    let supported = "gbtree, dart";
    let trees = match booster.name.as_str() {
        "gbtree" => booster.model,
        "dart" => booster.gbtree.map(|nested| nested.model).or(booster.model),
        name => return Err(ModelError::unsupported(key, name, supported)),
    };
    let Some(mut trees) = trees else {
        return Err(ModelError::invalid(
            key,
            booster.name,
            "the trees in `model`, or of a dart in `gbtree.model`",
        ));
    };
    let n_trees = trees.trees.len();
    let weights = match booster.weight_drop.or(trees.weight_drop.take()) {
        Some(weights) if !weights.is_empty() => weights.into_iter().map(|Number(weight)| weight).collect(),
        _ => vec![1.0; n_trees],
    };
    if weights.len() != n_trees {
        let key = "learner.gradient_booster.weight_drop";
        return Err(ModelError::invalid(
            key,
            weights.len(),
            format!("a weight for each of {n_trees} trees"),
        ));
    }
    if trees.tree_info.len() != n_trees {
        let key = "learner.gradient_booster.model.tree_info";
        return Err(ModelError::invalid(
            key,
            trees.tree_info.len(),
            format!("an output for each of {n_trees} trees"),
        ));
    }
    Ok((trees, weights))
}

fn layout(saved: &SavedTrees, weights: &[f32], n_features: usize, n_outputs: usize) -> Result<Layout, ModelError> {
    let mut layout = Layout::default();
    for (tree_idx, (tree, weight)) in saved.trees.iter().zip(weights).enumerate() {
        let found = saved.tree_info[tree_idx];
        let Some(output) = usize::try_from(found).ok().filter(|output| *output < n_outputs) else {
            let expected = format!("less than {n_outputs}, the number of outputs");
            return Err(ModelError::invalid(
                "learner.gradient_booster.model.tree_info",
                found,
                expected,
            ));
        };
        if let Some(id) = tree.id.filter(|id| *id != tree_idx as i64) {
            let key = "learner.gradient_booster.model.trees.id";
            return Err(ModelError::invalid(
                key,
                id,
                format!("{tree_idx}, its place among the trees"),
            ));
        }
        tree::push(tree, output as u32, *weight, n_features, &mut layout)
            .map_err(|problem| ModelError::Tree { tree_idx, problem })?;
    }
    layout.shrink();
    Ok(layout)
}

/// A count of the model's head; 0 when the key is absent.
fn whole(key: &'static str, text: Option<&Text>) -> Result<usize, ModelError> {
    let invalid = |found| ModelError::invalid(key, found, "a whole number from 0 to 4294967295");
    text.map_or(Ok(0), |text| text.whole().ok_or_else(|| invalid(&text.0)))
}
