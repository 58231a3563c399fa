//! A news site that may load the next page before the reader asks for it.
//!
//! A reader who was guessed right waits less; a page loaded in vain is traffic wasted. With a wait worth 0.7 and a load in
//! vain costing 0.3, loading pays exactly where the page will be opened with a probability above 0.3, which is where the
//! oracle loads. Whether the page is opened does not depend on whether it was loaded. The default, never to load, is worth 0.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const CONNECTIONS: [&str; 3] = ["wifi", "4g", "3g"];

/// What an averted wait is worth.
const WAIT: f64 = 0.7;

/// What a page loaded in vain costs.
const VAIN: f64 = 0.3;

/// One look at a page: what the product knows when it asks for a decision.
#[derive(Debug, Clone)]
pub struct PageView {
    /// The session's name.
    pub unit: String,
    /// The context, as the decide request sends it; some browsers do not tell the charge of the battery.
    pub context: Value,
    /// The true probability that the next page is opened.
    probability: f64,
    /// The view's luck in [0, 1).
    luck: f64,
}

impl PageView {
    /// True when the reader opens the next page, loaded or not.
    pub fn opens(&self) -> bool {
        self.luck < self.probability
    }

    /// The expected value of loading (or of not doing so, which is 0).
    pub fn value(&self, loads: bool) -> f64 {
        if loads {
            WAIT * self.probability - VAIN * (1.0 - self.probability)
        } else {
            0.0
        }
    }

    /// True when the oracle loads.
    pub fn best(&self) -> bool {
        self.value(true) > 0.0
    }
}

/// The world: readers who come one after the other, in an order that the seed fixes.
pub struct BrowseWorld {
    rng: ChaCha8Rng,
    n_views: usize,
}

impl BrowseWorld {
    /// Makes the order of views from a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            n_views: 0,
        }
    }

    /// The next look at a page.
    pub fn next_view(&mut self) -> PageView {
        let rng = &mut self.rng;
        let connection = rng.random_range(0..CONNECTIONS.len());
        let battery: f64 = rng.random();
        let seconds = f64::from(rng.random_range(1..=240));
        let pages = f64::from(rng.random_range(0..=12));
        let returning = rng.random_bool(0.4);
        let mut context = json!({
            "connection": CONNECTIONS[connection],
            "seconds_on_page": seconds,
            "pages_so_far": pages,
            "returning": returning,
        });
        if rng.random_bool(0.8) {
            context["battery"] = battery.into();
        }
        self.n_views += 1;
        PageView {
            unit: format!("session-{}", self.n_views / 3),
            context,
            probability: open_probability(connection, battery, seconds, pages, returning),
            luck: rng.random(),
        }
    }
}

/// Readers open the next page when they have read this one (neither at once nor after having left), when they have opened some
/// before, and seldom on a slow line or an empty battery.
fn open_probability(connection: usize, battery: f64, seconds: f64, pages: f64, returning: bool) -> f64 {
    let read = (-((seconds - 70.0) / 55.0).powi(2)).exp();
    let hooked = pages / (pages + 3.0);
    let line = [1.0, 0.85, 0.45][connection];
    let charge = if battery < 0.15 { 0.6 } else { 1.0 };
    let habit = if returning { 1.0 } else { 0.75 };
    0.02 + 0.93 * line * charge * habit * (0.35 * hooked + 0.65 * read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_always_and_never_are_both_worse_than_the_oracle() {
        let mut world = BrowseWorld::new(7);
        let (mut always, mut best, mut opened, mut expected) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..20_000 {
            let view = world.next_view();
            assert!((0.02..=0.95).contains(&view.probability));
            always += view.value(true);
            best += view.value(view.best());
            opened += f64::from(u8::from(view.opens()));
            expected += view.probability;
        }
        assert!(best > 1.3 * always.max(0.0) && best > 1_000.0, "{best} {always}");
        assert!((opened - expected).abs() < 400.0, "{opened} of {expected} expected");
    }

    #[test]
    fn a_seed_fixes_every_view() {
        let (mut one, mut two) = (BrowseWorld::new(3), BrowseWorld::new(3));
        for _ in 0..100 {
            let (a, b) = (one.next_view(), two.next_view());
            assert_eq!((&a.unit, &a.context, a.opens()), (&b.unit, &b.context, b.opens()));
        }
    }
}
