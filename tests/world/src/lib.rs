//! Simulated products with known truth, for the demo and the tests.
//!
//! A world knows what lakeloop has to find out: what every context and action is worth, hence the best policy and its
//! value. Everything is a pure function of a seed, so that two runs see the same users, ask in the same order and, given the
//! same actions, draw the same rewards.
//!
//! | world | product | what is decided |
//! |---|---|---|
//! | [`MenuWorld`] | a restaurant app | one of twelve dishes |
//! | [`SearchWorld`] | the search of a shop | an order of candidates |
//! | [`BrowseWorld`] | a news site | whether to load the next page ahead |
//! | [`InboxWorld`] | an app with notifications | whether to send one |
//! | [`CustomerWorld`] | a shop with new customers | a number: what a customer will spend |

mod menu;

mod search;

mod browse;

mod inbox;

mod customer;

pub use browse::{BrowseWorld, PageView};
pub use customer::{CustomerWorld, NewCustomer};
pub use inbox::{InboxWorld, Moment};
pub use menu::{DISHES, MenuWorld, Visit};
pub use search::{Hit, SearchQuery, SearchWorld};
