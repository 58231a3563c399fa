//! Owns saved XGBoost models as they serve: the bytes of a model in, predictions equal to libxgboost's out.
//!
//! ```text
//! bytes ──► saved form ──► compile ──► Ensemble ──► leaves ──► margins ──► link ──► predictions
//!           (json, ubjson)  (tree)      (layout,     by a technique: walk, across_trees or across_rows
//!                                        complete)
//! ```
//!
//! A model is read and checked once. What comes out is flat and immutable: evaluating it never allocates, never
//! panics and always ends. The reference is libxgboost 3.4: margins are added up in its order and precision, so
//! that they are equal bit for bit.
//!
//! Deliberately absent: training, feature names to columns, categories to codes, early stopping (all trees count),
//! linear boosters and trees whose leaves are vectors. No file, socket or clock is touched here: who wants the
//! techniques of a model measured brings the clock (see [`Choice`]).
//!
//! ```
//! use lakeloop_trees::Ensemble;
//!
//! let model = br#"{"learner": {
//!     "learner_model_param": {"base_score": "5E-1", "num_class": "0", "num_feature": "1"},
//!     "objective": {"name": "binary:logistic"},
//!     "gradient_booster": {"name": "gbtree", "model": {"tree_info": [0], "trees": [{
//!         "tree_param": {"num_nodes": "3", "size_leaf_vector": "1"},
//!         "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [0, 0, 0],
//!         "split_conditions": [7.5, -1.0, 1.0], "default_left": [0, 0, 0]
//!     }]}}
//! }}"#;
//! let ensemble = Ensemble::from_bytes(model)?;
//! let mut out = [0.0; 2];
//! ensemble.margins_into(&[7.0, f32::NAN], &mut out)?;
//! assert_eq!(out, [-1.0, 1.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ensemble;
mod objective;

mod json;
mod saved;
mod ubjson;

mod compile;
mod tree;

mod layout;
mod walk;

mod across_rows;
mod across_trees;
mod complete;
mod encode;
mod exp;
mod isa;
#[cfg(target_arch = "x86_64")]
mod simd;
mod technique;

mod error;

pub use ensemble::Ensemble;
pub use error::{ModelError, ShapeError, TreeProblem};
pub use isa::{Avx2, Avx512, InstructionSet};
pub use objective::{Link, Objective};
pub use technique::{Choice, Plan, Technique};
pub use ubjson::UbjsonError;
