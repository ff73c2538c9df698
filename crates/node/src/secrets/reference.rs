//! `valueFrom`: the ARN of a secret, or the ARN or name of a parameter.
//!
//! Account and region of an ARN are not looked at: this machine has one set of secrets. Neither are version stage and id:
//! each secret has one value. Source: AWS Batch User Guide, specifying sensitive data with Secrets Manager and with the
//! Systems Manager Parameter Store.

use serde_json::Value;

use super::{Error, Secret};

/// Characters of a name. Source: AWS Secrets Manager and Systems Manager API references, 512 and 1,011.
const NAME_MAX: usize = 1011;

/// Random characters that Secrets Manager adds to a name in an ARN, behind a hyphen.
const SUFFIX: usize = 6;

/// Where the value is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    name: &'a str,
    /// The name without what Secrets Manager added to it, if it may have.
    short: Option<&'a str>,
    key: Option<&'a str>,
}

impl<'a> Reference<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Reference<'a>> {
        let Some(arn) = text.strip_prefix("arn:") else {
            return Reference::checked(text.strip_prefix('/').unwrap_or(text), None, None);
        };
        let mut parts = arn.splitn(5, ':'); // partition, service, region, account, resource
        let (partition, service) = (parts.next()?, parts.next()?);
        let resource = parts.nth(2)?;
        match service {
            _ if !partition.starts_with("aws") => None,
            "ssm" => Reference::checked(resource.strip_prefix("parameter/")?, None, None),
            "secretsmanager" => {
                let mut parts = resource.strip_prefix("secret:")?.splitn(4, ':');
                let name = parts.next()?;
                let key = parts.next().filter(|key| !key.is_empty());
                let short = name.rsplit_once('-').filter(|(_, suffix)| {
                    suffix.len() == SUFFIX && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
                });
                Reference::checked(name, short.map(|(short, _)| short), key)
            }
            _ => None,
        }
    }

    /// Only names that are one place below another: parts with slashes between them.
    fn checked(name: &'a str, short: Option<&'a str>, key: Option<&'a str>) -> Option<Reference<'a>> {
        let part_is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        let is_plain = |name: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-".contains(&byte);
            name.len() <= NAME_MAX && name.bytes().all(allowed) && name.split('/').all(part_is_plain)
        };
        let short = short.filter(|short| is_plain(short));
        is_plain(name).then_some(Reference { name, short, key })
    }

    /// The names under which it may be kept, the likelier first.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        [Some(self.name), self.short].into_iter().flatten()
    }

    /// The whole value, or the member of it that is asked for.
    pub(super) fn select(&self, secret: Secret) -> Result<Secret, Error> {
        let Some(key) = self.key else { return Ok(secret) };
        let missing = || Error::Key(key.to_owned());
        // Its own error would quote the text.
        let value: Value = serde_json::from_str(secret.expose()).map_err(|_| missing())?;
        match value.get(key).ok_or_else(missing)? {
            Value::String(text) if text.contains('\0') => Err(missing()),
            Value::String(text) => Ok(Secret::new(text.clone())),
            other => Ok(Secret::new(other.to_string())),
        }
    }
}
