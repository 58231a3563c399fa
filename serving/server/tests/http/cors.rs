//! Pages of browsers: none may call unless its origin is named.

use lakeloop_server::{KeyFile, KeyWish, Scope};

use crate::support::{DISH, Home};

const ORIGIN: &str = "https://shop.example.org";
const ASK: &str = r#"{"strategy":"dish","unit":"ada","context":{"age":1}}"#;
const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", ORIGIN),
    ("access-control-request-method", "POST"),
    (
        "access-control-request-headers",
        "content-type,authorization,x-request-id",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn off_by_default() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let (answer, headers) = site.exchange("POST", "/v1/decide", &[("origin", ORIGIN)], ASK).await;
    assert_eq!(answer.status, 200);
    assert!(
        !headers.keys().any(|name| name.as_str().starts_with("access-control")),
        "{headers:?}"
    );
    let (answer, headers) = site.exchange("OPTIONS", "/v1/decide", &PREFLIGHT, "").await;
    assert_eq!(answer.status, 405);
    assert!(!headers.contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_named_origins_may_call_and_see_refusals() {
    let mut home = Home::new();
    home.settings.server.cors_origins = vec![ORIGIN.into()];
    let wish = KeyWish {
        name: "page".into(),
        scopes: vec![Scope::Predict],
        expires_at: None,
        max_per_second: None,
    };
    let file = KeyFile::new(&home.settings.server.keys);
    let (_, key) = file.create(wish, "2026-03-01T12:00:00Z".parse().unwrap()).unwrap();
    let key = key.reveal();
    let site = home.start_with(&[DISH]).await;

    let (answer, headers) = site.exchange("OPTIONS", "/v1/decide", &PREFLIGHT, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(headers["access-control-allow-origin"], ORIGIN);
    assert!(
        headers["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("POST")
    );
    assert!(
        headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("authorization")
    );
    assert_eq!(headers["access-control-max-age"], "600");

    for (key, status) in [(key.as_str(), 200), ("", 401)] {
        let sent = [("origin", ORIGIN), ("x-api-key", key)];
        let (answer, headers) = site.exchange("POST", "/v1/decide", &sent, ASK).await;
        assert_eq!(answer.status, status);
        assert_eq!(headers["access-control-allow-origin"], ORIGIN);
        assert!(headers["vary"].to_str().unwrap().to_lowercase().contains("origin"));
    }

    let mut other = PREFLIGHT;
    other[0].1 = "https://elsewhere.example.org";
    let (answer, headers) = site.exchange("OPTIONS", "/v1/decide", &other, "").await;
    assert_eq!(answer.status, 400);
    assert!(!headers.contains_key("access-control-allow-origin"));
    let sent = [other[0], ("x-api-key", key.as_str())];
    let (answer, headers) = site.exchange("POST", "/v1/decide", &sent, ASK).await;
    assert_eq!(answer.status, 200, "the browser keeps the answer from the page");
    assert!(!headers.contains_key("access-control-allow-origin"));
}
