//! An app that may send a notification: some are opened, some make a user mute the app.
//!
//! Each user has interests and a patience that lakeloop does not see in full; every moment has an hour and a topic. An opened
//! notification is worth 1, a user who mutes the app for the day costs 3 ([`InboxWorld::WORTH`]): what a moment is worth is
//! therefore p(opened) − 3 · p(muted) if one is sent, and 0 if not. The oracle sends where that is above 0; the default,
//! never to send, is worth 0. Moments come in rounds: every user has one moment a round, in an order that the seed fixes, so
//! that a cap of so many a user and day can be counted.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const TOPICS: [&str; 4] = ["offers", "news", "friends", "reminders"];
const N_USERS: usize = 1_000;

struct User {
    /// What each topic means to the user, 0 to 1; the product sees how many were opened before.
    interest: [f64; 4],
    /// How quickly the user is annoyed, 0 to 1; the product sees how often the user was active.
    impatience: f64,
    active_days: f64,
}

/// One moment at which a notification could be sent.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The user's name.
    pub unit: String,
    /// The context, as the decide request sends it.
    pub context: Value,
    opened: f64,
    muted: f64,
    /// The moment's luck in [0, 1) with each of the two.
    luck: [f64; 2],
}

impl Moment {
    /// True when a notification that is sent now is opened.
    pub fn opens(&self) -> bool {
        self.luck[0] < self.opened
    }

    /// True when it makes the user mute the app.
    pub fn mutes(&self) -> bool {
        self.luck[1] < self.muted
    }

    /// The expected value of sending (or of not sending, which is 0).
    pub fn value(&self, sends: bool) -> f64 {
        let [opened, muted] = InboxWorld::WORTH;
        if sends {
            opened * self.opened + muted * self.muted
        } else {
            0.0
        }
    }

    /// True when the oracle sends.
    pub fn best(&self) -> bool {
        self.value(true) > 0.0
    }
}

/// The world: a fixed population that is met round after round.
pub struct InboxWorld {
    users: Vec<User>,
    order: Vec<usize>,
    n_moments: usize,
    rng: ChaCha8Rng,
}

impl InboxWorld {
    /// What an opened notification is worth, and one that makes a user mute the app.
    pub const WORTH: [f64; 2] = [1.0, -3.0];

    /// Moments in a round: one for each user.
    pub const ROUND: usize = N_USERS;

    /// Makes the population and the order of moments from a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let users = (0..N_USERS)
            .map(|_| {
                let impatience: f64 = rng.random();
                User {
                    interest: std::array::from_fn(|_| rng.random()),
                    impatience,
                    // Impatient users come less often; within 6 days either way.
                    active_days: (28.0 - 22.0 * impatience + rng.random_range(-6.0..6.0))
                        .clamp(0.0, 30.0)
                        .round(),
                }
            })
            .collect();
        Self {
            users,
            order: (0..N_USERS).collect(),
            n_moments: 0,
            rng,
        }
    }

    /// The next moment.
    pub fn next_moment(&mut self) -> Moment {
        if self.n_moments.is_multiple_of(N_USERS) {
            self.order.shuffle(&mut self.rng);
        }
        let user_idx = self.order[self.n_moments % N_USERS];
        self.n_moments += 1;
        let (user, rng) = (&self.users[user_idx], &mut self.rng);
        let hour = f64::from(rng.random_range(0..24));
        let topic = rng.random_range(0..TOPICS.len());
        // Of the last ten on this topic: a noisy sign of the interest.
        let opened_before = 10.0 * user.interest[topic].powi(2) + rng.random_range(-1.5..1.5);
        let [opened, muted] = probabilities(user, hour, topic);
        Moment {
            unit: format!("user-{user_idx}"),
            context: json!({
                "hour": hour,
                "topic": TOPICS[topic],
                "topic_opens": opened_before.clamp(0.0, 10.0).round(),
                "active_days": user.active_days,
            }),
            opened,
            muted,
            luck: [rng.random(), rng.random()],
        }
    }
}

/// The probabilities that a notification is opened, and that it makes the user mute the app.
fn probabilities(user: &User, hour: f64, topic: usize) -> [f64; 2] {
    let awake = if (8.0..22.0).contains(&hour) { 1.0 } else { 0.2 };
    let evening = 0.6 + 0.4 * (-((hour - 19.0) / 4.0).powi(2)).exp();
    let keen = user.interest[topic].powi(2);
    let opened = 0.02 + 0.9 * awake * evening * keen;
    let at_night = if awake < 1.0 { 2.0 } else { 1.0 };
    let muted = 0.01 + 0.25 * at_night * user.impatience.powi(2) * (1.0 - keen);
    [opened, muted]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sending_always_is_worse_than_choosing_when() {
        let mut world = InboxWorld::new(7);
        let (mut always, mut best, mut sends) = (0.0, 0.0, 0);
        const N: usize = 50 * N_USERS;
        for _ in 0..N {
            let moment = world.next_moment();
            always += moment.value(true);
            best += moment.value(moment.best());
            sends += usize::from(moment.best());
        }
        assert!(best > 1.25 * always && best > 0.06 * N as f64, "{best} {always}");
        assert!((N / 5..N * 9 / 10).contains(&sends), "{sends}");
    }

    #[test]
    fn every_user_has_one_moment_a_round() {
        let mut world = InboxWorld::new(3);
        for _ in 0..3 {
            let mut units: Vec<String> = (0..InboxWorld::ROUND).map(|_| world.next_moment().unit).collect();
            units.sort_unstable();
            units.dedup();
            assert_eq!(units.len(), InboxWorld::ROUND);
        }
    }

    #[test]
    fn a_seed_fixes_every_moment() {
        let (mut one, mut two) = (InboxWorld::new(3), InboxWorld::new(3));
        for _ in 0..1_000 {
            let (a, b) = (one.next_moment(), two.next_moment());
            assert_eq!(
                (&a.unit, &a.context, a.opens(), a.mutes()),
                (&b.unit, &b.context, b.opens(), b.mutes())
            );
        }
    }
}
