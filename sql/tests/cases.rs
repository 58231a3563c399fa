//! Runs every file of `sql/cases`: fixtures in plain SQL, and the production text of a query over them.
//!
//! A file is in sqllogictest's format. Fixtures are tables that the file itself creates, with the columns that the query
//! reads. One form is added to SQL: `RUN <query> WITH SELECT <value> AS <parameter>, …` runs the text of
//! `sql/queries/<query>.sql` with the values of that one row bound to its parameters, and `RUN <query>` without values.
//! Texts that are empty are shown as `(empty)`, and NULL as `NULL`.
//!
//! With LAKELOOP_WRITE_CASES set the files are written anew with what the queries answer, for a person to read through.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::common::ScalarValue;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use lakeloop_sql::Query;
use sqllogictest::{
    AsyncDB, DBOutput, DefaultColumnType, Runner, default_normalizer, default_validator, strict_column_validator,
};

struct Engine {
    ctx: SessionContext,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

impl Engine {
    fn new() -> Self {
        // Several partitions, so that plans exchange rows as they do on real tables.
        Self {
            ctx: SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3)),
        }
    }

    async fn plan(&self, sql: &str) -> Result<DataFrame, Failed> {
        let failed = |error: &dyn std::fmt::Display| Failed(error.to_string());
        if let Some(call) = sql.strip_prefix("RUN ") {
            let (name, values) = call.split_once("WITH").unwrap_or((call, ""));
            let query = Query::ALL.into_iter().find(|query| query.name == name.trim());
            let query = query.ok_or_else(|| failed(&format!("there is no query {name}")))?;
            let values = self.values(values).await?;
            let values: Vec<(&str, ScalarValue)> = values
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone()))
                .collect();
            return query.bind(&self.ctx, &values).await.map_err(|error| failed(&error));
        }
        self.ctx.sql(sql).await.map_err(|error| failed(&error))
    }

    async fn values(&self, select: &str) -> Result<Vec<(String, ScalarValue)>, Failed> {
        if select.trim().is_empty() {
            return Ok(Vec::new());
        }
        let frame = self.ctx.sql(select).await.map_err(|error| Failed(error.to_string()))?;
        let row = frame
            .collect()
            .await
            .map_err(|error| Failed(error.to_string()))?
            .swap_remove(0);
        let columns = row.schema_ref().fields().iter().zip(row.columns());
        Ok(columns
            .map(|(field, column)| (field.name().clone(), ScalarValue::try_from_array(column, 0).unwrap()))
            .collect())
    }
}

#[async_trait]
impl AsyncDB for Engine {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        let frame = self.plan(sql.trim()).await?;
        let types: Vec<_> = frame
            .schema()
            .fields()
            .iter()
            .map(|field| column_type(field.data_type()))
            .collect();
        let batches = frame.collect().await.map_err(|error| Failed(error.to_string()))?;
        match types.is_empty() {
            true => Ok(DBOutput::StatementComplete(0)),
            false => Ok(DBOutput::Rows {
                types,
                rows: batches.iter().flat_map(shown).collect(),
            }),
        }
    }

    async fn shutdown(&mut self) {}
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => DefaultColumnType::Text,
        data_type if data_type.is_integer() => DefaultColumnType::Integer,
        data_type if data_type.is_floating() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Any,
    }
}

fn shown(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let cell = |column: &ArrayFormatter<'_>, row_idx| match column.value(row_idx).to_string() {
        empty if empty.is_empty() => "(empty)".to_owned(),
        text => text,
    };
    (0..batch.num_rows())
        .map(|row_idx| columns.iter().map(|column| cell(column, row_idx)).collect())
        .collect()
}

#[tokio::test]
async fn every_case_of_every_query_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts: Vec<String> = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    for query in Query::ALL {
        assert!(
            texts.iter().any(|text| text.contains(&format!("RUN {}", query.name))),
            "{} has no case",
            query.name
        );
    }
    for file in files {
        let mut runner = Runner::new(|| async { Ok(Engine::new()) });
        if std::env::var_os("LAKELOOP_WRITE_CASES").is_some() {
            let written = runner.update_test_file(
                &file,
                " ",
                default_validator,
                default_normalizer,
                strict_column_validator,
            );
            written.await.unwrap();
            continue;
        }
        runner.with_column_validator(strict_column_validator);
        if let Err(error) = runner.run_file_async(&file).await {
            panic!("{}", error.display(false));
        }
    }
}
