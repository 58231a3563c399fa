//! The columns of a decision that ranked: its candidates, the order returned, and the propensity of each position.
//!
//! In the rows of other decisions all three are null.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, Float64Array, Float64Builder, ListArray, ListBuilder, MapArray, StringArray, StringBuilder,
    StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use lakeloop_domain::{Candidate, CandidateId, FeatureType, Position, Ranking, ValueRef};

use super::cells::{Cells, value};
use super::features::{self, FeatureColumns};
use crate::tables::{candidate_fields, list_element};
use crate::{LakeError, TableName};

/// A ranking as a row takes it, borrowed from wherever it is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankingRow<'a> {
    /// The ids of all candidates, in the request's order.
    pub ids: &'a [&'a str],
    /// The names and types of the features that each of them has.
    pub features: &'a [(&'a str, FeatureType)],
    /// Their values, `[n_candidates, n_features]`, row-major.
    pub values: &'a [ValueRef<'a>],
    /// For each position returned, which candidate stands there.
    pub order: &'a [u32],
    /// For each position returned, the probability that this candidate stands there.
    pub propensities: &'a [f64],
}

/// What a row borrows of a ranking that is a noun of the domain.
#[derive(Default)]
pub(super) struct Parts<'a> {
    ids: Vec<&'a str>,
    features: Vec<(&'a str, FeatureType)>,
    values: Vec<ValueRef<'a>>,
    order: Vec<u32>,
    propensities: Vec<f64>,
}

impl<'a> Parts<'a> {
    /// Takes a ranking apart; an error when its candidates differ in their features, or a position holds none of them.
    pub fn of(ranking: &'a Ranking) -> Result<Self, LakeError> {
        let named = |candidate: &'a Candidate| candidate.features.iter().map(|one| (&*one.name, one.feature_type));
        let refuse = |column, found: String| Err(value(&TableName::Decisions, column, &found));
        let mut parts = Self::default();
        for candidate in &ranking.candidates {
            if parts.ids.is_empty() {
                parts.features.extend(named(candidate));
            } else if !named(candidate).eq(parts.features.iter().copied()) {
                return refuse(
                    "candidates",
                    format!("`{}` has other features than the first", candidate.id),
                );
            }
            parts.ids.push(candidate.id.as_str());
            parts
                .values
                .extend(candidate.features.iter().map(|one| ValueRef::from(&one.value)));
        }
        for position in &ranking.positions {
            let Some(idx) = parts.ids.iter().position(|id| *id == position.candidate.as_str()) else {
                return refuse("ranking", format!("`{}` is none of the candidates", position.candidate));
            };
            parts.order.push(idx as u32);
            parts.propensities.push(position.propensity);
        }
        Ok(parts)
    }

    pub fn row(&self) -> RankingRow<'_> {
        RankingRow {
            ids: &self.ids,
            features: &self.features,
            values: &self.values,
            order: &self.order,
            propensities: &self.propensities,
        }
    }
}

/// The three columns, put together row by row.
pub(super) struct RankingColumns {
    ids: StringBuilder,
    features: FeatureColumns,
    n_candidates: Vec<usize>,
    ranks: Vec<bool>,
    rankings: ListBuilder<StringBuilder>,
    propensities: ListBuilder<Float64Builder>,
}

impl RankingColumns {
    pub fn new() -> Self {
        Self {
            ids: StringBuilder::new(),
            features: FeatureColumns::new(),
            n_candidates: Vec::new(),
            ranks: Vec::new(),
            rankings: ListBuilder::new(StringBuilder::new()).with_field(list_element(DataType::Utf8)),
            propensities: ListBuilder::new(Float64Builder::new()).with_field(list_element(DataType::Float64)),
        }
    }

    /// Adds one row: a ranking, or nulls for a decision that did not rank. What the columns cannot hold is an error, after
    /// which everything is as before.
    pub fn push(&mut self, table: &TableName, ranking: Option<RankingRow<'_>>) -> Result<(), LakeError> {
        if let Some(ranking) = ranking {
            check(table, &ranking)?;
            let n_features = ranking.features.len();
            for (idx, id) in ranking.ids.iter().enumerate() {
                let values = &ranking.values[idx * n_features..(idx + 1) * n_features];
                self.ids.append_value(id);
                self.features.push(table, named(ranking.features, values))?;
            }
            for idx in ranking.order {
                self.rankings.values().append_value(ranking.ids[*idx as usize]);
            }
            self.propensities.values().append_slice(ranking.propensities);
        }
        self.n_candidates.push(ranking.map_or(0, |ranking| ranking.ids.len()));
        self.ranks.push(ranking.is_some());
        self.rankings.append(ranking.is_some());
        self.propensities.append(ranking.is_some());
        Ok(())
    }

    /// The columns `candidates`, `ranking` and `position_propensities`.
    pub fn finish(mut self) -> Result<[ArrayRef; 3], LakeError> {
        let failed = |source| LakeError::Arrow {
            table: TableName::Decisions,
            source,
        };
        let [numeric, categorical] = self.features.finish();
        let columns = vec![Arc::new(self.ids.finish()) as ArrayRef, numeric, categorical];
        let candidates = StructArray::try_new(candidate_fields(), columns, None).map_err(failed)?;
        let candidates = ListArray::try_new(
            list_element(DataType::Struct(candidate_fields())),
            OffsetBuffer::from_lengths(self.n_candidates),
            Arc::new(candidates),
            Some(NullBuffer::from(self.ranks)),
        );
        Ok([
            Arc::new(candidates.map_err(failed)?),
            Arc::new(self.rankings.finish()),
            Arc::new(self.propensities.finish()),
        ])
    }
}

fn named<'a>(
    features: &'a [(&'a str, FeatureType)],
    values: &'a [ValueRef<'a>],
) -> impl Iterator<Item = (&'a str, FeatureType, ValueRef<'a>)> + Clone {
    let pairs = features.iter().zip(values);
    pairs.map(|((name, feature_type), value)| (*name, *feature_type, *value))
}

/// Refuses a ranking whose parts do not go together.
fn check(table: &TableName, ranking: &RankingRow<'_>) -> Result<(), LakeError> {
    let (n_candidates, n_features) = (ranking.ids.len(), ranking.features.len());
    if ranking.values.len() != n_candidates * n_features {
        let found = format!(
            "has {n_candidates} candidates of {n_features} features and {} values",
            ranking.values.len()
        );
        return Err(value(table, "candidates", &found));
    }
    if let Some(idx) = ranking.order.iter().find(|idx| **idx as usize >= n_candidates) {
        return Err(value(
            table,
            "ranking",
            &format!("has candidate {idx} of {n_candidates}"),
        ));
    }
    if ranking.order.len() != ranking.propensities.len() {
        let found = format!(
            "has {} values for {} positions",
            ranking.propensities.len(),
            ranking.order.len()
        );
        return Err(value(table, "position_propensities", &found));
    }
    let mut candidates = ranking.values.chunks_exact(n_features.max(1));
    candidates.try_for_each(|values| features::all_fit(table, named(ranking.features, values)))
}

/// The ranking of one row; `None` where the decision did not rank.
pub(super) fn of_row(cells: &Cells, row: usize) -> Result<Option<Ranking>, LakeError> {
    let lists: &ListArray = cells.array("candidates")?;
    if lists.is_null(row) {
        return Ok(None);
    }
    let read = candidates(&lists.value(row)).ok_or_else(|| cells.value("candidates", "is not of its declared type"))?;
    let candidates = read.map_err(|unfit| cells.value("candidates", &unfit))?;
    let ids = cells.list("ranking", row, |texts: &StringArray, idx| texts.value(idx).to_owned())?;
    let propensities = cells.list("position_propensities", row, |numbers: &Float64Array, idx| {
        numbers.value(idx)
    })?;
    if ids.len() != propensities.len() {
        let found = format!("has {} values for {} positions", propensities.len(), ids.len());
        return Err(cells.value("position_propensities", &found));
    }
    let positions = ids.into_iter().zip(propensities).map(|(id, propensity)| {
        let candidate = CandidateId::new(id).map_err(|error| cells.value("ranking", &error.to_string()))?;
        Ok(Position { candidate, propensity })
    });
    Ok(Some(Ranking {
        candidates,
        positions: positions.collect::<Result<_, LakeError>>()?,
    }))
}

/// The candidates of one row; `None` when the parts are not of their declared types, an error in words for an id that is
/// none.
fn candidates(parts: &ArrayRef) -> Option<Result<Vec<Candidate>, String>> {
    let parts = parts.as_any().downcast_ref::<StructArray>()?;
    let ids = parts.column_by_name("id")?.as_any().downcast_ref::<StringArray>()?;
    let map = |name: &str| parts.column_by_name(name)?.as_any().downcast_ref::<MapArray>();
    let (numeric, categorical) = (map("numeric")?, map("categorical")?);
    let candidate = |idx: usize| {
        let features = features::of_maps(numeric, categorical, idx)?;
        let id = match ids.is_valid(idx) {
            true => CandidateId::new(ids.value(idx)).map_err(|error| error.to_string()),
            false => Err("has a candidate without id".to_owned()),
        };
        Some(id.map(|id| Candidate { id, features }))
    };
    (0..parts.len()).map(candidate).collect()
}
