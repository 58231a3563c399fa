//! The rules between a policy, the decision that it makes and the outcome that it is after.

use lakeloop_domain::{InvalidSlots, OutcomeType, Slots};

use crate::document::quoted;
use crate::lower::outcome_type;
use crate::raw::{RawDecision, RawOutcome, RawPolicy};

/// Every key of the policy that does not go with the rest, with what to write instead.
pub(crate) fn misfits(decision: &RawDecision, outcome: &RawOutcome, policy: &RawPolicy) -> Vec<(&'static str, String)> {
    match of_kind(decision, outcome, policy) {
        Some(message) => vec![("kind", message)],
        None => of_parameters(decision, policy),
    }
}

/// The word that a blueprint uses for a policy.
fn word(policy: &RawPolicy) -> &'static str {
    match policy {
        RawPolicy::Threshold { .. } => "threshold",
        RawPolicy::Greedy {} => "greedy",
        RawPolicy::EpsilonGreedy { .. } => "epsilon_greedy",
        RawPolicy::EpsilonDecreasing { .. } => "epsilon_decreasing",
        RawPolicy::TopK { .. } => "top_k",
        RawPolicy::Softmax { .. } => "softmax",
        RawPolicy::Thompson { .. } => "thompson",
        RawPolicy::Ucb { .. } => "ucb",
        RawPolicy::Slots { .. } => "slots",
    }
}

fn of_kind(decision: &RawDecision, outcome: &RawOutcome, policy: &RawPolicy) -> Option<String> {
    let kind = quoted(word(policy));
    let outcome = outcome_type(outcome);
    match (policy, decision) {
        (RawPolicy::Greedy {}, _) => None,
        (_, RawDecision::Number { .. }) => Some(format!(
            "{kind} chooses an action, but the decision is a number; write \"greedy\""
        )),
        (RawPolicy::Threshold { .. }, RawDecision::YesNo { .. }) if outcome == OutcomeType::Number => Some(
            "\"threshold\" compares a probability, which a number outcome does not give; write \"epsilon_greedy\" or \
             \"greedy\", or outcome.type = \"yes_no\""
                .into(),
        ),
        (RawPolicy::Threshold { .. }, RawDecision::Choose { .. }) => Some(
            "\"threshold\" answers yes or no, but the decision is to choose; write \"epsilon_greedy\" or \"greedy\""
                .into(),
        ),
        (RawPolicy::Threshold { .. }, RawDecision::Rank { .. }) => Some(
            "\"threshold\" answers yes or no, but the decision is to rank; write \"epsilon_greedy\" or \"greedy\""
                .into(),
        ),
        (RawPolicy::TopK { .. }, RawDecision::Rank { .. }) => Some(
            "\"top_k\" draws one action of the k best, but the decision is to rank; the k best in order are \
             decision.at_most with \"greedy\", \"slots\" or \"epsilon_greedy\""
                .into(),
        ),
        (RawPolicy::Softmax { .. } | RawPolicy::Thompson { .. } | RawPolicy::Ucb { .. }, RawDecision::Rank { .. }) => {
            Some(format!(
                "{kind} chooses one action, but the decision is to rank; write \"slots\", \"epsilon_greedy\" or \"greedy\""
            ))
        }
        (RawPolicy::Slots { .. }, RawDecision::YesNo { .. } | RawDecision::Choose { .. }) => Some(
            "\"slots\" are positions of a ranking, and the decision returns one action; write \"top_k\", \
             \"epsilon_greedy\" or \"softmax\""
                .into(),
        ),
        (RawPolicy::Thompson { .. } | RawPolicy::Ucb { .. }, _) if outcome == OutcomeType::Category => Some(format!(
            "{kind} weighs how sure the model is of each action's expected outcome, which a category does not have; \
             write \"softmax\" or \"epsilon_greedy\", or outcome.type = \"yes_no\" or \"number\""
        )),
        _ => None,
    }
}

fn of_parameters(decision: &RawDecision, policy: &RawPolicy) -> Vec<(&'static str, String)> {
    match (policy, decision) {
        (RawPolicy::TopK { k }, RawDecision::Choose { actions, .. }) => too_many(*k, actions.len()),
        (RawPolicy::TopK { k }, RawDecision::YesNo { .. }) => too_many(*k, 2),
        (RawPolicy::EpsilonDecreasing { epsilon, minimum, .. }, _) => match (epsilon, minimum) {
            (Some(epsilon), Some(minimum)) if minimum > epsilon => vec![(
                "minimum",
                format!("{minimum} is above the epsilon that falls to it; write a number between 0 and {epsilon}"),
            )],
            (None, Some(minimum)) if *minimum > crate::lower::DEFAULT_FALLING_EPSILON => vec![(
                "minimum",
                format!(
                    "{minimum} is above the epsilon that falls to it, which is {} unless written; write a smaller number, or \
                     a larger epsilon",
                    crate::lower::DEFAULT_FALLING_EPSILON
                ),
            )],
            (Some(epsilon), None) if *epsilon < crate::lower::DEFAULT_MINIMUM_EPSILON => vec![(
                "epsilon",
                format!(
                    "{epsilon} is below the minimum that it falls to, which is {} unless written; write a larger number, or \
                     a smaller minimum",
                    crate::lower::DEFAULT_MINIMUM_EPSILON
                ),
            )],
            _ => Vec::new(),
        },
        (RawPolicy::Slots { exploration_slots }, RawDecision::Rank { at_most }) => slots(exploration_slots, *at_most),
        _ => Vec::new(),
    }
}

fn too_many(k: u32, n_actions: usize) -> Vec<(&'static str, String)> {
    if k as usize <= n_actions {
        return Vec::new();
    }
    let message = format!("{k} is more than the {n_actions} actions; write a whole number from 1 to {n_actions}");
    vec![("k", message)]
}

fn slots(positions: &[u32], at_most: Option<u32>) -> Vec<(&'static str, String)> {
    let message = match (Slots::new(positions.iter().copied()), at_most) {
        (Err(InvalidSlots::None), _) => "it is empty; write positions, such as [3, 6]".to_owned(),
        (Err(problem @ (InvalidSlots::OutOfRange(_) | InvalidSlots::Twice(_))), _) => problem.to_string(),
        (Ok(slots), Some(at_most)) if slots.last() > at_most => format!(
            "position {} is never returned, because decision.at_most is {at_most}; write positions from 1 to {at_most}",
            slots.last()
        ),
        (Ok(_), _) => return Vec::new(),
    };
    vec![("exploration_slots", message)]
}
