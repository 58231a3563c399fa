//! The JSON Schema of the files, derived from the types that read them.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::form;
use crate::raw::RawBlueprint;

/// The keyword that marks, with `false`, what this version declares but refuses.
pub(crate) const BUILT: &str = "x-built";

/// What the description of every such key ends with.
const NOT_BUILT_NOTE: &str = "Declared but not built yet in this version: refused.";

static BLUEPRINT: LazyLock<Value> = LazyLock::new(of::<RawBlueprint>);

/// The schema of a type, without references and without `null`, which TOML does not have.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(drop_null))
        .with_transform(RecursiveTransform(note_not_built));
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The schema that blueprints are checked against.
pub(crate) fn blueprint() -> &'static Value {
    &BLUEPRINT
}

/// The JSON Schema (2020-12) of a blueprint, for editors and other checkers of TOML.
pub fn json_schema() -> Value {
    let mut schema = blueprint().clone();
    drop_keyword(&mut schema, form::KEYWORD);
    schema
}

/// Optional keys are left out in TOML, so the `null` that stands for an absent option goes away.
fn drop_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(branches)) = object.get_mut("anyOf") {
        branches.retain(|branch| branch.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (keyword, value) in only {
                object.entry(keyword).or_insert(value);
            }
        }
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
}

fn note_not_built(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.get(BUILT) != Some(&Value::Bool(false)) {
        return;
    }
    if let Some(Value::String(description)) = object.get_mut("description") {
        description.push(' ');
        description.push_str(NOT_BUILT_NOTE);
    }
}

fn drop_keyword(value: &mut Value, keyword: &str) {
    match value {
        Value::Object(object) => {
            object.remove(keyword);
            object.values_mut().for_each(|child| drop_keyword(child, keyword));
        }
        Value::Array(items) => items.iter_mut().for_each(|child| drop_keyword(child, keyword)),
        _ => {}
    }
}
