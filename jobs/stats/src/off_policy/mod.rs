//! Owns what a policy is worth that did not decide: its value, estimated from decisions of another policy whose
//! probabilities were logged.
//!
//! ```text
//! LoggedRow ─► Log ─► supported(rules)? ─► Supported ─► estimate(Estimator) ─► RatioEstimate: value, spread
//!                        └ Refusal, with a reason           └ Refusal
//! ```
//!
//! Notation: row i has a context x, the logged action a with its reward r, the probability p = π_b(a|x) with which the
//! logging (behaviour) policy chose it, the target policy's π_e(·|x), and perhaps q̂(x, ·), a model's expected rewards.
//! The importance weight is w = π_e(a|x) / p. ω is how much a row counts. The value is E[r] if the target policy decided.
//!
//! What all estimators assume: contexts that come as they will come to the target policy; rewards that depend on the
//! row's own context and action only; propensities that are right; and support, π_e(a|x) > 0 only where π_b(a|x) > 0.
//! Support is checked before anything is estimated. Intervals further assume independent rows, or units.
//! For q̂ they assume that the model was not fitted on the very rows that it is used on.
//!
//! ```
//! use lakeloop_stats::Independent;
//! use lakeloop_stats::off_policy::{Behaviour, Estimator, Log, LoggedRow, Rules};
//!
//! let mut log = Log::new();
//! for idx in 0..1000 {
//!     // Two actions were tried equally often. The first pays 0 or 1 in turn, the second 2; the target policy prefers it.
//!     let action_idx = idx % 2;
//!     log.push(&LoggedRow {
//!         action_idx,
//!         position: 0,
//!         reward: [(idx / 2 % 2) as f64, 2.0][action_idx],
//!         behaviour: Behaviour::All(&[0.5, 0.5]),
//!         target: &[0.2, 0.8],
//!         q_hat: None,
//!         unit: None,
//!         weight: 1.0,
//!     })?;
//! }
//! let supported = log.supported(&Rules::default())?;
//! let value = supported.estimate(Estimator::Snips { clip: None })?;
//! let gain = value.minus(&supported.logged_value()?).and_then(|gain| gain.interval(0.95, Independent::Rows));
//! assert!((value.value() - 1.7).abs() < 1e-12);
//! assert!(gain.is_some_and(|gain| gain.low > 0.3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod estimator;
mod log;
mod refusal;
mod slate;
mod support;

pub use estimator::Estimator;
pub use log::{Behaviour, Log, LogError, LoggedRow};
pub use refusal::Refusal;
pub use slate::{PositionSupport, SlateEstimator, SlateLog, SlateProbability, SlateWeight, Slot};
pub use support::{ActionSupport, Diagnostics, Rules, Supported};
