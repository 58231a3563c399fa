//! The doors beside `/v1`, as far as it takes no client of somebody else's to see them.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::ipc::writer::StreamWriter;
use serde_json::{Value, json};

use crate::models::{go_live, golden, model};
use crate::support::{DISH, Home, LATE, Site, apply};

const STREAM: &str = "application/vnd.apache.arrow.stream";

/// An answer: status, a header, body.
async fn send(
    site: &Site,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> (u16, reqwest::header::HeaderMap, Vec<u8>) {
    let mut request = site.client.post(format!("{}{path}", site.base)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.bytes().await.unwrap().to_vec())
}

fn stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// Two rows for `dish`.
fn rows() -> RecordBatch {
    let strategy: DictionaryArray<arrow::datatypes::Int8Type> = ["dish", "dish"].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("strategy", Arc::new(strategy)),
        ("unit", Arc::new(StringArray::from(vec!["ada", "bob"]))),
        ("age", Arc::new(Int32Array::from(vec![31, 54]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_are_not_known_are_refused() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let body = br#"{"decisions":[{"strategy":"dish","unit":"ada","context":{"age":1}}]}"#;
    for path in ["/v1/decide/batch", "/v1/predict"] {
        let (status, headers, text) = send(&site, path, &[("content-type", "text/csv")], body.to_vec()).await;
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (415, "application/problem+json")
        );
        assert!(String::from_utf8_lossy(&text).contains(STREAM));
        let (status, ..) = send(&site, path, &[("accept", "text/html")], body.to_vec()).await;
        assert_eq!(status, 406);
    }
    assert_eq!(site.server.flush().await.unwrap().decisions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_damaged_anywhere_is_refused_or_read_but_never_fails() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let whole = stream(&rows());
    let (status, ..) = send(&site, "/v1/decide/batch", &[("content-type", STREAM)], whole.clone()).await;
    assert_eq!(status, 200);
    let mut n_refused = 0;
    for idx in 0..whole.len() {
        for damage in [0x00, 0x01, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[idx] ^= damage;
            if damage == 0 {
                damaged.truncate(idx);
            }
            let (status, headers, body) = send(&site, "/v1/decide/batch", &[("content-type", STREAM)], damaged).await;
            let said = String::from_utf8_lossy(&body);
            assert!([200, 400, 404, 422].contains(&status), "byte {idx}: {status} {said}");
            if status != 200 {
                n_refused += 1;
                assert_eq!(headers["content-type"], "application/problem+json", "{said}");
            }
        }
    }
    assert!(n_refused > whole.len(), "{n_refused} of {}", 4 * whole.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_does_not_make_a_small_body_large() {
    let mut home = Home::new();
    home.settings.server.max_body_bytes = 20_000;
    let site = home.start_with(&[DISH]).await;
    let long = "x".repeat(2_000);
    let city: DictionaryArray<arrow::datatypes::Int8Type> = (0..100).map(|_| Some(long.as_str())).collect();
    let batch = RecordBatch::try_from_iter::<_, &str>([
        (
            "strategy",
            Arc::new(
                (0..100)
                    .map(|_| Some("dish"))
                    .collect::<DictionaryArray<arrow::datatypes::Int8Type>>(),
            ) as ArrayRef,
        ),
        ("unit", Arc::new(StringArray::from(vec!["u"; 100]))),
        ("age", Arc::new(Float64Array::from(vec![1.0; 100]))),
        ("city", Arc::new(city)),
    ]);
    let body = stream(&batch.unwrap());
    assert!(body.len() < 20_000);
    let (status, ..) = send(&site, "/v1/decide/batch", &[("content-type", STREAM)], body).await;
    assert_eq!(status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn inference_says_what_is_wrong_in_its_own_form() {
    let home = Home::new();
    let lake = home.lake().await;
    apply(&lake, LATE).await;
    apply(&lake, DISH).await;
    go_live(&lake, model(golden("binary_logistic.ubj"))).await;
    let site = home.start().await;
    let number = |name: &str| json!({"name": name, "shape": [1], "datatype": "FP64", "data": [0.5]});
    for (path, body, status, said) in [
        ("/v2/models/dish/infer", json!({"inputs": []}), 404, "has no live model"),
        (
            "/v2/models/nothing/infer",
            json!({"inputs": []}),
            404,
            "there is no strategy `nothing`",
        ),
        (
            "/v2/models/late/versions/2/infer",
            json!({"inputs": []}),
            404,
            "the live version is 1",
        ),
        ("/v2/models/late/infer", json!({}), 400, "the body has no `inputs`"),
        ("/v2/models/late/infer", json!({"inputs": []}), 400, "there is no input"),
        (
            "/v2/models/late/infer",
            json!({"inputs": [number("a"), number("a")]}),
            400,
            "given twice",
        ),
        (
            "/v2/models/late/infer",
            json!({"inputs": [number("a"), number("z")]}),
            400,
            "row 0, column z",
        ),
        (
            "/v2/models/late/infer",
            json!({"inputs": [{"name": "a", "shape": [2], "datatype": "FP64", "data": [0.5]}]}),
            400,
            "does not fit the 1 elements",
        ),
        (
            "/v2/models/late/infer",
            json!({"inputs": [{"name": "a", "shape": [1], "datatype": "FP8", "data": [0.5]}]}),
            400,
            "the datatype `FP8` is not read here",
        ),
        (
            "/v2/models/late/infer",
            json!({"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}]}),
            400,
            "0 bytes are left",
        ),
        (
            "/v2/models/late/infer",
            json!({"inputs": [number("a")], "parameters": {"sequence_id": 1}}),
            400,
            "`sequence_id` is not supported",
        ),
        (
            "/v2/models/late/infer",
            json!({"inputs": [{"name": "a", "shape": [1], "datatype": "BYTES", "data": ["x"]}]}),
            400,
            "expected a number",
        ),
    ] {
        let answer = site.post(path, &body.to_string()).await;
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (status, "application/json"),
            "{answer:?}"
        );
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(said), "{path} {body}: {error}");
    }
    // One field is given, the others are missing, as the blueprint allows.
    let scored = site
        .ok("/v2/models/late/infer", &json!({"inputs": [number("a")]}).to_string())
        .await;
    let rows = json!({"strategy": "late", "rows": [{"a": 0.5}]}).to_string();
    let predicted = site.ok("/v1/predict", &rows).await;
    assert_eq!(scored["outputs"][0]["data"], predicted["scores"][0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_in_bulk_are_each_decided_and_logged_once_while_their_tag_holds() {
    let home = Home::new();
    let site = home.start_with(&[DISH, LATE]).await;
    let path = "/ofrep/v1/evaluate/flags";
    let body = br#"{"context":{"targetingKey":"ada","age":31,"plan":"free"}}"#.to_vec();
    let (status, headers, first) = send(&site, path, &[], body.clone()).await;
    assert_eq!(status, 200);
    let tag = headers["etag"].to_str().unwrap().to_owned();
    let flags: Value = serde_json::from_slice(&first).unwrap();
    let flags = flags["flags"].as_array().unwrap();
    let keys: Vec<&str> = flags.iter().map(|flag| flag["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["dish", "late"]);
    assert_eq!(flags[0]["metadata"]["ignored_context"], "plan");
    assert_eq!(site.server.flush().await.unwrap().decisions, 2);

    // While the tag holds, the caller keeps its decisions, whatever the order of the keys.
    let reordered = br#"{"context":{"plan":"free","age":31,"targetingKey":"ada"}}"#.to_vec();
    for (body, tags) in [(&body, tag.clone()), (&reordered, format!("\"other\", W/{tag}"))] {
        let (status, headers, kept) = send(&site, path, &[("if-none-match", &tags)], body.clone()).await;
        assert_eq!(
            (status, headers["etag"].to_str().unwrap(), kept.len()),
            (304, tag.as_str(), 0)
        );
    }
    assert_eq!(site.server.flush().await.unwrap().decisions, 0, "a 304 decides nothing");

    // Another context, a tag that says nothing, and a new blueprint are decided anew.
    let older = br#"{"context":{"targetingKey":"ada","age":32,"plan":"free"}}"#.to_vec();
    let (status, headers, _) = send(&site, path, &[("if-none-match", &tag)], older).await;
    assert_eq!(status, 200);
    assert_ne!(headers["etag"].to_str().unwrap(), tag);
    assert_eq!(send(&site, path, &[("if-none-match", "*")], body.clone()).await.0, 200);
    apply(&site.lake, &DISH.replace("epsilon = 1.0", "epsilon = 0.5")).await;
    let until_new = async { while send(&site, path, &[("if-none-match", &tag)], body.clone()).await.0 == 304 {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), until_new)
        .await
        .unwrap();
    assert_eq!(site.server.flush().await.unwrap().decisions, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_that_cannot_be_evaluated_says_so_and_the_others_are() {
    let home = Home::new();
    let site = home.start_with(&[DISH, LATE]).await;
    // `dish` needs an age; `late` does not.
    let answer = site
        .ok("/ofrep/v1/evaluate/flags", r#"{"context":{"targetingKey":"ada"}}"#)
        .await;
    let flags = answer["flags"].as_array().unwrap();
    assert_eq!(
        (&flags[0]["key"], &flags[0]["errorCode"]),
        (&json!("dish"), &json!("INVALID_CONTEXT"))
    );
    assert!(flags[0]["errorDetails"].as_str().unwrap().contains("`age` is missing"));
    assert_eq!((&flags[1]["key"], &flags[1]["value"]), (&json!("late"), &json!(false)));
    assert_eq!(site.server.flush().await.unwrap().decisions, 1);

    for (path, body, status, code) in [
        ("/ofrep/v1/evaluate/flags", "{", 400, "PARSE_ERROR"),
        ("/ofrep/v1/evaluate/flags", "{}", 400, "TARGETING_KEY_MISSING"),
        ("/ofrep/v1/evaluate/flags/late", "[]", 400, "PARSE_ERROR"),
        (
            "/ofrep/v1/evaluate/flags/late",
            r#"{"context":{"targetingKey":""}}"#,
            400,
            "TARGETING_KEY_MISSING",
        ),
        (
            "/ofrep/v1/evaluate/flags/late",
            r#"{"context":{"targetingKey":7}}"#,
            400,
            "INVALID_CONTEXT",
        ),
        (
            "/ofrep/v1/evaluate/flags/late",
            r#"{"context":{"targetingKey":"a","a":"x"}}"#,
            400,
            "INVALID_CONTEXT",
        ),
        (
            "/ofrep/v1/evaluate/flags/lat",
            r#"{"context":{"targetingKey":"a"}}"#,
            404,
            "FLAG_NOT_FOUND",
        ),
    ] {
        let answer = site.post(path, body).await;
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (status, "application/json"),
            "{answer:?}"
        );
        assert_eq!(answer.json()["errorCode"], code, "{path} {body}");
    }
    home.disk.limit(Some(0));
    let full = site
        .post("/ofrep/v1/evaluate/flags/late", r#"{"context":{"targetingKey":"a"}}"#)
        .await;
    assert_eq!((full.status, full.retry_after.as_deref()), (503, Some("2")));
    assert_eq!(full.json()["errorCode"], "GENERAL");
}

#[tokio::test(flavor = "multi_thread")]
async fn ranks_ask_one_strategy_that_chooses() {
    let home = Home::new();
    let other = DISH.replace("\"dish\"", "\"drink\"");
    let site = home.start_with(&[DISH, LATE, &other]).await;
    let body = json!({
        "contextFeatures": [{"age": 31}],
        "actions": [{"id": "ramen"}, {"id": "tacos"}, {"id": "pizza"}, {"id": "sushi"}],
    });
    let path = "/personalizer/v1.0/rank";
    for (path, status, said) in [
        (path.to_owned(), 400, "add ?strategy= with one of `dish`, `drink`"),
        (format!("{path}?strategy=late"), 400, "does not choose among actions"),
        (format!("{path}?strategy=dsh"), 404, "did you mean `dish`"),
    ] {
        let refused = site.post(&path, &body.to_string()).await;
        assert_eq!(refused.status, status, "{refused:?}");
        assert!(
            refused.json()["error"]["message"].as_str().unwrap().contains(said),
            "{refused:?}"
        );
    }
    let ranked = site.post(&format!("{path}?strategy=drink"), &body.to_string()).await;
    assert_eq!(ranked.status, 201);
    let event_id = ranked.json()["eventId"].as_str().unwrap().to_owned();
    let reward = format!("/personalizer/v1.0/events/{event_id}/reward?strategy=drink");
    assert_eq!(site.post(&reward, r#"{"value":true}"#).await.status, 400);
    assert_eq!(site.post(&reward, r#"{"value":1}"#).await.status, 204);
    site.server.flush().await.unwrap();
    let outcomes = site.outcomes().await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(
        outcomes[0].decision_id.as_ref().map(|id| id.as_str()),
        Some(event_id.as_str())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_page_needs_nothing_from_elsewhere() {
    let home = Home::new();
    let site = home.start_with(&[]).await;
    let document = site.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let page = site.get("/docs").await;
    assert_eq!(
        (page.status, page.content_type.as_str()),
        (200, "text/html; charset=utf-8"),
        "{page:?}"
    );
    assert!(
        !page.text.contains("http:") && !page.text.contains("https:"),
        "{}",
        page.text
    );
    let mut n_parts = 0;
    for part in page.text.split('"').filter(|part| part.starts_with("docs/")) {
        let response = site.client.get(format!("{}/{part}", site.base)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{part}");
        assert_eq!(response.headers()["content-encoding"], "gzip", "{part}");
        let bytes = response.bytes().await.unwrap();
        assert_eq!(bytes[..4], [0x1f, 0x8b, 8, 0], "{part}");
        let (parts, size) = bytes.split_at(bytes.len() - 4);
        let inflated = miniz_oxide::inflate::decompress_to_vec(&parts[10..parts.len() - 4]).unwrap();
        assert_eq!(
            inflated.len(),
            u32::from_le_bytes(size.try_into().unwrap()) as usize,
            "{part}"
        );
        n_parts += 1;
    }
    assert_eq!(n_parts, 2, "{}", page.text);
    assert_eq!(site.get("/docs/nothing.js").await.problem().1, "unknown-route");
}
