//! The search of a shop: each query brings twelve candidates, of which six are shown in order.
//!
//! A customer types into a department, has a budget and a device. An item has a department, a price, a rating, a stock and
//! an age. The probability that a shopper who looks at an item clicks it is a product of how well these match (hidden from
//! lakeloop), between 2 % and 92 %. Shoppers look at the first position and ever more seldom at those below; how seldom
//! depends on the position alone, so the best order is by the probability of a click, and its value the expected number of
//! clicks. The request's own order says nothing about either.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const DEPARTMENTS: [&str; 5] = ["shoes", "bags", "hats", "coats", "scarves"];
const DEVICES: [&str; 2] = ["phone", "web"];
const SUPPLIERS: [&str; 3] = ["north", "east", "west"];
const N_ITEMS: usize = 400;
const N_CANDIDATES: usize = 12;

/// An item of the shop.
struct Item {
    department: usize,
    price: f64,
    rating: Option<f64>,
    in_stock: bool,
    days_listed: f64,
    supplier: usize,
}

/// One candidate of a query.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The item's name.
    pub id: String,
    /// What is known about it, as the decide request sends it; new items have no rating.
    pub context: Value,
    /// The true probability of a click by who looks at it.
    probability: f64,
    /// The query's luck with this item in [0, 1).
    luck: f64,
}

/// One query: what the product knows when it asks for an order.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    /// The query's name.
    pub unit: String,
    /// The context, as the decide request sends it; the device is missing for some.
    pub context: Value,
    /// The candidates, in no particular order.
    pub hits: Vec<Hit>,
}

/// The probability that a shopper looks at a position, counted from 0.
fn attention(position: usize) -> f64 {
    1.0 / (1.0 + 0.35 * position as f64)
}

impl SearchQuery {
    /// The ids that are clicked when these are shown in this order.
    pub fn clicks<'i>(&self, ranking: &[&'i str]) -> Vec<&'i str> {
        let shown = ranking.iter().enumerate();
        let clicked = shown.filter(|(position, id)| {
            self.hit(id)
                .is_some_and(|hit| hit.luck < attention(*position) * hit.probability)
        });
        clicked.map(|(_, id)| *id).collect()
    }

    /// The expected number of clicks when these are shown in this order.
    pub fn value(&self, ranking: &[&str]) -> f64 {
        let shown = ranking.iter().enumerate();
        let expected =
            |(position, id): (usize, &&str)| attention(position) * self.hit(id).map_or(0.0, |hit| hit.probability);
        shown.map(expected).sum()
    }

    /// The best `at_most` candidates in the best order.
    pub fn best(&self, at_most: usize) -> Vec<&str> {
        let mut hits: Vec<&Hit> = self.hits.iter().collect();
        hits.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        hits.into_iter().take(at_most).map(|hit| hit.id.as_str()).collect()
    }

    fn hit(&self, id: &str) -> Option<&Hit> {
        self.hits.iter().find(|hit| hit.id == id)
    }
}

/// The world: a fixed catalogue, and queries in an order that the seed fixes.
pub struct SearchWorld {
    items: Vec<Item>,
    queries: ChaCha8Rng,
    n_queries: usize,
}

impl SearchWorld {
    /// Makes the catalogue and the order of queries from a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let items = (0..N_ITEMS)
            .map(|_| Item {
                department: rng.random_range(0..DEPARTMENTS.len()),
                price: f64::from(rng.random_range(10..=200)),
                rating: (!rng.random_bool(0.15)).then(|| f64::from(rng.random_range(10..=50)) / 10.0),
                in_stock: rng.random_bool(0.8),
                days_listed: f64::from(rng.random_range(0..=365)),
                supplier: rng.random_range(0..SUPPLIERS.len()),
            })
            .collect();
        Self {
            items,
            queries: rng,
            n_queries: 0,
        }
    }

    /// The next query.
    pub fn next_query(&mut self) -> SearchQuery {
        let rng = &mut self.queries;
        let department = rng.random_range(0..DEPARTMENTS.len());
        let budget = f64::from(rng.random_range(20..=180));
        let mut context = json!({ "department": DEPARTMENTS[department], "budget": budget });
        if let Some(device) = DEVICES.choose(rng).filter(|_| rng.random_bool(0.9)) {
            context["device"] = (*device).into();
        }
        let first = rng.random_range(0..N_ITEMS);
        // A step that shares no factor with the number of items, so that no item comes twice.
        let step = *[7, 11, 13, 17, 19, 23].choose(rng).unwrap_or(&7);
        let hits = (0..N_CANDIDATES).map(|idx| {
            let item_idx = (first + idx * step) % N_ITEMS;
            let item = &self.items[item_idx];
            Hit {
                id: format!("item-{item_idx}"),
                context: described(item),
                probability: click_probability(item, department, budget),
                luck: rng.random(),
            }
        });
        let hits = hits.collect();
        self.n_queries += 1;
        SearchQuery {
            unit: format!("query-{}", self.n_queries),
            context,
            hits,
        }
    }
}

fn described(item: &Item) -> Value {
    let mut context = json!({
        "item_department": DEPARTMENTS[item.department],
        "price": item.price,
        "in_stock": item.in_stock,
        "days_listed": item.days_listed,
        "supplier": SUPPLIERS[item.supplier],
    });
    if let Some(rating) = item.rating {
        context["rating"] = rating.into();
    }
    context
}

fn click_probability(item: &Item, department: usize, budget: f64) -> f64 {
    let topic = if item.department == department { 1.0 } else { 0.25 };
    let purse = if item.price <= budget { 1.0 } else { 0.4 };
    let stars = 0.25 + 0.75 * (item.rating.unwrap_or(2.5) - 1.0) / 4.0;
    let stock = if item.in_stock { 1.0 } else { 0.3 };
    0.02 + 0.9 * topic * purse * stars * stock
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_order_matters_and_the_best_one_is_known() {
        let mut world = SearchWorld::new(7);
        let (mut request, mut best) = (0.0, 0.0);
        for _ in 0..2_000 {
            let query = world.next_query();
            let ids: Vec<&str> = query.hits.iter().map(|hit| hit.id.as_str()).collect();
            let mut different = ids.clone();
            different.sort_unstable();
            different.dedup();
            assert_eq!(different.len(), N_CANDIDATES, "no item comes twice");
            let oracle = query.value(&query.best(6));
            let (forward, backward) = (
                query.value(&ids[..6]),
                query.value(&[ids[5], ids[4], ids[3], ids[2], ids[1], ids[0]]),
            );
            assert!(oracle >= forward && oracle >= backward);
            request += forward;
            best += oracle;
        }
        assert!(best > 1.5 * request, "{best} {request}");
    }

    #[test]
    fn a_seed_fixes_every_query() {
        let (mut one, mut two) = (SearchWorld::new(3), SearchWorld::new(3));
        for _ in 0..100 {
            let (a, b) = (one.next_query(), two.next_query());
            assert_eq!((&a.unit, &a.context, a.best(6)), (&b.unit, &b.context, b.best(6)));
            assert_eq!(a.clicks(&a.best(6)), b.clicks(&b.best(6)));
        }
    }
}
