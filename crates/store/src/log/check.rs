//! Looking whether logs are whole, from their first byte to their last.
//!
//! A stream may end in bytes that are no record: the write that a crash cut short. That was never promised to be there, and
//! a writer goes on after it in a new segment. What is wrong is a damaged record with others behind it, a whole record with a
//! wrong checksum, and a segment that ends before the next one begins.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::{file_names, streams};
use super::expiry::DELETED;
use super::group::GroupFile;
use super::name::encode;
use super::segment::{End, Segment};
use super::stream::StreamPath;
use crate::finding::Findings;

const LOST: &str = "the lines there are lost; all others can be read: restore a backup if you need them";
const TORN: &str = "nothing: the end of a write that was cut short, which nobody was promised";
const FOREIGN: &str = "move the file out of the folder of logs";

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Log groups.
    pub groups: u64,
    /// Log streams.
    pub streams: u64,
    /// Events that can be read.
    pub events: u64,
    /// Of all segments together.
    pub bytes: u64,
}

/// Reads all logs in `dir`. Streams may be written and deleted meanwhile.
///
/// # Errors
/// When a file cannot be read.
pub fn check(dir: &Path, findings: &mut Findings) -> io::Result<Counts> {
    let mut counts = Counts::default();
    for group in groups(dir)? {
        counts.groups += 1;
        if let Err(error) = GroupFile::read(&group) {
            let place = shown(dir, &group.join(super::group::FILE));
            let advice =
                "set the retention of the group anew (aws logs put-retention-policy) after removing the file";
            findings.fault(place, format!("cannot be understood ({error})"), advice);
        }
        for stream in streams(&group)?.unwrap_or_default().into_keys() {
            counts.streams += 1;
            check_stream(dir, &StreamPath { group: group.clone(), stream }, findings, &mut counts)?;
        }
    }
    Ok(counts)
}

fn check_stream(
    dir: &Path,
    path: &StreamPath,
    findings: &mut Findings,
    counts: &mut Counts,
) -> io::Result<()> {
    // Where the segment before ended; none before the first one that is there.
    let mut end = None;
    // Listed first: all but the last are complete.
    for base in path.bases()? {
        let file = path.segment(base);
        let len = match fs::metadata(&file) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        counts.bytes += len;
        let place = shown(dir, &file);
        if let Some(end) = end.filter(|&end| end != base) {
            let problem = format!("begins at {base}, and the segment before it ends at {end}");
            findings.fault(&place, problem, LOST);
        }
        end = Some(base + len);
        let Some(mut segment) = Segment::open(&file, base)? else {
            // The header goes with the first event, in one write.
            match Segment::is_torn_header(&file)? {
                true if len > 0 => findings.note(place, "has only the beginning of a header", TORN),
                true => {}
                false => findings.fault(place, "does not begin with the header of a log segment", LOST),
            }
            continue;
        };
        end = Some(base + segment.len);
        if encode(&segment.header.stream) != path.stream || !is_of(&path.group, &segment.header.group) {
            let problem =
                format!("belongs to stream {} of group {}", segment.header.stream, segment.header.group);
            findings.fault(&place, problem, FOREIGN);
        }
        let (events, at, found) = segment.walk()?;
        counts.events += events;
        match found {
            End::Whole => {}
            End::Torn => {
                findings.note(place, format!("ends in {} bytes that are no event", segment.len - at), TORN)
            }
            End::Damaged => findings.fault(place, format!("is damaged at byte {at}"), LOST),
        }
    }
    Ok(())
}

fn is_of(folder: &Path, group: &str) -> bool {
    folder.file_name().is_some_and(|name| name.as_encoded_bytes() == encode(group).as_bytes())
}

fn shown(dir: &Path, file: &Path) -> String {
    format!("logs/{}", file.strip_prefix(dir).unwrap_or(file).display())
}

/// Folders of all groups of all accounts and regions, but for those that are being deleted.
pub(super) fn groups(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for account in folders(dir)? {
        for region in folders(&account)? {
            found.extend(folders(&region)?);
        }
    }
    Ok(found)
}

/// Folders in a folder, in order; none if it is none.
fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = file_names(dir)?.unwrap_or_default();
    names.retain(|name| !name.starts_with(DELETED));
    names.sort_unstable();
    Ok(names.into_iter().map(|name| dir.join(name)).filter(|path| path.is_dir()).collect())
}
