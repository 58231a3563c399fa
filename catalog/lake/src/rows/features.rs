//! Features as two maps: numbers and booleans in one, categories in the other; a null value is a missing feature.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Float64Builder, Int64Builder, MapArray, MapBuilder, MapFieldNames, StringArray,
    StringBuilder,
};
use lakeloop_domain::{FeatureType, FeatureValue, Features, NamedValue, ValueRef};

use super::cells::{Cells, map_entries, value};
use crate::{LakeError, TableName};

fn field_names() -> Option<MapFieldNames> {
    Some(MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    })
}

/// Refuses values that are not of their feature's type: they have no place in the maps.
pub(super) fn all_fit<'a>(
    table: &TableName,
    mut features: impl Iterator<Item = (&'a str, FeatureType, ValueRef<'a>)>,
) -> Result<(), LakeError> {
    match features.find(|(_, feature_type, value)| !value.fits(*feature_type)) {
        None => Ok(()),
        Some((name, feature_type, _)) => {
            let found = format!("feature `{name}` is no {}", feature_type.as_str());
            Err(value(table, "numeric", &found))
        }
    }
}

/// The columns `numeric` and `categorical`, put together row by row.
pub(super) struct FeatureColumns {
    numeric: MapBuilder<StringBuilder, Float64Builder>,
    categorical: MapBuilder<StringBuilder, StringBuilder>,
}

impl FeatureColumns {
    pub fn new() -> Self {
        Self {
            numeric: MapBuilder::new(field_names(), StringBuilder::new(), Float64Builder::new()),
            categorical: MapBuilder::new(field_names(), StringBuilder::new(), StringBuilder::new()),
        }
    }

    /// Adds the features of one row. A value that is not of its feature's type has no place in the maps: an error, after
    /// which everything is as before.
    #[inline]
    pub fn push<'a>(
        &mut self,
        table: &TableName,
        features: impl Iterator<Item = (&'a str, FeatureType, ValueRef<'a>)> + Clone,
    ) -> Result<(), LakeError> {
        all_fit(table, features.clone())?;
        let unfit = |source| LakeError::Arrow {
            table: table.clone(),
            source,
        };
        for (name, feature_type, value) in features {
            if feature_type == FeatureType::Category {
                self.categorical.keys().append_value(name);
                match value {
                    ValueRef::Category(text) => self.categorical.values().append_value(text),
                    _ => self.categorical.values().append_null(),
                }
            } else {
                self.numeric.keys().append_value(name);
                self.numeric.values().append_option(value.as_number());
            }
        }
        self.numeric.append(true).map_err(unfit)?;
        self.categorical.append(true).map_err(unfit)
    }

    /// The two columns.
    pub fn finish(mut self) -> [ArrayRef; 2] {
        [Arc::new(self.numeric.finish()), Arc::new(self.categorical.finish())]
    }
}

/// The columns `numeric` and `categorical` of rows with these features.
pub(super) fn to_columns<'a>(
    table: &TableName,
    rows: impl Iterator<Item = &'a Features>,
) -> Result<[ArrayRef; 2], LakeError> {
    let mut columns = FeatureColumns::new();
    for features in rows {
        let each = features.iter();
        columns.push(
            table,
            each.map(|one| (&*one.name, one.feature_type, (&one.value).into())),
        )?;
    }
    Ok(columns.finish())
}

/// The features of one row: numbers first, then categories, each in the order they were written.
///
/// The table does not tell booleans from numbers, so a boolean comes back as the number 1 or 0, which is what a
/// model sees of it.
pub(super) fn of_row(cells: &Cells, row: usize) -> Result<Features, LakeError> {
    let maps = (cells.array("numeric")?, cells.array("categorical")?);
    of_maps(maps.0, maps.1, row).ok_or_else(|| cells.value("numeric", "is not of its declared type"))
}

/// The features in two maps of one row; `None` when these are not of their declared types.
pub(super) fn of_maps(numeric: &MapArray, categorical: &MapArray, row: usize) -> Option<Features> {
    let numeric = map_entries(numeric, row, |values: &Float64Array, idx| values.value(idx))?;
    let categorical = map_entries(categorical, row, |values: &StringArray, idx| {
        values.value(idx).to_owned()
    })?;
    let named = |name: &str, feature_type, value: Option<FeatureValue>| NamedValue {
        name: name.into(),
        feature_type,
        value: value.unwrap_or(FeatureValue::Missing),
    };
    let numbers = numeric
        .into_iter()
        .map(|(name, value)| named(name, FeatureType::Number, value.map(FeatureValue::Number)));
    let texts = categorical
        .into_iter()
        .map(|(name, value)| named(name, FeatureType::Category, value.map(FeatureValue::Category)));
    Some(numbers.chain(texts).collect())
}

/// A column of whole numbers by name, such as table versions, put together row by row.
pub(super) struct NumbersByName {
    map: MapBuilder<StringBuilder, Int64Builder>,
}

impl NumbersByName {
    pub fn new() -> Self {
        Self {
            map: MapBuilder::new(field_names(), StringBuilder::new(), Int64Builder::new()),
        }
    }

    /// Adds the numbers of one row.
    #[inline]
    pub fn push<'a>(
        &mut self,
        table: &TableName,
        numbers: impl Iterator<Item = (&'a str, i64)>,
    ) -> Result<(), LakeError> {
        for (name, number) in numbers {
            self.map.keys().append_value(name);
            self.map.values().append_value(number);
        }
        self.map.append(true).map_err(|source| LakeError::Arrow {
            table: table.clone(),
            source,
        })
    }

    /// The column.
    pub fn finish(mut self) -> ArrayRef {
        Arc::new(self.map.finish())
    }
}

/// A column of whole numbers by name.
pub(super) fn numbers_by_name<'a>(
    table: &TableName,
    rows: impl Iterator<Item = &'a [(String, i64)]>,
) -> Result<ArrayRef, LakeError> {
    let mut column = NumbersByName::new();
    for row in rows {
        column.push(table, row.iter().map(|(name, number)| (name.as_str(), *number)))?;
    }
    Ok(column.finish())
}
