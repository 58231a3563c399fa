//! Personalised experience: which of twelve dishes to show first.

use lakeloop_domain::Micros;
use lakeloop_world::{DISHES, MenuWorld};

use crate::play::{Play, action, oracle_share};
use crate::support::{MINUTE, START};

const MENU: &str = include_str!("../../../../config/blueprints/menu.toml");
const SECOND: Micros = 1_000_000;

#[tokio::test]
async fn each_guest_is_shown_a_dish_of_their_taste() {
    const VISITS: i64 = 7_000;
    let mut play = Play::new(MENU).await;
    let mut world = MenuWorld::new(1);
    let mut at = START;
    for round in 0..2 {
        for _ in 0..VISITS {
            at += 5 * SECOND;
            let visit = world.next_visit();
            let decision = play.log(&visit.unit, &visit.context, at);
            if visit.orders(action(&decision)) {
                play.observe(&decision, "ordered", 1.0, at + MINUTE);
            }
        }
        at += 31 * MINUTE;
        println!("round {round}: {}", play.train(at).await);
    }
    let (mut default, mut learned, mut oracle) = (0.0, 0.0, 0.0);
    for _ in 0..3_000 {
        let visit = world.next_visit();
        let decision = play.decide(&visit.unit, &visit.context, at);
        default += visit.value(DISHES[0]) / 3e3;
        learned += visit.value(action(&decision)) / 3e3;
        oracle += visit.value(visit.best_dish()) / 3e3;
    }
    // One decision in ten is still drawn, so that about nine tenths could be closed.
    let share = oracle_share("personalised_experience", default, learned, oracle);
    assert!(share > 0.5, "{share:.3}");
}
