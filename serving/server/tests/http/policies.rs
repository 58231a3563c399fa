//! Every policy that draws otherwise than ε-greedy, as callers and analysts see it: it decides, and the propensity in the answer
//! and in the row is, bit for bit, what the kernel says of the whole distribution.

use std::collections::{BTreeSet, HashMap};

use lakeloop_decide::{Bundle, Model, Offered, Replay, Scratch, position_probabilities, probabilities, replay};
use lakeloop_domain::{
    ActionBelief, AppliedBlueprint, Belief, Blueprint, Choice, DecisionReason, DecisionRecord, EncodedColumn, Encoding,
    FeatureType, StrategyName, Uncertainty,
};
use lakeloop_lake::registry::{self, NewModel};
use lakeloop_lake::{Lake, blueprints};
use serde_json::{Value, json};

use crate::models::{go_live, model};
use crate::support::{DISH, Home, Site};

const DISHES: [&str; 4] = ["ramen", "tacos", "pizza", "sushi"];
const N_DECISIONS: usize = 80;

/// A policy over dishes, and what a distribution over them must look like.
struct Case {
    /// Also the end of its strategy's name.
    name: &'static str,
    policy: &'static str,
    /// How many dishes are possible with the model, and how many without one.
    n_possible: [usize; 2],
}

const CASES: [Case; 6] = [
    Case {
        name: "top_k",
        policy: "kind = \"top_k\"\nk = 2",
        n_possible: [2, 4],
    },
    Case {
        name: "softmax",
        policy: "kind = \"softmax\"\ntemperature = 0.1",
        n_possible: [4, 4],
    },
    Case {
        name: "thompson",
        policy: "kind = \"thompson\"\nepsilon = 0.05",
        n_possible: [4, 4],
    },
    Case {
        name: "ucb",
        policy: "kind = \"ucb\"\nwidth = 1.5\nepsilon = 0.4",
        n_possible: [4, 4],
    },
    Case {
        name: "certain_ucb",
        policy: "kind = \"ucb\"\nwidth = 1.5",
        n_possible: [1, 4],
    },
    Case {
        name: "epsilon_decreasing",
        policy: "kind = \"epsilon_decreasing\"\nepsilon = 0.9\nhalved_after = 50",
        n_possible: [4, 4],
    },
];

impl Case {
    fn strategy(&self) -> String {
        format!("dish_{}", self.name)
    }

    fn blueprint(&self) -> String {
        let named = DISH.replace("name = \"dish\"", &format!("name = \"{}\"", self.strategy()));
        named.replace("kind = \"epsilon_greedy\"\nepsilon = 1.0", self.policy)
    }
}

/// The blueprint in force of a strategy.
async fn in_force(lake: &Lake, strategy: &str) -> AppliedBlueprint {
    let name = StrategyName::new(strategy).unwrap();
    blueprints::history(lake, &name).await.unwrap().pop().unwrap()
}

/// What decides for a strategy: its blueprint in force, with its live model where there is one.
async fn bundle(lake: &Lake, strategy: &str) -> Bundle {
    let applied = in_force(lake, strategy).await;
    let live = registry::live_of(lake, &applied.blueprint.name).await.unwrap();
    Bundle::new(applied, live.map(|record| Model::from_record(&record).unwrap())).unwrap()
}

/// Trees of one split each: `row[column] < threshold` gives `below`, else `from_there`.
fn trees(objective: &str, n_columns: usize, stumps: &[(usize, f64, f64, f64)]) -> Vec<u8> {
    let tree = |(column, threshold, below, from_there): &(usize, f64, f64, f64)| {
        json!({
            "tree_param": {"num_nodes": "3", "size_leaf_vector": "1", "num_feature": n_columns.to_string()},
            "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [column, 0, 0],
            "split_conditions": [threshold, below, from_there], "default_left": [1, 0, 0]
        })
    };
    let model = json!({"learner": {
        "learner_model_param": {"base_score": "5E-1", "num_class": "0", "num_feature": n_columns.to_string()},
        "objective": {"name": objective},
        "gradient_booster": {"name": "gbtree", "model": {
            "tree_info": vec![0; stumps.len()], "trees": stumps.iter().map(tree).collect::<Vec<_>>()
        }}
    }});
    serde_json::to_vec(&model).unwrap()
}

fn column(name: &str, feature_type: FeatureType, vocabulary: &[&str]) -> EncodedColumn {
    EncodedColumn {
        name: name.into(),
        feature_type,
        vocabulary: vocabulary.iter().map(|word| (*word).to_owned()).collect(),
    }
}

/// A model that likes pizza best and tacos and sushi alike, and is the less sure of a dish the less it likes it.
fn dish_model(blueprint: &Blueprint) -> NewModel {
    let belief = |action: &str, offset_variance| ActionBelief {
        action: action.into(),
        belief: Belief {
            offset: 0.0,
            slope: 0.1,
            offset_variance,
            slope_variance: 0.01,
            covariance: 0.001,
        },
    };
    let actions = vec![
        belief("ramen", 0.04),
        belief("tacos", 0.02),
        belief("pizza", 0.01),
        belief("sushi", 0.02),
    ];
    NewModel {
        strategy: blueprint.name.clone(),
        target: blueprint.learning_target(),
        action_is_feature: blueprint.action_is_feature(),
        encoding: Encoding {
            columns: vec![
                column("age", FeatureType::Number, &[]),
                column("action", FeatureType::Category, &DISHES),
            ],
        },
        uncertainty: Some(Uncertainty {
            center: 0.6,
            unseen: actions[0].belief,
            actions,
        }),
        ..model(trees(
            "binary:logistic",
            2,
            &[
                (1, 0.5, 0.1, 0.4),
                (1, 1.5, 0.0, 0.5),
                (1, 2.5, 0.2, -0.3),
                (0, 30.0, 0.1, -0.1),
            ],
        ))
    }
}

/// Asks for decisions of a strategy; the answers by decision id.
async fn asked(site: &Site, strategy: &str, with_model: bool) -> HashMap<String, Value> {
    let mut answers = HashMap::new();
    for n in 0..N_DECISIONS {
        let id = format!("{strategy}-{with_model}-{n}");
        let body = json!({
            "strategy": strategy, "unit": format!("u{n}"), "decision_id": id, "context": { "age": n % 60 }
        });
        let answer = site.ok("/v1/decide", &body.to_string()).await;
        assert_eq!(answer["model_version"].is_null(), !with_model);
        answers.insert(id, answer);
    }
    answers
}

/// The row is the answer, the distribution of the kernel and a replay of it, to the last bit.
fn check(bundle: &Bundle, row: &DecisionRecord, answer: &Value, n_possible: usize) {
    let Choice::Action(action) = &row.choice else {
        panic!("{row:?}")
    };
    let mut scratch = Scratch::new();
    let of_each = probabilities(bundle, &row.features, &mut scratch).unwrap();
    let (action_idx, what) = (DISHES.iter().position(|dish| dish == action).unwrap(), &row.strategy);
    assert_eq!(row.propensity.to_bits(), of_each[action_idx].to_bits(), "{what}");
    assert_eq!(
        answer["propensity"].as_f64().unwrap().to_bits(),
        row.propensity.to_bits(),
        "{what}: {answer}"
    );
    assert_eq!(
        (&answer["action"], &answer["reason"]),
        (&json!(action), &json!(row.reason)),
        "{what}"
    );
    let n_found = of_each.iter().filter(|probability| **probability > 0.0).count();
    assert_eq!(n_found, n_possible, "{what}: {of_each:?}");
    assert!((of_each.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{what}: {of_each:?}");
    assert_eq!(replay(row, bundle), Replay::Same, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn propensities_of_choices_are_those_of_the_kernel_in_the_answer_and_in_the_row() {
    let home = Home::new();
    let texts: Vec<String> = CASES.iter().map(Case::blueprint).collect();
    let site = home
        .start_with(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let mut answers = HashMap::new();
    let mut bundles = HashMap::new();
    for case in &CASES {
        let strategy = case.strategy();
        answers.extend(asked(&site, &strategy, false).await);
        bundles.insert((strategy.clone(), false), bundle(&site.lake, &strategy).await);
        let version = go_live(&site.lake, dish_model(&in_force(&site.lake, &strategy).await.blueprint)).await;
        let body = json!({ "strategy": strategy, "unit": "u", "context": { "age": 1 } });
        site.until("/v1/decide", &body.to_string(), |answer| {
            answer["model_version"] == json!(version.0)
        })
        .await;
        answers.extend(asked(&site, &strategy, true).await);
        bundles.insert((strategy.clone(), true), bundle(&site.lake, &strategy).await);
    }
    site.server.flush().await.unwrap();
    let rows = site.decisions().await;
    let mut n_checked = 0;
    let mut chosen: HashMap<(&str, bool), BTreeSet<String>> = HashMap::new();
    for row in &rows {
        let Some(answer) = answers.get(row.decision_id.as_str()) else {
            continue;
        };
        n_checked += 1;
        let with_model = row.model_version.is_some();
        let case = CASES
            .iter()
            .find(|case| case.strategy() == row.strategy.as_str())
            .unwrap();
        let n_possible = case.n_possible[usize::from(!with_model)];
        let bundle = &bundles[&(case.strategy(), with_model)];
        check(bundle, row, answer, n_possible);
        let action = answer["action"].as_str().unwrap().to_owned();
        chosen.entry((case.name, with_model)).or_default().insert(action);
    }
    assert_eq!(n_checked, 2 * CASES.len() * N_DECISIONS);
    // What is drawn comes in more than one kind, so that a propensity of a single action cannot pass for all.
    for case in &CASES {
        for (with_model, n_possible) in [(true, case.n_possible[0]), (false, case.n_possible[1])] {
            let n_chosen = chosen[&(case.name, with_model)].len();
            assert!(n_chosen >= n_possible.min(2), "{}: {n_chosen}", case.name);
        }
    }
    site.server.shutdown().await.unwrap();
}

const SHELF: &str = r#"
name = "shelf"
unit = "query"
[decision]
kind = "rank"
at_most = 3
[candidates]
price = "number"
[outcome]
event = "clicked"
aggregation = "any"
window = "30m"
[policy]
kind = "slots"
exploration_slots = [2, 3]
"#;

/// A model of the shelf: what costs less is clicked more.
fn shelf_model(blueprint: &Blueprint) -> NewModel {
    NewModel {
        strategy: blueprint.name.clone(),
        target: blueprint.learning_target(),
        action_is_feature: blueprint.action_is_feature(),
        encoding: Encoding {
            columns: vec![column("price", FeatureType::Number, &[])],
        },
        ..model(trees("binary:logistic", 1, &[(0, 2.5, 0.4, -0.4), (0, 4.5, 0.2, -0.2)]))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn propensities_of_slots_are_those_of_the_kernel_at_every_position() {
    let home = Home::new();
    let site = home.start_with(&[SHELF]).await;
    let candidates: Vec<Value> = [5, 4, 3, 2, 6]
        .iter()
        .map(|price| json!({ "id": format!("p{price}"), "context": { "price": price } }))
        .collect();
    let body =
        |id: &str| json!({ "strategy": "shelf", "unit": "q", "decision_id": id, "candidates": candidates }).to_string();
    let mut answers = HashMap::new();
    let mut bundles = HashMap::new();
    for with_model in [false, true] {
        if with_model {
            go_live(&site.lake, shelf_model(&in_force(&site.lake, "shelf").await.blueprint)).await;
            let any = json!({ "strategy": "shelf", "unit": "q", "candidates": candidates });
            site.until("/v1/decide", &any.to_string(), |answer| {
                answer["model_version"] == json!(1)
            })
            .await;
        }
        for n in 0..N_DECISIONS {
            let id = format!("{with_model}-{n}");
            answers.insert(id.clone(), site.ok("/v1/decide", &body(&id)).await);
        }
        bundles.insert(with_model, bundle(&site.lake, "shelf").await);
    }
    site.server.flush().await.unwrap();
    let (mut n_checked, mut orders) = (0, BTreeSet::new());
    for row in site.decisions().await {
        let Some(answer) = answers.get(row.decision_id.as_str()) else {
            continue;
        };
        n_checked += 1;
        let with_model = row.model_version.is_some();
        let bundle = &bundles[&with_model];
        let Choice::Ranking(ranking) = &row.choice else {
            panic!("{row:?}")
        };
        let ids: Vec<&str> = ranking.positions.iter().map(|at| at.candidate.as_str()).collect();
        assert_eq!(answer["ranking"], json!(ids));
        assert_eq!(
            (ids.len(), ids[0]),
            (3, if with_model { "p2" } else { "p5" }),
            "the first position is the best one's"
        );
        let offered = Offered {
            features: &row.features,
            candidates: &ranking.candidates,
        };
        let mut scratch = Scratch::new();
        let of_each = position_probabilities(bundle, offered, &mut scratch).unwrap();
        for (position, at) in ranking.positions.iter().enumerate() {
            let candidate_idx = ranking
                .candidates
                .iter()
                .position(|one| one.id == at.candidate)
                .unwrap();
            assert_eq!(at.propensity.to_bits(), of_each.at(position)[candidate_idx].to_bits());
            assert_eq!(at.propensity, if position == 0 { 1.0 } else { 0.25 });
        }
        // Of the whole order: two of the four others, in order.
        assert_eq!((row.propensity, row.reason), (1.0 / 4.0 / 3.0, DecisionReason::Explore));
        assert_eq!(
            answer["propensity"].as_f64().unwrap().to_bits(),
            row.propensity.to_bits(),
            "{answer}"
        );
        assert_eq!(replay(&row, bundle), Replay::Same);
        orders.insert(ids.join(" "));
    }
    assert_eq!(n_checked, 2 * N_DECISIONS);
    assert!(orders.len() > 12, "{orders:?}");
    site.server.shutdown().await.unwrap();
}
