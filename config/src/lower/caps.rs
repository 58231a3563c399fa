//! The step from the sections `[caps]` and `[ladder]` to what the domain knows of them.

use lakeloop_domain::{
    ActionUse, Amount, ApprenticeStep, Around, Caps, ExplorationStep, Ladder, ModelStep, ResourceCap, UnitCap,
};

use super::DEFAULT_EPSILON;
use crate::raw::{RawAround, RawCaps, RawDecision, RawLadder, RawResourceCap};

/// The caps; `None` when an amount is none. What uses nothing of a resource is left out.
pub(super) fn caps(raw: &RawCaps, decision: &RawDecision) -> Option<Caps> {
    let actions = actions(decision);
    let resources = raw.resources.iter().map(|(name, cap)| resource(name, cap, &actions));
    Some(Caps {
        per_unit: raw.per_unit.as_ref().map(|cap| UnitCap {
            limit: cap.limit,
            every_us: cap.every.as_micros(),
        }),
        traffic_share: raw.traffic_share,
        resources: resources.collect::<Option<_>>()?,
    })
}

fn resource(name: &str, raw: &RawResourceCap, actions: &[&str]) -> Option<ResourceCap> {
    let mut uses = Vec::new();
    for action in actions {
        let Some(number) = raw.uses.get(*action) else { continue };
        let amount = Amount::from_number(*number)?;
        if amount > Amount(0) {
            let action = (*action).to_owned();
            uses.push(ActionUse { action, amount });
        }
    }
    Some(ResourceCap {
        name: name.to_owned(),
        limit: Amount::from_number(raw.limit)?,
        every_us: raw.every.as_micros(),
        uses,
    })
}

/// The actions in declared order.
pub(crate) fn actions(decision: &RawDecision) -> Vec<&str> {
    match decision {
        RawDecision::YesNo { .. } => vec!["no", "yes"],
        RawDecision::Choose { actions, .. } => actions.iter().map(String::as_str).collect(),
        RawDecision::Number { .. } | RawDecision::Rank { .. } => Vec::new(),
    }
}

/// The default action; `None` where nothing is chosen among actions.
pub(crate) fn default_action(decision: &RawDecision) -> Option<&str> {
    match decision {
        RawDecision::YesNo { default } => Some(if *default { "yes" } else { "no" }),
        RawDecision::Choose { default, .. } => Some(default),
        RawDecision::Number { .. } | RawDecision::Rank { .. } => None,
    }
}

pub(super) fn ladder(raw: &RawLadder) -> Ladder {
    let around = |declared: Option<RawAround>| match (declared, &raw.apprentice) {
        (Some(RawAround::Rule), _) | (None, Some(_)) => Around::Rule,
        (Some(RawAround::Default), _) | (None, None) => Around::Default,
    };
    Ladder {
        apprentice: raw.apprentice.as_ref().map(|step| ApprenticeStep { after: step.after }),
        exploration: raw.exploration.as_ref().map(|step| ExplorationStep {
            after: step.after,
            around: around(step.around),
            epsilon: step.epsilon.unwrap_or(DEFAULT_EPSILON),
        }),
        model: ModelStep { after: raw.model.after },
    }
}
