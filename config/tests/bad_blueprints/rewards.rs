//! Rewards, the outcomes that they weigh, and row weights.

use crate::{MENU, check, messages};

/// [`MENU`] with a second outcome and a reward, from line 22 on.
fn rewarded(outcomes: &str, reward: &str) -> String {
    format!("{MENU}{outcomes}{reward}")
}

const CANCELLED: &str = "[outcomes.cancelled]\nevent = \"cancelled\"\naggregation = \"any\"\nwindow = \"1d\"\n";

#[test]
fn a_reward_weighs_outcomes_that_are_there() {
    assert_eq!(
        messages(&rewarded(
            CANCELLED,
            "[reward]\nweights = { ordered = 1.0, cancelled = -0.5 }\n"
        )),
        ""
    );
    assert_eq!(
        messages(&rewarded(CANCELLED, "")),
        "",
        "an outcome may stand without a reward"
    );
    assert_eq!(messages(&rewarded("", "[reward]\nweights = { ordered = 2 }\n")), "");
    assert_eq!(
        messages(&rewarded(
            CANCELLED,
            "[reward]\nweights = { orderd = 1, cancelled = -1 }\n"
        )),
        "b.toml:27:22: reward.weights.orderd: \"orderd\" is no outcome; did you mean \"ordered\"?"
    );
    assert_eq!(
        messages(&rewarded(CANCELLED, "[reward]\nweights = { stars = 1 }\n")),
        "b.toml:27:21: reward.weights.stars: \"stars\" is no outcome; write \"ordered\" or \"cancelled\""
    );
    assert_eq!(
        messages(&rewarded(CANCELLED, "[reward]\nweights = { ordered = 0 }\n")),
        "b.toml:27:11: reward.weights: all weights are 0, so that there is nothing to learn; write what each outcome \
         is worth"
    );
    assert_eq!(
        messages(&rewarded("", "[reward]\nweights = { ordered = nan }\n")),
        "b.toml:23:23: reward.weights.ordered: nan is not a finite number; write a number"
    );
}

#[test]
fn outcomes_beside_the_main_one() {
    assert_eq!(
        messages(&rewarded(
            &CANCELLED.replace("outcomes.cancelled", "outcomes.ordered"),
            ""
        )),
        "b.toml:22:1: outcomes.ordered: the section outcome goes by the name of its event, which is this one; write \
         another name"
    );
    assert_eq!(
        messages(&rewarded(
            &CANCELLED.replace("\"any\"", "\"last\"\ntype = \"category\""),
            ""
        )),
        "b.toml:25:8: outcomes.cancelled.type: a category is no amount; write \"yes_no\" or \"number\""
    );
    assert_eq!(
        messages(&rewarded(&format!("{CANCELLED}absent = 3\n"), "")),
        "b.toml:26:10: outcomes.cancelled.absent: 3 is no yes/no label; write 0, 1 or \"exclude\""
    );
    assert_eq!(
        messages(&rewarded(&CANCELLED.replace("window = \"1d\"\n", ""), "")),
        "b.toml:22:1: outcomes.cancelled.window: missing; write a duration: a number with a unit, such as \"5ms\", \
         \"30m\", \"36h\" or \"90d\""
    );
}

#[test]
fn a_reward_is_a_number() {
    let yes_no = MENU
        .replace(
            "kind = \"choose\"\nactions = [\"ramen\", \"tacos\"]\ndefault = \"ramen\"",
            "kind = \"yes_no\"\ndefault = false",
        )
        .replace("kind = \"epsilon_greedy\"\nepsilon = 0.1", "kind = \"threshold\"");
    assert_eq!(messages(&yes_no), "");
    assert_eq!(
        messages(&format!("{yes_no}[reward]\nweights = {{ ordered = 1 }}\n")),
        "b.toml:17:8: policy.kind: \"threshold\" compares a probability, which a reward is not; write \
         \"epsilon_greedy\" or \"greedy\", or remove the section reward"
    );
    let category = MENU.replace("aggregation = \"any\"", "type = \"category\"\naggregation = \"last\"");
    assert_eq!(
        messages(&format!("{category}[reward]\nweights = {{ ordered = 1 }}\n")),
        "b.toml:24:23: reward.weights.ordered: a category cannot be weighed; write outcome.type = \"yes_no\" or \
         \"number\""
    );
}

#[test]
fn row_weights() {
    check(
        "[schedule]",
        "[training]\nclip = 5\n[schedule]",
        "b.toml:21:8: training.clip: it limits weights, and none are declared; write weights = \"inverse_propensity\", \
         or remove it",
    );
    check(
        "[schedule]",
        "[training]\nweights = \"inverse_propensity\"\nclip = 0.5\n[schedule]",
        "b.toml:22:8: training.clip: 0.5 is out of range; write a number, 1 or more",
    );
    check(
        "[schedule]",
        "[training]\nweights = \"inverse_propensities\"\n[schedule]",
        "b.toml:21:11: training.weights: \"inverse_propensities\" is unknown; did you mean \"inverse_propensity\"?",
    );
    check(
        "[schedule]",
        "[training]\nweights = \"inverse_propensity\"\n[schedule]",
        "",
    );
    let position = "[training]\nweights = \"position\"\n[schedule]";
    check(
        "[schedule]",
        position,
        "b.toml:21:11: training.weights: only rankings have positions; write \"inverse_propensity\", or remove it",
    );
    let ranking = MENU
        .replace(
            "kind = \"choose\"\nactions = [\"ramen\", \"tacos\"]\ndefault = \"ramen\"",
            "kind = \"rank\"",
        )
        .replace("[outcome]", "[candidates]\nprice = \"number\"\n[outcome]");
    let weighted = ranking.replace("[schedule]", position);
    assert_eq!(messages(&weighted), "");
    assert_eq!(
        messages(&weighted.replace("[schedule]", "[model]\nobjective = \"ndcg\"\n[schedule]")),
        "b.toml:21:11: training.weights: an order is learned from whole rankings, whose rows have no weights; remove this \
         key, or model.objective"
    );
    assert_eq!(
        messages(&weighted.replace("aggregation = \"any\"", "aggregation = \"count\"")),
        "b.toml:21:11: training.weights: positions are told by how often they have a yes, which this label is not; write \
         \"inverse_propensity\", or remove it"
    );
    assert_eq!(
        messages(&weighted.replace("kind = \"epsilon_greedy\"\nepsilon = 0.1", "kind = \"greedy\"")),
        "b.toml:20:11: training.weights: what positions do can be told only where orders are drawn by chance; write \
         policy.kind = \"epsilon_greedy\", or remove it"
    );
}
