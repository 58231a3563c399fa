//! A simulated product whose policies' values are known: five contexts, four actions.

use lakeloop_stats::normal_quantile;
use lakeloop_stats::off_policy::{Behaviour, Log, LoggedRow};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type PerAction = [f64; 4];

/// How users come back.
#[derive(Clone, Copy)]
pub enum Visits {
    /// Each decision is for another one.
    Once,
    /// Each user brings up to this many decisions, in one context, and is more or less generous throughout.
    UpTo(usize),
}

pub struct World {
    contexts: [f64; 5],
    behaviour: [PerAction; 5],
    target: [PerAction; 5],
    rewards: [PerAction; 5],
    q_hat: [PerAction; 5],
    visits: Visits,
}

impl World {
    /// The target policy takes other actions than the logging policy, and better ones. The model that q̂ comes from sees
    /// half of the differences.
    pub fn new(visits: Visits) -> Self {
        let rewards = [
            [0.10, 0.30, 0.20, 0.40],
            [0.50, 0.20, 0.35, 0.25],
            [0.15, 0.15, 0.60, 0.30],
            [0.30, 0.55, 0.10, 0.20],
            [0.25, 0.35, 0.45, 0.70],
        ];
        Self {
            contexts: [0.3, 0.25, 0.2, 0.15, 0.1],
            behaviour: [
                [0.40, 0.30, 0.20, 0.10],
                [0.25, 0.25, 0.25, 0.25],
                [0.50, 0.10, 0.20, 0.20],
                [0.10, 0.20, 0.35, 0.35],
                [0.30, 0.30, 0.30, 0.10],
            ],
            target: [
                [0.05, 0.15, 0.20, 0.60],
                [0.70, 0.10, 0.10, 0.10],
                [0.10, 0.10, 0.70, 0.10],
                [0.20, 0.60, 0.10, 0.10],
                [0.10, 0.20, 0.30, 0.40],
            ],
            q_hat: rewards.map(|of_actions| of_actions.map(|reward| 0.2 + 0.5 * (reward - 0.25))),
            rewards,
            visits,
        }
    }

    /// The same, with rewards that depend on the context only: all policies are worth the same.
    pub fn without_effect(visits: Visits) -> Self {
        let world = Self::new(visits);
        Self {
            rewards: world.rewards.map(|of_actions| [of_actions[1]; 4]),
            ..world
        }
    }

    /// The target policy's value.
    pub fn truth(&self) -> f64 {
        let value = |context: usize| -> f64 {
            let both = self.target[context].iter().zip(self.rewards[context]);
            both.map(|(share, reward)| share * reward).sum()
        };
        (0..5).map(|context| self.contexts[context] * value(context)).sum()
    }

    /// How many rows a log needs to be well within the rules: 1000, and more where users bring several.
    pub fn n_rows(&self) -> usize {
        match self.visits {
            Visits::Once => 1000,
            Visits::UpTo(_) => 2000,
        }
    }

    /// Logs about `n_rows` decisions of the logging policy.
    pub fn log(&self, n_rows: usize, seed: u64) -> Log {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut log = Log::new();
        for unit in 0.. {
            if log.n_rows() >= n_rows {
                break;
            }
            let context = draw(&self.contexts, &mut random);
            let (n_visits, generosity) = match self.visits {
                Visits::Once => (1, 0.0),
                Visits::UpTo(most) => (random.random_range(1..=most), 0.3 * gaussian(&mut random)),
            };
            for _ in 0..n_visits {
                let action_idx = draw(&self.behaviour[context], &mut random);
                let expected = self.rewards[context][action_idx];
                let reward = match self.visits {
                    Visits::Once => f64::from(u8::from(random.random::<f64>() < expected)),
                    Visits::UpTo(_) => expected + generosity + 0.2 * gaussian(&mut random),
                };
                log.push(&LoggedRow {
                    action_idx,
                    position: 0,
                    reward,
                    behaviour: Behaviour::All(&self.behaviour[context]),
                    target: &self.target[context],
                    q_hat: Some(&self.q_hat[context]),
                    unit: Some(unit),
                    weight: 1.0,
                })
                .unwrap();
            }
        }
        log
    }
}

fn draw(shares: &[f64], random: &mut ChaCha8Rng) -> usize {
    let at = random.random::<f64>();
    let mut sum = 0.0;
    let reached = |share: &f64| {
        sum += share;
        at < sum
    };
    shares.iter().position(reached).unwrap_or(shares.len() - 1)
}

fn gaussian(random: &mut ChaCha8Rng) -> f64 {
    normal_quantile(random.random::<f64>().max(f64::MIN_POSITIVE)).unwrap()
}
