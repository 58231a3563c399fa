//! What can be checked in the texts of the queries without running them.

use std::collections::BTreeSet;

use lakeloop_sql::Query;

/// The text without its comments.
fn code(query: &Query) -> String {
    let without = |line: &'static str| line.split_once("--").map_or(line, |(code, _)| code);
    query.text.lines().map(without).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_file_is_a_query() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let queries: BTreeSet<String> = Query::ALL.iter().map(|query| format!("{}.sql", query.name)).collect();
    assert_eq!(files, queries);
}

#[test]
fn headers_say_what_a_reader_needs() {
    for query in Query::ALL {
        assert!(query.purpose().ends_with('.'), "{}: {:?}", query.name, query.purpose());
        for section in [
            "-- purpose:    ",
            "-- grain:      ",
            "-- parameters: ",
            "-- columns:    ",
        ] {
            assert!(query.text.contains(section), "{} has no {section}", query.name);
        }
        let code = code(&query);
        let used: BTreeSet<&str> = code
            .split('$')
            .skip(1)
            .map(|rest| {
                rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .next()
                    .unwrap()
            })
            .collect();
        assert_eq!(
            used,
            query.parameters().into_iter().collect(),
            "{}: parameters",
            query.name
        );
        assert_eq!(
            query.parameters().is_empty(),
            Query::VIEWS.contains(&query),
            "{}: views take no values",
            query.name
        );
    }
}

/// Distributed engines lose IGNORE NULLS from a plan without a word, and none of them has the Delta scan's own forms.
#[test]
fn forms_that_other_engines_would_change_are_absent() {
    for query in Query::ALL {
        let code = code(&query).to_uppercase();
        for form in [
            "IGNORE NULLS",
            "LAST_VALUE",
            "ASOF",
            "LATERAL",
            "SELECT *",
            ".*",
            "VERSION AS OF",
            "TABLE_CHANGES",
            "_FILE",
            "DELTA",
        ] {
            assert!(!code.contains(form), "{} has {form}", query.name);
        }
    }
}
