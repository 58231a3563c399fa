//! Candidate files: a whole blueprint, or only the sections in which it would differ from the one in force.

use lakeloop_domain::Blueprint;

use crate::blueprint::{ParsedBlueprint, canonical, checked_blueprint, parse_blueprint};
use crate::document::Problem;
use crate::error::BlueprintError;

/// Reads a candidate; `file` only names it in messages, `in_force` is the text of the blueprint in force.
///
/// A text with a `name` is a whole blueprint, read by [`parse_blueprint`]. Any other one holds sections, such as
/// `[policy]` alone, and each stands in place of the section of that name in the blueprint in force. The error holds
/// everything that is wrong, at its place in the candidate's text.
///
/// ```
/// let in_force = r#"
///     name = "banner"
///     unit = "user"
///     decision = { kind = "yes_no", default = false }
///     context = { age = "number" }
///     outcome = { event = "click", aggregation = "any", window = "30m" }
/// "#;
/// let parsed = lakeloop_config::parse_candidate("c.toml", "[policy]\nkind = \"greedy\"", in_force).unwrap();
/// assert_eq!(parsed.blueprint.policy, lakeloop_domain::Policy::Greedy);
///
/// let errors = lakeloop_config::parse_candidate("c.toml", "[policy]\nkind = \"gredy\"", in_force).unwrap_err();
/// assert_eq!((errors[0].line, errors[0].key.as_str()), (2, "policy.kind"));
/// ```
pub fn parse_candidate(file: &str, text: &str, in_force: &str) -> Result<ParsedBlueprint, Vec<BlueprintError>> {
    let Ok(sections) = text.parse::<toml::Table>() else {
        // The message is that of a blueprint that is no TOML.
        return parse_blueprint(file, text);
    };
    if sections.contains_key("name") {
        return parse_blueprint(file, text);
    }
    if sections.is_empty() {
        let message = "nothing is declared here; write a section such as [policy], or a whole blueprint".to_owned();
        return Err(vec![BlueprintError::new(file, text, at_start(String::new(), message))]);
    }
    let kept = unchanged(in_force, &sections);
    let whole = format!("{kept}{text}");
    let told = |problem: Problem| match problem.offset.checked_sub(kept.len()) {
        Some(offset) => BlueprintError::new(file, text, Problem { offset, ..problem }),
        None => {
            let message = format!("with the blueprint in force: {}", problem.message);
            BlueprintError::new(file, text, at_start(problem.key, message))
        }
    };
    let blueprint = checked_blueprint(&whole).map_err(|mut problems| {
        problems.sort_by_key(|problem| problem.offset);
        problems.into_iter().map(told).collect::<Vec<_>>()
    })?;
    Ok(ParsedBlueprint {
        version: Blueprint::version_of(&canonical(&blueprint)),
        blueprint,
        source: whole,
    })
}

/// The keys of the blueprint in force that the candidate leaves alone, one line each: whatever the candidate's text begins
/// with, it still stands at the root.
fn unchanged(in_force: &str, sections: &toml::Table) -> String {
    let in_force: toml::Table = in_force.parse().unwrap_or_default();
    let kept = in_force.iter().filter(|(key, _)| !sections.contains_key(*key));
    kept.map(|(key, value)| format!("{key} = {value}\n")).collect()
}

fn at_start(key: String, message: String) -> Problem {
    Problem {
        offset: 0,
        key,
        message,
    }
}
