//! A restaurant app that shows one dish first: twelve dishes, users with hidden tastes.
//!
//! A user has an age, a city, a device, a budget, a liking for spice, and may be vegetarian; every visit has an hour.
//! The probability that the user orders the dish on show is a product of how well each trait matches (all hidden from
//! lakeloop), between 2 % and 90 %. The oracle shows each visitor the dish with the highest probability.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The dishes, in the order of the blueprint; the first is its default.
pub const DISHES: [&str; 12] = [
    "ramen",
    "tacos",
    "pizza",
    "sushi",
    "curry",
    "salad",
    "burger",
    "pho",
    "falafel",
    "paella",
    "dumplings",
    "steak",
];

const CITIES: [&str; 5] = ["austin", "berlin", "lisbon", "osaka", "pune"];
const DEVICES: [&str; 3] = ["phone", "tablet", "web"];
const N_USERS: usize = 5_000;

/// What makes a dish attractive. None of this is ever shown to lakeloop.
struct Taste {
    /// Spice of the dish, 0 to 10: liked by users whose liking is near it.
    spice: f64,
    /// Price; far less often ordered above the user's budget.
    price: f64,
    vegetarian: bool,
    /// The hour at which it is most liked.
    peak_hour: f64,
    /// The age at which it is most liked.
    peak_age: f64,
    /// The city whose people like it most.
    home_city: usize,
}

const fn taste(spice: f64, price: f64, vegetarian: bool, peak_hour: f64, peak_age: f64, home_city: usize) -> Taste {
    Taste {
        spice,
        price,
        vegetarian,
        peak_hour,
        peak_age,
        home_city,
    }
}

const TASTES: [Taste; 12] = [
    taste(4.0, 14.0, false, 19.0, 30.0, 3), // ramen
    taste(7.0, 10.0, false, 13.0, 25.0, 0), // tacos
    taste(1.0, 12.0, true, 20.0, 22.0, 1),  // pizza
    taste(2.0, 26.0, false, 19.0, 40.0, 3), // sushi
    taste(9.0, 13.0, true, 20.0, 38.0, 4),  // curry
    taste(0.0, 11.0, true, 12.0, 45.0, 2),  // salad
    taste(2.0, 11.0, false, 13.0, 20.0, 0), // burger
    taste(5.0, 12.0, false, 12.0, 33.0, 1), // pho
    taste(4.0, 9.0, true, 13.0, 28.0, 1),   // falafel
    taste(3.0, 24.0, false, 20.0, 52.0, 2), // paella
    taste(6.0, 10.0, true, 18.0, 27.0, 4),  // dumplings
    taste(1.0, 34.0, false, 20.0, 55.0, 0), // steak
];

struct User {
    age: f64,
    city: usize,
    device: usize,
    budget: f64,
    spice: f64,
    vegetarian: bool,
}

/// One visit: what the product knows when it asks for a decision.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The user's name.
    pub unit: String,
    /// The context, as the decide request sends it; the city is missing for some.
    pub context: serde_json::Value,
    /// The true probability of an order, for each dish.
    probabilities: [f64; 12],
    /// The visit's luck in [0, 1): it orders exactly when this is below the probability of the dish on show.
    luck: f64,
}

impl Visit {
    /// True when the visitor orders if this dish is on show; false for a dish that is not on the menu.
    pub fn orders(&self, dish: &str) -> bool {
        DISHES
            .iter()
            .position(|known| *known == dish)
            .is_some_and(|idx| self.luck < self.probabilities[idx])
    }

    /// The expected orders if this dish is on show: a probability; 0 for a dish that is not on the menu.
    pub fn value(&self, dish: &str) -> f64 {
        let idx = DISHES.iter().position(|known| *known == dish);
        idx.map_or(0.0, |idx| self.probabilities[idx])
    }

    /// The dish that the oracle shows.
    pub fn best_dish(&self) -> &'static str {
        let best = (0..DISHES.len()).max_by(|a, b| self.probabilities[*a].total_cmp(&self.probabilities[*b]));
        DISHES[best.unwrap_or(0)]
    }
}

/// The world: a fixed population, and visits in an order that the seed fixes.
pub struct MenuWorld {
    users: Vec<User>,
    visits: ChaCha8Rng,
}

impl MenuWorld {
    /// Makes the population and the order of visits from a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let users = (0..N_USERS)
            .map(|_| User {
                age: f64::from(rng.random_range(18..=70)),
                city: rng.random_range(0..CITIES.len()),
                device: rng.random_range(0..DEVICES.len()),
                budget: f64::from(rng.random_range(8..=40)),
                spice: f64::from(rng.random_range(0..=10)),
                vegetarian: rng.random_bool(0.25),
            })
            .collect();
        Self { users, visits: rng }
    }

    /// The next visit.
    pub fn next_visit(&mut self) -> Visit {
        let rng = &mut self.visits;
        let user_idx = rng.random_range(0..self.users.len());
        let user = &self.users[user_idx];
        let hour = *[8.0, 11.0, 12.0, 13.0, 15.0, 18.0, 19.0, 20.0, 22.0]
            .choose(rng)
            .unwrap_or(&12.0);
        let mut context = serde_json::json!({
            "age": user.age,
            "hour": hour,
            "budget": user.budget,
            "spicy": user.spice,
            "vegetarian": user.vegetarian,
            "device": DEVICES[user.device],
        });
        // One visitor in twenty does not share the city, whoever it is.
        if !rng.random_bool(0.05) {
            context["city"] = CITIES[user.city].into();
        }
        let mut probabilities = [0.0; 12];
        for (probability, taste) in probabilities.iter_mut().zip(&TASTES) {
            *probability = order_probability(user, taste, hour);
        }
        Visit {
            unit: format!("user-{user_idx}"),
            context,
            probabilities,
            luck: rng.random(),
        }
    }
}

/// A bump: 1 where `x` is `peak`, falling off with `width`.
fn near(x: f64, peak: f64, width: f64) -> f64 {
    (-((x - peak) / width).powi(2)).exp()
}

fn order_probability(user: &User, taste: &Taste, hour: f64) -> f64 {
    let diet = if user.vegetarian && !taste.vegetarian {
        0.05
    } else {
        1.0
    };
    let purse = if taste.price <= user.budget { 1.0 } else { 0.25 };
    let spice = 0.15 + 0.85 * near(user.spice, taste.spice, 3.0);
    let age = 0.5 + 0.5 * near(user.age, taste.peak_age, 18.0);
    let time = 0.6 + 0.4 * near(hour, taste.peak_hour, 4.0);
    let city = if user.city == taste.home_city { 1.0 } else { 0.7 };
    0.02 + 0.88 * diet * purse * spice * age * time * city
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rates(seed: u64, n: usize) -> (f64, f64, f64) {
        let mut world = MenuWorld::new(seed);
        let (mut default, mut random, mut oracle) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let visit = world.next_visit();
            default += visit.probabilities[0];
            random += visit.probabilities.iter().sum::<f64>() / 12.0;
            oracle += visit.probabilities.iter().copied().fold(0.0, f64::max);
        }
        let n = n as f64;
        (default / n, random / n, oracle / n)
    }

    #[test]
    fn there_is_something_to_learn() {
        let (default, random, oracle) = rates(7, 20_000);
        assert!(
            oracle > default + 0.2,
            "default {default:.3}, random {random:.3}, oracle {oracle:.3}"
        );
        assert!(
            oracle > random + 0.2,
            "default {default:.3}, random {random:.3}, oracle {oracle:.3}"
        );
    }

    #[test]
    fn a_seed_fixes_every_visit() {
        let (mut one, mut two) = (MenuWorld::new(3), MenuWorld::new(3));
        for _ in 0..100 {
            let (a, b) = (one.next_visit(), two.next_visit());
            assert_eq!((&a.unit, &a.context, a.luck), (&b.unit, &b.context, b.luck));
        }
    }

    #[test]
    fn no_policy_earns_more_than_the_oracle_on_average() {
        let mut world = MenuWorld::new(11);
        for _ in 0..1_000 {
            let visit = world.next_visit();
            let best = DISHES.iter().position(|dish| *dish == visit.best_dish()).unwrap();
            assert!(
                visit
                    .probabilities
                    .iter()
                    .all(|p| *p <= visit.probabilities[best] && (0.02..=0.9).contains(p))
            );
        }
    }
}
