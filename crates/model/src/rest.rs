//! restJson1 over HTTP: which operation a request means, and the members that travel in its path and query string.
//!
//! What must hold: nothing in a path or query panics. Path and query are taken percent-encoded, as they arrived.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::batch::Operation;

/// A member that travels in the query string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryParameter {
    /// The name in the query string.
    pub name: &'static str,
    /// The member of the request that it fills.
    pub member: &'static str,
    /// Whether it fills a list, one item each time it stands there.
    pub repeated: bool,
}

/// The operation that a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// The operation.
    pub operation: Operation,
    /// The variable part of the path, for operations that have one.
    pub label: Option<Label<'a>>,
}

/// The variable part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// The member of the request that it fills.
    pub member: &'static str,
    /// Still percent-encoded; not empty; may contain slashes.
    pub raw: &'a str,
}

/// Why a request means no operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No operation has this path.
    #[error("no operation has this path")]
    UnknownPath,
    /// Operations have this path, with other methods.
    #[error("no operation has this method at this path")]
    WrongMethod,
}

/// Why a path or query string cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The bytes of a member are not text.
    #[error("Value at '{member}' must be valid UTF-8.")]
    NotUtf8 {
        /// The member of the request.
        member: &'static str,
    },
}

/// Finds the operation of a request. `raw_path` comes without the query string.
///
/// A label is the whole rest of the path, because clients send ARNs with `%2F` as well as with plain slashes.
///
/// # Errors
///
/// [`RouteError`] tells an unknown path from a wrong method.
pub fn route<'a>(method: &str, raw_path: &'a str) -> Result<Route<'a>, RouteError> {
    let mut error = RouteError::UnknownPath;
    for &operation in Operation::ALL {
        let Some(label) = match_path(operation.uri(), raw_path) else { continue };
        if operation.method() == method {
            return Ok(Route { operation, label });
        }
        error = RouteError::WrongMethod;
    }
    Err(error)
}

fn match_path<'a>(template: &'static str, raw_path: &'a str) -> Option<Option<Label<'a>>> {
    match template.split_once('{') {
        None => (template == raw_path).then_some(None),
        Some((prefix, member)) => {
            let raw = raw_path.strip_prefix(prefix).filter(|raw| !raw.is_empty())?;
            Some(Some(Label { member: member.trim_end_matches('}'), raw }))
        }
    }
}

impl Route<'_> {
    /// Puts the members of path and query string into `body`, decoded. Members that belong there are never taken from
    /// the body itself. A body that is no object stays as it is, for [`check`](crate::check) to refuse.
    ///
    /// In the query string `+` is a blank, as it is for the signature: what is signed and what is done must not differ.
    ///
    /// # Errors
    ///
    /// When a member is not UTF-8.
    pub fn bind(&self, raw_query: &str, body: &mut Value) -> Result<(), BindError> {
        let Some(body) = body.as_object_mut() else { return Ok(()) };
        if let Some(Label { member, raw }) = self.label {
            body.insert(member.to_owned(), decode(member, raw)?);
        }
        let raw_query = raw_query.replace('+', "%20");
        for &QueryParameter { name, member, repeated } in self.operation.query() {
            let pairs = raw_query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            let mut values = pairs
                .filter(|(key, _)| percent_decode_str(key).eq(name.bytes()))
                .map(|(_, value)| decode(member, value))
                .collect::<Result<Vec<_>, _>>()?;
            body.remove(member);
            let value =
                if repeated && !values.is_empty() { Some(Value::Array(values)) } else { values.pop() };
            if let Some(value) = value {
                body.insert(member.to_owned(), value);
            }
        }
        Ok(())
    }
}

fn decode(member: &'static str, raw: &str) -> Result<Value, BindError> {
    match percent_decode_str(raw).decode_utf8() {
        Ok(text) => Ok(Value::String(text.into_owned())),
        Err(_) => Err(BindError::NotUtf8 { member }),
    }
}
