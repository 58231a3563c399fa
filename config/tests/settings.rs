//! Settings: the defaults, what overrides them, and the messages about what does not fit.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use lakeloop_config::{
    AccessLog, Ack, ConfigError, DEFAULT_SETTINGS, LogFormat, OpenRoute, SETTINGS_FILE, Settings, Share, TlsSettings,
};

fn variables(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Loads from a home folder with this file and these variables.
fn load(file: &str, list: &[(&str, &str)]) -> (tempfile::TempDir, Result<Settings, ConfigError>) {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(SETTINGS_FILE), file).unwrap();
    let settings = Settings::load_with(home.path(), variables(list));
    (home, settings)
}

/// Compares the messages, with the folder of the file left out.
#[track_caller]
fn check(file: &str, list: &[(&str, &str)], expected: &str) {
    let (home, settings) = load(file, list);
    let message = settings.unwrap_err().to_string();
    assert_eq!(message.replace(&format!("{}/", home.path().display()), ""), expected);
}

#[test]
fn the_defaults_are_as_documented() {
    let settings = Settings::load_with(Path::new("/srv/loop"), []).unwrap();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(settings.home, Path::new("/srv/loop"));
    assert_eq!(settings.lake.location, "/srv/loop/lake");
    assert!(settings.lake.options.is_empty());
    let server = settings.server;
    assert_eq!(server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(server.workers, cores);
    assert_eq!(server.max_body_bytes, 1 << 20);
    assert_eq!(server.request_timeout, Duration::from_secs(10));
    assert_eq!(
        (server.allow_event_time, server.http, server.scheduler),
        (false, true, true)
    );
    assert_eq!(server.sql_listen.unwrap().to_string(), "127.0.0.1:5433");
    assert_eq!(server.refresh_interval, Duration::from_millis(500));
    assert_eq!(server.idempotency_entries, 200_000);
    assert_eq!(server.max_candidates, 1000);
    assert_eq!(
        (server.cap_servers, server.cap_server, server.cap_entries),
        (1, 0, 1_000_000)
    );
    assert_eq!(
        (server.drain_delay, server.drain_timeout),
        (Duration::ZERO, Duration::from_secs(30))
    );
    assert_eq!((server.max_concurrent, server.max_connections), (1024, 10_000));
    assert_eq!(server.keys, Path::new("/srv/loop/keys.toml"));
    assert!(!server.allow_anonymous);
    assert_eq!(server.open_routes, [OpenRoute::Health]);
    assert_eq!((server.cors_origins, server.tls), (Vec::new(), None));
    let journal = settings.journal;
    assert_eq!(journal.dir, Path::new("/srv/loop/journal"));
    assert_eq!((journal.segment_bytes, journal.max_bytes), (8 << 20, 1 << 30));
    assert_eq!((journal.decision_ack, journal.outcome_ack), (Ack::Written, Ack::Synced));
    assert_eq!(journal.decision_fsync, Duration::from_millis(5));
    assert_eq!(journal.flush_interval, Duration::from_secs(2));
    assert_eq!(journal.flush_rows, 50_000);
    assert_eq!(settings.features.cache_bytes, 256 << 20);
    assert_eq!(settings.features.refresh, Duration::from_secs(30));
    assert_eq!(settings.features.load_timeout, Duration::from_millis(250));
    let jobs = settings.jobs;
    assert_eq!(
        (jobs.lease, jobs.threads, jobs.seed),
        (Duration::from_secs(300), cores, 1)
    );
    assert_eq!(jobs.compact.as_deref(), Some("0 17 * * * *"));
    assert_eq!(jobs.replay.as_deref(), Some("0 43 2 * * *"));
    assert_eq!(jobs.replay_decisions, 10_000);
    assert_eq!(jobs.ladder.as_deref(), Some("0 */5 * * * *"));
    assert_eq!(jobs.keep_training_sets, 20);
    assert_eq!(
        (settings.log.format, settings.log.filter.as_str()),
        (LogFormat::Text, "warn,lakeloop=info")
    );
    assert_eq!(settings.log.access, AccessLog::Off);
    assert_eq!(settings.traces, None);
}

#[test]
fn every_key_of_the_defaults_has_a_comment_right_above() {
    let mut previous = "";
    let mut keys = BTreeSet::new();
    for line in DEFAULT_SETTINGS.lines() {
        let is_key = line.starts_with('[') || line.contains(" = ") && !line.starts_with('#');
        if is_key {
            assert!(previous.starts_with("# "), "no comment above `{line}`");
            keys.insert(line);
        }
        previous = line;
    }
    assert!(keys.len() > 30, "{}", keys.len());
}

#[test]
fn a_file_that_says_what_the_defaults_say_changes_nothing() {
    let (home, settings) = load(DEFAULT_SETTINGS, &[]);
    assert_eq!(settings.unwrap(), load_bare(home.path()));
    let commented: String = DEFAULT_SETTINGS.lines().map(|line| format!("# {line}\n")).collect();
    let (home, settings) = load(&commented, &[]);
    assert_eq!(settings.unwrap(), load_bare(home.path()));
}

/// The settings of the same folder without a file.
fn load_bare(home: &Path) -> Settings {
    std::fs::remove_file(home.join(SETTINGS_FILE)).unwrap();
    Settings::load_with(home, []).unwrap()
}

#[test]
fn the_environment_overrides_the_file_which_overrides_the_defaults() {
    let file = r#"
        [server]
        listen = "0.0.0.0:9000"
        workers = 3
        sql_listen = "off"
        [lake]
        location = "s3://bucket/path"
        options = { aws_region = "eu-central-1" }
        [jobs]
        compact = "off"
    "#;
    let (_home, settings) = load(
        file,
        &[
            ("LAKELOOP_SERVER__LISTEN", "[::1]:0"),
            ("LAKELOOP_SERVER__ALLOW_EVENT_TIME", "true"),
            ("LAKELOOP_JOBS__SEED", "7"),
            ("LAKELOOP_JOBS__THREADS", "2"),
            ("LAKELOOP_LAKE__OPTIONS__AWS_SECRET_ACCESS_KEY", "0123\"45"),
            ("LAKELOOP_SHARED", "/elsewhere"),
            ("HOME", "/root"),
        ],
    );
    let settings = settings.unwrap();
    assert_eq!(settings.server.listen.to_string(), "[::1]:0");
    assert_eq!((settings.server.workers, settings.server.allow_event_time), (3, true));
    assert_eq!(settings.server.sql_listen, None);
    assert_eq!(
        (settings.jobs.seed, settings.jobs.threads, settings.jobs.compact),
        (7, 2, None)
    );
    assert_eq!(settings.lake.location, "s3://bucket/path");
    assert_eq!(settings.lake.options["aws_region"], "eu-central-1");
    assert_eq!(settings.lake.options["aws_secret_access_key"], "0123\"45");
}

#[test]
fn what_guards_the_server_can_be_set() {
    let file = r#"
        [server]
        keys = "/run/secrets/keys.toml"
        open_routes = ["health", "metrics", "docs"]
        cors_origins = ["https://shop.example.org", "http://localhost:3000"]
        drain_delay = "5s"
        [server.tls]
        certificate = "tls/cert.pem"
        key = "/etc/ssl/key.pem"
        [log]
        access = 0.25
    "#;
    let (home, settings) = load(
        file,
        &[
            ("LAKELOOP_SERVER__TLS__CLIENT_CA", "clients.pem"),
            ("LAKELOOP_SERVER__OPEN_ROUTES", "docs, metrics"),
        ],
    );
    let settings = settings.unwrap();
    let server = settings.server;
    assert_eq!(server.keys, Path::new("/run/secrets/keys.toml"));
    assert_eq!(server.open_routes, [OpenRoute::Docs, OpenRoute::Metrics]);
    assert_eq!(
        server.cors_origins,
        ["https://shop.example.org", "http://localhost:3000"]
    );
    assert_eq!(server.drain_delay, Duration::from_secs(5));
    let tls = TlsSettings {
        certificate: home.path().join("tls/cert.pem"),
        key: "/etc/ssl/key.pem".into(),
        client_ca: Some(home.path().join("clients.pem")),
    };
    assert_eq!(server.tls, Some(tls));
    assert_eq!(settings.log.access, AccessLog::Share(Share::new(0.25)));
    for (variable, access) in [
        ("off", AccessLog::Off),
        ("all", AccessLog::Share(Share::ALL)),
        ("0", AccessLog::Share(Share::new(0.0))),
    ] {
        let (_home, settings) = load("", &[("LAKELOOP_LOG__ACCESS", variable)]);
        assert_eq!(settings.unwrap().log.access, access, "{variable}");
    }
}

#[test]
fn mistakes_about_what_guards_the_server() {
    check(
        "[server]\nmax_concurrent = 0\nopen_routes = [\"helth\"]\ncors_origins = [\"shop.example.org\", \"https://a/b\", \"*\"]\n",
        &[],
        "lakeloop.toml:2:18: server.max_concurrent: 0 is out of range; write a whole number from 1 to 1000000\n\
         lakeloop.toml:3:16: server.open_routes[0]: \"helth\" is unknown; did you mean \"health\"?\n\
         lakeloop.toml:4:17: server.cors_origins[0]: \"shop.example.org\" is not an origin: it does not begin with \
         https:// or http://; write scheme, host and perhaps a port in lower case, such as \
         \"https://shop.example.org\"\n\
         lakeloop.toml:4:37: server.cors_origins[1]: \"https://a/b\" is not an origin: an origin ends after the host \
         and its port; write scheme, host and perhaps a port in lower case, such as \"https://shop.example.org\"\n\
         lakeloop.toml:4:52: server.cors_origins[2]: \"*\" is not an origin: it does not begin with https:// or \
         http://; write scheme, host and perhaps a port in lower case, such as \"https://shop.example.org\"",
    );
    check(
        "[server.tls]\ncertificate = \"cert.pem\"\n",
        &[],
        "lakeloop.toml:2:15: server.tls.certificate: the certificate needs its private key; write the key's file to \
         server.tls.key too",
    );
    check(
        "",
        &[("LAKELOOP_SERVER__TLS__KEY", "key.pem")],
        "environment variable LAKELOOP_SERVER__TLS__KEY: server.tls.key: the private key needs its certificate; write \
         the certificate's file to server.tls.certificate too",
    );
    check(
        "[server.tls]\nclient_ca = \"ca.pem\"\n",
        &[],
        "lakeloop.toml:2:13: server.tls.client_ca: certificates of clients are only asked for over TLS; write \
         server.tls.certificate and server.tls.key too",
    );
    check(
        "[log]\naccess = \"some\"\n",
        &[],
        "lakeloop.toml:2:10: log.access: \"some\" is unknown; write \"off\" or \"all\" or a number from 0 to 1",
    );
}

#[test]
fn mistakes_in_the_file() {
    check(
        "[server]\nlisen = \"a:1\"\n",
        &[],
        "lakeloop.toml:2:1: server.lisen: unknown key; did you mean listen?",
    );
    check(
        "[sever]\n",
        &[],
        "lakeloop.toml:1:2: sever: unknown key; did you mean server?",
    );
    check(
        "[server]\nlisten = \"8080\"\n",
        &[],
        "lakeloop.toml:2:10: server.listen: \"8080\" is not an address: it has no port; write host:port, \
         such as \"127.0.0.1:8080\"",
    );
    check(
        "[server]\nhttp = \"yes\"\nworkers = 0\nsql_listen = \"no\"\n",
        &[],
        "lakeloop.toml:2:8: server.http: \"yes\" is a text; write true or false\n\
         lakeloop.toml:3:11: server.workers: 0 is out of range; write \"auto\" or a whole number from 1 \
         to 1024\n\
         lakeloop.toml:4:14: server.sql_listen: \"no\" is not an address: it has no port; write \"off\" \
         or host:port, such as \"127.0.0.1:8080\"",
    );
    check(
        "[journal]\nsegment_size = \"0B\"\nmax_size = 5\ndecision_ack = \"sync\"\n",
        &[],
        "lakeloop.toml:2:16: journal.segment_size: \"0B\" is not a size: it is nothing at all; write a \
         whole number with a unit, such as \"512KiB\" or \"64MiB\"\n\
         lakeloop.toml:3:12: journal.max_size: 5 is not a size; write a whole number with a unit, such as \
         \"512KiB\" or \"64MiB\"\n\
         lakeloop.toml:4:16: journal.decision_ack: \"sync\" is unknown; write \"written\" or \"synced\"",
    );
    check(
        "[journal]\nflush_interval = \"2\"\nflush_rows = 0\n",
        &[],
        "lakeloop.toml:2:18: journal.flush_interval: \"2\" is not a duration: time unit needed, for \
         example 2sec or 2ms; write a number with a unit, such as \"5ms\", \"30m\", \"36h\" or \"90d\"\n\
         lakeloop.toml:3:14: journal.flush_rows: 0 is out of range; write a whole number, 1 or more",
    );
    check(
        "[jobs]\ncompact = \"hourly\"\nseed = -1\n",
        &[],
        "lakeloop.toml:2:11: jobs.compact: \"hourly\" is not a cron expression: it needs five or six \
         fields and has 1; write \"off\" or minute, hour, day of month, month and day of week, such as \
         \"*/5 * * * *\" for every five minutes\n\
         lakeloop.toml:3:8: jobs.seed: -1 is out of range; write a whole number, 0 or more",
    );
    check(
        "[log]\nformat = \"xml\"\n",
        &[],
        "lakeloop.toml:2:10: log.format: \"xml\" is unknown; write \"text\" or \"json\"",
    );
    check(
        "server = 5\n",
        &[],
        "lakeloop.toml:1:10: server: 5 is a whole number; write a table",
    );
    check(
        "[server\n",
        &[],
        "lakeloop.toml:1:8: this is no TOML: unclosed table, expected `]`",
    );
    check(
        "[lake.options]\naws_region = 5\n",
        &[],
        "lakeloop.toml:2:14: lake.options.aws_region: 5 is a whole number; write a text in quotes",
    );
}

#[test]
fn mistakes_in_the_environment() {
    check(
        "",
        &[("LAKELOOP_SERVER__LISEN", "a:1")],
        "environment variable LAKELOOP_SERVER__LISEN: server.lisen: unknown key; did you mean listen?",
    );
    check(
        "",
        &[("LAKELOOP_SERVER_LISTEN", "a:1")],
        "environment variable LAKELOOP_SERVER_LISTEN: two underscores stand between section and key; \
         write LAKELOOP_SERVER__LISTEN",
    );
    check(
        "",
        &[
            ("LAKELOOP_SERVER__WORKERS", "many"),
            ("LAKELOOP_JOURNAL__MAX_SIZE", "1"),
        ],
        "environment variable LAKELOOP_JOURNAL__MAX_SIZE: journal.max_size: \"1\" is not a size: it has \
         no unit: B, KiB, MiB, GiB, TiB, kB, MB, GB or TB; write a whole number with a unit, such as \
         \"512KiB\" or \"64MiB\"\n\
         environment variable LAKELOOP_SERVER__WORKERS: server.workers: \"many\" is unknown; write \
         \"auto\" or a whole number from 1 to 1024",
    );
    check(
        "",
        &[("LAKELOOP_SERVER__HTTP", "1")],
        "environment variable LAKELOOP_SERVER__HTTP: server.http: 1 is a whole number; write true or \
         false",
    );
}

#[test]
fn settings_that_do_not_go_together() {
    check(
        "[journal]\nmax_size = \"1MiB\"\n",
        &[],
        "lakeloop.toml:2:12: journal.max_size: journal.max_size (1048576 bytes) does not hold one segment \
         of journal.segment_size (8388608 bytes); write a larger or a smaller size",
    );
    check(
        "[journal]\n\nsegment_size = \"2GiB\"\n",
        &[],
        "lakeloop.toml:3:16: journal.segment_size: journal.max_size (1073741824 bytes) does not hold one \
         segment of journal.segment_size (2147483648 bytes); write a larger or a smaller size",
    );
    check(
        "",
        &[("LAKELOOP_JOURNAL__SEGMENT_SIZE", "2GiB")],
        "environment variable LAKELOOP_JOURNAL__SEGMENT_SIZE: journal.segment_size: journal.max_size \
         (1073741824 bytes) does not hold one segment of journal.segment_size (2147483648 bytes); write a \
         larger or a smaller size",
    );
    check(
        "[server]\nsql_listen = \"127.0.0.1:8080\"\n",
        &[],
        "lakeloop.toml:2:14: server.sql_listen: server.listen and server.sql_listen are both \
         127.0.0.1:8080; write another port for one",
    );
    check(
        "[server]\nlisten = \"127.0.0.1:5433\"\n",
        &[],
        "lakeloop.toml:2:10: server.listen: server.listen and server.sql_listen are both 127.0.0.1:5433; \
         write another port for one",
    );
}
