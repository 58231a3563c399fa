//! Caps: how often, how widely and at what cost a strategy may choose something else than its default.
//!
//! What a cap forbids at the moment of a decision is a set of *blocked* actions; the default is never among them. Counting
//! what was taken is the server's business; what these declarations mean is said here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of parts that one is divided into.
const PARTS: f64 = 1e6;

/// An amount of a resource, in millionths: sums of amounts are exact, in whatever order they are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub u64);

impl Amount {
    /// The largest number that an amount may be: sums of many such amounts fit 64 bits.
    pub const LARGEST: f64 = 1e12;

    /// The amount that is nearest to a number in [0, 10¹²]; `None` for other numbers, and for those above 0 that would
    /// become 0.
    ///
    /// ```
    /// use lakeloop_domain::Amount;
    /// assert_eq!(Amount::from_number(0.3), Some(Amount(300_000)));
    /// assert_eq!(Amount::from_number(1e-7), None);
    /// assert_eq!(Amount::from_number(f64::NAN), None);
    /// ```
    pub fn from_number(number: f64) -> Option<Self> {
        if !(0.0..=Self::LARGEST).contains(&number) {
            return None;
        }
        let parts = (number * PARTS).round() as u64;
        (parts > 0 || number == 0.0).then_some(Self(parts))
    }

    /// The amount as a number.
    pub fn as_number(self) -> f64 {
        self.0 as f64 / PARTS
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_number().fmt(f)
    }
}

/// The caps of one strategy. A decision *takes* when it chooses an action other than the default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Caps {
    /// How often one unit may be taken for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_unit: Option<UnitCap>,
    /// Of the decisions of every clock hour (UTC), at most this share takes; in (0, 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_share: Option<f64>,
    /// What may be used of each resource, by name in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceCap>,
}

impl Caps {
    /// The period over which the share of traffic is counted: a clock hour.
    pub const SHARE_PERIOD_US: i64 = 3_600_000_000;
}

/// At most `limit` decisions of one unit take in any period of this length, wherever it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitCap {
    /// How many, at least 1.
    pub limit: u32,
    /// The length of the period.
    pub every_us: i64,
}

/// The budget of one resource: at most `limit` of it is used in each clock period. Clock periods are those that begin at
/// whole multiples of their length since 1970-01-01T00:00:00Z, so that a budget for an hour or a day renews with the hour or
/// the day in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceCap {
    /// The resource's name.
    pub name: String,
    /// How much of it may be used, more than 0.
    pub limit: Amount,
    /// The length of the period.
    pub every_us: i64,
    /// How much each action uses, in declared order of the actions; actions that are not named use none. Empty: every
    /// action but the default uses 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<ActionUse>,
}

/// How much of a resource one action uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionUse {
    /// The action; never the default.
    pub action: String,
    /// How much one decision for it uses.
    pub amount: Amount,
}

impl ResourceCap {
    /// What a decision for an action uses; nothing for the default.
    pub fn use_of(&self, action: &str, default: &str) -> Amount {
        if action == default {
            return Amount(0);
        }
        if self.uses.is_empty() {
            return Amount(PARTS as u64);
        }
        let named = self.uses.iter().find(|used| used.action == action);
        named.map_or(Amount(0), |used| used.amount)
    }
}
