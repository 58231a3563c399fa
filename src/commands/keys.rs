//! `lakeloop keys`: who may ask this lakeloop's server for what.

use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Utc};
use lakeloop_config::Period;
use lakeloop_server::{ApiKey, KeyFile, KeyWish, Revocation};
use serde_json::{Value, json};

use crate::arguments::{KeysArguments, KeysCommand};
use crate::home;
use crate::instant;
use crate::output::Output;

/// Makes, lists or revokes API keys. Only the settings and the file of keys are touched; the lake is not.
pub fn run(home: &Path, args: &KeysArguments, output: &Output) -> anyhow::Result<()> {
    let settings = home::settings(home)?;
    let file = KeyFile::new(&settings.server.keys);
    let now = DateTime::from_timestamp_micros(home::now()).context("the clock of this machine is out of range")?;
    match &args.command {
        KeysCommand::Create {
            name,
            scopes,
            expires_in,
            expires_at,
            max_per_second,
        } => {
            let wish = KeyWish {
                name: name.clone(),
                scopes: scopes.clone(),
                expires_at: expiry(now, expires_in.as_deref(), expires_at.as_deref())?,
                max_per_second: *max_per_second,
            };
            let (key, secret) = file.create(wish, now)?;
            let columns = ["id", "name", "scopes", "expires_at", "max_per_second", "key"];
            let row = vec![
                json!(key.id),
                json!(key.name),
                json!(key.scopes),
                shown(key.expires_at),
                json!(key.max_per_second),
                json!(secret.reveal()),
            ];
            output.rows(&columns, &[row])?;
            output.say(&format!(
                "the key is shown this once, and only its digest is kept in {}; a running server takes it up within {:?}",
                file.path().display(),
                settings.server.refresh_interval
            ))?;
            Ok(())
        }
        KeysCommand::List => {
            let columns = [
                "id",
                "name",
                "scopes",
                "status",
                "created_at",
                "expires_at",
                "revoked_at",
                "max_per_second",
            ];
            let keys = file.read()?.unwrap_or_default();
            output.rows(&columns, &keys.iter().map(|key| row(key, now)).collect::<Vec<_>>())
        }
        KeysCommand::Revoke { id } => Ok(output.say(&match file.revoke(id, now)? {
            Revocation::Revoked => {
                let within = settings.server.refresh_interval;
                format!("the key {id} is revoked; running servers refuse it within {within:?}")
            }
            Revocation::Already => format!("the key {id} was revoked already"),
        })?),
    }
}

fn row(key: &ApiKey, now: DateTime<Utc>) -> Vec<Value> {
    vec![
        json!(key.id),
        json!(key.name),
        json!(key.scopes),
        json!(key.status(now).as_str()),
        shown(Some(key.created_at)),
        shown(key.expires_at),
        shown(key.revoked_at),
        json!(key.max_per_second),
    ]
}

fn shown(at: Option<DateTime<Utc>>) -> Value {
    json!(at.map(|at| instant::text(at.timestamp_micros())))
}

/// The instant that one of the two flags names; `None` without a flag.
fn expiry(now: DateTime<Utc>, period: Option<&str>, at: Option<&str>) -> anyhow::Result<Option<DateTime<Utc>>> {
    if let Some(text) = period {
        let period = text.parse::<Period>().map_err(|why| {
            anyhow::anyhow!("--expires-in {text}: {why}; write a number with a unit, such as 36h or 90d")
        })?;
        let instant = DateTime::from_timestamp_micros(now.timestamp_micros().saturating_add(period.as_micros()));
        return instant
            .with_context(|| format!("--expires-in {text}: that is too far off"))
            .map(Some);
    }
    let read = |text: &str| {
        let at = DateTime::from_timestamp_micros(instant::parse("--expires-at", text)?);
        at.with_context(|| format!("--expires-at {text}: that is too far off"))
    };
    at.map(read).transpose()
}
