//! The rules of the sections `[caps]` and `[ladder]`.

use lakeloop_domain::Amount;

use super::{Rules, some_of};
use crate::document::quoted;
use crate::lower::caps::{actions, default_action};
use crate::nearest::nearest;
use crate::raw::{RawBlueprint, RawCaps, RawDecision, RawLadder, RawResourceCap};

impl Rules<'_, '_> {
    /// Caps and ladders are about actions and a default among them, and what they declare can happen.
    pub(super) fn caps_and_ladder(&mut self, raw: &RawBlueprint, decision: &RawDecision) {
        let Some(default) = default_action(decision) else {
            let chosen = "chosen among actions, which only decision.kind = \"yes_no\" and \"choose\" do; remove this \
                section, or write one of these kinds";
            if raw.caps.is_some() {
                let message = format!("caps limit how often something other than a default is {chosen}");
                self.report(&["caps"], message);
            }
            if raw.ladder.is_some() {
                self.report(
                    &["ladder"],
                    format!("a ladder is climbed by decisions that are {chosen}"),
                );
            }
            return;
        };
        if let Some(caps) = &raw.caps {
            self.caps(caps, &actions(decision), default);
        }
        if let Some(ladder) = &raw.ladder {
            self.ladder(ladder);
        }
    }

    fn caps(&mut self, caps: &RawCaps, actions: &[&str], default: &str) {
        if caps.per_unit.is_none() && caps.traffic_share.is_none() && caps.resources.is_empty() {
            let message = "it limits nothing; write per_unit, traffic_share or a table under resources, or remove it";
            self.report(&["caps"], message.into());
        }
        if let Some(share) = caps.traffic_share.filter(|share| *share <= 0.0 || *share >= 1.0) {
            let why = if share > 0.0 {
                "limits nothing"
            } else {
                "leaves the default only"
            };
            let message = format!("{share} {why}; write a number between 0 and 1, such as 0.2");
            self.report(&["caps", "traffic_share"], message);
        }
        for (name, cap) in &caps.resources {
            self.resource(name, cap, actions, default);
        }
    }

    fn resource(&mut self, name: &str, cap: &RawResourceCap, actions: &[&str], default: &str) {
        let path = |key| ["caps", "resources", name, key];
        let is_limit = self.amount(cap.limit, &path("limit"));
        if is_limit && cap.limit == 0.0 {
            let message = "0 leaves the default only; write a number above 0";
            self.report(&path("limit"), message.into());
        }
        if cap.uses.is_empty() && is_limit && cap.limit > 0.0 && cap.limit < 1.0 {
            let message = format!(
                "every action but the default uses 1, which is more than {}; write more, or what each action uses under uses",
                cap.limit
            );
            self.report(&path("limit"), message);
        }
        for (action, amount) in &cap.uses {
            let path = ["caps", "resources", name, "uses", action.as_str()];
            if !actions.contains(&action.as_str()) {
                let names: Vec<String> = actions.iter().map(|action| (*action).to_owned()).collect();
                let wanted = match nearest(action, actions.iter().copied()) {
                    Some(meant) => format!("did you mean {}?", quoted(meant)),
                    None => format!("write {}", some_of(&names)),
                };
                self.report(&path, format!("{} is not one of the actions; {wanted}", quoted(action)));
            } else if action == default {
                let message =
                    "the default is what is left when a budget is used up, so it uses nothing; remove this key";
                self.report(&path, message.into());
            } else if self.amount(*amount, &path) && is_limit && *amount > cap.limit {
                let limit = cap.limit;
                let message =
                    format!("{amount} is more than the limit of {limit}, so that it is never chosen; write less");
                self.report(&path, message);
            }
        }
        if !cap.uses.is_empty() && cap.uses.values().all(|amount| *amount == 0.0) {
            let message = "no action uses it, so that it limits nothing; write an amount above 0";
            self.report(&path("uses"), message.into());
        }
    }

    /// True when a number is an amount.
    fn amount(&mut self, number: f64, path: &[&str]) -> bool {
        let is_amount = Amount::from_number(number).is_some();
        if !is_amount {
            let message = format!("{number} is out of range; write 0, or a number between 0.000001 and 1000000000000");
            self.report(path, message);
        }
        is_amount
    }

    fn ladder(&mut self, ladder: &RawLadder) {
        let drawn = ladder.exploration.as_ref().and_then(|step| step.epsilon);
        if drawn == Some(0.0) {
            let message = "0 draws nothing, so that nothing is explored; write a number above 0, such as 0.1";
            self.report(&["ladder", "exploration", "epsilon"], message.into());
        }
    }
}
