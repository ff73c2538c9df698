//! The JSON that the server sent, kept beside the SDK's decoded form.
//!
//! `--output json` prints it, so that programs see AWS's own members: all of them, and none that we invented.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use aws_sdk_batch::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_batch::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_batch::error::BoxError;
use serde_json::Value;

/// Keeps the body of the last answer; give a clone of it to `customize().interceptor(…)`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseJson(Arc<Mutex<Vec<u8>>>);

impl ResponseJson {
    /// The array under `member` of the last answer; empty if it has none.
    pub(crate) fn take_list(&self, member: &str) -> Result<Vec<Value>> {
        Ok(match self.take()?[member].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        })
    }

    /// All of the last answer.
    pub(crate) fn take(&self) -> Result<Value> {
        let body = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        serde_json::from_slice(&body).context("the server's answer is not JSON")
    }
}

impl Intercept for ResponseJson {
    fn name(&self) -> &'static str {
        "ResponseJson"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default().to_vec();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
        Ok(())
    }
}
