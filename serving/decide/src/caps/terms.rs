//! What caps say: the limits of a blueprint by position of its actions, and the kinds of cap that block one.

use lakeloop_domain::{Blueprint, UnitCap};

/// A kind of cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CapKind {
    /// The unit had as much as it may.
    PerUnit,
    /// The share of traffic is used up.
    TrafficShare,
    /// A resource is used up.
    Resource,
    /// There is no room to remember one more taking.
    Entries,
    /// What was taken before is not known yet, or not known any more.
    Unknown,
}

impl CapKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::PerUnit,
        Self::TrafficShare,
        Self::Resource,
        Self::Entries,
        Self::Unknown,
    ];

    /// The word that metrics use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PerUnit => "per_unit",
            Self::TrafficShare => "traffic_share",
            Self::Resource => "resource",
            Self::Entries => "entries",
            Self::Unknown => "unknown",
        }
    }
}

/// The caps of a blueprint, by position of its actions.
#[derive(Debug, Clone, PartialEq)]
pub struct CapTerms {
    pub(super) actions: Vec<String>,
    pub(super) default_idx: usize,
    pub(super) per_unit: Option<UnitCap>,
    pub(super) traffic_share: Option<f64>,
    pub(super) resources: Vec<ResourceTerms>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResourceTerms {
    pub(super) limit: u64,
    pub(super) every_us: i64,
    /// What each action uses.
    pub(super) uses: Vec<u64>,
}

impl CapTerms {
    /// The caps of a blueprint; `None` where it has none, or nothing to choose among.
    pub fn of(blueprint: &Blueprint) -> Option<Self> {
        let caps = blueprint.caps.as_ref()?;
        let default = blueprint.default_action()?;
        let actions = blueprint.actions();
        let default_idx = actions.iter().position(|action| action == default)?;
        let resources = caps.resources.iter().map(|cap| ResourceTerms {
            limit: cap.limit.0,
            every_us: cap.every_us.max(1),
            uses: actions.iter().map(|action| cap.use_of(action, default).0).collect(),
        });
        Some(Self {
            default_idx,
            per_unit: caps.per_unit,
            traffic_share: caps.traffic_share,
            resources: resources.collect(),
            actions,
        })
    }

    /// How long a taking may matter: those from longer before the newest instant are forgotten.
    pub fn memory_us(&self) -> i64 {
        let resources = self.resources.iter().map(|resource| resource.every_us);
        let unit = self.per_unit.map(|cap| cap.every_us);
        resources.chain(unit).max().unwrap_or(0).saturating_mul(2)
    }

    /// The position of an action; `None` for the default and for words that are no action.
    pub fn taking(&self, action: &str) -> Option<usize> {
        let position = self.actions.iter().position(|one| one == action);
        position.filter(|idx| *idx != self.default_idx)
    }

    /// The position of the default action.
    pub fn default_idx(&self) -> usize {
        self.default_idx
    }

    /// Every action but the default, blocked by the same cap.
    pub fn all_blocked(&self, by: CapKind) -> Blocked {
        let actions: Vec<u32> = self
            .takings()
            .map(|idx| u32::try_from(idx).unwrap_or(u32::MAX))
            .collect();
        Blocked {
            by: vec![by; actions.len()],
            actions,
        }
    }

    pub(super) fn takings(&self) -> impl Iterator<Item = usize> {
        (0..self.actions.len()).filter(|idx| *idx != self.default_idx)
    }
}

/// The actions that caps block at a moment, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocked {
    /// Positions of the actions, in order; never the default.
    pub actions: Vec<u32>,
    /// For each the first cap that blocks it.
    pub by: Vec<CapKind>,
}
