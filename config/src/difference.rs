//! The difference between two blueprint texts, key by key, as their authors wrote them.

use std::collections::BTreeMap;

/// One key that was added, removed or given another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The dotted key, such as `policy.epsilon`.
    pub key: String,
    /// What was written; `None` where the key is new.
    pub old: Option<String>,
    /// What is written; `None` where the key is gone.
    pub new: Option<String>,
}

/// The keys in which two blueprint texts differ, by name; comments, spacing and the order of keys do not count. A text
/// that is no TOML has no keys.
///
/// ```
/// let changes = lakeloop_config::changed_keys("a = 1\nb = { c = 2 }", "b = { c = 3 }");
/// assert_eq!(changes[0].key, "a");
/// assert_eq!((changes[1].old.as_deref(), changes[1].new.as_deref()), (Some("2"), Some("3")));
/// ```
pub fn changed_keys(old: &str, new: &str) -> Vec<KeyChange> {
    let (mut old, new) = (flattened(old), flattened(new));
    let mut changes = Vec::new();
    for (key, new) in new {
        let old = old.remove(&key);
        if old.as_ref() != Some(&new) {
            changes.push(KeyChange {
                key,
                old,
                new: Some(new),
            });
        }
    }
    changes.extend(old.into_iter().map(|(key, old)| KeyChange {
        key,
        old: Some(old),
        new: None,
    }));
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

/// Each value that is no table, by its dotted key.
fn flattened(text: &str) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    flatten(String::new(), &text.parse().unwrap_or_default(), &mut flat);
    flat
}

fn flatten(prefix: String, table: &toml::Table, flat: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = crate::document::joined(&prefix, key);
        match value {
            toml::Value::Table(table) if !table.is_empty() => flatten(key, table, flat),
            value => drop(flat.insert(key, value.to_string())),
        }
    }
}
