//! No text makes the parser panic, and every error of any text has a place within it.
#![allow(clippy::unwrap_used, clippy::panic)]

use lakeloop_config::{DEFAULT_SETTINGS, EXAMPLE_BLUEPRINTS, SETTINGS_FILE, Settings, parse_blueprint};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// What is put into a text: pieces of TOML, words of the schema, and letters that TOML does not like.
const PIECES: [&str; 28] = [
    "[",
    "]",
    "{",
    "}",
    "=",
    "\"",
    "'",
    ",",
    ".",
    "\n",
    "[[x]]\n",
    "nan",
    "-inf",
    "1e999",
    "0x10",
    "99999999999999999999",
    "1979-05-27",
    "true",
    "\"\"",
    "\u{0}",
    "é",
    "\\u00",
    "kind = \"rank\"\n",
    "policy",
    "[rollout]\n",
    "\"category\"",
    "action = \"number\"\n",
    "window = \"9999y\"\n",
];

#[derive(Debug, Clone)]
enum Mutation {
    Insert {
        at: prop::sample::Index,
        piece: &'static str,
    },
    Remove {
        from: prop::sample::Index,
        length: usize,
    },
    RemoveLine {
        line: prop::sample::Index,
    },
    RepeatLine {
        line: prop::sample::Index,
    },
    SwapLines {
        one: prop::sample::Index,
        other: prop::sample::Index,
    },
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), prop::sample::select(&PIECES[..])).prop_map(|(at, piece)| Mutation::Insert { at, piece }),
        (index(), 1_usize..12).prop_map(|(from, length)| Mutation::Remove { from, length }),
        index().prop_map(|line| Mutation::RemoveLine { line }),
        index().prop_map(|line| Mutation::RepeatLine { line }),
        (index(), index()).prop_map(|(one, other)| Mutation::SwapLines { one, other }),
    ]
}

fn mutated(text: &str, mutations: &[Mutation]) -> String {
    let mut text = text.to_owned();
    for mutation in mutations {
        let mut letters: Vec<char> = text.chars().collect();
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if letters.is_empty() || lines.is_empty() {
            return text;
        }
        text = match mutation {
            Mutation::Insert { at, piece } => {
                let at = at.index(letters.len());
                letters.splice(at..at, piece.chars());
                letters.into_iter().collect()
            }
            Mutation::Remove { from, length } => {
                let from = from.index(letters.len());
                letters.drain(from..letters.len().min(from + length));
                letters.into_iter().collect()
            }
            Mutation::RemoveLine { line } => {
                lines.remove(line.index(lines.len()));
                lines.concat()
            }
            Mutation::RepeatLine { line } => {
                let line = line.index(lines.len());
                lines.insert(line, lines[line]);
                lines.concat()
            }
            Mutation::SwapLines { one, other } => {
                let (one, other) = (one.index(lines.len()), other.index(lines.len()));
                lines.swap(one, other);
                lines.concat()
            }
        };
    }
    text
}

/// A runner that draws the same cases each time.
fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn spoilt_blueprints_are_refused_with_a_place_or_stay_valid() {
    let cases = (
        prop::sample::select(&EXAMPLE_BLUEPRINTS[..]),
        prop::collection::vec(mutation(), 1..6),
    );
    runner(2000)
        .run(&cases, |((file, text), mutations)| {
            let text = mutated(text, &mutations);
            match parse_blueprint(file, &text) {
                Ok(parsed) => prop_assert_eq!(parsed.source, text),
                Err(errors) => {
                    prop_assert!(!errors.is_empty());
                    let n_lines = text.lines().count().max(1) + 1;
                    for error in errors {
                        prop_assert!((1..=n_lines).contains(&error.line) && error.column >= 1, "{}", error);
                        prop_assert!(!error.message.is_empty() && !error.message.contains('\n'), "{}", error);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn spoilt_settings_are_refused_with_a_message_or_stay_valid() {
    let home = tempfile::tempdir().unwrap();
    runner(300)
        .run(&prop::collection::vec(mutation(), 1..6), |mutations| {
            std::fs::write(home.path().join(SETTINGS_FILE), mutated(DEFAULT_SETTINGS, &mutations)).unwrap();
            if let Err(error) = Settings::load_with(home.path(), []) {
                prop_assert!(!error.to_string().is_empty());
                prop_assert!(!error.to_string().contains("cannot merge"), "{}", error);
            }
            Ok(())
        })
        .unwrap();
}
