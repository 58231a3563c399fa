//! Owns the way of one saved tree into the evaluated form, and every check on it.
//!
//! What passes here cannot go wrong later: `layout` names the invariants that this file makes true.

use crate::error::TreeProblem;
use crate::layout::{CategorySets, Condition, Layout, Node, Tree};
use crate::saved::{Flag, Number, SavedTree, Text};

/// Node indices are u32.
const MAX_NODES: usize = 1 << 31;
/// A set of categories may fill 2 MiB for one code in the file; all sets together may fill 256 MiB.
const MAX_CATEGORY_WORDS: usize = 1 << 26;
/// Levels below the root. Trees grown leaf by leaf are the deepest, and even those rarely have a hundred.
const MAX_DEPTH: usize = 4096;

/// Appends a tree whose leaves add to `output`, times `weight`.
pub(crate) fn push(
    saved: &SavedTree,
    output: u32,
    weight: f32,
    n_features: usize,
    layout: &mut Layout,
) -> Result<(), TreeProblem> {
    let n_nodes = n_nodes(saved)?;
    if layout.nodes.len() + n_nodes > MAX_NODES {
        return Err(TreeProblem::TooLarge {
            what: "nodes",
            limit: MAX_NODES,
        });
    }
    let sets = push_category_sets(saved, n_nodes, &mut layout.categories)?;
    layout.trees.push(Tree {
        root: layout.nodes.len() as u32,
        output,
    });
    let n_reached = push_nodes(saved, weight, n_features, &sets, &mut layout.nodes)?;
    check_deleted(saved, n_nodes - n_reached)
}

/// The number of nodes, to which all arrays of the tree agree.
fn n_nodes(saved: &SavedTree) -> Result<usize, TreeProblem> {
    let expected = whole("tree_param.num_nodes", &saved.tree_param.num_nodes)?;
    if let Some(Text(found)) = &saved.tree_param.size_leaf_vector
        && !matches!(found.as_str(), "0" | "1")
    {
        return Err(TreeProblem::VectorLeaf { found: found.clone() });
    }
    if expected == 0 {
        return Err(TreeProblem::Empty);
    }
    let lengths = [
        ("left_children", saved.left_children.len()),
        ("right_children", saved.right_children.len()),
        ("split_indices", saved.split_indices.len()),
        ("split_conditions", saved.split_conditions.len()),
        ("default_left", saved.default_left.len()),
        // Absent before XGBoost 1.3, which knew no categories.
        (
            "split_type",
            if saved.split_type.is_empty() {
                expected
            } else {
                saved.split_type.len()
            },
        ),
    ];
    match lengths.into_iter().find(|(_, found)| *found != expected) {
        Some((key, found)) => Err(TreeProblem::Length { key, found, expected }),
        None => Ok(expected),
    }
}

/// Where each node's set of categories stands, if it has one. Empty when no node has.
fn push_category_sets(
    saved: &SavedTree,
    n_nodes: usize,
    sets: &mut CategorySets,
) -> Result<Vec<Option<u32>>, TreeProblem> {
    let expected = saved.categories_nodes.len();
    let lengths = [
        ("categories_segments", saved.categories_segments.len()),
        ("categories_sizes", saved.categories_sizes.len()),
    ];
    if let Some((key, found)) = lengths.into_iter().find(|(_, found)| *found != expected) {
        return Err(TreeProblem::Length { key, found, expected });
    }
    let mut places = vec![None; if expected == 0 { 0 } else { n_nodes }];
    for (set_idx, node) in saved.categories_nodes.iter().copied().enumerate() {
        let place = usize::try_from(node).ok().and_then(|node| places.get_mut(node));
        let (Some(codes), Some(place)) = (codes(saved, set_idx), place) else {
            return Err(no_categories(node));
        };
        if sets.len() + CategorySets::n_words(&codes) > MAX_CATEGORY_WORDS {
            return Err(TreeProblem::TooLarge {
                what: "words of category sets",
                limit: MAX_CATEGORY_WORDS,
            });
        }
        *place = Some(sets.push(&codes));
    }
    Ok(places)
}

/// The codes of a set, if there are any and all are codes.
fn codes(saved: &SavedTree, set_idx: usize) -> Option<Vec<u32>> {
    let start = usize::try_from(saved.categories_segments[set_idx]).ok()?;
    let size = usize::try_from(saved.categories_sizes[set_idx])
        .ok()
        .filter(|size| *size > 0)?;
    let codes = saved.categories.get(start..start.checked_add(size)?)?;
    codes
        .iter()
        .map(|code| u32::try_from(*code).ok().filter(|code| *code < CategorySets::END))
        .collect()
}

/// Appends the nodes that can be reached from the root, level by level, and returns their number.
///
/// A node is appended when its parent is visited, so children stand behind parents; each is appended once or the
/// tree is refused, so there is no loop.
fn push_nodes(
    saved: &SavedTree,
    weight: f32,
    n_features: usize,
    sets: &[Option<u32>],
    nodes: &mut Vec<Node>,
) -> Result<usize, TreeProblem> {
    let n_nodes = saved.left_children.len();
    let first = nodes.len();
    let mut reached = vec![false; n_nodes];
    reached[0] = true;
    let mut order = vec![(0, 0)];
    let mut visited = 0;
    while let Some((node, depth)) = order.get(visited).copied() {
        visited += 1;
        let (left, right) = (saved.left_children[node], saved.right_children[node]);
        if left == -1 {
            nodes.push(leaf(saved, node, weight)?);
            continue;
        }
        if depth == MAX_DEPTH {
            return Err(TreeProblem::Depth { limit: MAX_DEPTH });
        }
        nodes.push(split(saved, node, n_features, sets, (first + order.len()) as u32)?);
        for child in [left, right] {
            let child = usize::try_from(child).ok().filter(|child| *child < n_nodes);
            let child = child.ok_or(TreeProblem::Child {
                node,
                left,
                right,
                n_nodes,
            })?;
            if std::mem::replace(&mut reached[child], true) {
                return Err(TreeProblem::Repeated { node: child });
            }
            order.push((child, depth + 1));
        }
    }
    Ok(visited)
}

/// The product is rounded here as libxgboost rounds it at each prediction.
fn leaf(saved: &SavedTree, node: usize, weight: f32) -> Result<Node, TreeProblem> {
    let value = saved.split_conditions[node].0 * weight;
    if value.is_finite() {
        Ok(Node::leaf(value))
    } else {
        Err(TreeProblem::Number { node, found: value })
    }
}

fn split(
    saved: &SavedTree,
    node: usize,
    n_features: usize,
    sets: &[Option<u32>],
    left: u32,
) -> Result<Node, TreeProblem> {
    let feature = saved.split_indices[node];
    let Some(feature_idx) = usize::try_from(feature).ok().filter(|feature| *feature < n_features) else {
        return Err(TreeProblem::Feature {
            node,
            feature,
            n_features,
        });
    };
    let condition = match saved.split_type.get(node).copied().unwrap_or(0) {
        0 => Condition::Threshold(threshold(saved, node)?),
        1 => Condition::Categories(
            sets.get(node)
                .copied()
                .flatten()
                .ok_or_else(|| no_categories(node as i64))?,
        ),
        found => return Err(TreeProblem::SplitType { node, found }),
    };
    let Flag(default_left) = saved.default_left[node];
    Ok(Node::split(feature_idx as u32, condition, default_left, left))
}

/// A threshold may be infinite: minus infinity parts what is missing from what is not.
fn threshold(saved: &SavedTree, node: usize) -> Result<f32, TreeProblem> {
    let Number(value) = saved.split_conditions[node];
    if value.is_nan() {
        Err(TreeProblem::Number { node, found: value })
    } else {
        Ok(value)
    }
}

/// Pruning leaves nodes behind that the tree counts as deleted. XGBoost 1.0 did not count them.
fn check_deleted(saved: &SavedTree, found: usize) -> Result<(), TreeProblem> {
    let Some(num_deleted) = &saved.tree_param.num_deleted else {
        return Ok(());
    };
    let expected = whole("tree_param.num_deleted", num_deleted)?;
    if found == expected {
        Ok(())
    } else {
        Err(TreeProblem::Unreachable { found, expected })
    }
}

fn whole(key: &'static str, text: &Text) -> Result<usize, TreeProblem> {
    text.whole().ok_or_else(|| TreeProblem::Count {
        key,
        found: text.0.clone(),
    })
}

fn no_categories(node: i64) -> TreeProblem {
    TreeProblem::Categories {
        node,
        max_category: CategorySets::END - 1,
    }
}
