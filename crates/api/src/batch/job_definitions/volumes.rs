//! Whether volumes and mount points of a container fit each other and the platform.
//!
//! Source: AWS Batch API reference, Volume, EFSVolumeConfiguration, MountPoint; texts as observed.

use std::collections::BTreeSet;

use fornada_model::batch as model;

use super::super::require::require;
use crate::error::WireError;

/// Characters of a directory within EFS.
const ROOT_DIRECTORY_MAX: usize = 4096;
const PORTS: std::ops::RangeInclusive<i32> = 0..=65_535;
/// The first Fargate platform with EFS.
const EFS_PLATFORM: [u32; 3] = [1, 4, 0];

/// What volumes depend on beside themselves.
pub(super) struct Site<'a> {
    /// The container is for Fargate.
    pub(super) fargate: bool,
    /// Of Fargate; absent means LATEST.
    pub(super) platform_version: Option<&'a str>,
    /// The container has a role of its own.
    pub(super) has_job_role: bool,
}

pub(super) fn check<'a>(
    volumes: &[model::Volume],
    mount_points: impl IntoIterator<Item = &'a model::MountPoint>,
    site: &Site<'_>,
) -> Result<(), WireError> {
    let mut names = BTreeSet::new();
    for volume in volumes {
        let name = volume.name.as_deref().unwrap_or_default();
        require(!name.is_empty(), "Volume name is required.")?;
        require(names.insert(name), "Volume names must be unique.")?;
        check_volume(volume, site)?;
    }
    for model::MountPoint { container_path, read_only: _, source_volume } in mount_points {
        require(
            container_path.as_deref().is_some_and(|path| !path.is_empty()),
            "containerPath of a mount point is required.",
        )?;
        let source = source_volume.as_deref().unwrap_or_default();
        if !names.contains(source) {
            return Err(WireError::invalid(format!(
                "sourceVolume '{source}' of a mount point must name a volume."
            )));
        }
    }
    Ok(())
}

fn check_volume(volume: &model::Volume, site: &Site<'_>) -> Result<(), WireError> {
    let model::Volume { efs_volume_configuration: efs, host, name: _, s3files_volume_configuration: s3files } =
        volume;
    let kinds = [efs.is_some(), host.is_some(), s3files.is_some()];
    require(
        kinds.into_iter().filter(|given| *given).count() <= 1,
        "When the volume parameter is specified, only one volume configuration type should be used.",
    )?;
    require(
        !(site.fargate && host.as_ref().is_some_and(|host| host.source_path.is_some())),
        "host.sourcePath should not be set for volumes in Fargate.",
    )?;
    require(
        s3files.is_none() || site.has_job_role,
        "A jobRoleArn/taskRoleArn is required when using s3filesVolumeConfiguration.",
    )?;
    efs.as_ref().map_or(Ok(()), |efs| check_efs(efs, site))
}

fn check_efs(efs: &model::EFSVolumeConfiguration, site: &Site<'_>) -> Result<(), WireError> {
    let model::EFSVolumeConfiguration {
        authorization_config,
        file_system_id: id,
        root_directory,
        transit_encryption,
        transit_encryption_port: port,
    } = efs;
    if let Some(version) = site.platform_version.filter(|version| site.fargate && is_before_efs(version)) {
        return Err(WireError::invalid(format!(
            "EFS is supported for Fargate platform versions 1.4.0 or later, provided {version}"
        )));
    }
    let hex = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !id.strip_prefix("fs-").is_some_and(hex) {
        return Err(WireError::invalid(format!("EFS configuration fileSystemId is not valid: {id}.")));
    }
    let directory = root_directory.as_deref().unwrap_or_default();
    require(directory.len() <= ROOT_DIRECTORY_MAX, "EFS rootDirectory can have at most 4096 characters.")?;
    require(
        port.is_none_or(|port| PORTS.contains(&port)),
        "EFS transitEncryptionPort must be between 0 and 65535.",
    )?;
    let Some(model::EFSAuthorizationConfig { access_point_id, iam }) = authorization_config else {
        return Ok(());
    };
    let by_iam = *iam == Some(model::EFSAuthorizationConfigIAM::Enabled);
    require(
        !(by_iam || access_point_id.is_some())
            || *transit_encryption == Some(model::EFSTransitEncryption::Enabled),
        "EFS transitEncryption must be ENABLED for IAM authorization and access points.",
    )?;
    require(
        access_point_id.is_none() || ["", "/"].contains(&directory),
        "EFS rootDirectory must be / or absent with an access point.",
    )
}

/// `LATEST` and what is no version are not.
fn is_before_efs(version: &str) -> bool {
    let numbers: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
    numbers.is_some_and(|numbers| numbers.as_slice() < EFS_PLATFORM.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn volumes() {
        let outcome = |volume: &Value, fargate, version| {
            let mut volume = volume.clone();
            volume["name"] = json!("v");
            let volume = serde_json::from_value(volume).unwrap();
            let mount =
                serde_json::from_value(json!({ "containerPath": "/v", "sourceVolume": "v" })).unwrap();
            let site = Site { fargate, platform_version: version, has_job_role: false };
            check(&[volume], &[mount], &site).map_err(|error| error.message)
        };
        let efs = |members: Value| {
            let mut whole = json!({ "fileSystemId": "fs-0a" });
            whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            json!({ "efsVolumeConfiguration": whole })
        };
        let on = "ENABLED";
        for good in [
            json!({}),
            json!({ "host": { "sourcePath": "/data" } }),
            efs(json!({ "rootDirectory": "/x" })),
            efs(
                json!({ "transitEncryption": on, "authorizationConfig": { "iam": on, "accessPointId": "fsap-1" } }),
            ),
        ] {
            assert_eq!(outcome(&good, false, None), Ok(()), "{good}");
        }
        assert_eq!(outcome(&efs(json!({})), true, Some("LATEST")), Ok(()));
        assert_eq!(outcome(&efs(json!({})), true, Some("1.4.0")), Ok(()));
        let both = json!({ "host": {}, "efsVolumeConfiguration": { "fileSystemId": "fs-1" } });
        let s3files = json!({ "s3filesVolumeConfiguration": { "fileSystemArn": "arn" } });
        let encrypted = "EFS transitEncryption must be ENABLED for IAM authorization and access points.";
        let cases = [
            (
                both,
                "When the volume parameter is specified, only one volume configuration type should be used.",
            ),
            (
                json!({ "host": { "sourcePath": "/data" } }),
                "host.sourcePath should not be set for volumes in Fargate.",
            ),
            (s3files, "A jobRoleArn/taskRoleArn is required when using s3filesVolumeConfiguration."),
            (efs(json!({ "fileSystemId": "x" })), "EFS configuration fileSystemId is not valid: x."),
            (efs(json!({ "authorizationConfig": { "iam": on } })), encrypted),
            (efs(json!({ "authorizationConfig": { "accessPointId": "fsap-1" } })), encrypted),
            (
                efs(json!({ "rootDirectory": "/x", "transitEncryption": on,
                    "authorizationConfig": { "accessPointId": "fsap-1" } })),
                "EFS rootDirectory must be / or absent with an access point.",
            ),
        ];
        for (volume, want) in cases {
            assert_eq!(outcome(&volume, true, None), Err(want.into()), "{volume}");
        }
        let old = "EFS is supported for Fargate platform versions 1.4.0 or later, provided 1.3.0";
        assert_eq!(outcome(&efs(json!({})), true, Some("1.3.0")), Err(old.into()));
    }

    #[test]
    fn mount_points_name_a_volume() {
        let site = Site { fargate: false, platform_version: None, has_job_role: false };
        let volume = |name: &str| model::Volume { name: Some(name.to_owned()), ..Default::default() };
        let mount = |source: &str| model::MountPoint {
            container_path: Some("/m".to_owned()),
            source_volume: Some(source.to_owned()),
            ..Default::default()
        };
        assert!(check(&[volume("a"), volume("b")], &[mount("b")], &site).is_ok());
        assert!(check(&[volume("a")], &[mount("b")], &site).is_err());
        assert!(check(&[volume("a"), volume("a")], &[], &site).is_err());
        assert!(check(&[volume("")], &[], &site).is_err());
        assert!(check(&[volume("a")], &[model::MountPoint::default()], &site).is_err());
    }
}
