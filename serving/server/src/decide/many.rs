//! Owns requests for many decisions: each is checked and decided for itself, and what is new is logged in one append.

use actix_web::web::Bytes;
use futures::future::{join_all, try_join_all};
use lakeloop_domain::Micros;
use lakeloop_journal::Position;

use super::{Checked, check, commit, prepare, recognised};
use crate::answers::{First, Prepared};
use crate::ask::Asked;
use crate::json::Json;
use crate::problem::Problem;
use crate::state::App;
use crate::wire::DecideRequest;

/// Answers a batch: `{"decisions": [{…}, …]}` in the order of the requests.
pub(crate) async fn batch(app: &App, body: &[u8]) -> Result<Vec<u8>, Problem> {
    let received_at = (app.clock)();
    let scanned = Asked::scan_batch(&app.strategies.load(), body, app.limits.max_candidates, received_at);
    let answers = match scanned {
        Some(all) => {
            let ready = all
                .into_iter()
                .map(|asked| async move { made_ready(app, recognised(app, asked)?, received_at).await });
            logged(app, try_join_all(ready).await?).await?
        }
        None => {
            let requests = DecideRequest::read_many(Json::parse(body)?, app.limits.event_times)?;
            parsed(app, &requests, received_at).await?
        }
    };
    Ok(joined(&answers))
}

/// The answers to a batch as one body.
pub(crate) fn joined(answers: &[Bytes]) -> Vec<u8> {
    let mut body = br#"{"decisions":["#.to_vec();
    for (idx, answer) in answers.iter().enumerate() {
        if idx > 0 {
            body.push(b',');
        }
        body.extend_from_slice(answer);
    }
    body.extend_from_slice(b"]}");
    body
}

/// Answers many requests in their order; one that is refused refuses all, and then nothing is logged.
pub(crate) async fn all(app: &App, requests: Vec<DecideRequest<'_>>) -> Result<Vec<Bytes>, Problem> {
    parsed(app, &requests, (app.clock)()).await
}

async fn parsed(app: &App, requests: &[DecideRequest<'_>], received_at: Micros) -> Result<Vec<Bytes>, Problem> {
    let ready = requests
        .iter()
        .map(|request| async move { made_ready(app, check(app, request, received_at)?, received_at).await });
    logged(app, try_join_all(ready).await?).await
}

/// Answers many requests in their order, each for itself: those that are refused are left out of what is logged.
pub(crate) async fn each(app: &App, requests: Vec<DecideRequest<'_>>) -> Result<Vec<Result<Bytes, Problem>>, Problem> {
    let received_at = (app.clock)();
    let ready = requests
        .iter()
        .map(|request| async move { made_ready(app, check(app, request, received_at)?, received_at).await });
    let mut refusals = Vec::new();
    let mut taken = Vec::new();
    for one in join_all(ready).await {
        match one {
            Ok(ready) => {
                refusals.push(None);
                taken.push(ready);
            }
            Err(problem) => refusals.push(Some(problem)),
        }
    }
    let mut answers = logged(app, taken).await?.into_iter();
    let answered = refusals.into_iter().filter_map(|refusal| match refusal {
        Some(problem) => Some(Err(problem)),
        None => answers.next().map(Ok),
    });
    Ok(answered.collect())
}

/// Logs what is new in one append and answers all, in order, once it is as durable as the settings ask for.
async fn logged(app: &App, ready: Vec<Ready>) -> Result<Vec<Bytes>, Problem> {
    let mut fresh = Vec::with_capacity(ready.len());
    let mut known = Vec::with_capacity(ready.len());
    for one in ready {
        known.push(match one {
            Ready::Known(first) => Some(first),
            Ready::New(prepared) => {
                fresh.push(prepared);
                None
            }
        });
    }
    let mut committed = commit(app, fresh)?.into_iter();
    let firsts: Vec<First> = known
        .into_iter()
        .filter_map(|first| first.or_else(|| committed.next()))
        .collect();
    let position: Option<Position> = firsts.iter().filter_map(|first| first.position).max();
    if let Some(position) = position {
        app.journals.decisions.acknowledged(position).await?;
    }
    Ok(firsts.into_iter().map(|first| first.answer).collect())
}

/// A request that was decided, or had been before.
enum Ready {
    Known(First),
    New(Prepared),
}

async fn made_ready(app: &App, checked: Checked<'_>, received_at: Micros) -> Result<Ready, Problem> {
    match checked {
        Checked::Known(first) => Ok(Ready::Known(first)),
        Checked::New(asked) => prepare(app, asked, received_at).await.map(Ready::New),
    }
}
