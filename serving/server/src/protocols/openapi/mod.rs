//! Owns `/openapi.json`, which describes every route, and `/docs`, which shows it.
//!
//! Bodies are read by this server's own strict readers and not derived from types, so the document is written by hand,
//! one file a door beside this one. A file says what is particular to its routes; what holds for all of them (the answers
//! that any route may give, in the form of its protocol) it says once, and [`document`] adds it to each. Two tests keep
//! the document true: every route stands in it and nothing else does, and schemathesis calls a running server by it.
//!
//! The page is Swagger UI, compiled into the binary ([`page`]): it works without a network.

mod page;

use std::sync::OnceLock;

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::problem::Problem;
use crate::routes::{self, Entry};

/// The doors in the order that the page shows them.
const PARTS: [&str; 5] = [
    include_str!("native.json"),
    include_str!("operations.json"),
    include_str!("inference.json"),
    include_str!("ofrep.json"),
    include_str!("personalizer.json"),
];

/// What several doors refer to.
const SHARED: &str = include_str!("shared.json");

/// The routes that describe the others.
pub(super) fn routes() -> Vec<Entry> {
    vec![
        Entry::get("/openapi.json", serve_document),
        Entry::get("/docs", page::serve),
        Entry::get("/docs/{file}", page::serve_file),
    ]
}

/// What one file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    tag: Value,
    /// Answers that each route of the door may give.
    errors: Map<String, Value>,
    /// Answers that each route of the door that has a body may give.
    errors_with_body: Map<String, Value>,
    paths: Map<String, Value>,
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(default, rename = "requestBodies")]
    request_bodies: Map<String, Value>,
    #[serde(default)]
    responses: Map<String, Value>,
    schemas: Map<String, Value>,
}

/// Puts the document together.
fn document() -> Result<Value, serde_json::Error> {
    let mut components: Map<String, Value> = serde_json::from_str(SHARED)?;
    let mut tags = Vec::new();
    let mut paths = Map::new();
    for part in PARTS {
        let mut part: Part = serde_json::from_str(part)?;
        let tag = part.tag["name"].clone();
        for operation in part
            .paths
            .values_mut()
            .filter_map(Value::as_object_mut)
            .flat_map(Map::values_mut)
        {
            operation["tags"] = json!([tag]);
            let has_body = operation.get("requestBody").is_some();
            let with_body = part.errors_with_body.iter().filter(|_| has_body);
            if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
                for (status, response) in part.errors.iter().chain(with_body) {
                    responses.entry(status.clone()).or_insert_with(|| response.clone());
                }
                // Who is not let in gets a problem document at every door.
                for (status, name) in [("401", "Unauthenticated"), ("403", "MissingScope"), ("429", "TooOften")] {
                    let response = json!({ "$ref": format!("#/components/responses/{name}") });
                    responses.entry(status).or_insert(response);
                }
            }
        }
        tags.push(part.tag);
        paths.extend(part.paths);
        for (kind, more) in [
            ("parameters", part.parameters),
            ("requestBodies", part.request_bodies),
            ("responses", part.responses),
            ("schemas", part.schemas),
        ] {
            if let Some(known) = components.entry(kind).or_insert_with(|| json!({})).as_object_mut() {
                known.extend(more);
            }
        }
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "lakeloop",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Product decisions that improve themselves",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "bearer": [] }, { "apiKey": [] }],
        "tags": tags,
        "paths": paths,
        "components": components,
    }))
}

async fn serve_document() -> Result<HttpResponse, Problem> {
    static WRITTEN: OnceLock<Bytes> = OnceLock::new();
    let written = match WRITTEN.get() {
        Some(written) => written.clone(),
        None => {
            let document = document().and_then(|document| serde_json::to_vec(&document));
            let document = document.map_err(|error| Problem::internal("write the OpenAPI document", &error))?;
            WRITTEN.get_or_init(|| document.into()).clone()
        }
    };
    Ok(routes::json(written))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let document = document().unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, operations)| {
                let methods = operations.as_object().unwrap().keys();
                methods.map(move |method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let answered: BTreeSet<(String, String)> = routes::table()
            .iter()
            .map(|entry| (entry.path.to_owned(), entry.method.to_owned()))
            .collect();
        assert_eq!(described, answered);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn check(document: &Value, value: &Value) {
            match value {
                Value::Object(entries) => {
                    if let Some(Value::String(reference)) = entries.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    entries.values().for_each(|value| check(document, value));
                }
                Value::Array(items) => items.iter().for_each(|value| check(document, value)),
                _ => {}
            }
        }
        let document = document().unwrap();
        check(&document, &document);
    }

    #[test]
    fn operation_ids_are_different() {
        let document = document().unwrap();
        let mut seen = BTreeSet::new();
        for operations in document["paths"].as_object().unwrap().values() {
            for operation in operations.as_object().unwrap().values() {
                assert!(
                    seen.insert(operation["operationId"].as_str().unwrap()),
                    "{}",
                    operation["operationId"]
                );
            }
        }
    }
}
