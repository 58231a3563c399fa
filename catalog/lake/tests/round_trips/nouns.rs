//! Nouns of all kinds, with the values that a careless conversion changes.

use lakeloop_domain::*;
use lakeloop_lake::rows::*;
use proptest::prelude::*;

/// Finite numbers, with those that a careless conversion changes.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(f64::MIN_POSITIVE),
        Just(-f64::from_bits(1)),
        Just(f64::MAX),
        Just(f64::MIN),
        Just(0.1 + 0.2),
        any::<f64>().prop_filter("finite", |number| number.is_finite()),
    ]
}

/// Identifiers of one byte to 256, also outside ASCII.
fn any_token() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("x".to_owned()),
        Just("ß".repeat(128)),
        Just("'; DROP TABLE decisions; --".to_owned()),
        "[a-zA-Z0-9 äöü中🙂\"'\\\\,{}]{1,60}",
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just("\0\n\t\u{feff}".to_owned()), any::<String>()]
}

fn any_name() -> impl Strategy<Value = StrategyName> {
    "[a-z][a-z0-9_-]{0,63}".prop_map(|name| StrategyName::new(name).unwrap())
}

/// The years 1 to 9999.
fn any_instant() -> impl Strategy<Value = Micros> {
    prop_oneof![
        Just(-62_135_596_800_000_000),
        Just(253_402_300_799_999_999),
        Just(0),
        Just(-1),
        -62_135_596_800_000_000..253_402_300_799_999_999_i64,
    ]
}

fn any_hash() -> impl Strategy<Value = BlueprintVersion> {
    any::<u64>().prop_map(|hash| BlueprintVersion::new(format!("{hash:016x}")).unwrap())
}

fn any_model_version() -> impl Strategy<Value = ModelVersion> {
    prop_oneof![Just(0), Just(i32::MAX as u32), 0..1000_u32].prop_map(ModelVersion)
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(i64::MAX as u64), any::<u32>().prop_map(u64::from)]
}

fn any_versions() -> impl Strategy<Value = Vec<(String, i64)>> {
    proptest::collection::btree_map(any_text(), any::<i64>(), 0..3).prop_map(|map| map.into_iter().collect())
}

/// Features as the table gives them back: numbers first, then categories.
fn any_features() -> impl Strategy<Value = Features> {
    let numbers = proptest::collection::vec(proptest::option::of(any_number()), 0..4);
    let texts = proptest::collection::vec(proptest::option::of(any_text()), 0..4);
    (numbers, texts).prop_map(|(numbers, texts)| {
        let numbers = numbers.into_iter().enumerate().map(|(idx, number)| NamedValue {
            name: format!("n{idx}").into(),
            feature_type: FeatureType::Number,
            value: number.map_or(FeatureValue::Missing, FeatureValue::Number),
        });
        let texts = texts.into_iter().enumerate().map(|(idx, text)| NamedValue {
            name: format!("c {idx}").into(),
            feature_type: FeatureType::Category,
            value: text.map_or(FeatureValue::Missing, FeatureValue::Category),
        });
        numbers.chain(texts).collect()
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        any_number().prop_map(|at| Policy::Threshold { at }),
        Just(Policy::Greedy),
        any_number().prop_map(|epsilon| Policy::EpsilonGreedy { epsilon }),
    ]
}

/// Up to four candidates with the same features, the last of them first; some are not returned.
fn any_ranking() -> impl Strategy<Value = Ranking> {
    let ids = proptest::collection::hash_set(any_token(), 0..4);
    let values = proptest::collection::vec(any_features(), 4);
    (ids, any_features(), values, 0..4_usize, any_number()).prop_map(
        |(ids, features, values, n_returned, propensity)| {
            let candidate = |(id, values): (String, Features)| Candidate {
                id: CandidateId::new(id).unwrap(),
                features: values_of(&features, &values),
            };
            let candidates: Vec<Candidate> = ids.into_iter().zip(values).map(candidate).collect();
            let returned = candidates.iter().rev().take(n_returned);
            let positions = returned.map(|candidate| Position {
                candidate: candidate.id.clone(),
                propensity,
            });
            Ranking {
                positions: positions.collect(),
                candidates,
            }
        },
    )
}

/// The names and types of some features with the values of others, where these are of the type.
fn values_of(features: &Features, values: &Features) -> Features {
    let mut values = values.iter();
    let value = |feature: &NamedValue| NamedValue {
        value: match values.next() {
            Some(next) if next.value.fits(feature.feature_type) => next.value.clone(),
            _ => FeatureValue::Missing,
        },
        ..feature.clone()
    };
    features.iter().map(value).collect()
}

fn any_reason() -> impl Strategy<Value = DecisionReason> {
    use DecisionReason::*;
    proptest::sample::select(vec![
        NoModel, Exploit, Explore, Fallback, Imported, Capped, Apprentice, Default,
    ])
}

fn any_conditions() -> impl Strategy<Value = Conditions> {
    let text = || proptest::option::of(any_text());
    let blocked = proptest::collection::vec(any_text(), 0..3);
    let step = proptest::option::of(proptest::sample::select(LadderStep::ALL.to_vec()));
    (blocked, step, text(), text()).prop_map(|(blocked, step, rule_action, model_action)| Conditions {
        blocked,
        step,
        rule_action,
        model_action,
    })
}

prop_compose! {
    pub fn any_decision()(
        ids in (any_token(), any_name(), any_hash(), proptest::option::of(any_model_version()), any_token()),
        times in (any_instant(), any_instant()),
        features in any_features(),
        feature_versions in any_versions(),
        actions in proptest::collection::vec(any_text(), 0..4),
        scores in proptest::collection::vec(any_number(), 0..4),
        choice in prop_oneof![
            any_text().prop_map(Choice::Action),
            any_number().prop_map(Choice::Number),
            any_ranking().prop_map(Choice::Ranking),
        ],
        rest in (any_number(), any_reason(), proptest::option::of(any_policy()), any_text()),
        conditions in any_conditions(),
    ) -> DecisionRecord {
        DecisionRecord {
            decision_id: DecisionId::new(ids.0).unwrap(),
            strategy: ids.1,
            blueprint_version: ids.2,
            model_version: ids.3,
            unit: UnitId::new(ids.4).unwrap(),
            event_time: times.0,
            received_at: times.1,
            features,
            feature_versions,
            actions,
            scores,
            choice,
            propensity: rest.0,
            reason: rest.1,
            policy: rest.2,
            salt: rest.3,
            conditions,
        }
    }
}

prop_compose! {
    pub fn any_outcome()(
        id in any_token(),
        decision in proptest::option::of(any_token()),
        strategy in proptest::option::of(any_name()),
        unit in proptest::option::of(any_token()),
        candidate in proptest::option::of(any_token()),
        event in any_text(),
        value in prop_oneof![any_number().prop_map(OutcomeValue::Number), any_text().prop_map(OutcomeValue::Category)],
        times in (any_instant(), any_instant()),
    ) -> OutcomeRecord {
        OutcomeRecord {
            outcome_id: OutcomeId::new(id).unwrap(),
            decision_id: decision.map(|id| DecisionId::new(id).unwrap()),
            strategy,
            unit: unit.map(|id| UnitId::new(id).unwrap()),
            candidate: candidate.map(|id| CandidateId::new(id).unwrap()),
            event,
            value,
            event_time: times.0,
            received_at: times.1,
        }
    }
}

prop_compose! {
    pub fn any_model()(
        ids in (any_name(), any_model_version(), any_hash(), any_token()),
        stage in proptest::sample::select(vec![ModelStage::Candidate, ModelStage::Live, ModelStage::Retired]),
        texts in (any_text(), any_text(), any_text()),
        times in (any_instant(), any_instant()),
        classes in proptest::option::of(proptest::collection::vec(any_text(), 0..3)),
        vocabulary in proptest::collection::vec(any_text(), 0..3),
        platt in proptest::option::of((any_number(), any_number())),
        artifact in proptest::collection::vec(any::<u8>(), 0..200),
        numbers in (any_number(), proptest::option::of(any_number()), any_number(), any_number(), any_number()),
        counts in (any_count(), any_count(), any_count()),
        flag in any::<bool>(),
        table_versions in any_versions(),
        seed in any::<u64>(),
        known in proptest::option::of((any_text(), any_number(), any_number())),
    ) -> ModelRecord {
        ModelRecord {
            strategy: ids.0,
            version: ids.1,
            stage,
            stage_reason: texts.0,
            stage_changed_at: times.0,
            registered_at: times.1,
            target: classes.map_or(LearningTarget::Regression, |classes| LearningTarget::MultiClass { classes }),
            action_is_feature: flag,
            encoding: Encoding { columns: vec![EncodedColumn {
                name: "action".to_owned(), feature_type: FeatureType::Boolean, vocabulary,
            }] },
            calibration: platt.map_or(Calibration::Identity, |(slope, intercept)| Calibration::Platt { slope, intercept }),
            prediction_interval: None,
            uncertainty: known.map(|(action, one, other)| {
                let belief = Belief {
                    offset: one, slope: other, offset_variance: one, slope_variance: other, covariance: -one,
                };
                Uncertainty { center: other, actions: vec![ActionBelief { action, belief }], unseen: belief }
            }),
            artifact,
            metrics: ModelMetrics {
                metric: texts.1,
                value: numbers.0,
                baseline: numbers.1,
                n_train_rows: counts.0,
                n_validation_rows: counts.1,
                artifact_bytes: counts.2,
                latency_p50_us: numbers.2,
                latency_p99_us: numbers.3,
                parity_max_abs: numbers.4,
            },
            provenance: Provenance {
                blueprint_version: ids.2,
                training_set_id: TrainingSetId::new(ids.3).unwrap(),
                table_versions,
                parameters: texts.2,
                seed,
            },
        }
    }
}

prop_compose! {
    pub fn any_trial()(
        ids in (any_name(), any_token(), any_model_version()),
        texts in (any_text(), any_text(), proptest::option::of(any_text())),
        value in proptest::option::of(any_number()),
        rounds in proptest::option::of(any_model_version()),
        artifact_bytes in proptest::option::of(any_count()),
        cpu_seconds in proptest::option::of(any_number()),
        chosen in any::<bool>(),
        started_at in any_instant(),
        fold_values in proptest::collection::vec(any_number(), 0..4),
        rungs in proptest::option::of(any_text()),
        is_complete in proptest::option::of(any::<bool>()),
        costs in (
            proptest::option::of(any_number()), proptest::option::of(any_number()), proptest::option::of(any_number()),
        ),
    ) -> Trial {
        Trial {
            strategy: ids.0,
            training_set_id: TrainingSetId::new(ids.1).unwrap(),
            trial: ids.2.0,
            parameters: texts.0,
            metric: texts.1,
            value,
            rounds: rounds.map(|rounds| rounds.0),
            artifact_bytes,
            cpu_seconds,
            chosen,
            started_at,
            error: texts.2,
            fold_values,
            rungs,
            is_complete,
            latency_p50_us: costs.0,
            latency_p99_us: costs.1,
            feature_cost_us: costs.2,
        }
    }
}

prop_compose! {
    pub fn any_training_set()(
        ids in (any_token(), any_name(), any_hash()),
        times in (any_instant(), any_instant(), proptest::option::of(any_instant()), proptest::option::of(any_instant())),
        counts in (any_count(), any_count(), any_count()),
        label_mean in proptest::option::of(any_number()),
        late in (proptest::option::of(any_count()), proptest::option::of(any_count())),
        table_versions in any_versions(),
    ) -> TrainingSet {
        TrainingSet {
            training_set_id: TrainingSetId::new(ids.0).unwrap(),
            strategy: ids.1,
            blueprint_version: ids.2,
            built_at: times.0,
            as_of: times.1,
            window_start: times.2,
            table_versions,
            n_rows: counts.0,
            n_train_rows: counts.1,
            n_validation_rows: counts.2,
            split_at: times.3,
            label_mean,
            n_late_outcomes: late.0,
            n_missed_outcomes: late.1,
        }
    }
}

prop_compose! {
    pub fn any_training_row()(
        ids in (any_token(), any_token()),
        unit in proptest::option::of(any_token()),
        event_time in any_instant(),
        split in proptest::sample::select(vec![Split::Train, Split::Gap, Split::Validation]),
        action in proptest::option::of(any_text()),
        candidate in proptest::option::of(any_token()),
        propensity in any_number(),
        label in proptest::option::of(any_number()),
        label_category in proptest::option::of(any_text()),
        features in any_features(),
    ) -> TrainingRow {
        TrainingRow {
            training_set_id: TrainingSetId::new(ids.0).unwrap(),
            decision_id: DecisionId::new(ids.1).unwrap(),
            unit: unit.map(|id| UnitId::new(id).unwrap()),
            event_time,
            split,
            action,
            candidate: candidate.map(|id| CandidateId::new(id).unwrap()),
            propensity,
            label,
            label_category,
            features,
        }
    }
}

prop_compose! {
    pub fn any_job_run()(
        run_id in any_token(),
        job in proptest::sample::select(JobKind::ALL.to_vec()),
        strategy in proptest::option::of(any_name()),
        state in proptest::sample::select(vec![
            RunState::Running, RunState::Succeeded, RunState::Skipped, RunState::Failed, RunState::Abandoned,
        ]),
        times in (any_instant(), proptest::option::of(any_instant())),
        texts in (any_text(), any_text()),
    ) -> JobRun {
        JobRun {
            run_id: RunId::new(run_id).unwrap(),
            job,
            strategy,
            state,
            at: times.0,
            lease_until: times.1,
            runner: texts.0,
            detail: texts.1,
        }
    }
}
