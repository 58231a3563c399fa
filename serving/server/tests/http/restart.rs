//! What was acknowledged is in the lake once, also when the server dies at a bad moment.

use std::fs;
use std::io;
use std::sync::Arc;

use lakeloop_journal::{Journal, JournalOptions, Operation};

use crate::support::{DISH, Home, Site};

const ASK: &str = r#"{"strategy":"dish","unit":"ada","context":{"age":1},"decision_id":"x"}"#;
const REPORT: &str = r#"{"decision_id":"x","event":"ordered"}"#;

async fn n_rows(site: &Site) -> (usize, usize) {
    (site.decisions().await.len(), site.outcomes().await.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_had_acknowledged_is_flushed_by_the_next() {
    let mut home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let first = site.post("/v1/decide", ASK).await;
    for _ in 0..50 {
        site.ok("/v1/decide", r#"{"strategy":"dish","unit":"bob","context":{"age":2}}"#)
            .await;
    }
    site.ok("/v1/observe", REPORT).await;
    home.killed();
    assert_eq!(n_rows(&site).await, (0, 0));

    let site = home.start().await;
    assert_eq!(
        site.post("/v1/decide", ASK).await,
        first,
        "the answer is restored from the journal"
    );
    site.server.flush().await.unwrap();
    assert_eq!(n_rows(&site).await, (51, 1));
    site.server.shutdown().await.unwrap();
    let site = home.start().await;
    site.server.flush().await.unwrap();
    assert_eq!(n_rows(&site).await, (51, 1), "nothing is flushed twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_reached_the_lake_before_the_kill_is_not_written_again() {
    let mut home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let first = site.post("/v1/decide", ASK).await;
    site.ok("/v1/observe", REPORT).await;
    // Both journals fail to release what the lake has taken, and then the process dies.
    for _ in 0..2 {
        home.disk.fail_after(Operation::Remove, 0, io::ErrorKind::Other);
    }
    assert!(site.server.flush().await.is_err());
    assert_eq!(n_rows(&site).await, (1, 1));
    home.killed();

    let site = home.start().await;
    site.server.flush().await.unwrap();
    assert_eq!(n_rows(&site).await, (1, 1));
    assert_eq!(site.post("/v1/decide", ASK).await, first);
    site.ok("/v1/decide", r#"{"strategy":"dish","unit":"bob","context":{"age":2}}"#)
        .await;
    site.server.flush().await.unwrap();
    assert_eq!(n_rows(&site).await, (2, 1), "later segments are taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_is_away_delays_the_flush_and_nothing_else() {
    let home = Home::new();
    let site = home.start_with(&[DISH]).await;
    site.ok("/v1/decide", ASK).await;
    site.server.flush().await.unwrap();

    // A file where the table's folder was: the store answers, but with errors.
    let table = home.path().join("lake/decisions");
    let hidden = home.path().join("hidden");
    fs::rename(&table, &hidden).unwrap();
    fs::write(&table, "in the way").unwrap();
    for _ in 0..3 {
        site.ok("/v1/decide", r#"{"strategy":"dish","unit":"bob","context":{"age":2}}"#)
            .await;
    }
    let refused = site.post("/v1/admin/flush", "").await;
    assert_eq!(refused.problem(), (503, "lake-unavailable".into(), String::new()));
    assert_eq!(refused.retry_after.as_deref(), Some("2"));
    home.set_now(crate::support::NOON + 90 * crate::support::SECOND);
    let metrics = site.metrics().await;
    assert!(
        metrics.contains(r#"lakeloop_flush_lag_seconds{journal="decisions"} 90"#),
        "{metrics}"
    );
    assert!(metrics.contains("lakeloop_flush_failures_total 1"), "{metrics}");

    fs::remove_file(&table).unwrap();
    fs::rename(&hidden, &table).unwrap();
    assert_eq!(site.ok("/v1/admin/flush", "").await["decisions"], 3);
    assert_eq!(site.decisions().await.len(), 4);
    let metrics = site.metrics().await;
    assert!(
        metrics.contains(r#"lakeloop_flush_lag_seconds{journal="decisions"} 0"#),
        "{metrics}"
    );
}

fn open_journal(home: &Home, book: &str) -> Journal {
    let options = JournalOptions {
        segment_bytes: 1 << 20,
        max_bytes: 1 << 30,
        fsync_interval: std::time::Duration::from_millis(5),
    };
    let folder = home.settings.journal.dir.join(book);
    Journal::open(&folder, options, Arc::new(home.disk.clone())).unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_decoded_is_set_aside_and_holds_nothing_back() {
    let mut home = Home::new();
    let site = home.start_with(&[DISH]).await;
    let first = site.post("/v1/decide", ASK).await;
    home.killed();
    drop(site);
    let journal = open_journal(&home, "decisions");
    journal.append(&[77, 1, 2, 3]).unwrap();
    journal.close().unwrap();

    let site = home.start().await;
    site.server.flush().await.unwrap();
    assert_eq!(site.decisions().await.len(), 1, "the good record is in the lake");
    let metrics = site.metrics().await;
    assert!(
        metrics.contains(r#"lakeloop_journal_undecodable_total{journal="decisions"} 1"#),
        "{metrics}"
    );
    let aside = home.settings.journal.dir.join("aside");
    let files: Vec<_> = fs::read_dir(&aside)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1);
    assert_eq!(fs::read(&files[0]).unwrap(), [4, 0, 0, 0, 77, 1, 2, 3]);
    assert_eq!(site.post("/v1/decide", ASK).await, first);
    site.server.shutdown().await.unwrap();

    let site = home.start().await;
    site.server.flush().await.unwrap();
    assert!(files[0].exists(), "it is kept until a version can read it");
    assert_eq!(site.decisions().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_set_aside_are_taken_once_they_can_be_read() {
    let mut home = Home::new();
    let site = home.start_with(&[DISH]).await;
    site.ok("/v1/decide", ASK).await;
    home.killed();
    drop(site);
    let journal = open_journal(&home, "decisions");
    let records = journal.read(journal.sealed()[0]).unwrap();
    let payload = records.iter().next().unwrap().to_vec();
    drop(journal);

    // Another home, where this version finds what another one had set aside.
    let home = Home::new();
    let aside = home.settings.journal.dir.join("aside");
    fs::create_dir_all(&aside).unwrap();
    let file = aside.join("decisions-0123-4.records");
    let mut bytes = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(&payload);
    fs::write(&file, &bytes).unwrap();
    for _ in 0..2 {
        let site = home.start_with(&[DISH]).await;
        site.server.flush().await.unwrap();
        assert_eq!(site.decisions().await.len(), 1);
        assert!(!file.exists());
        site.server.shutdown().await.unwrap();
        // As if the process had died between the append and the removal.
        fs::write(&file, &bytes).unwrap();
    }
}
