//! Feature views: tables of one entity's features by event time, created when first imported.

use lakeloop_domain::{FeatureType, FeatureViewName};

use crate::conform::first_difference;
use crate::tables::{FEATURE_VIEW_BASE, feature_view_schema};
use crate::{Lake, LakeError, TableName};

impl Lake {
    /// The feature views that exist, by name.
    pub async fn feature_views(&self) -> Result<Vec<FeatureViewName>, LakeError> {
        let mut views = Vec::new();
        for name in self.entries(Some("features")).await? {
            let Ok(view) = FeatureViewName::new(name) else { continue };
            if self.log(&TableName::Features(view.clone())).await?.is_some() {
                views.push(view);
            }
        }
        views.sort();
        Ok(views)
    }

    /// Creates a feature view with the given columns after `entity`, `event_time` and `available_at`.
    ///
    /// One that exists with the same columns, in whatever order, is left as it is; with others it is an error.
    pub async fn create_feature_view(
        &self,
        view: &FeatureViewName,
        columns: &[(String, FeatureType)],
    ) -> Result<(), LakeError> {
        check_columns(view, columns)?;
        let wanted = feature_view_schema(columns);
        let log = self.create(&TableName::Features(view.clone()), &wanted).await?;
        match first_difference(log.schema(), &wanted) {
            None => Ok(()),
            Some(difference) => Err(LakeError::FeatureViewDiffers {
                view: view.clone(),
                difference,
            }),
        }
    }
}

/// Delta and Parquet tell columns apart without regard to case, and Delta refuses some characters in their names.
fn check_columns(view: &FeatureViewName, columns: &[(String, FeatureType)]) -> Result<(), LakeError> {
    let refuse = |found: String| {
        Err(LakeError::FeatureViewColumns {
            view: view.clone(),
            found,
        })
    };
    if columns.is_empty() {
        return refuse("there are none; name at least one".to_owned());
    }
    let mut seen: Vec<String> = FEATURE_VIEW_BASE.iter().map(|field| field.name().clone()).collect();
    for (name, _) in columns {
        if name.is_empty() || name.contains(|c: char| c.is_control() || " ,;{}()=.`\"".contains(c)) {
            return refuse(format!(
                "`{name}` is no column name; write letters, digits, `_` and `-`"
            ));
        }
        let folded = name.to_lowercase();
        if seen.contains(&folded) {
            return refuse(format!(
                "`{name}` is there twice (every view begins with entity, event_time, available_at)"
            ));
        }
        seen.push(folded);
    }
    Ok(())
}
