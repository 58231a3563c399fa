//! Caps and ladders: what they mean once they are sound, and what is refused.

use lakeloop_config::{canonical, parse_blueprint};
use lakeloop_domain::{
    ActionUse, Amount, ApprenticeStep, Around, Blueprint, Caps, ExplorationStep, Ladder, ModelStep, ResourceCap,
    UnitCap,
};

use crate::{MENU, messages};

const CAPS: &str = r#"[caps]
per_unit = { limit = 3, every = "1d" }
traffic_share = 0.2
[caps.resources.kitchen]
limit = 100
every = "1h"
uses = { tacos = 2.5 }
"#;

const LADDER: &str = "[ladder]
apprentice = { after = 100 }
exploration = { after = 1000, epsilon = 0.2 }
model = { after = 500 }
";

fn parsed(sections: &str) -> Blueprint {
    parse_blueprint("b.toml", &format!("{MENU}{sections}"))
        .unwrap()
        .blueprint
}

/// Replaces one text of a section that stands behind [`MENU`], whose last line is the 21st, and compares the messages.
#[track_caller]
fn check(section: &str, written: &str, instead: &str, expected: &str) {
    assert_eq!(
        section.matches(written).count(),
        1,
        "`{written}` stands once in the section"
    );
    assert_eq!(
        messages(&format!("{MENU}{}", section.replace(written, instead))),
        expected
    );
}

#[test]
fn what_is_declared() {
    let caps = parsed(CAPS).caps.unwrap();
    assert_eq!(
        caps,
        Caps {
            per_unit: Some(UnitCap {
                limit: 3,
                every_us: 24 * 3_600_000_000
            }),
            traffic_share: Some(0.2),
            resources: vec![ResourceCap {
                name: "kitchen".into(),
                limit: Amount(100_000_000),
                every_us: 3_600_000_000,
                uses: vec![ActionUse {
                    action: "tacos".into(),
                    amount: Amount(2_500_000)
                }],
            }],
        }
    );
    let ladder = parsed(LADDER).ladder.unwrap();
    let expected = Ladder {
        apprentice: Some(ApprenticeStep { after: 100 }),
        exploration: Some(ExplorationStep {
            after: 1000,
            around: Around::Rule,
            epsilon: 0.2,
        }),
        model: ModelStep { after: 500 },
    };
    assert_eq!(ladder, expected);
    let without_rule = parsed("[ladder]\nexploration = { after = 5 }\nmodel = { after = 500 }\n")
        .ladder
        .unwrap();
    let exploration = without_rule.exploration.unwrap();
    assert_eq!((exploration.around, exploration.epsilon), (Around::Default, 0.1));
}

#[test]
fn the_canonical_form_reads_back_and_holds_what_is_declared_only() {
    let with = parsed(&format!("{CAPS}{LADDER}"));
    let text = canonical(&with);
    assert_eq!(serde_json::from_str::<Blueprint>(&text).unwrap(), with);
    let without = canonical(&parsed(""));
    assert!(!without.contains("caps") && !without.contains("ladder"), "{without}");
    assert_ne!(Blueprint::version_of(&text), Blueprint::version_of(&without));
}

#[test]
fn caps_that_cannot_be() {
    check(
        CAPS,
        "traffic_share = 0.2",
        "traffic_share = 1",
        "b.toml:24:17: caps.traffic_share: 1 limits nothing; write a number between 0 and 1, such as 0.2",
    );
    check(
        CAPS,
        "traffic_share = 0.2",
        "traffic_share = 0",
        "b.toml:24:17: caps.traffic_share: 0 leaves the default only; write a number between 0 and 1, such as 0.2",
    );
    check(
        CAPS,
        "limit = 3,",
        "limit = 2.5,",
        "b.toml:23:22: caps.per_unit.limit: 2.5 is a number; write a whole number from 1 to 10000",
    );
    check(
        CAPS,
        "limit = 3,",
        "limit = 0,",
        "b.toml:23:22: caps.per_unit.limit: 0 is out of range; write a whole number from 1 to 10000",
    );
    check(
        CAPS,
        "limit = 100",
        "limit = 1e15",
        "b.toml:26:9: caps.resources.kitchen.limit: 1000000000000000 is out of range; write 0, or a number between \
         0.000001 and 1000000000000",
    );
    check(
        CAPS,
        "tacos = 2.5",
        "taco = 2.5",
        "b.toml:28:17: caps.resources.kitchen.uses.taco: \"taco\" is not one of the actions; did you mean \"tacos\"?",
    );
    check(
        CAPS,
        "tacos = 2.5",
        "ramen = 2.5",
        "b.toml:28:18: caps.resources.kitchen.uses.ramen: the default is what is left when a budget is used up, so it uses \
         nothing; remove this key",
    );
    check(
        CAPS,
        "tacos = 2.5",
        "tacos = 101",
        "b.toml:28:18: caps.resources.kitchen.uses.tacos: 101 is more than the limit of 100, so that it is never chosen; \
         write less",
    );
    check(
        CAPS,
        "tacos = 2.5",
        "tacos = 0",
        "b.toml:28:8: caps.resources.kitchen.uses: no action uses it, so that it limits nothing; write an amount above 0",
    );
    check(
        "[caps]\n",
        "[caps]",
        "[caps]",
        "b.toml:22:1: caps: it limits nothing; write per_unit, traffic_share or a table under resources, or remove it",
    );
    check(
        LADDER,
        "epsilon = 0.2",
        "epsilon = 0",
        "b.toml:24:41: ladder.exploration.epsilon: 0 draws nothing, so that nothing is explored; write a number above 0, \
         such as 0.1",
    );
}

#[test]
fn numbers_and_rankings_have_neither() {
    let number = MENU
        .replace(
            "kind = \"choose\"\nactions = [\"ramen\", \"tacos\"]\ndefault = \"ramen\"",
            "kind = \"number\"\ndefault = 0",
        )
        .replace("kind = \"epsilon_greedy\"\nepsilon = 0.1", "kind = \"greedy\"");
    let chosen = "chosen among actions, which only decision.kind = \"yes_no\" and \"choose\" do; remove this section, or \
                  write one of these kinds";
    assert_eq!(
        messages(&format!("{number}[caps]\ntraffic_share = 0.2\n{LADDER}")),
        format!(
            "b.toml:20:1: caps: caps limit how often something other than a default is {chosen}\n\
             b.toml:22:1: ladder: a ladder is climbed by decisions that are {chosen}"
        )
    );
}
