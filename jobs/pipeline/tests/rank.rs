//! A ranking goes round: candidates are put in order by the request, clicked or not, learned from, and put in a better order.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use lakeloop_decide::{Asked, Bundle, Chosen, Model, Offered, Replay, Scratch, rank, record, replay};
use lakeloop_domain::{
    Candidate, CandidateId, DecisionId, DecisionRecord, FeatureType, LearningTarget, Micros, ModelRecord, ModelStage,
    OutcomeId, OutcomeRecord, OutcomeValue, RunState, UnitId,
};
use lakeloop_lake::rows::{decisions_from_batch, decisions_to_batch, outcomes_to_batch, training_rows_from_batch};
use lakeloop_lake::{TableName, registry};
use lakeloop_pipeline::RunEnd;
use lakeloop_sql::{Pins, session};
use lakeloop_world::{SearchQuery, SearchWorld};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use support::{Home, MINUTE, START, features};

const SEARCH: &str = include_str!("../../../config/blueprints/rank.toml");
const AT_MOST: usize = 6;
const SECOND: Micros = 1_000_000;

fn decide(bundle: &Bundle, query: &SearchQuery, id: &str, at: Micros) -> DecisionRecord {
    let hits = query.hits.iter().map(|hit| (hit.id.as_str(), &hit.context));
    decide_among(bundle, (&query.unit, &query.context), hits, id, at)
}

/// A decision for a unit in its context, among candidates with theirs.
fn decide_among<'c>(
    bundle: &Bundle,
    (unit, context): (&str, &Value),
    candidates: impl Iterator<Item = (&'c str, &'c Value)>,
    id: &str,
    at: Micros,
) -> DecisionRecord {
    let blueprint = bundle.blueprint();
    let shared = features(&blueprint.context, context);
    let candidate = |(id, context): (&str, &Value)| Candidate {
        id: CandidateId::new(id).unwrap(),
        features: features(&blueprint.candidates, context),
    };
    let candidates: Vec<Candidate> = candidates.map(candidate).collect();
    let mut scratch = Scratch::new();
    let offered = Offered {
        features: &shared,
        candidates: &candidates,
    };
    let decision = rank(bundle, offered, id, &mut scratch);
    let Chosen::Ranking { order, .. } = decision.chosen else {
        panic!("{:?}", decision.chosen)
    };
    assert_eq!(order.len(), AT_MOST.min(candidates.len()));
    let asked = Asked {
        decision_id: DecisionId::new(id).unwrap(),
        unit: UnitId::new(unit).unwrap(),
        event_time: at,
        received_at: at,
        features: shared.clone(),
        feature_versions: Vec::new(),
        candidates: candidates.clone(),
    };
    record(bundle, asked, &decision)
}

fn returned(decision: &DecisionRecord) -> Vec<&str> {
    let lakeloop_domain::Choice::Ranking(ranking) = &decision.choice else {
        panic!("{:?}", decision.choice)
    };
    ranking
        .positions
        .iter()
        .map(|position| position.candidate.as_str())
        .collect()
}

fn clicked(decision: &DecisionRecord, item: &str) -> OutcomeRecord {
    OutcomeRecord {
        outcome_id: OutcomeId::new(format!("{} {item}", decision.decision_id)).unwrap(),
        decision_id: Some(decision.decision_id.clone()),
        strategy: None,
        unit: None,
        candidate: Some(CandidateId::new(item).unwrap()),
        event: "clicked".into(),
        value: OutcomeValue::Number(1.0),
        event_time: decision.event_time + SECOND,
        received_at: decision.event_time + SECOND,
    }
}

async fn rows<T>(home: &Home, query: &str, read: impl Fn(&arrow::record_batch::RecordBatch) -> Vec<T>) -> Vec<T> {
    let (ctx, _) = session(&home.lake, &Pins::default()).await.unwrap();
    let batches = ctx.sql(query).await.unwrap().collect().await.unwrap();
    batches.iter().flat_map(read).collect()
}

/// Writes decisions and the clicks on them, and trains once all windows have closed: when that was, and what the run says.
async fn learn_from(home: &Home, decisions: &[DecisionRecord], clicks: &[OutcomeRecord]) -> (Micros, String) {
    home.append(TableName::Decisions, decisions_to_batch(decisions).unwrap())
        .await;
    home.append(TableName::Outcomes, outcomes_to_batch(clicks).unwrap())
        .await;
    let closed = decisions.last().unwrap().event_time + 11 * MINUTE;
    let outcome = home.train(closed).await.unwrap();
    assert_eq!(outcome.end, RunEnd::Ran(RunState::Succeeded), "{}", outcome.detail);
    (closed, outcome.detail)
}

/// The simulated shop, whose queries a strategy has ordered and learned from.
struct Shop {
    home: Home,
    world: SearchWorld,
    /// What decided so far.
    unlearned: Bundle,
    decisions: Vec<DecisionRecord>,
    n_clicks: usize,
    closed: Micros,
    detail: String,
}

impl Shop {
    const N_QUERIES: usize = 2_500;

    async fn open(blueprint: &str) -> Self {
        let home = Home::new(blueprint, "").await;
        let unlearned = Bundle::new(home.applied.clone(), None).unwrap();
        let mut world = SearchWorld::new(1);
        let (mut decisions, mut outcomes) = (Vec::new(), Vec::new());
        for idx in 0..Self::N_QUERIES {
            let query = world.next_query();
            let at = START + idx as i64 * 10 * SECOND;
            let decision = decide(&unlearned, &query, &format!("d{idx:06}"), at);
            let clicks = query.clicks(&returned(&decision));
            outcomes.extend(clicks.iter().map(|item| clicked(&decision, item)));
            decisions.push(decision);
        }
        let (closed, detail) = learn_from(&home, &decisions, &outcomes).await;
        println!("{detail}");
        Self {
            home,
            world,
            unlearned,
            decisions,
            n_clicks: outcomes.len(),
            closed,
            detail,
        }
    }

    async fn live(&self) -> ModelRecord {
        let models = registry::list(&self.home.lake, Some(self.home.strategy()))
            .await
            .unwrap();
        let live = models.into_iter().next_back().expect(&self.detail);
        assert_eq!(live.stage, ModelStage::Live, "{}", self.detail);
        live
    }

    /// How much of the gap between the request's order and the best one a model closes on later queries.
    fn gap_closed(&mut self, live: &ModelRecord) -> f64 {
        let learned = Bundle::new(self.home.applied.clone(), Some(Model::from_record(live).unwrap())).unwrap();
        let (mut before, mut after, mut best) = (0.0, 0.0, 0.0);
        for idx in 0..1_000 {
            let query = self.world.next_query();
            let id = format!("later-{idx}");
            before += query.value(&returned(&decide(&self.unlearned, &query, &id, self.closed)));
            let decision = decide(&learned, &query, &id, self.closed);
            assert_eq!(replay(&decision, &learned), Replay::Same);
            after += query.value(&returned(&decision));
            best += query.value(&query.best(AT_MOST));
        }
        let share = (after - before) / (best - before);
        println!(
            "clicks a query: {:.3} by request, {:.3} learned, {:.3} at best; {share:.3} of the gap closed",
            before / 1e3,
            after / 1e3,
            best / 1e3
        );
        share
    }
}

#[tokio::test]
async fn the_learned_order_closes_most_of_the_gap_to_the_best_one() {
    let mut shop = Shop::open(SEARCH).await;

    // Each candidate that was returned is one row, with the very features that it was ranked by, and its own label.
    let trained = rows(&shop.home, "SELECT * FROM training_rows", |batch| {
        training_rows_from_batch(batch).unwrap()
    })
    .await;
    assert_eq!(trained.len(), Shop::N_QUERIES * AT_MOST);
    assert_eq!(
        trained.iter().filter(|row| row.label == Some(1.0)).count(),
        shop.n_clicks
    );
    let logged = &shop.decisions[17];
    let lakeloop_domain::Choice::Ranking(ranking) = &logged.choice else {
        panic!()
    };
    for position in &ranking.positions {
        let is_it = |row: &&lakeloop_lake::rows::TrainingRow| {
            row.decision_id == logged.decision_id && row.candidate.as_ref() == Some(&position.candidate)
        };
        let row = trained.iter().find(is_it).unwrap();
        assert_eq!(
            (row.propensity, row.event_time),
            (position.propensity, logged.event_time)
        );
        let of = |candidate: &&Candidate| candidate.id == position.candidate;
        let candidate = ranking.candidates.iter().find(of).unwrap();
        for served in logged.features.iter().chain(&candidate.features) {
            let found = row.features.iter().find(|feature| feature.name == served.name).unwrap();
            assert_eq!(
                found.value.as_number().map(f64::to_bits),
                served.value.as_number().map(f64::to_bits)
            );
            if served.feature_type == FeatureType::Category {
                assert_eq!(found.value, served.value);
            }
        }
    }

    // Every decision can be made again from its row.
    let read = rows(&shop.home, "SELECT * FROM decisions", |batch| {
        decisions_from_batch(batch).unwrap()
    })
    .await;
    assert_eq!(read.len(), Shop::N_QUERIES);
    for decision in &read {
        assert_eq!(
            replay(decision, &shop.unlearned),
            Replay::Same,
            "{}",
            decision.decision_id
        );
    }

    let live = shop.live().await;
    let names: Vec<&str> = live
        .encoding
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert!(
        names.contains(&"price") && names.contains(&"budget") && !names.contains(&"supplier"),
        "{names:?}"
    );
    let share = shop.gap_closed(&live);
    println!("figure use_case_ranking_oracle_share {share:.3} share");
    // One query in ten is still ordered by chance, so that at most about nine tenths can be closed.
    assert!(
        share > 0.6,
        "{share:.3} of the gap between the request's order and the best one"
    );
}

#[tokio::test]
async fn an_order_is_learned_by_ndcg_from_whole_rankings() {
    let mut shop = Shop::open(&SEARCH.replace("[schedule]", "[model]\nobjective = \"ndcg\"\n[schedule]")).await;
    let live = shop.live().await;
    assert_eq!(
        (live.target.clone(), live.metrics.metric.as_str()),
        (LearningTarget::Order, "ndcg")
    );
    let baseline = live.metrics.baseline.unwrap();
    assert!(
        live.metrics.value > baseline,
        "{} against {baseline} of the candidates' own order",
        live.metrics.value
    );
    let share = shop.gap_closed(&live);
    assert!(
        share > 0.5,
        "{share:.3} of the gap between the request's order and the best one"
    );
}

/// Titles that differ in how good they are, which matters a little, and in how new they are, which matters to nobody.
const NEWS: &str = r#"
name = "news"
description = "Which title first?"
unit = "reader"
decision = { kind = "rank" }
outcome = { event = "clicked", aggregation = "any", window = "10m", absent = 0 }
policy = { kind = "epsilon_greedy", epsilon = 0.3 }
schedule = { minimum_rows = 500, trials = 6 }
[candidates]
quality = "number"
newness = "number"
"#;

/// Shows the newest titles first, to readers who look at the first title always and at the n-th 1 / n times as often, and
/// learns from their clicks: how often the better one of two titles has the higher score.
async fn agreement_with_quality(training: &str) -> f64 {
    const N_TITLES: usize = 6;
    let home = Home::new(&format!("{NEWS}{training}"), "").await;
    let unlearned = Bundle::new(home.applied.clone(), None).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let ids: Vec<String> = (0..N_TITLES).map(|idx| format!("title-{idx}")).collect();
    let mut titles = || -> Vec<(f64, Value)> {
        let mut titles: Vec<[f64; 2]> = (0..N_TITLES).map(|_| [rng.random(), rng.random()]).collect();
        titles.sort_by(|a, b| b[1].total_cmp(&a[1]));
        let title = |[quality, newness]: [f64; 2]| (quality, json!({"quality": quality, "newness": newness}));
        titles.into_iter().map(title).collect()
    };
    let mut reader = ChaCha8Rng::seed_from_u64(4);
    let (mut decisions, mut clicks) = (Vec::new(), Vec::new());
    for idx in 0..6_000 {
        let titles = titles();
        let offered = ids.iter().zip(&titles).map(|(id, (_, context))| (id.as_str(), context));
        let at = START + idx * 10 * SECOND;
        let decision = decide_among(&unlearned, ("reader", &json!({})), offered, &format!("d{idx:06}"), at);
        for (position, id) in returned(&decision).into_iter().enumerate() {
            let quality = titles[ids.iter().position(|one| one == id).unwrap()].0;
            if reader.random_bool((0.2 + 0.6 * quality) / (position + 1) as f64) {
                clicks.push(clicked(&decision, id));
            }
        }
        decisions.push(decision);
    }
    let (closed, detail) = learn_from(&home, &decisions, &clicks).await;
    let models = registry::list(&home.lake, Some(home.strategy())).await.unwrap();
    let learned = Bundle::new(
        home.applied.clone(),
        Some(Model::from_record(models.first().expect(&detail)).unwrap()),
    )
    .unwrap();
    let (mut n_agreed, mut n_pairs) = (0, 0);
    for _ in 0..500 {
        let titles = titles();
        let offered = ids.iter().zip(&titles).map(|(id, (_, context))| (id.as_str(), context));
        let scores = decide_among(&learned, ("reader", &json!({})), offered, "later", closed).scores;
        for (a, b) in (0..N_TITLES).flat_map(|a| (0..a).map(move |b| (a, b))) {
            n_agreed += usize::from((scores[a] > scores[b]) == (titles[a].0 > titles[b].0));
            n_pairs += 1;
        }
    }
    n_agreed as f64 / n_pairs as f64
}

#[tokio::test]
async fn where_a_title_stood_is_not_taken_for_what_it_is() {
    let plain = agreement_with_quality("").await;
    let by_position = agreement_with_quality("[training]\nweights = \"position\"\n").await;
    let by_propensity = agreement_with_quality("[training]\nweights = \"inverse_propensity\"\n").await;
    println!(
        "of two titles the better one is ahead: {plain:.3} as clicked, {by_position:.3} by position, {by_propensity:.3} by propensity"
    );
    assert!(plain < 0.8, "the clicks mislead: {plain}");
    assert!(
        by_position > 0.85 && by_propensity > 0.85,
        "{by_position}, {by_propensity}"
    );
}
