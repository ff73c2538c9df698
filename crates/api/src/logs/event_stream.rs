//! Answers that go on: frames of `application/vnd.amazon.eventstream`, as AWS SDKs read them.
//!
//! Source: AWS event stream specification (Smithy), for a service of an RPC protocol: an initial response comes first.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use fornada_model::logs::ErrorCode;
use serde::Serialize;
use serde_json::json;

use crate::error::WireError;

/// The type of the whole answer.
pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// The answer of the operation besides the stream: nothing.
pub(super) fn initial_response() -> Result<Bytes, WireError> {
    frame("event", (":event-type", "initial-response"), &json!({}))
}

/// One event, `member` being its name in the model's union.
pub(super) fn event(member: &'static str, event: &impl Serialize) -> Result<Bytes, WireError> {
    frame("event", (":event-type", member), event)
}

/// An exception; it ends the stream.
pub(super) fn exception(code: ErrorCode, message: &str) -> Result<Bytes, WireError> {
    frame("exception", (":exception-type", code.as_str()), &json!({ "message": message }))
}

fn frame(
    message_type: &'static str,
    (type_header, name): (&'static str, &'static str),
    payload: &impl Serialize,
) -> Result<Bytes, WireError> {
    let text = |text: &'static str| HeaderValue::String(text.into());
    let payload = serde_json::to_vec(payload).map_err(WireError::server)?;
    let message = Message::new(payload)
        .add_header(Header::new(":message-type", text(message_type)))
        .add_header(Header::new(type_header, text(name)))
        .add_header(Header::new(":content-type", text("application/json")));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).map_err(WireError::server)?;
    Ok(bytes.into())
}
