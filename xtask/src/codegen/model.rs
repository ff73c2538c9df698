//! A service model as botocore lays it out, read without interpretation.
//!
//! Maps are ordered by name, so that the generated text does not depend on the order in the file.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Model {
    pub(crate) metadata: Metadata,
    pub(crate) operations: BTreeMap<String, Operation>,
    pub(crate) shapes: BTreeMap<String, Shape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) api_version: String,
    pub(crate) endpoint_prefix: String,
    /// Absent when it is the endpoint prefix.
    pub(crate) signing_name: Option<String>,
    /// Only in the JSON-RPC protocols.
    pub(crate) target_prefix: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Operation {
    pub(crate) http: Http,
    pub(crate) input: Reference,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Http {
    pub(crate) method: String,
    pub(crate) request_uri: String,
}

/// The use of a shape by another one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reference {
    pub(crate) shape: String,
    /// Where a member of a request travels: `uri`, `querystring`, or (absent) the body.
    pub(crate) location: Option<String>,
    pub(crate) location_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub(crate) enum Shape {
    Structure(Structure),
    List { member: Reference, min: Option<usize>, max: Option<usize> },
    Map { key: Reference, value: Reference, min: Option<usize>, max: Option<usize> },
    String(Text),
    Integer { min: Option<i64>, max: Option<i64> },
    Long { min: Option<i64>, max: Option<i64> },
    Float,
    Double,
    Boolean,
}

#[derive(Deserialize)]
pub(crate) struct Structure {
    #[serde(default)]
    pub(crate) members: BTreeMap<String, Reference>,
    #[serde(default)]
    pub(crate) required: BTreeSet<String>,
    /// An error that operations can answer with.
    #[serde(default)]
    pub(crate) exception: bool,
    /// The service is to blame for the error, not the caller.
    #[serde(default)]
    pub(crate) fault: bool,
    pub(crate) error: Option<ErrorTrait>,
    /// The members are events of a stream and not fields of one object.
    #[serde(default)]
    pub(crate) eventstream: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorTrait {
    pub(crate) http_status_code: u16,
}

#[derive(Deserialize)]
pub(crate) struct Text {
    #[serde(rename = "enum")]
    pub(crate) values: Option<Vec<String>>,
    pub(crate) min: Option<usize>,
    pub(crate) max: Option<usize>,
    pub(crate) pattern: Option<String>,
    /// The pattern to match with, where it must differ from the one to quote. Set by an override.
    #[serde(skip)]
    pub(crate) matcher: Option<String>,
    /// Enum values are accepted in any case. Set by an override.
    #[serde(skip)]
    pub(crate) ignore_case: bool,
}

impl Model {
    pub(crate) fn shape(&self, name: &str) -> Result<&Shape> {
        self.shapes.get(name).with_context(|| format!("the model has no shape {name}"))
    }

    /// The structure an operation takes.
    pub(crate) fn input(&self, operation: &Operation) -> Result<&Structure> {
        match self.shape(&operation.input.shape)? {
            Shape::Structure(structure) => Ok(structure),
            _ => anyhow::bail!("{} is an operation's input, but no structure", operation.input.shape),
        }
    }

    pub(crate) fn is_event_stream(&self, name: &str) -> Result<bool> {
        Ok(matches!(self.shape(name)?, Shape::Structure(structure) if structure.eventstream))
    }
}
