//! An import that is repeated, or killed and run again, neither loses nor doubles a row.

use std::fmt::Write as _;

use crate::support::{LUNCH, LUNCH_HEADER, LUNCH_MAPPING, World, request, view};
use lakeloop_import::{ImportError, Progress, import};
use lakeloop_lake::TableName;

/// Three chunks of rows, of which every thousandth is bad.
const N_ROWS: usize = 45_000;

fn log() -> String {
    let mut text = LUNCH_HEADER.to_owned();
    for row in 0..N_ROWS {
        let dish = if row % 1000 == 999 { "cake" } else { "soup" };
        let seconds = row % 60;
        let minutes = row / 60 % 60;
        let ordered = ["", "1"][usize::from(row % 10 == 0)];
        writeln!(
            text,
            "d{row},u,2023-05-01T12:{minutes:02}:{seconds:02}Z,{dish},1,{row},,,{ordered}"
        )
        .unwrap();
    }
    text
}

async fn counts(world: &World) -> [String; 2] {
    let all = "SELECT count(*), count(DISTINCT decision_id) FROM t";
    let decisions = world.lines(&TableName::Decisions, all).await.remove(0);
    [decisions, world.lines(&TableName::Outcomes, all).await.remove(0)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_goes_on_where_it_was_killed() {
    let text = log();
    // Killed after the n-th append: chunk 1 decisions, chunk 1 outcomes, chunk 2 decisions, …; the sixth is the last.
    for (n_appends, n_left) in [(1, 24_975), (2, 24_975), (3, 4_995), (6, 0)] {
        let world = World::with_blueprint(LUNCH).await;
        let file = world.file("log.csv", &text);
        let (lake, path) = (world.lake.clone(), file.clone());
        let killed = tokio::spawn(async move {
            let mut n_seen = 0;
            let mut die = |progress| {
                n_seen += usize::from(matches!(progress, Progress::Written { .. }));
                assert!(n_seen < n_appends, "killed");
            };
            import(&lake, request(&path, LUNCH_MAPPING), &mut die).await
        });
        assert!(killed.await.unwrap_err().is_panic(), "{n_appends}");

        let report = world.import(&file, LUNCH_MAPPING).await.unwrap();
        assert_eq!((report.rows_read, report.bad_rows), (45_000, 45), "{n_appends}");
        assert_eq!(report.already_imported, n_appends == 6, "{n_appends}");
        assert_eq!(report.rows_written[&TableName::Decisions], n_left, "{n_appends}");
        assert_eq!(counts(&world).await, ["44955|44955", "4500|4500"], "{n_appends}");

        let again = world.import(&file, LUNCH_MAPPING).await.unwrap();
        assert!(
            again.already_imported && again.rows_written.values().all(|n| *n == 0),
            "{again:?}"
        );
        assert_eq!(counts(&world).await, ["44955|44955", "4500|4500"], "{n_appends}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_meaning_of_file_and_mapping_is_what_is_imported_once() {
    let world = World::new().await;
    let mapping =
        "target = \"features\"\nview = \"w\"\nentity = \"place\"\nevent_time = \"at\"\n[columns]\nt = \"t\"\n";
    let rows = "place,at,t,u\nA,2017-01-01T05:00:00Z,1,2\nA,2017-01-01T05:00:00Z,1,2\n";
    let file = world.file("w.csv", rows);
    let n_rows = async || world.lines(&view("w"), "SELECT count(*) FROM t").await.remove(0);

    let first = world.import(&file, mapping).await.unwrap();
    assert!(!first.already_imported);
    assert_eq!(
        n_rows().await,
        "2",
        "rows that repeat within a file are rows of their own"
    );

    // Comments, spacing, spelt-out defaults and another name of the same bytes change nothing.
    let spaced = mapping
        .replace("view", "# the view\nview   ")
        .replace("\n[columns]", "\navailable_at = \"event_time\"\n[columns]");
    for (file, mapping) in [
        (&file, mapping),
        (&file, &spaced),
        (&world.file("copy.csv", rows), mapping),
    ] {
        let again = world.import(file, mapping).await.unwrap();
        assert!(again.already_imported, "{mapping}");
        assert_eq!((again.rows_read, n_rows().await.as_str()), (2, "2"));
    }

    // Another column or other bytes are another import.
    let other = world
        .import(&file, &mapping.replace("t = \"t\"", "t = \"u\""))
        .await
        .unwrap();
    assert!(!other.already_imported);
    let longer = world
        .import(
            &world.file("w.csv", format!("{rows}B,2017-01-01T05:00:00Z,3,4\n")),
            mapping,
        )
        .await
        .unwrap();
    assert!(!longer.already_imported);
    assert_eq!(n_rows().await, "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_while_it_is_read_is_refused() {
    let world = World::with_blueprint(LUNCH).await;
    let file = world.file("log.csv", log());
    let mut grow = |_| {
        let longer = format!("{}d,u,2023-05-01T12:00:00Z,soup,1,1,,,\n", log());
        std::fs::write(&file, longer).unwrap();
    };
    let error = import(&world.lake, request(&file, LUNCH_MAPPING), &mut grow)
        .await
        .unwrap_err();
    assert!(matches!(error, ImportError::Changed { .. }), "{error}");
    assert_eq!(counts(&world).await, ["0|0", "0|0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_tells_what_was_checked_and_what_is_written() {
    let world = World::with_blueprint(LUNCH).await;
    let file = world.file("log.csv", log());
    let mut told = Vec::new();
    import(&world.lake, request(&file, LUNCH_MAPPING), &mut |progress| {
        told.push(progress.to_string())
    })
    .await
    .unwrap();
    assert_eq!(
        told,
        [
            "20000 rows checked",
            "40000 rows checked",
            "45000 rows checked",
            "20000 of 45000 rows in decisions",
            "20000 of 45000 rows in outcomes",
            "40000 of 45000 rows in decisions",
            "40000 of 45000 rows in outcomes",
            "45000 of 45000 rows in decisions",
            "45000 of 45000 rows in outcomes",
        ]
    );
}
