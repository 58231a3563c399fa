//! Gates: what a blueprint must show before it is put in force.

use serde::{Deserialize, Serialize};

/// The gates that a blueprint declares. Without any, whatever is valid is applied.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Gate {
    /// What the decisions that would be made must be worth on logged ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_policy: Option<OffPolicyGate>,
}

/// No worse than what was logged, within a margin: a test of non-inferiority on the difference of the two values. It
/// passes when the interval of the difference lies above −`margin`; where the log cannot tell, it does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OffPolicyGate {
    /// The loss that is accepted, in units of the label for each decision: at least 0.
    pub margin: f64,
    /// The confidence of the two-sided interval, in (0, 1).
    pub confidence: f64,
}

impl Gate {
    /// True when nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.off_policy.is_none()
    }
}
