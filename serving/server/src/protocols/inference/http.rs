//! Owns the HTTP form of inference requests and answers: JSON, with elements in JSON or in bytes after it.
//!
//! With the binary tensor extension the header `Inference-Header-Content-Length` says how long the JSON is; the bytes of
//! the inputs that have a `binary_data_size` follow it, in their order. The answer takes that form when it is asked to, by
//! `binary_data` of the output or `binary_data_output` of the request. Parameters that would change the result
//! and are not built (shared memory, sequences, classification) are refused; others are hints to other servers.

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::model::{OUTPUT, Scored, Served};
use super::tensor::{self, Datatype, Tensor, named};
use crate::fields::{At, Fields};
use crate::json::{Json, Object};
use crate::problem::Problem;

/// Says how many bytes of a body are JSON.
const HEADER_LENGTH: &str = "inference-header-content-length";

/// A request to score.
pub(super) struct Asked<'a> {
    pub(super) id: Option<String>,
    pub(super) inputs: Vec<Tensor<'a>>,
    pub(super) wants_binary: bool,
}

/// Reads a request.
pub(super) fn read<'a>(request: &HttpRequest, body: &'a [u8]) -> Result<Asked<'a>, Problem> {
    let (header, mut bytes) = split(request, body)?;
    let mut fields = Fields::read(
        Json::parse(header)?,
        At::Body,
        &["id", "parameters", "inputs", "outputs"],
    )?;
    let id = fields.text("id")?.map(Into::into);
    let parameters = Parameters::read(&mut fields)?;
    parameters.refuse(&["sequence_id", "sequence_start", "sequence_end"])?;
    let mut wants_binary = parameters.boolean("binary_data_output")?.unwrap_or(false);
    let inputs = match fields.take("inputs") {
        Some(Json::List(inputs)) => inputs,
        Some(other) => return Err(fields.wrong("inputs", "a list", &other)),
        None => return Err(fields.absent("inputs")),
    };
    let mut tensors = Vec::with_capacity(inputs.len());
    for (idx, input) in inputs.into_iter().enumerate() {
        tensors.push(read_input(input, At::Item { list: "inputs", idx }, &mut bytes)?);
    }
    if !bytes.is_empty() {
        let detail = format!(
            "{} bytes follow that belong to no input; set its `binary_data_size`",
            bytes.len()
        );
        return Err(Problem::Malformed { detail });
    }
    let outputs = match fields.take("outputs") {
        None => Vec::new(),
        Some(Json::List(outputs)) => outputs,
        Some(other) => return Err(fields.wrong("outputs", "a list", &other)),
    };
    for (idx, output) in outputs.into_iter().enumerate() {
        let at = At::Item { list: "outputs", idx };
        let mut fields = Fields::read(output, at, &["name", "parameters"])?;
        let name = fields.required_text("name")?;
        if name != OUTPUT {
            let detail = format!("`{name}` is no output; there is one, `{OUTPUT}`");
            return Err(Problem::invalid(at.field("name"), detail));
        }
        let parameters = Parameters::read(&mut fields)?;
        parameters.refuse(&["classification", "shared_memory_region"])?;
        wants_binary = parameters.boolean("binary_data")?.unwrap_or(wants_binary);
    }
    Ok(Asked {
        id,
        inputs: tensors,
        wants_binary,
    })
}

/// The JSON of a body, and the bytes after it.
fn split<'a>(request: &HttpRequest, body: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Problem> {
    let Some(value) = request.headers().get(HEADER_LENGTH) else {
        return Ok((body, &[]));
    };
    let length = value.to_str().ok().and_then(|text| text.trim().parse::<usize>().ok());
    length
        .and_then(|length| body.split_at_checked(length))
        .ok_or_else(|| Problem::Malformed {
            detail: format!("{HEADER_LENGTH} is no length within the body's {} bytes", body.len()),
        })
}

fn read_input<'a>(input: Json<'a>, at: At, bytes: &mut &'a [u8]) -> Result<Tensor<'a>, Problem> {
    let mut fields = Fields::read(input, at, &["name", "shape", "datatype", "parameters", "data"])?;
    let name: String = fields.required_text("name")?.into();
    let datatype = Datatype::parse(&fields.required_text("datatype")?, &name)?;
    let shape = match fields.take("shape") {
        Some(Json::List(sizes)) => sizes
            .into_iter()
            .map(|size| match size {
                Json::Integer(size) => usize::try_from(size).ok(),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Problem::invalid(named(&name), "its shape holds something else than whole numbers"))?,
        Some(other) => return Err(fields.wrong("shape", "a list", &other)),
        None => return Err(fields.absent("shape")),
    };
    let parameters = Parameters::read(&mut fields)?;
    parameters.refuse(&["shared_memory_region"])?;
    let size = parameters.size("binary_data_size")?;
    let elements = match (fields.take("data"), size) {
        (Some(data @ Json::List(_)), None) => tensor::from_json(datatype, &name, data)?,
        (Some(other), None) => return Err(fields.wrong("data", "a list", &other)),
        (None, Some(size)) => {
            let (mine, rest) = bytes.split_at_checked(size).ok_or_else(|| {
                let detail = format!("its `binary_data_size` is {size}, and {} bytes are left", bytes.len());
                Problem::invalid(named(&name), detail)
            })?;
            *bytes = rest;
            tensor::from_bytes(datatype, &name, mine)?
        }
        (None, None) => return Err(fields.absent("data")),
        (Some(_), Some(_)) => {
            let detail = "it has `data` and `binary_data_size`; leave one out";
            return Err(Problem::invalid(named(&name), detail));
        }
    };
    Tensor::new(name, shape, elements)
}

/// The parameters of a request, an input or an output.
struct Parameters<'a>(Object<'a>);

impl<'a> Parameters<'a> {
    fn read(fields: &mut Fields<'a>) -> Result<Self, Problem> {
        match fields.take("parameters") {
            None => Ok(Self(Vec::new())),
            Some(Json::Object(parameters)) => Ok(Self(parameters)),
            Some(other) => Err(fields.wrong("parameters", "an object", &other)),
        }
    }

    fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn refuse(&self, names: &[&str]) -> Result<(), Problem> {
        match names.iter().find(|name| self.get(name).is_some()) {
            None => Ok(()),
            Some(name) => Err(Problem::invalid(
                *name,
                format!("the parameter `{name}` is not supported here; leave it out"),
            )),
        }
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Bool(boolean)) => Ok(Some(*boolean)),
            Some(other) => {
                let detail = format!("`{name}` is {}; expected true or false", other.describe());
                Err(Problem::invalid(name, detail))
            }
        }
    }

    fn size(&self, name: &str) -> Result<Option<usize>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Integer(size)) if *size >= 0 => Ok(usize::try_from(*size).ok()),
            Some(other) => {
                let detail = format!("`{name}` is {}; expected a number of bytes", other.describe());
                Err(Problem::invalid(name, detail))
            }
        }
    }
}

/// Writes an answer.
pub(super) fn write(
    served: &Served,
    id: Option<&str>,
    wants_binary: bool,
    scored: &Scored,
) -> Result<HttpResponse, Problem> {
    let mut output = json!({ "name": OUTPUT, "datatype": Datatype::Fp64.as_str(), "shape": scored.shape });
    match wants_binary {
        true => output["parameters"] = json!({ "binary_data_size": size_of_val(scored.values.as_slice()) }),
        false => output["data"] = json!(scored.values),
    }
    let mut document = json!({
        "model_name": &*served.strategy.name,
        "model_version": served.version.to_string(),
        "outputs": [output],
    });
    if let Some(id) = id {
        document["id"] = json!(id);
    }
    if !wants_binary {
        return Ok(HttpResponse::Ok().json(document));
    }
    let mut body = serde_json::to_vec(&document).map_err(|error| Problem::internal("write an answer", &error))?;
    let length = body.len();
    body.extend(scored.values.iter().flat_map(|score| score.to_le_bytes()));
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")))
        .insert_header((HEADER_LENGTH, length.to_string()))
        .body(body))
}
