//! The routes as metrics, log lines and traces tell them apart: a closed set, whatever paths callers send.

/// The routes that are told apart; everything else is `other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Decide,
    DecideBatch,
    Observe,
    Predict,
    Strategies,
    Models,
    Flush,
    Health,
    Ready,
    Metrics,
    Infer,
    InferenceMetadata,
    EvaluateFlag,
    EvaluateFlags,
    Rank,
    Reward,
    Reference,
    Other,
}

impl Route {
    pub(super) const N: usize = Self::Other as usize + 1;

    /// The route of a request path.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/decide" => Self::Decide,
            "/v1/decide/batch" => Self::DecideBatch,
            "/v1/observe" => Self::Observe,
            "/v1/predict" => Self::Predict,
            "/v1/strategies" => Self::Strategies,
            "/v1/models" => Self::Models,
            "/v1/admin/flush" => Self::Flush,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/ofrep/v1/evaluate/flags" => Self::EvaluateFlags,
            "/personalizer/v1.0/rank" => Self::Rank,
            "/v2" => Self::InferenceMetadata,
            "/openapi.json" | "/docs" => Self::Reference,
            path if path.starts_with("/v2/") => match path.ends_with("/infer") {
                true => Self::Infer,
                false => Self::InferenceMetadata,
            },
            path if path.starts_with("/ofrep/v1/evaluate/flags/") => Self::EvaluateFlag,
            path if path.starts_with("/personalizer/v1.0/events/") => Self::Reward,
            path if path.starts_with("/docs/") => Self::Reference,
            _ => Self::Other,
        }
    }

    /// The path that stands for it in metrics and logs.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Decide => "/v1/decide",
            Self::DecideBatch => "/v1/decide/batch",
            Self::Observe => "/v1/observe",
            Self::Predict => "/v1/predict",
            Self::Strategies => "/v1/strategies",
            Self::Models => "/v1/models",
            Self::Flush => "/v1/admin/flush",
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
            Self::Infer => "/v2/models/{model}/infer",
            Self::InferenceMetadata => "/v2",
            Self::EvaluateFlag => "/ofrep/v1/evaluate/flags/{key}",
            Self::EvaluateFlags => "/ofrep/v1/evaluate/flags",
            Self::Rank => "/personalizer/v1.0/rank",
            Self::Reward => "/personalizer/v1.0/events/{eventId}",
            Self::Reference => "/docs",
            Self::Other => "other",
        }
    }

    /// True for what looks at the server rather than uses it: it is not counted as load, and not traced unless its caller says so.
    pub(crate) fn is_of_watchers(self) -> bool {
        matches!(self, Self::Health | Self::Ready | Self::Metrics)
    }
}
