//! ARCHITECTURE and README say what is true: the dependency table, the paths, the recipes, the kernels without I/O.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Crate → the crates of ours that it may import, from the table under "Who may import whom?".
fn declared() -> BTreeMap<String, BTreeSet<String>> {
    let text = read("ARCHITECTURE.md");
    let section = text
        .split("## Who may import whom?")
        .nth(1)
        .expect("ARCHITECTURE.md has the heading");
    let rows = section
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let names =
            |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        (names(cells[0]).into_iter().next().unwrap(), names(cells[2]))
    })
    .collect()
}

/// Crate → the crates of ours that it imports, as Cargo sees it, without what only tests and build scripts use.
fn actual() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    packages
        .iter()
        .map(|package| {
            let imports = package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dep| dep["kind"].is_null())
                .map(name);
            (
                name(package),
                imports.filter(|dep| dep.starts_with("lakeloop")).collect(),
            )
        })
        .collect()
}

#[test]
fn the_dependency_table_is_what_cargo_sees() {
    let (declared, actual) = (declared(), actual());
    let crates = |table: &BTreeMap<String, _>| table.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        crates(&declared),
        crates(&actual),
        "crates of the table in ARCHITECTURE.md, and of the workspace"
    );
    for (name, imports) in &actual {
        assert_eq!(
            &declared[name], imports,
            "imports of {name}: in ARCHITECTURE.md, and in its Cargo.toml"
        );
    }
}

#[test]
fn only_training_links_libxgboost_and_kernels_do_no_io() {
    let manifest = |dir: &str| read(&format!("{dir}/Cargo.toml"));
    let dependencies = |dir: &str| manifest(dir).split("[dev-dependencies]").next().unwrap().to_owned();
    for dir in ["serving/trees", "serving/decide", "jobs/stats", "catalog/domain"] {
        for forbidden in ["tokio", "datafusion", "deltalake", "actix", "reqwest", "xgb", "tracing"] {
            assert!(
                !dependencies(dir).contains(&format!("{forbidden}.workspace")),
                "{dir} depends on {forbidden}"
            );
        }
        for file in rust_files(&root().join(dir).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for forbidden in ["std::fs", "std::net", "SystemTime::now", "Instant::now", "std::env"] {
                assert!(!code.contains(forbidden), "{} uses {forbidden}", file.display());
            }
        }
    }
    let users: Vec<PathBuf> = ["src", "catalog", "config", "sql", "serving", "jobs"]
        .iter()
        .flat_map(|dir| rust_files(&root().join(dir)))
        .filter(|file| !file.components().any(|part| part.as_os_str() == "benches"))
        .filter(|file| {
            let text = fs::read_to_string(file).unwrap();
            text.lines()
                .any(|line| line.trim_start().starts_with("use xgb::") || line.contains(" xgboost_lib_sys::"))
        })
        .collect();
    let is_its_module = |file: &PathBuf| file.starts_with(root().join("jobs/pipeline/src/xgb"));
    assert!(
        !users.is_empty() && users.iter().all(is_its_module),
        "one module touches the XGBoost binding: {users:?}"
    );
}

#[test]
fn documents_name_only_what_is_there() {
    let recipes: BTreeSet<String> = read("justfile")
        .lines()
        .filter(|line| {
            line.starts_with(|first: char| first.is_ascii_lowercase()) && line.contains(':') && !line.contains(":=")
        })
        .map(|line| line.split([' ', ':']).next().unwrap().to_owned())
        .collect();
    let rooms = [
        "catalog/", "config/", "sql/", "serving/", "jobs/", "tests/", "docs/", "src/",
    ];
    let mut documents = vec![
        root().join("README.md"),
        root().join("ARCHITECTURE.md"),
        root().join("CHANGELOG.md"),
    ];
    documents.extend(
        fs::read_dir(root().join("docs/decisions"))
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let path = quoted.trim();
            let is_path = rooms.iter().any(|room| path.starts_with(room)) && !path.contains([' ', '*', '<', '…', '{']);
            if is_path && !document.ends_with("CHANGELOG.md") {
                assert!(root().join(path).exists(), "{} names {path}", document.display());
            }
            let words: Vec<&str> = path.split_whitespace().collect();
            if let ["just" | "./dev", recipe, ..] = words[..] {
                assert!(
                    recipes.contains(recipe),
                    "{} names the recipe {recipe}",
                    document.display()
                );
            }
        }
    }
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { rust_files(&path) } else { vec![path] }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
