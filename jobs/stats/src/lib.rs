//! Owns the mathematics that judges models, measurements and policies: metrics, calibration, intervals, moments, and what a
//! policy is worth that did not decide.
//!
//! Pure functions of numbers: no tables, files or clocks, and randomness only from a seed that is passed in. What is not
//! defined for its input (the AUC of one class, the variance of one number) is `None`, never 0; each function says when.
//!
//! Every formula names its source and assumptions where it stands. Golden values come from independent tools, and
//! intervals are also checked for how often they cover in simulation.

mod example;
pub mod metrics;

pub mod calibrate;
pub mod isotonic;
pub mod reliability;

pub mod clustered;
pub mod conformal;
pub mod interval;
pub mod looks;
mod mean;
mod normal;
mod ratio;
pub mod single_column;
mod student;

pub mod off_policy;

pub mod posterior;

pub use example::{ClassExample, Example};
pub use mean::Moments;
pub use normal::normal_quantile;
pub use ratio::{Bootstrap, Independent, RatioEstimate};
pub use student::student_two_sided;
