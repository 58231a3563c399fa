//! Identifiers, each a type of its own that is checked where it is made.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is no identifier of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no {kind}: {expected}")]
pub struct InvalidId {
    /// What the text was meant to name, in words.
    pub kind: &'static str,
    /// The text, shortened to at most 80 characters.
    pub found: String,
    /// What to write instead.
    pub expected: &'static str,
}

impl InvalidId {
    fn new(kind: &'static str, found: &str, expected: &'static str) -> Self {
        Self {
            kind,
            found: found.chars().take(80).collect(),
            expected,
        }
    }
}

/// A name that is also safe as a folder, a metric label and a part of a URL.
fn is_slug(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && text.len() <= 64
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// An identifier that callers choose freely: printable, not empty, at most 256 bytes.
#[inline]
fn is_token(text: &str) -> bool {
    let has_control = |text: &str| match text.is_ascii() {
        true => text.bytes().any(|byte| byte.is_ascii_control()),
        false => text.chars().any(char::is_control),
    };
    !text.is_empty() && text.len() <= 256 && !has_control(text)
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text and takes it.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                if Self::allows(&text) { Ok(Self(text)) } else { Err(InvalidId::new($kind, &text, $expected)) }
            }

            /// True when the text is such an identifier.
            #[inline]
            pub fn allows(text: &str) -> bool {
                $check(text)
            }

            /// The text of the identifier.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }
    };
}

text_id!(
    /// The name of a strategy, as its blueprint declares it.
    StrategyName, "strategy name", is_slug,
    "write 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter"
);
text_id!(
    /// The name of a feature view: a table of features by entity and event time.
    FeatureViewName, "feature view name", is_slug,
    "write 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter"
);
text_id!(
    /// Names one decision for ever; made by the server or chosen by the caller.
    DecisionId, "decision id", is_token,
    "write 1 to 256 bytes without control characters"
);
text_id!(
    /// Whom or what a decision is for.
    UnitId, "unit", is_token,
    "write 1 to 256 bytes without control characters"
);
text_id!(
    /// Names one candidate of a ranking, for ever: what outcomes are reported for.
    CandidateId, "candidate id", is_token,
    "write 1 to 256 bytes without control characters"
);
text_id!(
    /// Names one reported outcome; two reports with one id are one outcome.
    OutcomeId, "outcome id", is_token,
    "write 1 to 256 bytes without control characters"
);
text_id!(
    /// Names one run of a job.
    RunId, "run id", is_token,
    "write 1 to 256 bytes without control characters"
);
text_id!(
    /// Names one training set that was built.
    TrainingSetId, "training set id", is_token,
    "write 1 to 256 bytes without control characters"
);
text_id!(
    /// Names one evaluation of a candidate on logged decisions.
    EvaluationId, "evaluation id", is_token,
    "write 1 to 256 bytes without control characters"
);

fn is_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

text_id!(
    /// The version of a blueprint: the first 16 hexadecimal digits of the SHA-256 of its canonical form, so that the
    /// same declaration always has the same version.
    BlueprintVersion, "blueprint version", is_hash,
    "write the 16 hexadecimal digits that `lakeloop validate` prints"
);

/// The version of a model within its strategy: 1, 2, 3, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelVersion(pub u32);

impl fmt::Display for ModelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
