//! Owns the Open Inference Protocol, version 2: the live models as its clients (those of KServe, Triton, MLServer and
//! Seldon) ask for them. Nothing is decided and nothing is logged here, as with `/v1/predict`.
//!
//! A strategy is a model by the strategy's name, and its live model is the only version that there is. A context field is
//! an input tensor of its name, shape `[n]` or `[n, 1]`: FP64 or any other number type for numbers, BOOL for booleans,
//! BYTES for categories. Two more inputs are optional, `unit` and `action`, as in a row of `/v1/predict`; features of the
//! lake are looked up. Where all features of the context are numbers or booleans, one matrix `[n, n_features]` in
//! declared order, under any name, does as well. A NaN, or a null in JSON, is a missing value. The one output is `scores`,
//! FP64, shape `[n, n_scores]`.
//!
//! Over HTTP: tensors in JSON and by the binary tensor extension ([`http`]). Errors are `{"error": …}`.

mod http;

mod model;

mod tensor;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::json;

use crate::health;
use crate::problem::Problem;
use crate::protocols::inference::model::Served;
use crate::routes::{self, Body, Entry};
use crate::state::App;

/// The routes of the protocol.
pub(super) fn routes() -> Vec<Entry> {
    vec![
        Entry::get("/v2", server),
        Entry::get("/v2/health/live", live),
        Entry::get("/v2/health/ready", ready),
        Entry::get("/v2/models/{model}", metadata),
        Entry::get("/v2/models/{model}/versions/{version}", metadata),
        Entry::get("/v2/models/{model}/ready", model_ready),
        Entry::get("/v2/models/{model}/versions/{version}/ready", model_ready),
        Entry::post("/v2/models/{model}/infer", infer),
        Entry::post("/v2/models/{model}/versions/{version}/infer", infer),
    ]
}

fn refused(problem: &Problem) -> HttpResponse {
    problem.written_as(&json!({ "error": problem.text() }))
}

fn answered(answer: Result<impl Serialize, Problem>) -> HttpResponse {
    match answer {
        Ok(document) => HttpResponse::Ok().json(document),
        Err(problem) => refused(&problem),
    }
}

async fn server() -> HttpResponse {
    answered(Ok(json!({
        "name": "lakeloop",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
    })))
}

async fn live() -> HttpResponse {
    answered(Ok(json!({ "live": true })))
}

async fn ready(app: Data<App>) -> HttpResponse {
    answered(health::ready(&app).map(|_| json!({ "ready": true })))
}

async fn metadata(app: Data<App>, request: HttpRequest) -> HttpResponse {
    let served = Served::find(&app, named(&request, "model"), request.match_info().get("version")).await;
    answered(served.map(|served| served.metadata()))
}

async fn model_ready(app: Data<App>, request: HttpRequest) -> HttpResponse {
    let name = named(&request, "model");
    let served = Served::find(&app, name, request.match_info().get("version")).await;
    answered(served.map(|_| json!({ "name": name, "ready": true })))
}

async fn infer(app: Data<App>, request: HttpRequest, bytes: Body) -> HttpResponse {
    let answer = async {
        let bytes = routes::body(&app, bytes)?;
        let served = Served::find(&app, named(&request, "model"), request.match_info().get("version")).await?;
        let asked = http::read(&request, &bytes)?;
        let scored = served.score(&app, asked.inputs).await?;
        http::write(&served, asked.id.as_deref(), asked.wants_binary, &scored)
    };
    answer.await.unwrap_or_else(|problem| refused(&problem))
}

fn named<'r>(request: &'r HttpRequest, variable: &str) -> &'r str {
    request.match_info().get(variable).unwrap_or_default()
}
