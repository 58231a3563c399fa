//! The cold-start ladder: by what a strategy decides while little is known, and how much must be known to go on.
//!
//! ```text
//! default ──► apprentice ──► exploration ──► model
//!         │              │               │
//!         │              │               └ explored decisions with a label (labelled ones of the step before, without exploration)
//!         │              └ labelled decisions of the step before
//!         └ decisions that came with the rule's action
//! ```
//!
//! Where a strategy stands follows from counts of what is in the lake and from nothing else. Apprentice and exploration can be
//! left out; the steps that are declared follow each other in this order.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Micros, StrategyName};

/// A step of the ladder: by what a strategy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LadderStep {
    /// The declared default, always.
    Default,
    /// The rule that the caller has already: its action comes with the request and is returned unchanged, while models learn
    /// from what is logged.
    Apprentice,
    /// The rule's action or the default, and now and then one drawn evenly from all.
    Exploration,
    /// The declared policy by the live model's scores.
    Model,
}

impl LadderStep {
    /// Every step, from the first.
    pub const ALL: [Self; 4] = [Self::Default, Self::Apprentice, Self::Exploration, Self::Model];

    /// The word that tables use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Apprentice => "apprentice",
            Self::Exploration => "exploration",
            Self::Model => "model",
        }
    }

    /// The step that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == word)
    }

    /// Where a strategy stands after its latest move; on the first step where it was never moved.
    pub fn after(latest: Option<&LadderMove>) -> Self {
        latest.map_or(Self::Default, |latest| latest.to)
    }
}

impl fmt::Display for LadderStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A ladder, declared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// The step on which the caller's rule decides; `None`: there is no rule to learn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apprentice: Option<ApprenticeStep>,
    /// The step that explores; `None`: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploration: Option<ExplorationStep>,
    /// When the model decides.
    pub model: ModelStep,
}

/// The step on which the caller's rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprenticeStep {
    /// It begins once so many decisions came with the rule's action.
    pub after: u64,
}

/// The step that explores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExplorationStep {
    /// It begins once so many decisions of the step before have a label.
    pub after: u64,
    /// What is returned where nothing is drawn.
    pub around: Around,
    /// The share of decisions whose action is drawn evenly from all, in (0, 1].
    pub epsilon: f64,
}

/// What exploration goes out from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Around {
    /// The rule's action; the default where a request has none.
    Rule,
    /// The declared default.
    Default,
}

/// When the model decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStep {
    /// Once so many explored decisions have a label; without exploration, so many of the step before.
    pub after: u64,
}

/// What the lake holds of one strategy, as far as its ladder asks. Decisions that were imported are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LadderCounts {
    /// Decisions that came with the rule's action.
    pub n_with_rule: u64,
    /// Labelled decisions of the step `default`.
    pub n_labelled_default: u64,
    /// Labelled decisions of the step `apprentice`.
    pub n_labelled_apprentice: u64,
    /// Labelled decisions of the step `exploration` whose action was drawn.
    pub n_labelled_explored: u64,
}

/// A gate: what opens a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LadderGate {
    /// The step behind it.
    pub to: LadderStep,
    /// What is counted, in words.
    pub counts: &'static str,
    /// How many there are.
    pub n: u64,
    /// How many open it.
    pub after: u64,
}

impl LadderGate {
    /// True once there are enough.
    pub fn is_open(&self) -> bool {
        self.n >= self.after
    }
}

impl fmt::Display for LadderGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, counts, n, after } = self;
        write!(f, "{to} begins after {after} {counts}; there are {n}")
    }
}

impl Ladder {
    /// The declared gates, in their order.
    pub fn gates(&self, counts: &LadderCounts) -> Vec<LadderGate> {
        let mut gates = Vec::new();
        let labelled_default = ("labelled decisions of the step default", counts.n_labelled_default);
        let mut before = labelled_default;
        if let Some(ApprenticeStep { after }) = self.apprentice {
            gates.push(LadderGate {
                to: LadderStep::Apprentice,
                counts: "decisions with the rule's action",
                n: counts.n_with_rule,
                after,
            });
            before = (
                "labelled decisions of the step apprentice",
                counts.n_labelled_apprentice,
            );
        }
        if let Some(ExplorationStep { after, .. }) = self.exploration {
            gates.push(LadderGate {
                to: LadderStep::Exploration,
                counts: before.0,
                n: before.1,
                after,
            });
            before = ("explored decisions with a label", counts.n_labelled_explored);
        }
        gates.push(LadderGate {
            to: LadderStep::Model,
            counts: before.0,
            n: before.1,
            after: self.model.after,
        });
        gates
    }

    /// Where a strategy with these counts stands: behind the last of the gates that are open without a closed one before
    /// them.
    pub fn step(&self, counts: &LadderCounts) -> LadderStep {
        let gates = self.gates(counts);
        let open = gates.iter().take_while(|gate| gate.is_open());
        open.last().map_or(LadderStep::Default, |gate| gate.to)
    }

    /// The first gate that is closed; `None` on the last step.
    pub fn next_gate(&self, counts: &LadderCounts) -> Option<LadderGate> {
        self.gates(counts).into_iter().find(|gate| !gate.is_open())
    }
}

/// A move of a strategy to another step: one row of the `ladder_moves` table. The latest row of a strategy counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LadderMove {
    /// The strategy.
    pub strategy: StrategyName,
    /// Counts the moves of this strategy: 1, 2, 3, …
    pub sequence: u32,
    /// Where it stood.
    pub from: LadderStep,
    /// Where it stands.
    pub to: LadderStep,
    /// When.
    pub moved_at: Micros,
    /// Who moved it: the run of the job, and its host and process.
    pub moved_by: String,
    /// Why, in words.
    pub reason: String,
    /// What the lake held then.
    pub counts: LadderCounts,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LADDER: Ladder = Ladder {
        apprentice: Some(ApprenticeStep { after: 10 }),
        exploration: Some(ExplorationStep {
            after: 20,
            around: Around::Rule,
            epsilon: 0.2,
        }),
        model: ModelStep { after: 30 },
    };

    fn counts(n_with_rule: u64, n_labelled_apprentice: u64, n_labelled_explored: u64) -> LadderCounts {
        LadderCounts {
            n_with_rule,
            n_labelled_default: 1000,
            n_labelled_apprentice,
            n_labelled_explored,
        }
    }

    #[test]
    fn each_gate_opens_at_its_own_amount_and_none_before_the_one_below() {
        use LadderStep::{Apprentice, Default, Exploration, Model};
        for (found, expected) in [
            (counts(0, 0, 0), Default),
            (counts(9, 0, 0), Default),
            (counts(9, 99, 99), Default),
            (counts(10, 0, 0), Apprentice),
            (counts(10, 19, 99), Apprentice),
            (counts(10, 20, 0), Exploration),
            (counts(10, 20, 29), Exploration),
            (counts(10, 20, 30), Model),
        ] {
            assert_eq!(LADDER.step(&found), expected, "{found:?}");
        }
        assert_eq!(
            LADDER.next_gate(&counts(10, 19, 0)).map(|gate| gate.to_string()),
            Some("exploration begins after 20 labelled decisions of the step apprentice; there are 19".into())
        );
        assert_eq!(LADDER.next_gate(&counts(10, 20, 30)), None);
    }

    #[test]
    fn steps_that_are_left_out_hand_their_gate_to_the_next() {
        let without_rule = Ladder {
            apprentice: None,
            ..LADDER
        };
        let found = |n_labelled_default| LadderCounts {
            n_labelled_default,
            ..LadderCounts::default()
        };
        assert_eq!(without_rule.step(&found(19)), LadderStep::Default);
        assert_eq!(without_rule.step(&found(20)), LadderStep::Exploration);
        let without_exploration = Ladder {
            exploration: None,
            ..LADDER
        };
        assert_eq!(without_exploration.step(&counts(10, 29, 0)), LadderStep::Apprentice);
        assert_eq!(without_exploration.step(&counts(10, 30, 0)), LadderStep::Model);
        let neither = Ladder {
            apprentice: None,
            exploration: None,
            ..LADDER
        };
        assert_eq!(neither.step(&found(29)), LadderStep::Default);
        assert_eq!(neither.step(&found(30)), LadderStep::Model);
    }
}
