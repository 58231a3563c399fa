//! Settings of traces: what can be set, and the messages about what does not fit.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::time::Duration;

use lakeloop_config::{ConfigError, SETTINGS_FILE, Settings, Share, TraceSettings};

/// Loads from a home folder with this file and these variables; the errors without the folder of the file.
fn load(file: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(SETTINGS_FILE), file).unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let folder = format!("{}/", home.path().display());
    Settings::load_with(home.path(), variables).map_err(|error: ConfigError| error.to_string().replace(&folder, ""))
}

#[track_caller]
fn check(file: &str, variables: &[(&str, &str)], expected: &str) {
    assert_eq!(load(file, variables).unwrap_err(), expected);
}

#[test]
fn what_is_traced_can_be_set() {
    let collector = ("LAKELOOP_TRACES__ENDPOINT", "http://127.0.0.1:4318/v1/traces");
    let settings = load("", &[collector]);
    let traces = TraceSettings {
        endpoint: "http://127.0.0.1:4318/v1/traces".parse().unwrap(),
        headers: HashMap::new(),
        share: Share::new(0.01),
        service_name: "lakeloop".into(),
        interval: Duration::from_secs(5),
        max_waiting: 4096,
        timeout: Duration::from_secs(10),
    };
    assert_eq!(settings.unwrap().traces, Some(traces));
    let file = r#"
        [traces]
        endpoint = "https://otlp.example.org/shop/v1/traces"
        share = 1
        service_name = "decisions of the shop"
        interval = "1s"
        max_waiting = 100
        timeout = "2s"
        headers = { x-scope-orgid = "shop" }
    "#;
    let settings = load(file, &[("LAKELOOP_TRACES__HEADERS__AUTHORIZATION", "Bearer 123")]);
    let traces = TraceSettings {
        endpoint: "https://otlp.example.org/shop/v1/traces".parse().unwrap(),
        headers: HashMap::from([("x-scope-orgid", "shop"), ("authorization", "Bearer 123")])
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        share: Share::ALL,
        service_name: "decisions of the shop".into(),
        interval: Duration::from_secs(1),
        max_waiting: 100,
        timeout: Duration::from_secs(2),
    };
    assert_eq!(settings.unwrap().traces, Some(traces));
    // Without a collector the rest does not matter.
    let settings = load("[traces]\nshare = 0.5\n", &[]);
    assert_eq!(settings.unwrap().traces, None);
}

#[test]
fn mistakes_about_what_is_traced() {
    check(
        "[traces]\nendpoint = \"collector:4318\"\nshare = 1.5\nservice_name = \"\"\nmax_waiting = 0\n",
        &[],
        "lakeloop.toml:2:12: traces.endpoint: \"collector:4318\" is not the URL of a collector: it does not begin with \
         http:// or https://; write \"off\" or http or https, host, perhaps a port, and path, such as \
         \"http://127.0.0.1:4318/v1/traces\"\n\
         lakeloop.toml:3:9: traces.share: 1.5 is out of range; write a number from 0 to 1\n\
         lakeloop.toml:4:16: traces.service_name: \"\" is not a word; write a text of 1 to 256 bytes without control \
         characters\n\
         lakeloop.toml:5:15: traces.max_waiting: 0 is out of range; write a whole number from 100 to 100000",
    );
    check(
        "",
        &[("LAKELOOP_TRACES__ENDPOINT", "http://collector:4318")],
        "environment variable LAKELOOP_TRACES__ENDPOINT: traces.endpoint: \"http://collector:4318\" is not the URL of a \
         collector: it has no path, and collectors take spans at /v1/traces; write \"off\" or http or https, host, \
         perhaps a port, and path, such as \"http://127.0.0.1:4318/v1/traces\"",
    );
    check(
        "[traces.headers]\nAuthorization = \"Bearer 1\"\nhost = \"a\"\nx-key = \" b\"\n",
        &[],
        "lakeloop.toml:2:1: traces.headers.Authorization: \"Authorization\" is not the name of a header; write 1 to 64 of \
         a-z, 0-9, `-` and `_`\n\
         lakeloop.toml:3:1: traces.headers.host: \"host\" is not the name of a header: lakeloop sets this one itself; \
         write 1 to 64 of a-z, 0-9, `-` and `_`\n\
         lakeloop.toml:4:9: traces.headers.x-key: \" b\" is not the value of a header; write 1 to 4096 visible ASCII \
         characters, with spaces only between them",
    );
}
