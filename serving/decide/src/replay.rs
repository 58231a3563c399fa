//! Owns the proof that a decision can be made again: decide by what a record holds, compare bit for bit.
//!
//! Finding the record, and the blueprint and model that its versions name, is left to the caller.

use std::fmt;

use lakeloop_domain::{Candidate, Choice, DecisionReason, DecisionRecord};

use crate::bundle::Bundle;
use crate::given::Given;
use crate::model::Scratch;
use crate::rank::{Offered, rank_given};
use crate::record::conditions;

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// Every field of the decision came out the same, numbers bit for bit.
    Same,
    /// A field differs; the first one, in the order below.
    Differs {
        /// `strategy`, `blueprint_version`, `model_version`, `policy`, `salt`, `actions`, `scores`, `choice`,
        /// `propensity`, `reason` or `conditions`. The first five say that the bundle is not the one that decided. The choice of a
        /// ranking is the candidate at each position, with its propensity there.
        field: &'static str,
        /// What the record holds.
        logged: String,
        /// What came out.
        replayed: String,
    },
    /// The decision was made elsewhere and imported: there is nothing to make again.
    Imported,
}

/// Makes a logged decision again with the bundle of its blueprint and model version.
///
/// The features may stand in another order than they were served in: tables keep them by name.
pub fn replay(record: &DecisionRecord, bundle: &Bundle) -> Replay {
    if record.reason == DecisionReason::Imported {
        return Replay::Imported;
    }
    let mut scratch = Scratch::new();
    let offered = Offered {
        features: &record.features,
        candidates: candidates(record),
    };
    let position = |action: &String| {
        let idx = bundle.actions().iter().position(|one| one == action)?;
        u32::try_from(idx).ok()
    };
    // A word that is no action of the bundle's is left out here, and is a difference of the conditions below.
    let blocked: Vec<u32> = record.conditions.blocked.iter().filter_map(position).collect();
    let given = Given {
        blocked: &blocked,
        step: record.conditions.step,
        rule_idx: record.conditions.rule_action.as_ref().and_then(position),
    };
    let decision = rank_given(bundle, offered, &given, record.decision_id.as_str(), &mut scratch);
    let applied = bundle.applied();
    let difference = differs("strategy", &record.strategy, &applied.blueprint.name)
        .or_else(|| differs("blueprint_version", &record.blueprint_version, &applied.version))
        .or_else(|| differs("model_version", &record.model_version, &bundle.model_version()))
        .or_else(|| differs("policy", &record.policy, &Some(applied.blueprint.policy)))
        .or_else(|| differs("salt", record.salt.as_str(), bundle.salt()))
        .or_else(|| differs("actions", record.actions.as_slice(), bundle.actions()))
        .or_else(|| differs("scores", &bits(&record.scores), &bits(decision.scores)))
        .or_else(|| {
            let replayed = decision.choice(bundle, candidates(record).to_vec());
            differs("choice", &exact(&record.choice), &exact(&replayed))
        })
        .or_else(|| differs("propensity", &Bits(record.propensity), &Bits(decision.propensity)))
        .or_else(|| differs("reason", &record.reason, &decision.reason))
        .or_else(|| {
            let replayed = conditions(bundle, &given, &decision);
            differs("conditions", &record.conditions, &replayed)
        });
    difference.unwrap_or(Replay::Same)
}

fn differs<T: PartialEq + fmt::Debug + ?Sized>(field: &'static str, logged: &T, replayed: &T) -> Option<Replay> {
    (logged != replayed).then(|| Replay::Differs {
        field,
        logged: format!("{logged:?}"),
        replayed: format!("{replayed:?}"),
    })
}

/// A number that equals another one when all bits do. It shows the shortest text that reads back as the same number.
#[derive(Clone, Copy)]
struct Bits(f64);

impl PartialEq for Bits {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A choice whose number is compared by its bits.
#[derive(Debug, PartialEq)]
enum Exact<'a> {
    Action(&'a str),
    Number(Bits),
    Ranking(Vec<(&'a str, Bits)>),
}

fn exact(choice: &Choice) -> Exact<'_> {
    match choice {
        Choice::Action(action) => Exact::Action(action),
        Choice::Number(number) => Exact::Number(Bits(*number)),
        Choice::Ranking(ranking) => {
            let positions = ranking.positions.iter();
            Exact::Ranking(
                positions
                    .map(|position| (position.candidate.as_str(), Bits(position.propensity)))
                    .collect(),
            )
        }
    }
}

/// The candidates of a ranking; none for other choices.
fn candidates(record: &DecisionRecord) -> &[Candidate] {
    match &record.choice {
        Choice::Ranking(ranking) => &ranking.candidates,
        Choice::Action(_) | Choice::Number(_) => &[],
    }
}

fn bits(numbers: &[f64]) -> Vec<Bits> {
    numbers.iter().copied().map(Bits).collect()
}
