//! The SDK's errors as one sentence for a person.

use std::error::Error;
use std::fmt;

use anyhow::anyhow;
use aws_sdk_batch::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// Nothing answers at the endpoint. `run_client` turns it into the sentence that says where a server was looked for.
#[derive(Debug)]
struct Unreachable;

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server does not answer")
    }
}

impl Error for Unreachable {}

/// Whether the error says that nothing answers at the endpoint, as while a server restarts.
pub(crate) fn is_unreachable(error: &anyhow::Error) -> bool {
    error.is::<Unreachable>()
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
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
            anyhow::Error::new(Unreachable)
        }
        SdkError::TimeoutError(_) => anyhow::Error::new(Unreachable),
        _ => anyhow!("{}", DisplayErrorContext(&error)),
    }
}
