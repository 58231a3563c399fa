//! Owns a table of rows as requests: its columns as values that every row can borrow from.

use std::collections::HashSet;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};

use crate::fields::At;
use crate::json::{Json, Object};
use crate::problem::Problem;

/// The key of the schema's metadata, and the column, that names the strategy.
const STRATEGY: &str = "strategy";

/// The columns of a decision's row that are not its context.
const ASKED: [&str; 4] = [STRATEGY, "unit", "decision_id", "event_time"];

/// What begins the name of a context field's column where the bare name has another meaning.
const CONTEXT_PREFIX: &str = "context.";

/// A table whose columns can all be read.
pub(super) struct Table {
    /// The strategy that the schema's metadata names.
    strategy: Option<String>,
    names: Vec<String>,
    /// Of each record batch its number of rows and its columns, in the order of `names`.
    batches: Vec<(usize, Vec<Cells>)>,
}

/// The values of a column in one record batch.
enum Cells {
    Nothing,
    Booleans(BooleanArray),
    Integers(Int64Array),
    Numbers(Float64Array),
    Texts(StringViewArray),
    Instants(TimestampMicrosecondArray),
    Dictionary {
        keys: Vec<Option<usize>>,
        values: Box<Cells>,
    },
}

impl Table {
    /// Reads a body; its texts, with dictionaries spelt out, may take `max_bytes`.
    pub(super) async fn read(body: actix_web::web::Bytes, max_bytes: usize) -> Result<Self, Problem> {
        let (schema, batches) = super::stream::read(body).await?;
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut seen = HashSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(name.as_str())) {
            let detail = format!("the table has two columns named `{name}`; give it once");
            return Err(Problem::invalid(format!("column {name}"), detail));
        }
        let table = Self {
            strategy: schema.metadata().get(STRATEGY).cloned(),
            batches: batches.iter().map(columns).collect::<Result<_, _>>()?,
            names,
        };
        match table.batches.iter().map(|(n_rows, _)| n_rows).sum::<usize>() {
            0 => Err(Problem::invalid("", "the table has no rows; send at least one")),
            _ if table.n_text_bytes() > max_bytes => Err(Problem::TooLarge { limit: max_bytes }),
            _ => Ok(table),
        }
    }

    fn n_text_bytes(&self) -> usize {
        let cells = self.batches.iter().flat_map(|(n_rows, columns)| {
            columns
                .iter()
                .flat_map(move |cells| (0..*n_rows).map(move |row_idx| cells.n_text_bytes(row_idx)))
        });
        cells.sum()
    }

    /// The rows as bodies of `/v1/decide`.
    pub(super) fn decide_rows(&self) -> Result<Vec<(At, Json<'_>)>, Problem> {
        self.rows(|object| {
            let mut asked: Object<'_> = Vec::with_capacity(ASKED.len() + 1);
            let mut context: Object<'_> = Vec::with_capacity(object.len());
            for (name, value) in object {
                match ASKED.contains(&name) {
                    true => asked.push((name.into(), value)),
                    false => context.push((context_name(name).into(), value)),
                }
            }
            if let (Some(strategy), false) = (&self.strategy, asked.iter().any(|(name, _)| name == STRATEGY)) {
                asked.push((STRATEGY.into(), Json::Text(strategy.into())));
            }
            asked.push(("context".into(), Json::Object(context)));
            asked
        })
    }

    /// The rows as those of a body of `/v1/predict`.
    pub(super) fn predict_rows(&self) -> Result<Vec<(At, Json<'_>)>, Problem> {
        self.rows(|object| {
            let values = object.into_iter().filter(|(name, _)| *name != STRATEGY);
            values.map(|(name, value)| (context_name(name).into(), value)).collect()
        })
    }

    /// The strategy that all rows are meant for.
    pub(super) fn one_strategy(&self) -> Result<&str, Problem> {
        let Some(column_idx) = self.names.iter().position(|name| name == STRATEGY) else {
            return self.strategy.as_deref().ok_or_else(|| {
                let detail =
                    "the table names no strategy; put `strategy` into the schema's metadata, or add the column";
                Problem::invalid(STRATEGY, detail)
            });
        };
        let mut one = None;
        let cells = self
            .batches
            .iter()
            .flat_map(|(n_rows, columns)| (0..*n_rows).map(move |row_idx| columns[column_idx].json(row_idx)));
        for (idx, cell) in cells.enumerate() {
            let field = || At::Row { idx }.field(STRATEGY);
            let named = match cell {
                Some(Json::Text(std::borrow::Cow::Borrowed(named))) => named,
                _ => {
                    return Err(Problem::invalid(
                        field(),
                        "`strategy` holds no text here; name the strategy",
                    ));
                }
            };
            if *one.get_or_insert(named) != named {
                let detail = "another strategy than in the rows before; send the rows of each strategy on their own";
                return Err(Problem::invalid(field(), detail));
            }
        }
        Ok(one.unwrap_or_default())
    }

    fn rows<'t>(
        &'t self,
        shape: impl Fn(Vec<(&'t str, Json<'t>)>) -> Object<'t>,
    ) -> Result<Vec<(At, Json<'t>)>, Problem> {
        let mut rows = Vec::new();
        for (n_rows, columns) in &self.batches {
            for row_idx in 0..*n_rows {
                let at = At::Row { idx: rows.len() };
                let mut object = Vec::with_capacity(self.names.len());
                for (name, cells) in self.names.iter().zip(columns) {
                    let value = cells.json(row_idx).ok_or_else(|| {
                        let detail = format!("`{name}` is infinite; expected a finite number, or null");
                        Problem::invalid(at.field(name), detail)
                    })?;
                    object.push((name.as_str(), value));
                }
                rows.push((at, Json::Object(shape(object))));
            }
        }
        Ok(rows)
    }
}

fn context_name(column: &str) -> &str {
    column.strip_prefix(CONTEXT_PREFIX).unwrap_or(column)
}

fn columns(batch: &RecordBatch) -> Result<(usize, Vec<Cells>), Problem> {
    let schema = batch.schema_ref();
    let cells = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        Cells::of(column).ok_or_else(|| {
            let detail = format!(
                "column `{}` is {}; send numbers, booleans or texts (and a timestamp as `event_time`)",
                field.name(),
                field.data_type()
            );
            Problem::invalid(format!("column {}", field.name()), detail)
        })
    });
    Ok((batch.num_rows(), cells.collect::<Result<_, _>>()?))
}

impl Cells {
    /// The values of an array; `None` when they are of a type that no context field has.
    fn of(array: &ArrayRef) -> Option<Self> {
        use DataType::{
            Boolean, Float16, Float32, Float64, Int8, Int16, Int32, Int64, LargeUtf8, Null, Timestamp, UInt8, UInt16,
            UInt32, UInt64, Utf8, Utf8View,
        };
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            let values = Box::new(Self::of(dictionary.values())?);
            let keys = match dictionary.values().is_empty() {
                true => vec![None; array.len()],
                false => {
                    let keys = dictionary.normalized_keys().into_iter().enumerate();
                    keys.map(|(row_idx, key)| array.is_valid(row_idx).then_some(key))
                        .collect()
                }
            };
            return Some(Self::Dictionary { keys, values });
        }
        let to = |data_type: &DataType| cast(array, data_type).ok();
        Some(match array.data_type() {
            Null => Self::Nothing,
            Boolean => Self::Booleans(array.as_boolean().clone()),
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => {
                Self::Integers(to(&Int64)?.as_primitive::<Int64Type>().clone())
            }
            UInt64 | Float16 | Float32 | Float64 => Self::Numbers(to(&Float64)?.as_primitive::<Float64Type>().clone()),
            Utf8 | LargeUtf8 | Utf8View => Self::Texts(to(&Utf8View)?.as_string_view().clone()),
            Timestamp(_, zone) => {
                let micros = to(&Timestamp(TimeUnit::Microsecond, zone.clone()))?;
                Self::Instants(micros.as_primitive::<TimestampMicrosecondType>().clone())
            }
            _ => return None,
        })
    }

    /// One value; null where there is none or it is NaN, `None` where it is infinite.
    fn json(&self, row_idx: usize) -> Option<Json<'_>> {
        if self.is_null(row_idx) {
            return Some(Json::Null);
        }
        Some(match self {
            Self::Nothing => Json::Null,
            Self::Booleans(array) => Json::Bool(array.value(row_idx)),
            Self::Integers(array) => Json::Integer(array.value(row_idx)),
            Self::Instants(array) => Json::Integer(array.value(row_idx)),
            Self::Numbers(array) => match array.value(row_idx) {
                number if number.is_nan() => Json::Null,
                number if number.is_infinite() => return None,
                number => Json::Number(number),
            },
            Self::Texts(array) => Json::Text(array.value(row_idx).into()),
            Self::Dictionary { keys, values } => return keys[row_idx].map_or(Some(Json::Null), |key| values.json(key)),
        })
    }

    fn is_null(&self, row_idx: usize) -> bool {
        match self {
            Self::Nothing => true,
            Self::Booleans(array) => array.is_null(row_idx),
            Self::Integers(array) => array.is_null(row_idx),
            Self::Instants(array) => array.is_null(row_idx),
            Self::Numbers(array) => array.is_null(row_idx),
            Self::Texts(array) => array.is_null(row_idx),
            Self::Dictionary { keys, .. } => keys[row_idx].is_none(),
        }
    }

    fn n_text_bytes(&self, row_idx: usize) -> usize {
        match self {
            Self::Texts(array) if array.is_valid(row_idx) => array.value(row_idx).len(),
            Self::Dictionary { keys, values } => keys[row_idx].map_or(0, |key| values.n_text_bytes(key)),
            _ => 0,
        }
    }
}
