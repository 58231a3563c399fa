//! Owns the checking of what is to be put in order: the candidates of a request become ids and values, in the order of the
//! request and of the blueprint's fields.
//!
//! What is said of the context in [`context`](crate::context) holds for each candidate. Ids are a request's own: each stands
//! there once. A strategy that ranks needs candidates, and no other takes any.

use std::collections::HashSet;

use lakeloop_domain::{CandidateId, Micros, ValueRef};

use crate::context;
use crate::problem::Problem;
use crate::scan::Scanner;
use crate::state::Strategy;
use crate::wire::DecideRequest;

/// The candidates of one request, checked.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Candidates<'r> {
    /// Their ids.
    pub(crate) ids: Vec<&'r str>,
    /// Their values, one after the other: of each one value for each field of the blueprint's candidates.
    pub(crate) values: Vec<ValueRef<'r>>,
}

impl<'r> Candidates<'r> {
    /// Scans the list, with the scanner before it; `None` where [`check`](Self::check) must judge.
    pub(crate) fn scan(
        strategy: &Strategy,
        scanner: &mut Scanner<'r>,
        at_most: usize,
        decided_at: Micros,
    ) -> Option<Self> {
        let blueprint = strategy.blueprint();
        let mut candidates = Self::default();
        scanner.list(|scanner| {
            let (mut id, mut values) = (None, None);
            scanner.object(|scanner, key| {
                let is_first = match key {
                    "id" => id
                        .replace(scanner.text().filter(|id| CandidateId::allows(id))?)
                        .is_none(),
                    "context" => values
                        .replace(context::scan(
                            &blueprint.candidates,
                            &strategy.candidate_places,
                            decided_at,
                            scanner,
                        )?)
                        .is_none(),
                    _ => false,
                };
                is_first.then_some(())
            })?;
            candidates.ids.push(id?);
            candidates.values.extend(match values {
                Some(values) => values,
                None => context::absent(&blueprint.candidates)?,
            });
            Some(())
        })?;
        let is_sound = (1..=at_most).contains(&candidates.ids.len()) && candidates.repeated().is_none();
        (blueprint.ranks() && is_sound).then_some(candidates)
    }

    /// Checks the candidates of a request that was parsed.
    pub(crate) fn check(
        strategy: &Strategy,
        request: &'r DecideRequest<'_>,
        at_most: usize,
        decided_at: Micros,
    ) -> Result<Self, Problem> {
        let (blueprint, name) = (strategy.blueprint(), &strategy.name);
        let refuse = |detail: String| Err(Problem::invalid(request.at.field("candidates"), detail));
        let given = match (&request.candidates, blueprint.ranks()) {
            (None, false) => return Ok(Self::default()),
            (Some(_), false) => {
                return refuse(format!(
                    "strategy `{name}` does not rank, so it takes no candidates; leave `candidates` out"
                ));
            }
            (None, true) => {
                return refuse(format!(
                    "strategy `{name}` ranks; send what is to be put in order as `candidates`: [{{\"id\": …, \"context\": {{…}}}}, …]"
                ));
            }
            (Some(given), true) => given,
        };
        if given.len() > at_most {
            return refuse(format!(
                "`candidates` holds {}; send at most {at_most}, or raise server.max_candidates in lakeloop.toml",
                given.len()
            ));
        }
        let mut candidates = Self::default();
        for candidate in given {
            let path = |name: &str| candidate.at.context_field(name);
            let values = context::values(
                &blueprint.candidates,
                &strategy.candidate_places,
                &candidate.context,
                decided_at,
                &path,
            )?;
            candidates.ids.push(candidate.id.as_str());
            candidates.values.extend(values);
        }
        match candidates.repeated() {
            None => Ok(candidates),
            Some(idx) => Err(Problem::invalid(
                given[idx].at.field("id"),
                format!(
                    "`{}` is the id of an earlier candidate; give each its own",
                    candidates.ids[idx]
                ),
            )),
        }
    }

    /// The first candidate whose id an earlier one has.
    fn repeated(&self) -> Option<usize> {
        let mut seen = HashSet::with_capacity(self.ids.len());
        self.ids.iter().position(|id| !seen.insert(*id))
    }
}
