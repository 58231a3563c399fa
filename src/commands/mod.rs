//! One file a command: each reads its arguments, calls the room that does the work, and prints what came of it.

pub mod apply;
pub mod card;
pub mod evaluate;
pub mod front;
pub mod import;
pub mod init;
pub mod jobs;
pub mod keys;
pub mod ladder;
pub mod models;
pub mod plan;
pub mod replay;
pub mod rollback;
pub mod serve;
pub mod sql;
pub mod validate;
