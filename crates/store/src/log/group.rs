//! What a group was told to be: `group.json` in its folder. A group that came into being with its first line has none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use fornada_engine::port::log::GroupSettings;
use serde::{Deserialize, Serialize};

/// Its name; no stream has such a file, because theirs end in `.log`.
pub(super) const FILE: &str = "group.json";
const VERSION: u32 = 1;
/// Far more than its few members take.
const SIZE_MAX: u64 = 64 << 10;

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupFile {
    version: u32,
    pub(super) log_group_name: String,
    /// Milliseconds since the epoch.
    pub(super) creation_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retention_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log_group_class: Option<String>,
}

impl GroupFile {
    pub(super) fn new(group: &str, creation_time: i64, settings: GroupSettings) -> GroupFile {
        GroupFile {
            version: VERSION,
            log_group_name: group.to_owned(),
            creation_time,
            retention_in_days: settings.retention_days,
            log_group_class: settings.class.map(String::from),
        }
    }

    /// Reads the file in the group's `folder`; `None` when there is none.
    pub(super) fn read(folder: &Path) -> io::Result<Option<GroupFile>> {
        let file = match File::open(folder.join(FILE)) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(SIZE_MAX).read_to_end(&mut bytes)?;
        let group: GroupFile = serde_json::from_slice(&bytes)?;
        if group.version != VERSION {
            let message =
                format!("{FILE} of log group {} is of version {}", group.log_group_name, group.version);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Some(group))
    }

    /// Replaces the file; it is on the disk when this returns.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let new = folder.join(format!("{FILE}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&new, folder.join(FILE))?;
        File::open(folder)?.sync_all()
    }

    pub(super) fn settings(self) -> GroupSettings {
        GroupSettings {
            retention_days: self.retention_in_days,
            class: self.log_group_class.map(|class| class.as_str().into()),
        }
    }
}
