//! Whole searches on simulated rows.

use super::*;
use crate::parity;
use crate::promote::{Facts, Verdict, judge};
use crate::rows::TrainingRows;
use crate::simulated::{LATE, Row, applied, ended_trial, late, training_data, training_rows, work};
use crate::trial::FittedTrial;
use lakeloop_domain::{Baseline, FeatureValue};
use rand::RngExt as _;
use std::sync::Arc;

/// Fits without anybody who follows but for how far it has come.
fn followed(work: &Work<'_>, so_far: impl FnMut(SoFar) -> ControlFlow<()>) -> Result<Fitted, PipelineError> {
    let mut follower = Follower {
        ended: &mut |_, _, _| Ok(()),
        asked: &|| Asked::GoOn,
    };
    fit(work, so_far, &mut follower)
}

fn fit_rows(text: &str, rows: impl Fn(&AppliedBlueprint) -> TrainingRows) -> Result<Fitted, PipelineError> {
    let applied = applied(text);
    let data = training_data(&applied, rows(&applied));
    let work = work(&applied, &data);
    fit_unfollowed(&work)
}

/// How far a search on labels that depend on nothing beats a constant, in standard errors.
fn null_gain(n_rows: usize, n_trials: u32, seed: u64) -> Facts {
    let text = LATE.replace("trials = 3", &format!("trials = {n_trials}"));
    let fitted = fit_rows(&text, |applied| {
        training_rows(applied, n_rows, seed, |rng| Row {
            label: f64::from(u8::from(rng.random_bool(0.35))),
            ..late(rng)
        })
    });
    fitted.unwrap().winner.unwrap().facts
}

/// Each model that goes live here is a false positive.
#[test]
fn of_searches_on_labels_without_signal_hardly_any_puts_a_model_live() {
    let went_live = (0..40).filter(|seed| {
        matches!(
            judge(&null_gain(600, 3, *seed), &Baseline::DEFAULT),
            Verdict::GoLive { .. }
        )
    });
    let n_live = went_live.count();
    assert!(n_live <= 2, "{n_live} of 40 went live");
}

#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
fn null_distribution_of_the_gain_over_a_constant() {
    for (n_rows, n_trials) in [(600, 1), (600, 3), (600, 12), (2_000, 3), (2_000, 12)] {
        let mut gains: Vec<f64> = (0..200)
            .filter_map(|seed| null_gain(n_rows, n_trials, seed).over_constant)
            .map(|gain| {
                if gain.standard_error > 0.0 {
                    gain.mean / gain.standard_error
                } else {
                    0.0
                }
            })
            .collect();
        gains.sort_by(f64::total_cmp);
        let at = |share: f64| gains[(gains.len() as f64 * share) as usize];
        println!(
            "{n_rows} rows, {n_trials} trials: median {:.2}, 90 % {:.2}, 95 % {:.2}, 97.5 % {:.2}, 99 % {:.2}",
            at(0.5),
            at(0.9),
            at(0.95),
            at(0.975),
            at(0.99),
        );
    }
}

#[test]
fn progress_is_told_before_the_first_trial_and_after_each() {
    let applied = applied(LATE);
    let data = training_data(&applied, training_rows(&applied, 300, 1, late));
    let work = work(&applied, &data);
    let mut told = Vec::new();
    let fitted = followed(&work, |so_far| {
        told.push((so_far.n_done, so_far.n_trials, so_far.best.is_some()));
        ControlFlow::Continue(())
    });
    assert_eq!(told, [(0, 3, false), (1, 3, true), (2, 3, true), (3, 3, true)]);
    assert!(fitted.unwrap().winner.is_some());
    let stopped = followed(&work, |so_far| {
        if so_far.n_done == 1 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(stopped, Err(PipelineError::Stopped)));
}

#[test]
fn a_search_that_goes_on_counts_the_trials_that_were_planned_and_no_others() {
    let applied = applied(LATE);
    let data = training_data(&applied, training_rows(&applied, 300, 1, late));
    let work = Work {
        start: Start {
            earlier_winners: Vec::new(),
            // The second one is without some features: those are counted from the number of trials on.
            ended_before: vec![(0, ended_trial(0.9)), (3, ended_trial(0.9))],
        },
        ..work(&applied, &data)
    };
    let mut told = Vec::new();
    let fitted = followed(&work, |so_far| {
        told.push((so_far.n_done, so_far.n_trials));
        ControlFlow::Continue(())
    });
    assert!(fitted.unwrap().winner.is_some());
    assert_eq!(told, [(1, 3), (2, 3), (3, 3)]);
}

#[test]
fn columns_without_a_single_value_do_no_harm() {
    let fitted = fit_rows(LATE, |applied| {
        training_rows(applied, 600, 1, |rng| {
            let mut row = late(rng);
            for (name, value) in &mut row.values {
                if ["city", "noise"].contains(name) {
                    *value = FeatureValue::Missing;
                }
            }
            row
        })
    });
    let winner = fitted.unwrap().winner.unwrap();
    let city = winner
        .encoding
        .columns
        .iter()
        .find(|column| column.name == "city")
        .unwrap();
    assert!(city.vocabulary.is_empty());
    assert!(winner.value < winner.baseline.unwrap());
}

/// A search of 24 trials, begun with some of them behind it.
fn searched(more: &str, max_threads: u32, ended_before: Vec<(usize, Trial)>) -> (Fitted, Vec<(usize, Trial)>) {
    let text = LATE.replace("trials = 3", "trials = 24") + more;
    let applied = applied(&text);
    let data = training_data(&applied, training_rows(&applied, 1_500, 1, late));
    let work = Work {
        seed: 5,
        max_threads,
        start: Start {
            earlier_winners: Vec::new(),
            ended_before,
        },
        ..work(&applied, &data)
    };
    let mut ended = Vec::new();
    let mut follower = Follower {
        ended: &mut |idx, trial, _| {
            ended.push((idx, trial.clone()));
            Ok(())
        },
        asked: &|| Asked::GoOn,
    };
    let fitted = fit(&work, |_| ControlFlow::Continue(()), &mut follower).unwrap();
    (fitted, ended)
}

fn artifact(fitted: &Fitted) -> &[u8] {
    &fitted.winner.as_ref().unwrap().artifact
}

#[test]
fn a_search_of_trials_is_the_same_with_any_number_of_threads_and_after_a_crash_anywhere() {
    let (whole, trials) = searched("", 2, Vec::new());
    let (alone, _) = searched("", 1, Vec::new());
    assert_eq!(artifact(&whole), artifact(&alone), "one thread comes to another model");
    for n_before in [1, 11, 23] {
        // As they come back from the table: without their models.
        let mut before: Vec<(usize, Trial)> = trials[..n_before].to_vec();
        for (_, trial) in &mut before {
            if let Ok(fitted) = &mut trial.fitted {
                fitted.artifacts.clear();
                fitted.losses = Arc::new([]);
            }
        }
        let (resumed, again) = searched("", 2, before);
        assert_eq!(artifact(&whole), artifact(&resumed), "after {n_before} trials");
        assert_eq!(
            again.len(),
            trials.len() - n_before,
            "trials that had ended were run again"
        );
    }
    let stopped = trials
        .iter()
        .filter(|(_, trial)| matches!(&trial.fitted, Ok(fitted) if !fitted.is_complete));
    assert!(stopped.count() >= 1, "nothing was stopped early");
}

#[test]
fn a_budget_of_time_ends_the_search_and_all_rows_may_be_fitted_at_last() {
    let more = "model = { budget = \"1s\", final_fit = \"all_rows\" }\n";
    let text = LATE
        .replace(", trials = 3", "")
        .replace("[context]", &format!("{more}[context]"));
    let begun = Instant::now();
    let fitted = fit_rows(&text, |applied| training_rows(applied, 1_500, 1, late)).unwrap();
    let winner = fitted.winner.unwrap();
    assert!(
        fitted.search.trials.len() > 3,
        "only {} trials",
        fitted.search.trials.len()
    );
    assert!(fitted.search.trials.len() < 1_000, "the budget ended nothing");
    // Generous: the machine may be doing other things, but a thousand trials would take far longer.
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(winner.parity_max_abs <= parity::TOLERANCE);
}

#[test]
fn whoever_asks_for_the_best_so_far_gets_it() {
    let applied = applied(&LATE.replace("trials = 3", "trials = 400"));
    let data = training_data(&applied, training_rows(&applied, 600, 1, late));
    let work = work(&applied, &data);
    let n_ended = std::cell::Cell::new(0);
    let mut follower = Follower {
        ended: &mut |_, _, _| {
            n_ended.set(n_ended.get() + 1);
            Ok(())
        },
        asked: &|| {
            if n_ended.get() >= 3 {
                Asked::ChooseNow
            } else {
                Asked::GoOn
            }
        },
    };
    let fitted = fit(&work, |_| ControlFlow::Continue(()), &mut follower).unwrap();
    assert!(fitted.winner.is_some());
    assert!(
        (3..60).contains(&fitted.search.trials.len()),
        "{} trials",
        fitted.search.trials.len()
    );
}

#[test]
fn trials_are_judged_by_the_mean_over_folds_and_the_winner_by_the_latest_rows() {
    let text = format!("{}[model]\nfolds = 3\n", LATE.replace("trials = 3", "trials = 6"));
    let fitted = fit_rows(&text, |applied| training_rows(applied, 1_200, 3, late)).unwrap();
    let n_validation = 240;
    let complete: Vec<&FittedTrial> = fitted
        .search
        .trials
        .iter()
        .filter_map(|trial| trial.fitted.as_ref().ok())
        .filter(|fitted| fitted.is_complete)
        .collect();
    assert!(complete.len() >= 4);
    for trial in &complete {
        let [first, second, latest] = trial.fold_values[..] else {
            unreachable!("{:?}", trial.fold_values)
        };
        assert!((trial.value - (first + second + latest) / 3.0).abs() < 1e-12);
        // Blocks of a quarter of the 960 rows fitted on, and the latest fifth.
        assert_eq!(trial.losses.len(), 240 + 240 + n_validation);
        let of_latest = trial.losses[480..].iter().sum::<f64>() / n_validation as f64;
        assert!((of_latest - latest).abs() < 1e-12, "the last fold is the latest rows");
    }
    let winner = fitted.winner.unwrap();
    let constant = winner.facts.over_constant.unwrap();
    assert_eq!(constant.n_rows, n_validation);
    assert!((winner.baseline.unwrap() - winner.value - constant.mean).abs() < 1e-12);
    // A search of one fold by the same seed knows of the latest rows alone.
    let alone = fit_rows(&LATE.replace("trials = 3", "trials = 6"), |applied| {
        training_rows(applied, 1_200, 3, late)
    });
    let alone = alone.unwrap().search.trials;
    assert!(
        alone
            .iter()
            .filter_map(|trial| trial.fitted.as_ref().ok())
            .all(|fitted| fitted.fold_values.len() == 1)
    );
}

#[test]
fn sets_of_fewer_features_are_tried_and_what_matters_stays() {
    let text = LATE.replace("trials = 3", "trials = 6");
    let fitted = fit_rows(&text, |applied| training_rows(applied, 4_000, 3, late)).unwrap();
    let dropped: Vec<_> = fitted
        .search
        .trials
        .iter()
        .map(|trial| trial.parameters.without.clone())
        .collect();
    assert!(
        dropped.iter().any(|without| !without.is_empty()),
        "no set of fewer features was tried"
    );
    let names: Vec<String> = fitted
        .winner
        .unwrap()
        .encoding
        .columns
        .into_iter()
        .map(|column| column.name)
        .collect();
    assert!(
        names.contains(&"x".to_owned()) && names.contains(&"city".to_owned()),
        "{names:?}"
    );
}

#[test]
fn under_a_limit_of_size_the_best_rounds_within_it_compete() {
    let rows = |applied: &AppliedBlueprint| training_rows(applied, 3_000, 5, late);
    let free = fit_rows(LATE, rows).unwrap();
    let whole = free.winner.unwrap();
    let max_bytes = free.search.winner.unwrap().bytes / 2;
    let limited = fit_rows(&format!("{LATE}\n[model]\nmax_size = \"{max_bytes}B\"\n"), rows).unwrap();
    let choice = limited.search.winner.unwrap();
    assert!(choice.bytes <= max_bytes, "{} of {max_bytes}", choice.bytes);
    let within = limited.search.trials.iter().filter(|trial| {
        let fitted = trial.fitted.as_ref().unwrap();
        trial.over_limit.is_none() && fitted.artifact_bytes <= max_bytes
    });
    assert_eq!(
        within.count(),
        limited.search.trials.len(),
        "each trial is cut to what may serve"
    );
    assert!(limited.winner.unwrap().n_rounds < whole.n_rounds);
}
