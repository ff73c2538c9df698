//! What Fornada answers beside AWS's operations.
//!
//! The SDK knows no such operation, so one that it does know is sent elsewhere: with its endpoint, credentials, retries and
//! errors, and a signature over the request as it goes out.

use anyhow::Result;
use fornada_api::extensions::PREFIX;
use serde_json::Value;

use super::api_error;
use super::connect::Clients;
use super::response_json::ResponseJson;

/// The answer to GET for a path under [`PREFIX`], which may hold the signs of a job id.
pub(crate) async fn get(aws: &Clients, path: &str) -> Result<Value> {
    let path = format!("{PREFIX}{}", path.replace('#', "%23").replace(':', "%3A"));
    let body = ResponseJson::default();
    let redirected = aws.batch.describe_jobs().jobs(String::new()).customize().interceptor(body.clone());
    let redirected = redirected.mutate_request(move |request| {
        let uri = request.uri().to_owned();
        let origin = uri.split_once("://").and_then(|(scheme, rest)| {
            let host = rest.split('/').next()?;
            Some(format!("{scheme}://{host}"))
        });
        // The endpoint that the SDK has just resolved is a whole address.
        let _ = request.set_uri(format!("{}{path}", origin.unwrap_or_default()));
        let _ = request.set_method("GET");
        request.headers_mut().remove("content-type");
        request.headers_mut().remove("content-length");
        *request.body_mut() = "".into();
    });
    redirected.send().await.map_err(api_error::describe)?;
    body.take()
}
