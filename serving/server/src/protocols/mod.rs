//! Owns what other programs speak: the doors beside `/v1` through which their clients come in unchanged.
//!
//! | door | for | module |
//! |---|---|---|
//! | `application/vnd.apache.arrow.stream` on `/v1/predict` and `/v1/decide/batch` | tables of rows | [`arrow`] |
//! | `/v2/…` | clients of the Open Inference Protocol | [`inference`] |
//! | `/ofrep/v1/…` | OpenFeature SDKs | [`ofrep`] |
//! | `/personalizer/v1.0/…` | clients of the retired Personalizer service | [`personalizer`] |
//! | `/openapi.json`, `/docs` | readers and generators | [`openapi`] |
//!
//! A door translates and nothing more. Decisions are asked for with the request of `/v1/decide` and read from its answer
//! ([`answer`]), scores are those of `/v1/predict`, and every refusal is a [`Problem`](crate::problem::Problem) first,
//! whose status and text a door only puts into its protocol's form. So each decision is logged whichever way it came.

pub(crate) mod forms;

pub(crate) mod answer;

pub(crate) mod arrow;

pub(crate) mod inference;

pub(crate) mod ofrep;

pub(crate) mod personalizer;

pub(crate) mod openapi;

use crate::routes::Entry;

/// The routes of every door.
pub(crate) fn routes() -> Vec<Entry> {
    let mut routes = inference::routes();
    routes.extend(ofrep::routes());
    routes.extend(personalizer::routes());
    routes.extend(openapi::routes());
    routes
}
