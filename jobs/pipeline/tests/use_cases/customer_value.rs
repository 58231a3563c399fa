//! Value estimation: what a new customer will spend in thirty days.

use lakeloop_domain::{Choice, DecisionRecord, Micros};
use lakeloop_world::CustomerWorld;

use crate::play::{Play, oracle_share};
use crate::support::{MINUTE, START};

const CUSTOMER_VALUE: &str = include_str!("../../../../config/blueprints/customer_value.toml");
const DAY: Micros = 24 * 60 * MINUTE;
const WINDOW: Micros = 30 * DAY;

fn estimate(decision: &DecisionRecord) -> f64 {
    let Choice::Number(estimate) = decision.choice else {
        panic!("{:?}", decision.choice)
    };
    estimate
}

#[tokio::test]
async fn what_a_customer_will_spend_is_estimated_nearly_as_well_as_can_be() {
    const CUSTOMERS: i64 = 4_000;
    let mut play = Play::new(CUSTOMER_VALUE).await;
    let mut world = CustomerWorld::new(1);
    let mut default = f64::NAN;
    for idx in 0..CUSTOMERS {
        let (customer, at) = (world.next_customer(), START + idx * 15 * MINUTE);
        default = estimate(&play.log(&customer.unit, &customer.context, at));
        for (share, amount) in &customer.purchases {
            play.observe_unit(
                &customer.unit,
                "purchased",
                *amount,
                at + (share * WINDOW as f64) as Micros,
            );
        }
    }
    let closed = START + CUSTOMERS * 15 * MINUTE + WINDOW;
    println!("{}", play.train(closed).await);

    // What is closed is the gap between the mean squared errors of the default and of the oracle, who says the true mean.
    let mut squares = [0.0; 3];
    for _ in 0..5_000 {
        let customer = world.next_customer();
        let learned = estimate(&play.decide(&customer.unit, &customer.context, closed));
        let errors = [default, learned, customer.best()].map(|said| (customer.spent() - said).powi(2));
        squares = std::array::from_fn(|idx| squares[idx] + errors[idx] / 5e3);
    }
    let [default, learned, oracle] = squares;
    println!(
        "root mean squared error in euros: {:.2} by default, {:.2} learned, {:.2} at best",
        default.sqrt(),
        learned.sqrt(),
        oracle.sqrt()
    );
    println!(
        "figure use_case_value_estimation_rmse_ratio {:.3} of_oracle",
        (learned / oracle).sqrt()
    );
    let share = oracle_share("value_estimation", -default, -learned, -oracle);
    assert!(share > 0.7, "{share:.3}");
}
