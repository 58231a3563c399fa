//! Owns what can be wrong with a saved model, and with the slices that a caller brings.

use crate::ubjson::UbjsonError;

/// Why a saved model cannot serve. Nothing of a refused model is kept.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The bytes start like neither of the formats that XGBoost writes today.
    #[error(
        "the model is neither JSON nor UBJSON (it starts with `{start}`): save it with XGBoost's save_model to a \
         file that ends in .ubj or .json"
    )]
    UnknownFormat {
        /// The first bytes, escaped.
        start: String,
    },
    /// The JSON is damaged or is no XGBoost model.
    #[error("the model's JSON cannot be read")]
    Json(#[source] serde_json::Error),
    /// The UBJSON is damaged or is no XGBoost model.
    #[error("the model's UBJSON cannot be read")]
    Ubjson(#[source] UbjsonError),
    /// A part of the model is of a kind that is not served here.
    #[error("the model's `{key}` is `{found}`: supported are {supported}")]
    Unsupported {
        /// The key in the saved model, from its root.
        key: &'static str,
        /// What the model says, shortened.
        found: String,
        /// What would have been taken.
        supported: String,
    },
    /// A value of the model's head contradicts itself or the rest.
    #[error("the model's `{key}` is `{found}`: expected {expected}")]
    Invalid {
        /// The key in the saved model, from its root.
        key: &'static str,
        /// What the model says, shortened.
        found: String,
        /// What it should have said.
        expected: String,
    },
    /// A tree is malformed.
    #[error("tree {tree_idx} of the model is malformed")]
    Tree {
        /// Which tree, in the order of the file.
        tree_idx: usize,
        /// What is wrong with it.
        #[source]
        problem: TreeProblem,
    },
    /// The model is larger than this evaluator takes.
    #[error("the model has {found} {what}: at most {limit} are taken")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many the model has.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
}

impl ModelError {
    pub(crate) fn invalid(key: &'static str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self::Invalid {
            key,
            found: shorten(&found.to_string()),
            expected: expected.into(),
        }
    }

    pub(crate) fn unsupported(key: &'static str, found: impl ToString, supported: impl Into<String>) -> Self {
        Self::Unsupported {
            key,
            found: shorten(&found.to_string()),
            supported: supported.into(),
        }
    }
}

/// What is wrong with one tree. Node numbers are those of the saved tree.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeProblem {
    /// A count is no whole number.
    #[error("`{key}` is `{found}`: expected a whole number from 0 to 4294967295")]
    Count {
        /// The key in the saved tree.
        key: &'static str,
        /// What the tree says.
        found: String,
    },
    /// The model grows larger with this tree than this evaluator takes.
    #[error("with it the model has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// A tree needs a root.
    #[error("it has no nodes")]
    Empty,
    /// The arrays of a tree hold one element a node.
    #[error("`{key}` has {found} elements, `tree_param.num_nodes` is {expected}")]
    Length {
        /// The array.
        key: &'static str,
        /// Its length.
        found: usize,
        /// The number of nodes.
        expected: usize,
    },
    /// The leaves hold a vector each.
    #[error("its leaves hold {found} values each: supported is one (multi_strategy one_output_per_tree)")]
    VectorLeaf {
        /// `tree_param.size_leaf_vector`.
        found: String,
    },
    /// A child is no node of the tree, or only one child is there.
    #[error("node {node} has the children {left} and {right}, and there are {n_nodes} nodes")]
    Child {
        /// The parent.
        node: usize,
        /// Its left child.
        left: i64,
        /// Its right child.
        right: i64,
        /// The number of nodes.
        n_nodes: usize,
    },
    /// A node is reached on two ways, which makes a loop or a shared branch.
    #[error("node {node} is reached more than once")]
    Repeated {
        /// The node.
        node: usize,
    },
    /// Nodes stand beside the tree.
    #[error("{found} nodes cannot be reached from the root, `tree_param.num_deleted` is {expected}")]
    Unreachable {
        /// How many nodes stand apart.
        found: usize,
        /// How many were expected to, because the trainer pruned them.
        expected: usize,
    },
    /// The tree is deeper than a walk may take.
    #[error("it is deeper than {limit} levels")]
    Depth {
        /// The deepest level allowed.
        limit: usize,
    },
    /// A split asks for a column that rows do not have.
    #[error("node {node} splits on feature {feature}, and there are {n_features} features")]
    Feature {
        /// The node.
        node: usize,
        /// The feature it asks for.
        feature: i64,
        /// The number of columns of a row.
        n_features: usize,
    },
    /// A threshold is not a number, or a leaf is not finite.
    #[error("node {node} holds {found}")]
    Number {
        /// The node.
        node: usize,
        /// The value.
        found: f32,
    },
    /// `split_type` is neither 0 (a threshold) nor 1 (a set of categories).
    #[error("node {node} has the split type {found}: known are 0 and 1")]
    SplitType {
        /// The node.
        node: usize,
        /// The type it has.
        found: i64,
    },
    /// A set of categories is missing, empty, out of the array or out of range.
    #[error("the categories of node {node} are not a set of codes from 0 to {max_category}")]
    Categories {
        /// The node.
        node: i64,
        /// The largest code.
        max_category: u32,
    },
}

/// A slice has a length that does not fit the ensemble.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The rows are not whole.
    #[error("{found} values do not make whole rows of {n_features} features")]
    Rows {
        /// The length of the rows slice.
        found: usize,
        /// The columns of a row.
        n_features: usize,
    },
    /// The output has another size than rows × outputs.
    #[error("the output holds {found} values, {n_rows} rows of {n_outputs} outputs were expected")]
    Outputs {
        /// The length of the output slice.
        found: usize,
        /// The number of rows brought.
        n_rows: usize,
        /// The outputs of a row.
        n_outputs: usize,
    },
}

/// Text of a model as it stands in a message: at most 80 characters.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
