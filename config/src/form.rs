//! Forms: what the text or number of one key must look like, in the words of messages and of the JSON Schema.
//!
//! A form is named in the schema under [`KEYWORD`], which is how the structure check finds it again.

use lakeloop_domain::{FeatureViewName, InvalidId, StrategyName};
use schemars::{Schema, json_schema};

use crate::cron::Cron;
use crate::listen::ListenAddress;
use crate::quantity::{ByteSize, Period};
use crate::traces::{self, CollectorUrl};

/// The schema keyword that names a form. Editors ignore it.
pub(crate) const KEYWORD: &str = "x-form";

/// What a text or number must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A [`Period`].
    Period,
    /// A [`ByteSize`].
    Size,
    /// A [`Cron`].
    Cron,
    /// A [`ListenAddress`].
    Address,
    /// The origin of a page: scheme, host and perhaps a port.
    Origin,
    /// A [`CollectorUrl`].
    CollectorUrl,
    /// The name of an HTTP header.
    HeaderName,
    /// The value of an HTTP header.
    HeaderValue,
    /// A number in [0, 1].
    Probability,
    /// A number above 0.
    Positive,
    /// A [`StrategyName`].
    StrategyName,
    /// A [`FeatureViewName`].
    FeatureViewName,
    /// The name of a feature.
    FeatureName,
    /// A text that callers will repeat: an event, an action, what a unit is.
    Word,
}

impl Form {
    const ALL: [Self; 14] = [
        Self::Period,
        Self::Size,
        Self::Cron,
        Self::Address,
        Self::Origin,
        Self::CollectorUrl,
        Self::HeaderName,
        Self::HeaderValue,
        Self::Probability,
        Self::Positive,
        Self::StrategyName,
        Self::FeatureViewName,
        Self::FeatureName,
        Self::Word,
    ];

    /// The form that a schema names.
    pub(crate) fn of(schema: &serde_json::Value) -> Option<Self> {
        let name = schema.get(KEYWORD)?.as_str()?;
        Self::ALL.into_iter().find(|form| form.as_str() == name)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Period => "period",
            Self::Size => "size",
            Self::Cron => "cron",
            Self::Address => "address",
            Self::Origin => "origin",
            Self::CollectorUrl => "collector_url",
            Self::HeaderName => "header_name",
            Self::HeaderValue => "header_value",
            Self::Probability => "probability",
            Self::Positive => "positive",
            Self::StrategyName => "strategy_name",
            Self::FeatureViewName => "feature_view_name",
            Self::FeatureName => "feature_name",
            Self::Word => "word",
        }
    }

    /// What a value of the form is, with its article.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Period => "a duration",
            Self::Size => "a size",
            Self::Cron => "a cron expression",
            Self::Address => "an address",
            Self::Origin => "an origin",
            Self::CollectorUrl => "the URL of a collector",
            Self::HeaderName => "the name of a header",
            Self::HeaderValue => "the value of a header",
            Self::Probability => "a probability",
            Self::Positive => "a positive number",
            Self::StrategyName => "a strategy name",
            Self::FeatureViewName => "a feature view name",
            Self::FeatureName => "a feature name",
            Self::Word => "a word",
        }
    }

    /// What to write.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Period => "a number with a unit, such as \"5ms\", \"30m\", \"36h\" or \"90d\"",
            Self::Size => "a whole number with a unit, such as \"512KiB\" or \"64MiB\"",
            Self::Cron => {
                "minute, hour, day of month, month and day of week, such as \"*/5 * * * *\" for every five minutes"
            }
            Self::Address => "host:port, such as \"127.0.0.1:8080\"",
            Self::Origin => "scheme, host and perhaps a port in lower case, such as \"https://shop.example.org\"",
            Self::CollectorUrl => {
                "http or https, host, perhaps a port, and path, such as \"http://127.0.0.1:4318/v1/traces\""
            }
            Self::HeaderName => "1 to 64 of a-z, 0-9, `-` and `_`",
            Self::HeaderValue => "1 to 4096 visible ASCII characters, with spaces only between them",
            Self::Probability => "a number between 0 and 1",
            Self::Positive => "a number above 0, such as 0.1",
            Self::StrategyName | Self::FeatureViewName => "1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter",
            Self::FeatureName => "1 to 64 of letters, digits and `_`, beginning with a letter",
            Self::Word => "a text of 1 to 256 bytes without control characters",
        }
    }

    /// Checks a text. The inner error says what is wrong in particular, where there is more to say than
    /// [`Form::expected`] does.
    pub(crate) fn check(self, text: &str) -> Result<(), Option<String>> {
        match self {
            Self::Period => text.parse::<Period>().map(drop).map_err(Some),
            Self::Size => text.parse::<ByteSize>().map(drop).map_err(Some),
            Self::Cron => Cron::parse(text).map(drop).map_err(Some),
            Self::Address => text.parse::<ListenAddress>().map(drop).map_err(|error| Some(error.why)),
            Self::Origin => origin(text).map_err(|why| Some(why.to_owned())),
            Self::CollectorUrl => text.parse::<CollectorUrl>().map(drop).map_err(Some),
            Self::HeaderName => traces::check_header_name(text),
            Self::HeaderValue => traces::check_header_value(text),
            Self::Probability | Self::Positive => Err(None),
            Self::StrategyName => StrategyName::new(text).map(drop).map_err(|_: InvalidId| None),
            Self::FeatureViewName => FeatureViewName::new(text).map(drop).map_err(|_: InvalidId| None),
            Self::FeatureName => holds(is_feature_name(text)),
            Self::Word => holds(!text.trim().is_empty() && text.len() <= 256 && !text.chars().any(char::is_control)),
        }
    }

    /// The schema of a value of this form.
    pub(crate) fn schema(self) -> Schema {
        match self {
            Self::Probability => {
                json_schema!({"type": "number", "minimum": 0, "maximum": 1, "x-form": self.as_str()})
            }
            Self::Positive => json_schema!({"type": "number", "exclusiveMinimum": 0, "x-form": self.as_str()}),
            Self::StrategyName | Self::FeatureViewName => self.pattern("^[a-z][a-z0-9_-]{0,63}$"),
            Self::FeatureName => self.pattern("^[A-Za-z][A-Za-z0-9_]{0,63}$"),
            Self::Period => self.pattern(r"^\s*([0-9]+(\.[0-9]+)?\s*[A-Za-zµ]+\s*)+$"),
            Self::Size => self.pattern(r"^\s*[0-9]+\s*([KMGT]iB|kB|[MGT]B|B)\s*$"),
            Self::Cron => self.pattern(r"^\s*\S+(\s+\S+){4,5}\s*$"),
            Self::Address => self.pattern("^.+:[0-9]{1,5}$"),
            Self::Origin => self.pattern("^https?://[^/A-Z]+$"),
            Self::CollectorUrl => self.pattern("^https?://[^/?#@]+/[^?#]+$"),
            Self::HeaderName => self.pattern("^[a-z0-9_-]{1,64}$"),
            Self::HeaderValue => self.pattern("^[!-~]([ -~]{0,4094}[!-~])?$"),
            Self::Word => json_schema!({"type": "string", "minLength": 1, "maxLength": 256, "x-form": self.as_str()}),
        }
    }

    fn pattern(self, pattern: &str) -> Schema {
        json_schema!({"type": "string", "pattern": pattern, "x-form": self.as_str()})
    }
}

fn holds(condition: bool) -> Result<(), Option<String>> {
    if condition { Ok(()) } else { Err(None) }
}

fn is_feature_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Browsers compare origins letter by letter, so a form that no browser sends would never match.
fn origin(text: &str) -> Result<(), &'static str> {
    let Some(host) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return Err("it does not begin with https:// or http://");
    };
    if host.contains(['/', '?', '#', '@']) {
        return Err("an origin ends after the host and its port");
    }
    if host.is_empty()
        || host.contains(|c: char| c.is_whitespace() || c.is_control() || c.is_ascii_uppercase() || c == '*')
    {
        return Err("its host is none that a browser sends");
    }
    Ok(())
}

/// The schema of a list of origins.
pub(crate) fn origins(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": Form::Origin.schema()})
}

/// The schema of headers that the author names.
pub(crate) fn headers(_: &mut schemars::SchemaGenerator) -> Schema {
    let (names, values) = (Form::HeaderName.schema(), Form::HeaderValue.schema());
    json_schema!({"type": "object", "propertyNames": names, "additionalProperties": values})
}

/// A number in [0, 1].
pub(crate) fn probability(_: &mut schemars::SchemaGenerator) -> Schema {
    Form::Probability.schema()
}

/// A number above 0.
pub(crate) fn positive(_: &mut schemars::SchemaGenerator) -> Schema {
    Form::Positive.schema()
}

/// The schema of a list of at least one position of a ranking.
pub(crate) fn slots(_: &mut schemars::SchemaGenerator) -> Schema {
    let position = json_schema!({"type": "integer", "minimum": 1, "maximum": lakeloop_domain::Slots::LAST});
    json_schema!({"type": "array", "minItems": 1, "uniqueItems": true, "items": position})
}

/// The schema of a strategy's name.
pub(crate) fn strategy_name(_: &mut schemars::SchemaGenerator) -> Schema {
    Form::StrategyName.schema()
}

/// The schema of a word.
pub(crate) fn word(_: &mut schemars::SchemaGenerator) -> Schema {
    Form::Word.schema()
}

/// The schema of a list of at least two actions.
pub(crate) fn actions(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "minItems": 2, "uniqueItems": true, "items": Form::Word.schema()})
}
