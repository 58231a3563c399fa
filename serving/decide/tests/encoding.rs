//! One encoding for serving and training: every value in every type of column, and what no encoding may be.
#![allow(clippy::unwrap_used, clippy::panic)]

use lakeloop_decide::encode::{Encoder, EncodingError, WidthError};
use lakeloop_domain::{EncodedColumn, Encoding, FeatureType, FeatureValue, NamedValue};

fn column(name: &str, feature_type: FeatureType, vocabulary: &[&str]) -> EncodedColumn {
    EncodedColumn {
        name: name.into(),
        feature_type,
        vocabulary: vocabulary.iter().map(|text| (*text).to_owned()).collect(),
    }
}

fn named(name: &str, value: FeatureValue) -> NamedValue {
    NamedValue {
        name: name.into(),
        feature_type: FeatureType::Number,
        value,
    }
}

fn text(text: &str) -> FeatureValue {
    FeatureValue::Category(text.into())
}

fn encoder(columns: Vec<EncodedColumn>) -> Encoder {
    Encoder::new(&Encoding { columns }).unwrap()
}

/// Bits, so that NaN equals NaN and −0 differs from 0.
fn check(encoder: &Encoder, features: &[NamedValue], action: Option<&str>, expected: &[f32]) {
    let mut row = vec![7.0; expected.len()];
    assert_eq!(encoder.encode_into(features, action, &mut row), Ok(()));
    let bits = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&row), bits(expected), "{row:?} instead of {expected:?}");
}

#[test]
fn numbers_become_the_nearest_finite_f32() {
    let one = encoder(vec![column("x", FeatureType::Number, &[])]);
    for (number, expected) in [
        (0.1, 0.1_f32),
        (-0.0, -0.0),
        (16_777_217.0, 16_777_216.0),
        (1e-300, 0.0),
        (1e300, f32::MAX),
        (-1e300, f32::MIN),
        (f64::INFINITY, f32::MAX),
        (f64::NAN, f32::NAN),
    ] {
        check(&one, &[named("x", FeatureValue::Number(number))], None, &[expected]);
    }
}

#[test]
fn every_value_has_one_encoding_in_every_column() {
    let two = encoder(vec![
        column("x", FeatureType::Number, &[]),
        column("b", FeatureType::Boolean, &[]),
        column("c", FeatureType::Category, &["", "Lima"]),
    ]);
    let all = |value: FeatureValue| ["x", "b", "c"].map(|name| named(name, value.clone()));
    check(&two, &all(FeatureValue::Boolean(true)), None, &[1.0, 1.0, f32::NAN]);
    check(&two, &all(FeatureValue::Number(0.5)), None, &[0.5, 0.5, f32::NAN]);
    check(&two, &all(FeatureValue::Missing), None, &[f32::NAN; 3]);
    check(&two, &all(text("Lima")), None, &[f32::NAN, f32::NAN, 1.0]);
    check(&two, &all(text("")), None, &[f32::NAN, f32::NAN, 0.0]);
    check(&two, &all(text("lima")), None, &[f32::NAN; 3]);
    check(&two, &[], None, &[f32::NAN; 3]);
}

#[test]
fn features_are_found_in_any_order_and_the_action_is_no_feature() {
    let three = encoder(vec![
        column("x", FeatureType::Number, &[]),
        column("action", FeatureType::Category, &["no", "yes"]),
        column("y", FeatureType::Number, &[]),
    ]);
    let x = named("x", FeatureValue::Number(1.0));
    let y = named("y", FeatureValue::Number(2.0));
    let other = named("other", FeatureValue::Number(9.0));
    let posing = named("action", text("yes"));
    check(&three, &[x.clone(), y.clone()], Some("yes"), &[1.0, 1.0, 2.0]);
    check(&three, &[other, y.clone(), x], Some("no"), &[1.0, 0.0, 2.0]);
    check(&three, &[posing, y.clone()], None, &[f32::NAN, f32::NAN, 2.0]);
    check(&three, &[y], Some("maybe"), &[f32::NAN, f32::NAN, 2.0]);
}

#[test]
fn a_bad_encoding_or_row_is_refused_by_name() {
    let refused = |columns| Encoder::new(&Encoding { columns }).err();
    assert_eq!(
        refused(vec![
            column("x", FeatureType::Number, &[]),
            column("x", FeatureType::Category, &[])
        ]),
        Some(EncodingError::RepeatedColumn { column: "x".into() })
    );
    assert_eq!(
        refused(vec![column("c", FeatureType::Category, &["a", "b", "a"])]),
        Some(EncodingError::RepeatedCategory {
            column: "c".into(),
            category: "a".into()
        })
    );
    assert_eq!(
        refused(vec![column("b", FeatureType::Boolean, &["true"])]),
        Some(EncodingError::UnusedVocabulary {
            column: "b".into(),
            feature_type: FeatureType::Boolean
        })
    );
    assert_eq!(
        refused(vec![column("action", FeatureType::Number, &[])]),
        Some(EncodingError::ActionType {
            feature_type: FeatureType::Number
        })
    );
    let one = encoder(vec![column("x", FeatureType::Number, &[])]);
    assert_eq!(
        one.encode_into(&[], None, &mut [0.0; 2]),
        Err(WidthError { expected: 1, found: 2 })
    );
}
