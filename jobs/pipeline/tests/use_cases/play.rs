//! One strategy that is played through: decisions of the kernel, their log, their outcomes, and the models that come of it.

use lakeloop_decide::{Asked, Bundle, Model, Scratch, decide, record};
use lakeloop_domain::{
    Choice, DecisionId, DecisionRecord, Micros, ModelStage, OutcomeId, OutcomeRecord, OutcomeValue, RunState, UnitId,
};
use lakeloop_lake::rows::{decisions_to_batch, outcomes_to_batch};
use lakeloop_lake::{TableName, registry};
use lakeloop_pipeline::RunEnd;
use serde_json::Value;

use crate::support::{Home, features};

pub struct Play {
    pub home: Home,
    bundle: Bundle,
    scratch: Scratch,
    decisions: Vec<DecisionRecord>,
    outcomes: Vec<OutcomeRecord>,
    n_decided: usize,
    n_reported: usize,
}

impl Play {
    /// Applies a blueprint, with fewer trials than it asks for, so that a test takes seconds.
    pub async fn new(blueprint: &str) -> Self {
        let fewer = |line: &str| match line.starts_with("trials = ") {
            true => "trials = 3".to_owned(),
            false => line.to_owned(),
        };
        let text: Vec<String> = blueprint.lines().map(fewer).collect();
        let home = Home::new(&text.join("\n"), "").await;
        Self {
            bundle: Bundle::new(home.applied.clone(), None).unwrap(),
            home,
            scratch: Scratch::new(),
            decisions: Vec::new(),
            outcomes: Vec::new(),
            n_decided: 0,
            n_reported: 0,
        }
    }

    /// Decides with what is live, without logging it.
    pub fn decide(&mut self, unit: &str, context: &Value, at: Micros) -> DecisionRecord {
        let id = format!("d{:06}", self.n_decided);
        self.n_decided += 1;
        let features = features(&self.bundle.blueprint().context, context);
        let decision = decide(&self.bundle, &features, &id, &mut self.scratch);
        assert!(decision.failure.is_none(), "{id}");
        let asked = Asked {
            decision_id: DecisionId::new(id).unwrap(),
            unit: UnitId::new(unit).unwrap(),
            event_time: at,
            received_at: at,
            features,
            feature_versions: Vec::new(),
            candidates: Vec::new(),
        };
        record(&self.bundle, asked, &decision)
    }

    /// Decides, and logs it.
    pub fn log(&mut self, unit: &str, context: &Value, at: Micros) -> DecisionRecord {
        let decision = self.decide(unit, context, at);
        self.decisions.push(decision.clone());
        decision
    }

    /// Reports an outcome of a decision.
    pub fn observe(&mut self, decision: &DecisionRecord, event: &str, value: f64, at: Micros) {
        let outcome = self.outcome(event, value, at);
        self.outcomes.push(OutcomeRecord {
            decision_id: Some(decision.decision_id.clone()),
            ..outcome
        });
    }

    /// Reports an outcome of a unit.
    pub fn observe_unit(&mut self, unit: &str, event: &str, value: f64, at: Micros) {
        let outcome = self.outcome(event, value, at);
        self.outcomes.push(OutcomeRecord {
            strategy: Some(self.home.strategy().clone()),
            unit: Some(UnitId::new(unit).unwrap()),
            ..outcome
        });
    }

    fn outcome(&mut self, event: &str, value: f64, at: Micros) -> OutcomeRecord {
        self.n_reported += 1;
        OutcomeRecord {
            outcome_id: OutcomeId::new(format!("o{:06}", self.n_reported)).unwrap(),
            decision_id: None,
            strategy: None,
            unit: None,
            candidate: None,
            event: event.into(),
            value: OutcomeValue::Number(value),
            event_time: at,
            received_at: at,
        }
    }

    /// Brings what was logged into the lake, trains, and decides with the model that is live from then on. Returns what the
    /// run says of itself.
    pub async fn train(&mut self, at: Micros) -> String {
        let (decisions, outcomes) = (std::mem::take(&mut self.decisions), std::mem::take(&mut self.outcomes));
        let (decisions, outcomes) = (decisions_to_batch(&decisions), outcomes_to_batch(&outcomes));
        self.home.append(TableName::Decisions, decisions.unwrap()).await;
        self.home.append(TableName::Outcomes, outcomes.unwrap()).await;
        let run = self.home.train(at).await.unwrap();
        assert_eq!(run.end, RunEnd::Ran(RunState::Succeeded), "{}", run.detail);
        let models = registry::list(&self.home.lake, Some(self.home.strategy()))
            .await
            .unwrap();
        let live = models.iter().find(|model| model.stage == ModelStage::Live);
        let live = live.unwrap_or_else(|| panic!("no model is live: {}", run.detail));
        let model = Model::from_record(live).unwrap();
        self.bundle = Bundle::new(self.home.applied.clone(), Some(model)).unwrap();
        run.detail
    }
}

/// The action that was chosen.
pub fn action(decision: &DecisionRecord) -> &str {
    let Choice::Action(action) = &decision.choice else {
        panic!("{:?}", decision.choice)
    };
    action
}

/// Prints and returns how much of the gap between the default and the oracle is closed.
pub fn oracle_share(name: &str, default: f64, learned: f64, oracle: f64) -> f64 {
    let share = (learned - default) / (oracle - default);
    println!("{name}: {default:.4} by default, {learned:.4} learned, {oracle:.4} at best");
    println!("figure use_case_{name}_oracle_share {share:.3} share");
    share
}
