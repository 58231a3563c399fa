//! The server as its callers see it: over HTTP, against a lake in a temporary folder and a journal on a disk that fails
//! on demand. Time stands still unless a test moves it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod collector;
mod logged;
mod support;

mod access;
mod bounds;
mod caps;
mod clients;
mod cors;
mod decide;
mod drain;
mod features;
mod hosting;
mod models;
mod observe;
mod policies;
mod protocols;
mod rank;
mod refusals;
mod repeats;
mod restart;
mod snapshots;
mod timestamps;
mod tls;
mod traces;
mod trail;
