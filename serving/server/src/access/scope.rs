//! Owns the scopes of API keys: what a key lets its holder do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One thing that a key can allow. No scope includes another: a key does what its list says, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Ask for decisions and scores.
    Predict,
    /// Report outcomes.
    Observe,
    /// Read what is registered, the description of the interface, and metrics.
    Read,
    /// Operate the server.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Predict, Self::Observe, Self::Read, Self::Admin];

    /// Its name, as files, the command line and answers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Observe => "observe",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scope; write predict, observe, read or admin")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scopes(u8);

impl Scopes {
    /// True when the set holds this scope.
    pub(crate) fn allow(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_and_written_and_none_includes_another() {
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse::<Scope>(), Ok(scope));
            let alone: Scopes = [scope].into_iter().collect();
            let allowed: Vec<Scope> = Scope::ALL.into_iter().filter(|other| alone.allow(*other)).collect();
            assert_eq!(allowed, [scope]);
        }
        let message = "Predict".parse::<Scope>().unwrap_err().to_string();
        assert_eq!(message, "`Predict` is no scope; write predict, observe, read or admin");
    }
}
