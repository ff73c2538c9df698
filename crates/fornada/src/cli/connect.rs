//! How a command finds its server, and the SDK clients that talk to it.
//!
//! `--data-dir` wins; then the usual AWS variables, if they name an endpoint and a key; then the data directory of this
//! machine's server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};
use aws_sdk_batch::config::retry::RetryConfig;
use aws_sdk_batch::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use super::data_dir::{self, ACCESS_KEYS_FILE, AccessKeysFile, SERVER_FILE, ServerFile};

/// Where the server is and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) batch_endpoint: String,
    pub(crate) logs_endpoint: String,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
    /// The data directory that told so, if one did.
    found_in: Option<PathBuf>,
}

/// One client for each service that the server speaks.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) batch: aws_sdk_batch::Client,
    pub(crate) logs: aws_sdk_cloudwatchlogs::Client,
}

impl Connection {
    /// Finds the server: see the module's comment for the order.
    pub(crate) fn find(data_dir_option: Option<&Path>) -> Result<Connection> {
        if data_dir_option.is_none()
            && let Some(connection) = Self::from_variables(|name| std::env::var(name).ok())
        {
            return Ok(connection);
        }
        Self::from_data_dir(data_dir::locate(data_dir_option)?)
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Connection> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let any_service = variable("AWS_ENDPOINT_URL");
        let batch_endpoint = variable("AWS_ENDPOINT_URL_BATCH").or_else(|| any_service.clone())?;
        let logs_endpoint = variable("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS").or(any_service);
        Some(Connection {
            // One port serves both, so the Batch endpoint stands in for a missing one.
            logs_endpoint: logs_endpoint.unwrap_or_else(|| batch_endpoint.clone()),
            batch_endpoint,
            region: variable("AWS_REGION")
                .or_else(|| variable("AWS_DEFAULT_REGION"))
                .unwrap_or_else(|| "us-east-1".to_owned()),
            access_key_id: variable("AWS_ACCESS_KEY_ID")?,
            secret_access_key: variable("AWS_SECRET_ACCESS_KEY")?,
            session_token: variable("AWS_SESSION_TOKEN"),
            found_in: None,
        })
    }

    fn from_data_dir(data_dir: PathBuf) -> Result<Connection> {
        let Some(server) = data_dir::read::<ServerFile>(&data_dir, SERVER_FILE)? else {
            return Err(no_server_in(&data_dir));
        };
        let keys = data_dir::read::<AccessKeysFile>(&data_dir, ACCESS_KEYS_FILE)?;
        let key = keys
            .into_iter()
            .flat_map(|file| file.keys)
            .find(|key| key.account_id == server.account_id)
            .ok_or_else(|| {
                let path = data_dir.join(ACCESS_KEYS_FILE);
                anyhow!("{} holds no access key of account {}", path.display(), server.account_id)
            })?;
        Ok(Connection {
            batch_endpoint: server.endpoint.clone(),
            logs_endpoint: server.endpoint,
            region: server.region,
            access_key_id: key.access_key_id,
            secret_access_key: key.secret_access_key,
            session_token: None,
            found_in: Some(data_dir),
        })
    }

    /// The error for a server that does not answer.
    pub(crate) fn no_server(&self, cause: &str) -> anyhow::Error {
        match &self.found_in {
            Some(data_dir) => no_server_in(data_dir),
            None => {
                anyhow!("no server answers at {} ({cause}); start one with `fornada up`", self.batch_endpoint)
            }
        }
    }

    /// The SDK's clients for this server.
    pub(crate) fn clients(&self) -> Clients {
        let credentials = Credentials::new(
            &self.access_key_id,
            &self.secret_access_key,
            self.session_token.clone(),
            None,
            "fornada",
        );
        let region = Region::new(self.region.clone());
        // A server on this machine that is down should be noticed at once, not after the SDK's seconds of patience.
        let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(50));
        let batch = aws_sdk_batch::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.batch_endpoint)
            .http_client(http_client(&self.batch_endpoint))
            .region(region.clone())
            .credentials_provider(credentials.clone())
            .retry_config(retries.clone())
            .build();
        let logs = aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.logs_endpoint)
            .http_client(http_client(&self.logs_endpoint))
            .region(region)
            .credentials_provider(credentials)
            .retry_config(retries)
            .build();
        Clients {
            batch: aws_sdk_batch::Client::from_conf(batch),
            logs: aws_sdk_cloudwatchlogs::Client::from_conf(logs),
        }
    }
}

/// TLS only where the endpoint asks for it: reading the machine's root certificates costs more than a whole request.
fn http_client(endpoint: &str) -> SharedHttpClient {
    if endpoint.starts_with("https:") {
        Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
    } else {
        Builder::new().build_http()
    }
}

fn no_server_in(data_dir: &Path) -> anyhow::Error {
    anyhow!("no server is running here (looked in {}); start one with `fornada up`", data_dir.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Option<Connection> {
        Connection::from_variables(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_need_an_endpoint_and_a_key() {
        let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
        assert_eq!(from(&keys), None);
        assert_eq!(from(&[("AWS_ENDPOINT_URL_BATCH", "http://b"), keys[0]]), None);
        assert_eq!(from(&[("AWS_ENDPOINT_URL_BATCH", ""), keys[0], keys[1]]), None);

        let found = from(&[("AWS_ENDPOINT_URL", "http://a"), keys[0], keys[1]]).expect("complete");
        assert_eq!((found.batch_endpoint.as_str(), found.logs_endpoint.as_str()), ("http://a", "http://a"));
        assert_eq!(found.region, "us-east-1");

        let found = from(&[
            ("AWS_ENDPOINT_URL", "http://a"),
            ("AWS_ENDPOINT_URL_BATCH", "http://b"),
            ("AWS_DEFAULT_REGION", "eu-west-1"),
            keys[0],
            keys[1],
        ])
        .expect("complete");
        assert_eq!((found.batch_endpoint.as_str(), found.logs_endpoint.as_str()), ("http://b", "http://a"));
        assert_eq!(found.region, "eu-west-1");
    }
}
