//! Owns the Arrow door: `/v1/predict` and `/v1/decide/batch` with tables of rows, as an Arrow IPC stream on either side.
//!
//! A row of a table is what an item of the JSON body is. Its columns are the context fields by name, and
//!
//! | column | for | |
//! |---|---|---|
//! | `strategy` | both | may stand once in the schema's metadata instead |
//! | `unit` | both | a text; optional for predictions |
//! | `decision_id`, `event_time` | decisions | optional, as in JSON; an instant may also be a timestamp |
//! | `action` | predictions | optional, as in JSON |
//!
//! A context field that has one of these names is given as `context.NAME`. Numbers of any width, booleans and texts are
//! taken, also dictionary-encoded; a null, and a NaN, is a missing value. Refusals name the row, counted from 0 over all
//! record batches, and the column.
//!
//! Answers are one record batch; see [`write`].

mod stream;

mod table;

mod write;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::web::Bytes;
use arrow::array::RecordBatch;

use crate::decide;
use crate::fields::At;
use crate::json::Json;
use crate::predict::scores;
use crate::problem::Problem;
use crate::protocols::forms::{ARROW_STREAM, Form, Forms};
use crate::routes::json;
use crate::state::App;
use crate::wire::{DecideRequest, PredictRequest};
use table::Table;

/// `/v1/decide/batch` where the body or the answer is a table.
pub(crate) async fn decide(app: &App, body: Bytes, forms: Forms) -> Result<HttpResponse, Problem> {
    let answers = match forms.body {
        Form::Json => {
            let requests = DecideRequest::read_many(Json::parse(&body)?, app.limits.event_times)?;
            decide::all(app, requests).await?
        }
        Form::Arrow => {
            let table = Table::read(body, app.limits.max_body_bytes).await?;
            let read = |(at, row)| DecideRequest::read(row, at, app.limits.event_times);
            let rows = table.decide_rows()?;
            decide::all(app, rows.into_iter().map(read).collect::<Result<_, _>>()?).await?
        }
    };
    match forms.answer {
        Form::Json => Ok(json(decide::joined(&answers))),
        Form::Arrow => streamed(&write::decisions(&answers)?),
    }
}

/// `/v1/predict` where the body or the answer is a table.
pub(crate) async fn predict(app: &App, body: Bytes, forms: Forms) -> Result<HttpResponse, Problem> {
    let answer = match forms.body {
        Form::Json => {
            let request = PredictRequest::read(Json::parse(&body)?)?;
            let strategy = app.strategy(&request.strategy).await?;
            let rows = request.rows.into_iter().enumerate();
            scores(
                app,
                &strategy,
                rows.map(|(idx, row)| (At::Item { list: "rows", idx }, row)),
            )
            .await?
        }
        Form::Arrow => {
            let table = Table::read(body, app.limits.max_body_bytes).await?;
            let strategy = app.strategy(table.one_strategy()?).await?;
            scores(app, &strategy, table.predict_rows()?.into_iter()).await?
        }
    };
    match forms.answer {
        Form::Json => {
            let bytes = serde_json::to_vec(&answer).map_err(|error| Problem::internal("write an answer", &error))?;
            Ok(json(bytes))
        }
        Form::Arrow => streamed(&write::scores(&answer)?),
    }
}

fn streamed(batch: &RecordBatch) -> Result<HttpResponse, Problem> {
    let bytes = write::stream(batch).map_err(|error| Problem::internal("write an Arrow stream", &error))?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(ARROW_STREAM)))
        .body(bytes))
}
