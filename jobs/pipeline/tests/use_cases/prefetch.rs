//! Prefetch: whether to load a page before it is asked for.

use lakeloop_domain::Micros;
use lakeloop_world::BrowseWorld;

use crate::play::{Play, action, oracle_share};
use crate::support::{MINUTE, START};

const PREFETCH: &str = include_str!("../../../../config/blueprints/prefetch.toml");
const SECOND: Micros = 1_000_000;

#[tokio::test]
async fn a_page_is_loaded_where_it_will_be_opened() {
    const VIEWS: i64 = 6_000;
    let mut play = Play::new(PREFETCH).await;
    let mut world = BrowseWorld::new(1);
    for idx in 0..VIEWS {
        let (view, at) = (world.next_view(), START + idx * SECOND);
        let decision = play.log(&view.unit, &view.context, at);
        assert_eq!(action(&decision), "no", "never measured, never loaded");
        if view.opens() {
            play.observe(&decision, "opened", 1.0, at + MINUTE);
        }
    }
    let closed = START + VIEWS * SECOND + 6 * MINUTE;
    println!("{}", play.train(closed).await);
    let (mut learned, mut oracle) = (0.0, 0.0);
    for _ in 0..5_000 {
        let view = world.next_view();
        let decision = play.decide(&view.unit, &view.context, closed);
        learned += view.value(action(&decision) == "yes") / 5e3;
        oracle += view.value(view.best()) / 5e3;
    }
    let share = oracle_share("prefetch", 0.0, learned, oracle);
    assert!(share > 0.85, "{share:.3}");
}
