//! How a model is learned: losses, metrics, quantiles, one-way features, ranges of the search.

use lakeloop_config::parse_blueprint;
use lakeloop_domain::{FinalFit, Monotone, Objective, QualityMetric, SearchParameter};

use crate::{MENU, check};

const FORECAST: &str = r#"name = "arrival"
unit = "trip"
decision = { kind = "number", default = 10.0, quantile = 0.9 }
context = { km = "number", rain = "boolean", town = "category" }
outcome = { event = "arrived", aggregation = "last", window = "2h" }
"#;

fn with(model: &str, expected: &str) {
    check("[policy]", &format!("[model]\n{model}\n[policy]"), expected);
}

#[test]
fn everything_that_can_be_asked_of_the_search() {
    let text = format!(
        "{}[model]\nobjective = \"gamma\"\nmetric = \"mae\"\nmonotone = {{ km = \"increasing\", rain = \"increasing\" }}\n\
         search_space = {{ max_depth = {{ minimum = 2, maximum = 4 }} }}\nfinal_fit = \"all_rows\"\nbudget = \"60s\"\nfolds = 3\n",
        FORECAST.replace(", quantile = 0.9", "")
    );
    let blueprint = parse_blueprint("b.toml", &text).unwrap().blueprint;
    let learning = &blueprint.learning;
    assert_eq!(learning.objective, Some(Objective::Gamma));
    assert_eq!(learning.metric, Some(QualityMetric::Mae));
    assert_eq!(learning.monotone[0], ("km".into(), Monotone::Increasing));
    assert_eq!(learning.search_space[0].0, SearchParameter::MaxDepth);
    assert_eq!(learning.search_space[0].1.maximum, 4.0);
    assert_eq!(
        (learning.final_fit, learning.budget_us, learning.n_folds()),
        (FinalFit::AllRows, Some(60_000_000), 3)
    );
    assert_eq!(
        blueprint.schedule.trials, 1_000,
        "time ends the search, not the usual number of trials"
    );
}

#[test]
fn folds_are_one_to_four_and_not_of_rankings() {
    let rank = format!("{}\n[model]\nfolds = 2\n", include_str!("../../blueprints/rank.toml"));
    let errors = parse_blueprint("b.toml", &rank).unwrap_err();
    let told = "model.folds: rankings are judged by the latest ones alone; remove this key";
    assert!(
        errors.iter().any(|error| error.to_string().ends_with(told)),
        "{errors:?}"
    );
    with(
        "folds = 5",
        "b.toml:18:9: model.folds: 5 is out of range; write a whole number from 1 to 4",
    );
}

#[test]
fn a_quantile_is_one_of_a_number() {
    let blueprint = parse_blueprint("b.toml", FORECAST).unwrap().blueprint;
    assert_eq!(blueprint.learning.quantile, Some(0.9));
    assert_eq!(blueprint.schedule.trials, 8);
    let messages = |text: &str| {
        let errors = parse_blueprint("b.toml", text).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        messages(&FORECAST.replace("0.9", "1.0")),
        "b.toml:3:58: decision.quantile: 1 is no quantile; write a number above 0 and below 1, such as 0.9"
    );
    assert_eq!(
        messages(&format!("{FORECAST}model = {{ metric = \"rmse\" }}\n")),
        "b.toml:6:20: model.metric: a quantile and a ranking by \"ndcg\" have metrics of their own; remove this key"
    );
}

#[test]
fn losses_and_metrics_fit_the_outcome() {
    with(
        "metric = \"rmse\"",
        "b.toml:18:10: model.metric: a yes/no outcome is judged by \"log_loss\" or \"auc\"; write that, or leave it out",
    );
    with("metric = \"auc\"", "");
    with(
        "objective = \"tweedie\"",
        "b.toml:18:13: model.objective: this is a loss of numbers, but the outcome is none; remove it, or write \
         outcome.type = \"number\"",
    );
    with(
        "objective = \"ndcg\"",
        "b.toml:18:13: model.objective: \"ndcg\" puts candidates in order, which only decision.kind = \"rank\" does; \
         remove it, or write that kind",
    );
}

#[test]
fn one_way_features_have_an_order_and_a_name() {
    with("monotone = { age = \"increasing\", humid = \"decreasing\" }", "");
    with(
        "monotone = { origin = \"increasing\" }",
        "b.toml:18:23: model.monotone.origin: a category has no order to go up in; write a number or boolean feature, or \
         remove it",
    );
    with(
        "monotone = { humidd = \"increasing\" }",
        "b.toml:18:23: model.monotone.humidd: no feature has this name; did you mean \"humid\"?",
    );
}

#[test]
fn ranges_lie_within_what_a_parameter_can_be() {
    with("search_space = { eta = { minimum = 0.05, maximum = 0.05 } }", "");
    with(
        "search_space = { eta = { minimum = 0.2, maximum = 0.1 } }",
        "b.toml:18:24: model.search_space.eta: from 0.2 to 0.1 is no range of it; write a minimum of at least 0.001 and a \
         maximum of at most 1",
    );
    assert!(parse_blueprint("b.toml", MENU).is_ok());
}
