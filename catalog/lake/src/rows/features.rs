//! Features as two maps: numbers and booleans in one, categories in the other; a null value is a missing feature.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Float64Builder, Int64Builder, MapBuilder, MapFieldNames, StringArray, StringBuilder,
};
use lakeloop_domain::{FeatureType, FeatureValue, Features, NamedValue};

use super::cells::{Cells, value};
use crate::{LakeError, TableName};

fn field_names() -> Option<MapFieldNames> {
    Some(MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    })
}

/// The columns `numeric` and `categorical` of rows with these features.
///
/// A value that is not of its feature's type has no place in the maps and is an error.
pub(super) fn to_columns<'a>(
    table: &TableName,
    rows: impl Iterator<Item = &'a Features>,
) -> Result<[ArrayRef; 2], LakeError> {
    let mut numeric = MapBuilder::new(field_names(), StringBuilder::new(), Float64Builder::new());
    let mut categorical = MapBuilder::new(field_names(), StringBuilder::new(), StringBuilder::new());
    let unfit = |source| LakeError::Arrow {
        table: table.clone(),
        source,
    };
    for features in rows {
        for feature in features {
            if !feature.value.fits(feature.feature_type) {
                let found = format!("feature `{}` is no {}", feature.name, feature.feature_type.as_str());
                return Err(value(table, "numeric", &found));
            }
            if feature.feature_type == FeatureType::Category {
                categorical.keys().append_value(&feature.name);
                match &feature.value {
                    FeatureValue::Category(text) => categorical.values().append_value(text),
                    _ => categorical.values().append_null(),
                }
            } else {
                numeric.keys().append_value(&feature.name);
                numeric.values().append_option(feature.value.as_number());
            }
        }
        numeric.append(true).map_err(unfit)?;
        categorical.append(true).map_err(unfit)?;
    }
    Ok([Arc::new(numeric.finish()), Arc::new(categorical.finish())])
}

/// The features of one row: numbers first, then categories, each in the order they were written.
///
/// The table does not tell booleans from numbers, so a boolean comes back as the number 1 or 0, which is what a
/// model sees of it.
pub(super) fn of_row(cells: &Cells, row: usize) -> Result<Features, LakeError> {
    let numeric = cells.entries("numeric", row, |values: &Float64Array, idx| values.value(idx))?;
    let categorical = cells.entries("categorical", row, |values: &StringArray, idx| {
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
    Ok(numbers.chain(texts).collect())
}

/// A column of whole numbers by name, such as table versions.
pub(super) fn numbers_by_name<'a>(
    table: &TableName,
    rows: impl Iterator<Item = &'a [(String, i64)]>,
) -> Result<ArrayRef, LakeError> {
    let mut map = MapBuilder::new(field_names(), StringBuilder::new(), Int64Builder::new());
    for row in rows {
        for (name, number) in row {
            map.keys().append_value(name);
            map.values().append_value(*number);
        }
        map.append(true).map_err(|source| LakeError::Arrow {
            table: table.clone(),
            source,
        })?;
    }
    Ok(Arc::new(map.finish()))
}
