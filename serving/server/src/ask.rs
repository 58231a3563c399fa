//! Owns what is asked for: a request for a decision whose strategy is known and whose context is checked against it.
//!
//! A request comes to it in one of two ways: scanned straight from the body (see [`scan`](crate::scan)), or checked
//! from the tree that a body was parsed to, which can say what is wrong.

use std::sync::Arc;

use lakeloop_domain::{DecisionId, Micros, UnitId, ValueRef};

use crate::candidates::Candidates;
use crate::context;
use crate::fields::words;
use crate::hosting::Hosted;
use crate::nearest::nearest;
use crate::problem::Problem;
use crate::scan::Scanner;
use crate::state::{Strategies, Strategy};
use crate::wire::DecideRequest;

/// A request for one decision, checked.
pub(crate) struct Asked<'r> {
    pub(crate) hosted: Arc<Hosted>,
    /// What decides: the strategy without its model, until that is known to be in memory.
    pub(crate) strategy: Arc<Strategy>,
    pub(crate) unit: &'r str,
    pub(crate) chosen_id: Option<&'r str>,
    pub(crate) event_time: Option<Micros>,
    /// The position of the action that the caller's own rule gives.
    pub(crate) rule_idx: Option<u32>,
    /// One value for each field of the blueprint's context.
    pub(crate) context: Vec<ValueRef<'r>>,
    /// What is to be put in order; empty unless the strategy ranks.
    pub(crate) candidates: Candidates<'r>,
}

impl<'r> Asked<'r> {
    /// Scans a body that is one request, with at most so many candidates; `None` where it must be parsed and checked.
    pub(crate) fn scan_body(
        strategies: &Strategies,
        body: &'r [u8],
        at_most: usize,
        received_at: Micros,
    ) -> Option<Self> {
        let mut scanner = Scanner::new(body)?;
        let asked = Self::scan(strategies, &mut scanner, at_most, received_at)?;
        scanner.is_done().then_some(asked)
    }

    /// Scans `{"decisions": […]}`.
    pub(crate) fn scan_batch(
        strategies: &Strategies,
        body: &'r [u8],
        at_most: usize,
        received_at: Micros,
    ) -> Option<Vec<Self>> {
        let mut scanner = Scanner::new(body)?;
        let mut all = Vec::new();
        scanner.object(|scanner, key| {
            (key == "decisions" && all.is_empty()).then_some(())?;
            scanner.list(|scanner| {
                all.push(Self::scan(strategies, scanner, at_most, received_at)?);
                Some(())
            })
        })?;
        (scanner.is_done() && !all.is_empty()).then_some(all)
    }

    /// The time of a scanned decision is that of its request: one that has its own is parsed.
    fn scan(strategies: &Strategies, scanner: &mut Scanner<'r>, at_most: usize, received_at: Micros) -> Option<Self> {
        let (mut strategy, mut unit, mut chosen_id, mut context) = (None, None, None, None);
        let (mut candidates, mut rule_action) = (None, None);
        // Where the context begins, when it comes before the strategy that says what it holds.
        let mut skipped: Option<Scanner<'r>> = None;
        scanner.object(|scanner, key| {
            let is_first = match key {
                "strategy" => strategy.replace(strategies.find(scanner.text()?)?).is_none(),
                "unit" => unit
                    .replace(scanner.text().filter(|unit| UnitId::allows(unit))?)
                    .is_none(),
                "decision_id" => {
                    let id = scanner.text().filter(|id| DecisionId::allows(id))?;
                    chosen_id.replace(id).is_none()
                }
                "context" => match strategy {
                    Some(known) => {
                        let known = known.plain();
                        let declared = &known.blueprint().context;
                        context
                            .replace(context::scan(declared, &known.places, received_at, scanner)?)
                            .is_none()
                            && skipped.is_none()
                    }
                    None => {
                        let is_first = skipped.replace(*scanner).is_none();
                        scanner.skip()?;
                        is_first
                    }
                },
                "candidates" => candidates
                    .replace(Candidates::scan(strategy?.plain(), scanner, at_most, received_at)?)
                    .is_none(),
                "rule_action" => rule_action.replace(scanner.text()?).is_none(),
                _ => false,
            };
            is_first.then_some(())
        })?;
        let hosted: &Arc<Hosted> = strategy?;
        let strategy = hosted.plain();
        if strategy.blueprint().ranks() != candidates.is_some() {
            return None;
        }
        let declared = &strategy.blueprint().context;
        let context = match (context, skipped) {
            (Some(context), _) => context,
            (None, Some(mut skipped)) => context::scan(declared, &strategy.places, received_at, &mut skipped)?,
            (None, None) => context::absent(declared)?,
        };
        let rule_idx = match rule_action {
            Some(action) => Some(position(strategy, action)?),
            None => None,
        };
        Some(Self {
            rule_idx,
            hosted: Arc::clone(hosted),
            strategy: Arc::clone(strategy),
            unit: unit?,
            chosen_id,
            event_time: None,
            context,
            candidates: candidates.unwrap_or_default(),
        })
    }

    /// Checks a request that was parsed against its strategy.
    pub(crate) fn check(
        hosted: Arc<Hosted>,
        request: &'r DecideRequest<'_>,
        max_candidates: usize,
        received_at: Micros,
    ) -> Result<Self, Problem> {
        let decided_at = request.event_time.unwrap_or(received_at);
        let strategy = Arc::clone(hosted.plain());
        let path = |name: &str| request.at.context_field(name);
        let rule_idx = match &request.rule_action {
            None => None,
            Some(action) => Some(position(&strategy, action).ok_or_else(|| no_action(&strategy, request, action))?),
        };
        Ok(Self {
            rule_idx,
            context: context::values(
                &strategy.blueprint().context,
                &strategy.places,
                &request.context,
                decided_at,
                &path,
            )?,
            candidates: Candidates::check(&strategy, request, max_candidates, decided_at)?,
            unit: request.unit.as_str(),
            chosen_id: request.chosen_id(),
            event_time: request.event_time,
            hosted,
            strategy,
        })
    }
}

/// The position of an action of the strategy.
fn position(strategy: &Strategy, action: &str) -> Option<u32> {
    let idx = strategy.bundle.actions().iter().position(|one| one == action)?;
    u32::try_from(idx).ok()
}

#[cold]
fn no_action(strategy: &Strategy, request: &DecideRequest<'_>, action: &str) -> Problem {
    let actions = || strategy.bundle.actions().iter().map(String::as_str);
    let shown: String = action.chars().take(80).collect();
    let detail = match nearest(action, actions()) {
        _ if actions().next().is_none() => {
            format!(
                "strategy `{}` does not choose among actions; leave `rule_action` out",
                strategy.name
            )
        }
        Some(meant) => format!("`{shown}` is no action of `{}`; did you mean `{meant}`?", strategy.name),
        None => format!(
            "`{shown}` is no action of `{}`; its actions are {}",
            strategy.name,
            words(actions().take(10))
        ),
    };
    Problem::invalid(request.at.field("rule_action"), detail)
}
