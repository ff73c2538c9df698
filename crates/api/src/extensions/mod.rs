//! What Fornada answers beside AWS's operations, as JSON, under paths that no AWS client asks for: why a job is where it is,
//! and what is going on. Described for people in `docs/extensions.md`.
//!
//! Requests are signed like all others, for the service `batch`, and see what belongs to the caller's account and region.
//! The answers are plain types that serialise in both directions, so that the command line reads what is written here.

pub mod explanation;
mod from_core;
pub mod overview;

use axum::response::{IntoResponse, Response};
use fornada_core::id::Uuid;
use fornada_core::job::depends_on::Dependency;
use fornada_core::turn::Turn;
use http::Method;
use serde::Serialize;

use crate::app::Call;
use crate::batch::job_ids;
use crate::error::WireError;

/// How every path begins.
pub const PREFIX: &str = "/fornada/v1/";

/// Answers one request.
pub(crate) async fn serve(
    call: &Call,
    method: &Method,
    path: &str,
    operation: &mut &'static str,
) -> Result<Response, WireError> {
    let name = path.strip_prefix(PREFIX).unwrap_or_default();
    if method != Method::GET {
        return Err(WireError::new("MethodNotAllowedException", 405, "This path takes GET."));
    }
    match name.split_once('/') {
        Some(("explain", job)) => {
            *operation = "ExplainJob";
            json(&explain(call, job).await?)
        }
        None if name == "overview" => {
            *operation = "GetOverview";
            json(&overview::get(call).await?)
        }
        _ => Err(WireError::new("UnknownOperationException", 404, "There is no operation at this path.")),
    }
}

fn json<T: Serialize>(answer: &T) -> Result<Response, WireError> {
    let body = serde_json::to_vec(answer).map_err(WireError::server)?;
    Ok(([("content-type", "application/json")], body).into_response())
}

async fn explain(call: &Call, job: &str) -> Result<explanation::Explanation, WireError> {
    let job = percent_encoding::percent_decode_str(job).decode_utf8_lossy().into_owned();
    let unknown = || WireError::client(format!("There is no job {job}."));
    let id = job_ids::parse(&call.scope, &job).ok_or_else(unknown)?;
    let (scope, now) = (call.scope.clone(), call.app.clock.now());
    let read = move |turn: &mut Turn<'_>| {
        let state = turn.state();
        let explained = state.explain(id, now).filter(|explained| scope.owns(&explained.queue))?;
        Some(from_core::explanation(state, explained))
    };
    // What it waited for, or failed with, may have left memory too.
    let on = move |turn: &mut Turn<'_>| -> Vec<Uuid> {
        let job = turn.state().job(id.job);
        job.iter().flat_map(|job| job.depends_on.iter().filter_map(Dependency::target)).collect()
    };
    let mut jobs = call.decide_about(vec![id.job], on).await?;
    jobs.push(id.job);
    call.decide_about(jobs, read).await?.ok_or_else(unknown)
}
