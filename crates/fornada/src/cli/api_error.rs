//! The SDK's errors as one sentence for a person.

use std::error::Error;
use std::fmt;

use anyhow::anyhow;
use aws_sdk_batch::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// Nothing answers at the endpoint. `run_client` turns it into the sentence that says where a server was looked for.
#[derive(Debug)]
struct Unreachable {
    cause: String,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server does not answer: {}", self.cause)
    }
}

impl Error for Unreachable {}

/// Why nothing answers, if that is what the error says.
pub(crate) fn unreachable_cause(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<Unreachable>().map(|unreachable| unreachable.cause.as_str())
}

/// Whether the error says that nothing answers at the endpoint, as while a server restarts.
pub(crate) fn is_unreachable(error: &anyhow::Error) -> bool {
    unreachable_cause(error).is_some()
}

/// What stands at the end of the chain of causes, such as `Connection refused (os error 111)`.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The server's own message where there is one, since it says what to change.
pub(crate) fn describe<E, R>(error: SdkError<E, R>) -> anyhow::Error
where
    E: Error + ProvideErrorMetadata + 'static,
    R: fmt::Debug + 'static,
{
    match &error {
        SdkError::ServiceError(service) => {
            let (code, message) = (service.err().code(), service.err().message());
            match (code, message) {
                (_, Some(message)) if !message.is_empty() => anyhow!("{message}"),
                (Some(code), _) => anyhow!("the server answered {code}"),
                (None, _) => anyhow!("{}", DisplayErrorContext(&error)),
            }
        }
        // Refused, broken off, timed out or no TLS; a `user` failure is a request that could not be made.
        SdkError::DispatchFailure(failure) if !failure.is_user() => {
            let cause =
                failure.as_connector_error().map_or_else(|| error.to_string(), |cause| innermost(cause));
            anyhow::Error::new(Unreachable { cause })
        }
        SdkError::TimeoutError(_) => anyhow::Error::new(Unreachable { cause: "timeout".to_owned() }),
        _ => anyhow!("{}", DisplayErrorContext(&error)),
    }
}
