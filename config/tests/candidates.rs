//! Candidate files: sections that stand in place of those in force, with mistakes told at their place.
#![allow(clippy::unwrap_used, clippy::panic)]

use lakeloop_config::{EXAMPLE_BLUEPRINT, changed_keys, parse_blueprint, parse_candidate};
use lakeloop_domain::{OffPolicyGate, Policy};

fn messages(text: &str) -> String {
    match parse_candidate("c.toml", text, EXAMPLE_BLUEPRINT) {
        Ok(_) => String::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn a_section_stands_in_place_of_the_one_in_force_however_it_is_written() {
    let in_force = parse_blueprint("menu.toml", EXAMPLE_BLUEPRINT).unwrap().blueprint;
    for text in [
        "[policy]\nkind = \"greedy\"\n",
        "policy = { kind = \"greedy\" }",
        "policy.kind = \"greedy\"",
    ] {
        let parsed = parse_candidate("c.toml", text, EXAMPLE_BLUEPRINT).unwrap();
        assert_eq!(parsed.blueprint.policy, Policy::Greedy, "{text}");
        let mut expected = in_force.clone();
        expected.policy = Policy::Greedy;
        assert_eq!(parsed.blueprint, expected, "{text}");
        // What was read is a whole blueprint by itself.
        assert_eq!(
            parse_blueprint("whole.toml", &parsed.source).unwrap().version,
            parsed.version
        );
    }
}

#[test]
fn a_whole_blueprint_is_read_as_one() {
    let text = EXAMPLE_BLUEPRINT.replace("epsilon = 0.1", "epsilon = 0.2");
    let parsed = parse_candidate("c.toml", &text, EXAMPLE_BLUEPRINT).unwrap();
    assert_eq!(parsed, parse_blueprint("c.toml", &text).unwrap());
}

#[test]
fn mistakes_stand_where_they_were_written() {
    assert_eq!(
        messages("# an idea\n[policy]\nkind = \"epsilon_greedy\"\nepsilon = 1.5\n"),
        "c.toml:4:11: policy.epsilon: 1.5 is not a probability; write a number between 0 and 1"
    );
    assert_eq!(
        messages("[polcy]\nkind = \"greedy\"\n"),
        "c.toml:1:2: polcy: unknown key; did you mean policy?"
    );
    assert_eq!(
        messages("[policy]\nkind = \"threshold\"\n"),
        "c.toml:2:8: policy.kind: \"threshold\" answers yes or no, but the decision is to choose; write \
         \"epsilon_greedy\" or \"greedy\""
    );
    assert_eq!(
        messages("# nothing\n"),
        "c.toml:1:1: nothing is declared here; write a section such as [policy], or a whole blueprint"
    );
    assert!(messages("[policy").starts_with("c.toml:1:8: this is no TOML"));
}

#[test]
fn a_mistake_of_another_section_says_that_it_is_in_force() {
    let found = messages("[decision]\nkind = \"number\"\ndefault = 1.0\n");
    assert_eq!(
        found,
        "c.toml:1:1: policy.kind: with the blueprint in force: \"epsilon_greedy\" chooses an action, but the decision is \
         a number; write \"greedy\""
    );
}

#[test]
fn changed_keys_are_told_by_name_as_they_were_written() {
    let new = EXAMPLE_BLUEPRINT
        .replace("epsilon = 0.1", "epsilon = 0.25  # more")
        .replace("device = \"category\"\n", "")
        .replace("[model]", "[gate]\noff_policy = { margin = 0.01 }\n\n[model]");
    let told: Vec<_> = changed_keys(EXAMPLE_BLUEPRINT, &new)
        .into_iter()
        .map(|change| (change.key, change.old, change.new))
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            ("context.device".to_owned(), text("\"category\""), None),
            ("gate.off_policy.margin".to_owned(), None, text("0.01")),
            ("policy.epsilon".to_owned(), text("0.1"), text("0.25")),
        ]
    );
    assert_eq!(changed_keys(&new, &new), []);
    assert_eq!(
        changed_keys(EXAMPLE_BLUEPRINT, &EXAMPLE_BLUEPRINT.replace("  #", "#")),
        []
    );
}

#[test]
fn a_gate_is_read_and_changes_the_version_only_where_it_is_written() {
    let gated = |gate: &str| {
        let text = format!("{EXAMPLE_BLUEPRINT}\n[gate]\n{gate}\n");
        parse_blueprint("menu.toml", &text)
    };
    let plain = parse_blueprint("menu.toml", EXAMPLE_BLUEPRINT).unwrap();
    assert_eq!(plain.blueprint.gate.off_policy, None);
    assert_eq!(gated("").unwrap().version, plain.version);
    let parsed = gated("off_policy = { margin = 0.02 }").unwrap();
    assert_ne!(parsed.version, plain.version);
    assert_eq!(
        parsed.blueprint.gate.off_policy,
        Some(OffPolicyGate {
            margin: 0.02,
            confidence: 0.95
        })
    );
    let message = |gate: &str| gated(gate).unwrap_err()[0].message.clone();
    assert_eq!(
        message("off_policy = { margin = -0.02 }"),
        "-0.02 is out of range; write a number, 0 or more"
    );
    assert_eq!(
        message("off_policy = { margin = 0, confidence = 95 }"),
        "95 is out of range; write a number from 0.5 to 0.999"
    );
    assert_eq!(message("off_polcy = 1"), "unknown key; did you mean off_policy?");
    assert!(message("off_policy = { confidence = 0.9 }").contains("missing; write a number, 0 or more"));
}
