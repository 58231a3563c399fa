//! The layers of the settings: checked one by one, so that each error names its place, then merged.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use figment::value::{Dict, Map, Value as FigmentValue};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::Value as Schema;

use crate::document::{Document, bare_or_quoted, line_and_column, quoted};
use crate::error::{ConfigError, SettingError, SettingPlace};
use crate::schema;
use crate::settings::{DEFAULT_SETTINGS, RawSettings};
use crate::structure::{Renamed, Strictness, check};

/// What the names of all variables begin with.
const PREFIX: &str = "LAKELOOP_";
/// Stands between section and key in the name of a variable.
const SEPARATOR: &str = "__";
/// How the defaults are called in messages.
const DEFAULTS: &str = "config/default.toml";

static SCHEMA: LazyLock<Schema> = LazyLock::new(schema::of::<RawSettings>);

/// Everything that the settings come from.
pub(crate) struct Layers<'l> {
    /// The name of the settings file, for messages.
    pub(crate) file: &'l str,
    /// Its text; empty where there is none.
    pub(crate) text: &'l str,
    /// The environment. Only names that begin with `LAKELOOP_` are looked at.
    pub(crate) variables: BTreeMap<String, String>,
    /// Keys that once had another name.
    pub(crate) renamed: Renamed<'l>,
}

/// A checked layer.
struct Layer {
    place: SettingPlace,
    table: toml::Table,
}

impl Layers<'_> {
    /// The settings, the later layers over the earlier ones; or everything that is wrong in any of them.
    pub(crate) fn merged(&self) -> Result<RawSettings, ConfigError> {
        let mut errors = Vec::new();
        let mut figment = Figment::new();
        for (file, text, complete) in [(DEFAULTS, DEFAULT_SETTINGS, true), (self.file, self.text, false)] {
            match self.file_layer(file, text, complete) {
                Ok(layer) => figment = figment.merge(layer),
                Err(of_file) => errors.extend(of_file),
            }
        }
        for (name, value) in &self.variables {
            match self.variable_layer(name, value) {
                Ok(Some(layer)) => figment = figment.merge(layer),
                Ok(None) => {}
                Err(of_variable) => errors.extend(of_variable),
            }
        }
        if !errors.is_empty() {
            return Err(ConfigError::Settings(errors));
        }
        let settings: RawSettings = figment.extract().map_err(|error| ConfigError::Merge(Box::new(error)))?;
        let errors = self.violations(&figment, &settings);
        if errors.is_empty() {
            Ok(settings)
        } else {
            Err(ConfigError::Settings(errors))
        }
    }

    fn file_layer(&self, file: &str, text: &str, complete: bool) -> Result<Layer, Vec<SettingError>> {
        let place = |offset| {
            let (line, column) = line_and_column(text, offset);
            SettingPlace::File {
                file: file.to_owned(),
                line,
                column,
            }
        };
        self.layer(text, complete, place)
    }

    /// The layer of one variable; `None` when its name is none of ours.
    fn variable_layer(&self, name: &str, value: &str) -> Result<Option<Layer>, Vec<SettingError>> {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            return Ok(None);
        };
        let place = |_| SettingPlace::Variable(name.to_owned());
        if !rest.contains(SEPARATOR) {
            return match with_separator(rest) {
                Some(meant) => Err(vec![SettingError {
                    place: place(0),
                    key: String::new(),
                    message: format!("two underscores stand between section and key; write {meant}"),
                }]),
                None => Ok(None),
            };
        }
        let keys: Vec<String> = rest.split(SEPARATOR).map(str::to_lowercase).collect();
        let path: Vec<String> = keys.iter().map(|key| bare_or_quoted(key)).collect();
        let text = format!("{} = {}", path.join("."), as_toml(&keys, value));
        self.layer(&text, false, place).map(Some)
    }

    fn layer(
        &self,
        text: &str,
        complete: bool,
        place: impl Fn(usize) -> SettingPlace,
    ) -> Result<Layer, Vec<SettingError>> {
        let strictness = Strictness {
            complete,
            renamed: self.renamed,
        };
        let checked = Document::parse(text).map(|document| check(&document, &SCHEMA, strictness));
        let (table, mut problems) = match checked {
            Ok(checked) => (checked.sound, checked.problems),
            Err(problems) => (toml::Table::new(), problems),
        };
        if problems.is_empty() {
            return Ok(Layer { place: place(0), table });
        }
        problems.sort_by_key(|problem| problem.offset);
        let error = |problem: crate::document::Problem| SettingError {
            place: place(problem.offset),
            key: problem.key,
            message: problem.message,
        };
        Err(problems.into_iter().map(error).collect())
    }

    /// Everything in which settings do not go together.
    fn violations(&self, figment: &Figment, settings: &RawSettings) -> Vec<SettingError> {
        let mut errors = Vec::new();
        // Of the keys of one rule, the first one that somebody wrote is to blame.
        let mut report = |keys: &[&str], message: String| {
            let written = keys.iter().find(|key| layer_of(figment, key) != DEFAULTS);
            let Some(key) = written.or_else(|| keys.first()) else {
                return;
            };
            errors.push(SettingError {
                place: self.place_of(figment, key),
                key: (*key).to_owned(),
                message,
            });
        };
        let (segment, all) = (settings.journal.segment_size.bytes(), settings.journal.max_size.bytes());
        if segment > all {
            let message = format!(
                "journal.max_size ({all} bytes) does not hold one segment of journal.segment_size ({segment} bytes); \
                 write a larger or a smaller size"
            );
            report(&["journal.max_size", "journal.segment_size"], message);
        }
        let sql_listen = settings.server.sql_listen.clone().on();
        if let Some(sql) = sql_listen.filter(|sql| sql.port() != 0 && *sql == settings.server.listen) {
            let message = format!("server.listen and server.sql_listen are both {sql}; write another port for one");
            report(&["server.sql_listen", "server.listen"], message);
        }
        if let Some(message) = settings.server.cap_violation() {
            report(&["server.cap_server", "server.cap_servers"], message);
        }
        if let Some((key, message)) = settings.server.tls.violation() {
            report(&[key], message.to_owned());
        }
        errors
    }

    /// Where the value in force was written.
    fn place_of(&self, figment: &Figment, key: &str) -> SettingPlace {
        let name = layer_of(figment, key);
        let text = match name {
            DEFAULTS => DEFAULT_SETTINGS,
            name if name == self.file => self.text,
            variable => return SettingPlace::Variable(variable.to_owned()),
        };
        let path: Vec<&str> = key.split('.').collect();
        let offset = Document::parse(text).map_or(0, |document| document.offset_of(&path));
        let (line, column) = line_and_column(text, offset);
        SettingPlace::File {
            file: name.to_owned(),
            line,
            column,
        }
    }
}

/// The name of the layer whose value is in force.
fn layer_of<'f>(figment: &'f Figment, key: &str) -> &'f str {
    figment
        .find_metadata(key)
        .map_or(DEFAULTS, |metadata| metadata.name.as_ref())
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        let name = match &self.place {
            SettingPlace::File { file, .. } => file.clone(),
            SettingPlace::Variable(name) => name.clone(),
        };
        Metadata::named(name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let value = FigmentValue::serialize(&self.table)?;
        Ok(Profile::Default.collect(value.into_dict().unwrap_or_default()))
    }
}

/// The variable that was meant by `SECTION_KEY`, when there is such a section and key.
fn with_separator(rest: &str) -> Option<String> {
    let rest = rest.to_lowercase();
    let sections = SCHEMA.get("properties")?.as_object()?;
    sections.iter().find_map(|(section, schema)| {
        let key = rest.strip_prefix(section)?.strip_prefix('_')?;
        schema.get("properties")?.get(key)?;
        Some(format!(
            "{PREFIX}{}{SEPARATOR}{}",
            section.to_uppercase(),
            key.to_uppercase()
        ))
    })
}

/// The value of a variable as TOML: a list of what stands between commas where the key takes a list, bare where it
/// takes a number or true or false and the text is one, else a text.
fn as_toml(keys: &[String], value: &str) -> String {
    let mut schema = Some(&*SCHEMA);
    for key in keys {
        schema = schema.and_then(|schema| schema.get("properties")?.get(key));
    }
    if schema.is_some_and(|schema| schema.get("type").is_some_and(|name| name == "array")) {
        let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
        return format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "));
    }
    let takes_texts_only = schema.is_none_or(|schema| schema.get("type").is_some_and(|name| name == "string"));
    let bare = value.trim();
    let is_plain = bare == "true" || bare == "false" || bare.parse::<f64>().is_ok_and(f64::is_finite);
    if !takes_texts_only && is_plain {
        bare.to_owned()
    } else {
        quoted(value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_key_says_its_new_name() {
        let layers = Layers {
            file: "lakeloop.toml",
            text: "[server]\nport = 8080\n",
            variables: BTreeMap::from([("LAKELOOP_SERVER__PORT".to_owned(), "8080".to_owned())]),
            renamed: &[("server.port", "server.listen")],
        };
        let message = "server.port: this key is now called server.listen; write that instead";
        assert_eq!(
            layers.merged().unwrap_err().to_string(),
            format!("lakeloop.toml:2:1: {message}\nenvironment variable LAKELOOP_SERVER__PORT: {message}")
        );
    }
}
