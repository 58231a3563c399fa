//! A simulated product whose truth is known: which snack, by the mood, and what is eaten of it.

use lakeloop_config::parse_candidate;
use lakeloop_decide::caps::{CapTerms, Counters, Share};
use lakeloop_decide::{Asked, Bundle, Chosen, Given, Offered, Scratch, rank_given, record_given};
use lakeloop_domain::{
    AppliedBlueprint, CandidateId, DecisionId, DecisionRecord, FeatureType, FeatureValue, Features, ModelStage,
    ModelVersion, NamedValue, OutcomeId, OutcomeRecord, OutcomeValue, StageMove, UnitId,
};
use lakeloop_lake::rows::{decisions_to_batch, outcomes_to_batch};
use lakeloop_lake::{TableName, registry};
use lakeloop_pipeline::{Candidate, DecidingModel, EvaluationOptions, EvaluationReport, evaluate};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::support::{Home, MINUTE, START};

pub const SNACK: &str = r#"
name = "snack"
description = "Which snack?"
unit = "user"
decision = { kind = "choose", actions = ["cake", "chips", "fruit", "nuts"], default = "fruit" }
outcome = { event = "eaten", aggregation = "any", window = "2m", absent = 0 }
context = { mood = "category", noise = "number" }
policy = { kind = "epsilon_greedy", epsilon = 0.9 }
schedule = { minimum_rows = 100, trials = 1 }
"#;
pub const ACTIONS: [&str; 4] = ["cake", "chips", "fruit", "nuts"];
pub const N_DECISIONS: usize = 4_000;

/// How likely a snack is eaten, in a sweet mood and in a salty one.
pub fn truth(mood: &str, action: &str) -> f64 {
    match (mood, action) {
        ("sweet", "cake") => 0.6,
        ("sweet", "chips") | ("salty", "cake") => 0.1,
        ("salty", "chips") => 0.5,
        (_, "fruit") => 0.3,
        _ => 0.02,
    }
}

/// What ε-greedy with a default is worth while nothing is learned: both moods are as frequent.
pub fn value_of(default: &str, epsilon: f64) -> f64 {
    let mean = |action| (truth("sweet", action) + truth("salty", action)) / 2.0;
    let even: f64 = ACTIONS.iter().map(|action| mean(action) / 4.0).sum();
    (1.0 - epsilon) * mean(default) + epsilon * even
}

pub fn named(name: &str, feature_type: FeatureType, value: FeatureValue) -> NamedValue {
    NamedValue {
        name: name.into(),
        feature_type,
        value,
    }
}

/// Decides as a server does, under its caps, a decision every ten seconds, 1,000 units in turn; what is eaten is reported at
/// once. Gives what was decided.
pub async fn live(home: &Home, applied: &AppliedBlueprint, n: usize) -> Vec<DecisionRecord> {
    let bundle = Bundle::new(applied.clone(), None).unwrap();
    let mut counters = CapTerms::of(&applied.blueprint).map(|terms| Counters::new(terms, Share::WHOLE, 1_000_000));
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut scratch = Scratch::new();
    let (mut decisions, mut outcomes) = (Vec::new(), Vec::new());
    for idx in 0..n {
        let mood = if rng.random_bool(0.5) { "sweet" } else { "salty" };
        let features: Features = vec![
            named("mood", FeatureType::Category, FeatureValue::Category(mood.into())),
            named("noise", FeatureType::Number, FeatureValue::Number(rng.random())),
        ];
        let id = DecisionId::new(format!("d{idx:05}")).unwrap();
        let at = START + idx as i64 * MINUTE / 6;
        let unit = format!("u{}", idx % 1_000);
        let reserved = counters.as_mut().map(|counters| counters.reserve(&unit, at));
        let given = Given {
            blocked: reserved.as_ref().map_or(&[][..], |(_, blocked)| &blocked.actions),
            ..Given::default()
        };
        let offered = Offered {
            features: &features,
            candidates: &[],
        };
        let decision = rank_given(&bundle, offered, &given, id.as_str(), &mut scratch);
        let Chosen::Action(action_idx) = decision.chosen else {
            panic!("{decision:?}")
        };
        let asked = Asked {
            decision_id: id,
            unit: UnitId::new(unit.as_str()).unwrap(),
            event_time: at,
            received_at: at,
            features: features.clone(),
            feature_versions: Vec::new(),
            candidates: Vec::new(),
        };
        if rng.random_bool(truth(mood, decision.action(&bundle).unwrap())) {
            outcomes.push(reported(&asked.decision_id, None, at + 1));
        }
        decisions.push(record_given(&bundle, asked, &given, &decision));
        if let (Some(counters), Some((mut hold, _))) = (&mut counters, reserved) {
            counters.settle(&unit, &mut hold, action_idx);
            counters.keep(&hold);
        }
    }
    log(home, &decisions, &outcomes).await;
    home.set_time(START + n as i64 * MINUTE / 6 + 3 * MINUTE);
    decisions
}

pub fn reported(decision: &DecisionId, item: Option<&CandidateId>, at: i64) -> OutcomeRecord {
    OutcomeRecord {
        outcome_id: OutcomeId::new(format!("{decision} {item:?}")).unwrap(),
        decision_id: Some(decision.clone()),
        strategy: None,
        unit: None,
        candidate: item.cloned(),
        event: "eaten".into(),
        value: OutcomeValue::Number(1.0),
        event_time: at,
        received_at: at,
    }
}

pub async fn log(home: &Home, decisions: &[DecisionRecord], outcomes: &[OutcomeRecord]) {
    home.append(TableName::Decisions, decisions_to_batch(decisions).unwrap())
        .await;
    home.append(TableName::Outcomes, outcomes_to_batch(outcomes).unwrap())
        .await;
}

pub async fn lived() -> Home {
    let home = Home::new(SNACK, "").await;
    let applied = home.applied.clone();
    live(&home, &applied, N_DECISIONS).await;
    home
}

pub fn candidate(home: &Home, text: &str, by: DecidingModel) -> Candidate {
    let parsed = parse_candidate("bold.toml", text, &home.applied.source).unwrap();
    Candidate {
        name: "bold".into(),
        applied: AppliedBlueprint {
            blueprint: parsed.blueprint,
            version: parsed.version,
            ..home.applied.clone()
        },
        by,
    }
}

pub fn with_default(default: &str, epsilon: f64) -> String {
    format!(
        "decision = {{ kind = \"choose\", actions = [\"cake\", \"chips\", \"fruit\", \"nuts\"], default = \"{default}\" }}\n\
         policy = {{ kind = \"epsilon_greedy\", epsilon = {epsilon} }}\n"
    )
}

pub async fn valued(home: &Home, text: &str, by: DecidingModel) -> EvaluationReport {
    let options = EvaluationOptions {
        n_resamples: 200,
        ..EvaluationOptions::default()
    };
    evaluate(&home.jobs, &candidate(home, text, by), &options)
        .await
        .unwrap()
}

pub const GATED: &str = "[gate]\noff_policy = { margin = 0.01 }\n";

pub async fn promote(home: &Home, version: u32) {
    let wish = StageMove {
        strategy: home.strategy().clone(),
        version: ModelVersion(version),
        to: ModelStage::Live,
        reason: "a test".into(),
    };
    let now = home.clock.fetch_add(MINUTE, std::sync::atomic::Ordering::Relaxed);
    let _ = registry::move_stage(&home.lake, &wish, now).await.unwrap();
}
