//! Owns the mathematics that judges models and measurements: metrics, calibration, intervals, moments.
//!
//! Pure functions of numbers: no tables, files, clocks or randomness, and nothing of lakeloop's nouns. What is not
//! defined for its input (the AUC of one class, the variance of one number) is `None`, never 0; each function says when.
//!
//! Every formula names its source and assumptions where it stands. Golden values come from independent tools, and
//! intervals are also checked for how often they cover in simulation.

mod example;
pub mod metrics;

pub mod calibrate;

pub mod interval;
mod mean;
mod normal;

pub use example::{ClassExample, Example};
pub use mean::Moments;
pub use normal::normal_quantile;
