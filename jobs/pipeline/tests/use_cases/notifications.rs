//! Notifications: whether to send one, learned from what two outcomes together are worth.

use lakeloop_domain::Micros;
use lakeloop_world::InboxWorld;

use crate::play::{Play, action, oracle_share};
use crate::support::{MINUTE, START};

const NOTIFICATIONS: &str = include_str!("../../../../config/blueprints/notifications.toml");
const DAY: Micros = 24 * 60 * MINUTE;

#[tokio::test]
async fn notifications_are_sent_where_they_are_worth_the_disturbance() {
    let mut play = Play::new(NOTIFICATIONS).await;
    let [opened, muted] = InboxWorld::WORTH;
    let parts = play.home.applied.blueprint.label_parts();
    let weights: Vec<(&str, f64)> = parts.iter().map(|part| (part.name, part.weight)).collect();
    assert_eq!(
        weights,
        [("muted", muted), ("opened", opened)],
        "the blueprint weighs outcomes as the world does"
    );
    let mut world = InboxWorld::new(1);
    let step = DAY / InboxWorld::ROUND as i64;
    let mut at = START;
    for (round, n_days) in [30, 15].into_iter().enumerate() {
        for _ in 0..n_days * InboxWorld::ROUND {
            at += step;
            let moment = world.next_moment();
            let decision = play.log(&moment.unit, &moment.context, at);
            if action(&decision) == "yes" {
                if moment.opens() {
                    play.observe(&decision, "opened", 1.0, at + 10 * MINUTE);
                }
                if moment.mutes() {
                    play.observe(&decision, "app_muted", 1.0, at + 5 * 60 * MINUTE);
                }
            }
        }
        // The longer of the two windows is a day.
        at += DAY;
        println!("round {round}: {}", play.train(at).await);
    }
    let (mut learned, mut oracle) = (0.0, 0.0);
    for _ in 0..8_000 {
        let moment = world.next_moment();
        let decision = play.decide(&moment.unit, &moment.context, at);
        learned += moment.value(action(&decision) == "yes") / 8e3;
        oracle += moment.value(moment.best()) / 8e3;
    }
    // The oracle knows each user's interests and patience, which the context tells only roughly; and one decision in five is
    // still drawn, half of these against the better judgement.
    let share = oracle_share("notifications", 0.0, learned, oracle);
    assert!(share > 0.45, "{share:.3}");
}
