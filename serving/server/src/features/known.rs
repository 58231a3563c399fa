//! What is known of one entity in one view, and what that says as of an instant.

use lakeloop_domain::{FeatureValue, Micros};
use lakeloop_sql::{FeatureHistory, FeatureRow};

use crate::snapshots::Latest;

/// What is known of an entity in one view.
pub(super) enum Known {
    /// All its rows.
    History(FeatureHistory),
    /// Its latest row.
    Latest(Latest),
}

/// What was known at an instant.
pub(super) enum AsOf<'k> {
    /// A row of the table's version that is named.
    Row(i64, &'k FeatureRow),
    /// No row, or none that is fresh enough.
    Nothing,
    /// Only the entity's history can tell.
    Untold,
}

impl Known {
    pub(super) fn as_of(&self, at: Micros, freshness_us: Option<i64>) -> AsOf<'_> {
        match self {
            Self::History(history) => match history.as_of(at, freshness_us) {
                Some(row) => AsOf::Row(history.table_version, row),
                None => AsOf::Nothing,
            },
            Self::Latest(Latest { row: None, .. }) => AsOf::Nothing,
            Self::Latest(Latest {
                table_version,
                row: Some(row),
            }) => match row.is_known_at(at) {
                true if row.is_fresh_at(at, freshness_us) => AsOf::Row(*table_version, row),
                true => AsOf::Nothing,
                false => AsOf::Untold,
            },
        }
    }

    /// What it weighs in the cache.
    pub(super) fn n_bytes(&self) -> usize {
        let rows = match self {
            Self::History(history) => history.rows.as_slice(),
            Self::Latest(latest) => latest.row.as_slice(),
        };
        size_of::<Self>() + rows.iter().map(row_bytes).sum::<usize>()
    }
}

fn row_bytes(row: &FeatureRow) -> usize {
    let text = |value: &FeatureValue| match value {
        FeatureValue::Category(text) => text.len(),
        _ => 0,
    };
    let texts: usize = row.values.iter().map(text).sum();
    size_of::<FeatureRow>() + size_of_val(row.values.as_slice()) + texts
}
