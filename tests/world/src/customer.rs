//! A shop that estimates, when a customer signs up, what that customer will spend in the first thirty days.
//!
//! Customers buy at times that follow a Poisson process, whose rate and mean basket depend on what is known of them (hidden
//! from lakeloop); baskets are exponential. What a customer spends in the window is therefore a compound Poisson number with
//! mean rate × basket and variance 2 × rate × basket², and the oracle, who says the mean, is off by its standard deviation.
//! Some purchases come after the window and count for nothing.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const CHANNELS: [&str; 4] = ["search", "friend", "advert", "partner"];
const COUNTRIES: [&str; 5] = ["de", "fr", "jp", "br", "us"];

/// Customers are followed for one and a half windows.
const FOLLOWED: f64 = 1.5;

/// A customer who has just signed up.
#[derive(Debug, Clone)]
pub struct NewCustomer {
    /// The customer's name.
    pub unit: String,
    /// The context, as the decide request sends it; the age is missing for some.
    pub context: Value,
    /// The purchases: when, as a share of the window (those above 1 come too late), and for how much.
    pub purchases: Vec<(f64, f64)>,
    mean: f64,
}

impl NewCustomer {
    /// What the customer spends in the window.
    pub fn spent(&self) -> f64 {
        let in_window = self.purchases.iter().filter(|(at, _)| *at <= 1.0);
        in_window.map(|(_, amount)| amount).sum()
    }

    /// What the oracle says: the expected spending of such a customer.
    pub fn best(&self) -> f64 {
        self.mean
    }
}

/// The world: customers who sign up one after the other, in an order that the seed fixes.
pub struct CustomerWorld {
    rng: ChaCha8Rng,
    n_customers: usize,
}

impl CustomerWorld {
    /// Makes the order of customers from a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            n_customers: 0,
        }
    }

    /// The next customer.
    pub fn next_customer(&mut self) -> NewCustomer {
        let rng = &mut self.rng;
        let channel = rng.random_range(0..CHANNELS.len());
        let country = rng.random_range(0..COUNTRIES.len());
        let age = f64::from(rng.random_range(18..=75));
        let first_basket = f64::from(rng.random_range(5..=120));
        let newsletter = rng.random_bool(0.35);
        let mut context = json!({
            "channel": CHANNELS[channel],
            "country": COUNTRIES[country],
            "first_basket": first_basket,
            "newsletter": newsletter,
        });
        if rng.random_bool(0.85) {
            context["age"] = age.into();
        }
        let rate = 1.2 * [1.0, 2.2, 0.5, 1.3][channel] * if newsletter { 2.0 } else { 1.0 };
        let rate = rate * (0.5 + (-((age - 38.0) / 20.0).powi(2)).exp());
        let basket = 0.6 * first_basket * [1.0, 1.1, 1.6, 0.6, 1.3][country];
        let mut purchases = Vec::new();
        let mut at = exponential(rng) / rate;
        while at <= FOLLOWED {
            // Whole cents, as a shop counts.
            purchases.push((at, (100.0 * basket * exponential(rng)).round() / 100.0));
            at += exponential(rng) / rate;
        }
        self.n_customers += 1;
        NewCustomer {
            unit: format!("customer-{}", self.n_customers),
            context,
            purchases,
            mean: rate * basket,
        }
    }
}

/// An exponential number with mean 1, by inversion.
fn exponential(rng: &mut ChaCha8Rng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oracle_is_right_on_average_and_beats_any_constant() {
        let mut world = CustomerWorld::new(7);
        let customers: Vec<NewCustomer> = (0..20_000).map(|_| world.next_customer()).collect();
        let n = customers.len() as f64;
        let mean = customers.iter().map(NewCustomer::spent).sum::<f64>() / n;
        let expected = customers.iter().map(NewCustomer::best).sum::<f64>() / n;
        assert!((mean / expected - 1.0).abs() < 0.03, "{mean} {expected}");
        let error = |guess: &dyn Fn(&NewCustomer) -> f64| {
            let squares = customers
                .iter()
                .map(|customer| (customer.spent() - guess(customer)).powi(2));
            squares.sum::<f64>() / n
        };
        let (oracle, constant) = (error(&NewCustomer::best), error(&|_| mean));
        assert!(oracle < 0.75 * constant, "{oracle} {constant}");
        let late = customers
            .iter()
            .flat_map(|customer| &customer.purchases)
            .filter(|(at, _)| *at > 1.0);
        assert!(late.count() > 1_000, "some purchases come after the window");
    }

    #[test]
    fn a_seed_fixes_every_customer() {
        let (mut one, mut two) = (CustomerWorld::new(3), CustomerWorld::new(3));
        for _ in 0..100 {
            let (a, b) = (one.next_customer(), two.next_customer());
            assert_eq!((&a.unit, &a.context, &a.purchases), (&b.unit, &b.context, &b.purchases));
        }
    }
}
