//! Why a query could not be run, with the query, table or column and what to do about it.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use lakeloop_domain::{FeatureType, FeatureViewName};
use lakeloop_lake::LakeError;

/// Why there are no rows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The lake could not be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A session could not be set up.
    #[error("could not set up a session over the lake: {0}")]
    Session(#[source] Box<DataFusionError>),
    /// One of the queries of this crate failed.
    #[error("query `{query}` failed: {source}")]
    Query {
        /// Its name.
        query: &'static str,
        /// Why.
        source: Box<DataFusionError>,
    },
    /// A user's statement cannot be planned.
    #[error("{}", .0.strip_backtrace())]
    Statement(#[source] Box<DataFusionError>),
    /// A user's statement would change something.
    #[error("the lake is read-only here: {found} is refused; write a SELECT")]
    ReadOnly {
        /// What the statement would have done.
        found: String,
    },
    /// Features are to be joined from a view that has no table.
    #[error(
        "feature view `{view}` has no table, so decisions that were logged without it cannot be completed; import its rows first"
    )]
    NoFeatureView {
        /// The view.
        view: FeatureViewName,
    },
    /// A feature view's table does not have the column that a blueprint names.
    #[error("feature view `{view}`, column `{column}`: expected a {} column, found {found}", expected.as_str())]
    FeatureColumn {
        /// The view.
        view: FeatureViewName,
        /// The column.
        column: String,
        /// What the blueprint declares.
        expected: FeatureType,
        /// What the table has.
        found: String,
    },
    /// Columns could not be put together.
    #[error("could not {doing}: {source}")]
    Arrow {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: ArrowError,
    },
}

impl SqlError {
    pub(crate) fn arrow(doing: &'static str) -> impl FnOnce(ArrowError) -> Self {
        move |source| Self::Arrow { doing, source }
    }

    pub(crate) fn session(source: DataFusionError) -> Self {
        Self::Session(Box::new(source))
    }
}
