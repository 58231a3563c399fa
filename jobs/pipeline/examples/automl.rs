//! One run of the AutoML benchmark: fits a table by the code that `train` runs, and predicts another one by the code that serves.
//!
//! `automl TRAIN.csv TEST.csv TASK BUDGET SEED OUT`: the first column is the label `y`, the others are features, a header
//! that ends in `:c` marks a category; TASK is `binary`, `classes` or `number`; OUT gets the predictions (of `binary`: as they serve,
//! and as they would without calibration), OUT.model the artifact. Rows count as decisions in the order of the file, one a microsecond.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use lakeloop_config::parse_blueprint;
use lakeloop_decide::encode::Encoder;
use lakeloop_decide::{Model, ModelParts, Scratch};
use lakeloop_domain::{
    AppliedBlueprint, Calibration, DecisionId, FeatureType, FeatureValue, Features, ModelVersion, NamedValue,
    TrainingSetId,
};
use lakeloop_lake::artifact::packed;
use lakeloop_lake::rows::{Split, TrainingRow, training_rows_to_batch};
use lakeloop_pipeline::fit_rows;
use lakeloop_sql::training_rows_schema;

/// Threads of the search, as many as the other side uses.
const N_THREADS: u32 = 2;

struct Table {
    columns: Vec<(Arc<str>, FeatureType)>,
    labels: Vec<String>,
    rows: Vec<Features>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [train, test, task, budget, seed, out] = arguments.as_slice() else {
        return Err("usage: automl TRAIN.csv TEST.csv TASK BUDGET SEED OUT".into());
    };
    let (train, test) = (read(train)?, read(test)?);
    let mut classes: Vec<String> = train.labels.clone();
    classes.sort();
    classes.dedup();
    let applied = blueprint(&train, task, budget, &classes)?;
    let batch = training_batch(&train, task, &classes)?;

    let begun = Instant::now();
    let fitted = fit_rows(&applied, &[batch], seed.parse()?, N_THREADS)?;
    let seconds = begun.elapsed().as_secs_f64();

    let model = |calibration| {
        Model::from_parts(ModelParts {
            strategy: &applied.blueprint.name,
            version: ModelVersion(1),
            target: &fitted.target,
            action_is_feature: false,
            encoding: &fitted.encoding,
            calibration,
            artifact: &fitted.artifact,
        })
    };
    let encoder = Encoder::new(&fitted.encoding)?;
    let mut encoded = vec![f32::NAN; test.rows.len() * encoder.n_columns()];
    for (row, encoded) in test
        .rows
        .iter()
        .zip(encoded.chunks_exact_mut(encoder.n_columns().max(1)))
    {
        encoder.encode_into(row, None, encoded)?;
    }
    let mut scratch = Scratch::new();
    let scores = model(&fitted.calibration)?.score_rows(&encoded, &mut scratch)?.to_vec();
    let raw = match task.as_str() {
        "binary" => model(&Calibration::Identity)?
            .score_rows(&encoded, &mut scratch)?
            .to_vec(),
        _ => Vec::new(),
    };
    let mut text = String::new();
    for (row_idx, row) in scores.chunks_exact(fitted.target.n_outputs()).enumerate() {
        let cells: Vec<String> = row.iter().chain(raw.get(row_idx)).map(f64::to_string).collect();
        writeln!(text, "{}", cells.join(","))?;
    }
    std::fs::write(out, text)?;
    let kept = packed(&fitted.artifact);
    std::fs::write(Path::new(out).with_extension("model"), &kept)?;
    let told = serde_json::json!({
        "seconds": seconds, "bytes": kept.len(), "bytes_unpacked": fitted.artifact.len(), "p99_us": fitted.p99_us, "trials": fitted.n_trials,
        "value": fitted.value, "parameters": fitted.parameters, "classes": classes,
    });
    std::fs::write(Path::new(out).with_extension("json"), told.to_string())?;
    Ok(())
}

fn read(file: &str) -> Result<Table, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(file)?;
    let columns: Vec<(Arc<str>, FeatureType)> = reader
        .headers()?
        .iter()
        .skip(1)
        .map(|name| match name.strip_suffix(":c") {
            Some(name) => (name.into(), FeatureType::Category),
            None => (name.into(), FeatureType::Number),
        })
        .collect();
    let (mut labels, mut rows) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record?;
        labels.push(record[0].to_owned());
        let cells = columns.iter().zip(record.iter().skip(1));
        let feature = |((name, feature_type), cell): (&(Arc<str>, FeatureType), &str)| {
            let value = match feature_type {
                _ if cell.is_empty() => FeatureValue::Missing,
                FeatureType::Category => FeatureValue::Category(cell.to_owned()),
                _ => FeatureValue::Number(cell.parse()?),
            };
            Ok::<_, Box<dyn Error>>(NamedValue {
                name: Arc::clone(name),
                feature_type: *feature_type,
                value,
            })
        };
        rows.push(cells.map(feature).collect::<Result<Features, _>>()?);
    }
    Ok(Table { columns, labels, rows })
}

fn blueprint(train: &Table, task: &str, budget: &str, classes: &[String]) -> Result<AppliedBlueprint, Box<dyn Error>> {
    let fields: Vec<String> = train
        .columns
        .iter()
        .map(|(name, feature_type)| {
            format!(
                "\"{name}\" = {{ type = \"{}\", missing = \"allowed\" }}\n",
                feature_type.as_str()
            )
        })
        .collect();
    let quoted: Vec<String> = classes.iter().map(|class| format!("\"c{class}\"")).collect();
    let (decision, outcome) = match task {
        "binary" => ("{ kind = \"yes_no\", default = false }".to_owned(), "yes_no"),
        "number" => ("{ kind = \"number\", default = 0.0 }".to_owned(), "number"),
        "classes" => (
            format!(
                "{{ kind = \"choose\", actions = [{}], default = {} }}",
                quoted.join(", "),
                quoted[0]
            ),
            "category",
        ),
        other => return Err(format!("{other} is no task; write binary, classes or number").into()),
    };
    // Of a search that decides nothing the policy does not matter, but for the calibration that a threshold asks for.
    let policy = if task == "classes" {
        "policy = { kind = \"greedy\" }\n"
    } else {
        ""
    };
    let text = format!(
        "name = \"bench\"\nunit = \"row\"\ndecision = {decision}\n{policy}outcome = {{ event = \"seen\", aggregation = \
         \"last\", type = \"{outcome}\", window = \"1us\", absent = \"exclude\" }}\nmodel = {{ budget = \"{budget}s\", max_latency = \"10us\", \
         final_fit = \"all_rows\" }}\n[context]\n{}",
        fields.concat()
    );
    let parsed = parse_blueprint("bench.toml", &text).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    Ok(AppliedBlueprint {
        blueprint: parsed.blueprint,
        version: parsed.version,
        sequence: 1,
        source: parsed.source,
        applied_at: 0,
    })
}

fn training_batch(
    train: &Table,
    task: &str,
    classes: &[String],
) -> Result<arrow::record_batch::RecordBatch, Box<dyn Error>> {
    let rows = train.rows.iter().zip(&train.labels).enumerate();
    let rows: Vec<TrainingRow> = rows
        .map(|(idx, (features, label))| {
            let number = match task {
                "classes" => classes
                    .iter()
                    .position(|class| class == label)
                    .map(|position| position as f64),
                _ => Some(label.parse()?),
            };
            Ok::<_, Box<dyn Error>>(TrainingRow {
                training_set_id: TrainingSetId::new("bench")?,
                decision_id: DecisionId::new(format!("d{idx:08}"))?,
                unit: None,
                event_time: idx as i64,
                split: Split::Train,
                action: None,
                candidate: None,
                propensity: 1.0,
                label: number,
                label_category: None,
                features: features.clone(),
            })
        })
        .collect::<Result<_, _>>()?;
    let batch = training_rows_to_batch(&rows)?;
    let schema = training_rows_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| batch.schema_ref().index_of(field.name()));
    Ok(batch.project(&columns.collect::<Result<Vec<_>, _>>()?)?)
}
