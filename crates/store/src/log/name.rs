//! Names of accounts, groups and streams as file names.
//!
//! An encoded name is one path component whatever the name holds: never empty, never hidden, never `.` or `..`, without
//! `/` and NUL. Different names have different file names. Names that would not fit keep their beginning, for the
//! people who look, and end in `~` and a hash; their full text is in the segments' headers.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// File names end at 255 bytes; this leaves room for suffixes.
const LONGEST: usize = 200;
const SHORTENED: usize = 150;

/// The file name of a name, without suffix; at most 200 bytes of ASCII.
pub(super) fn encode(name: &str) -> String {
    let mut encoded = utf8_percent_encode(name, PLAIN).to_string();
    if encoded.is_empty() {
        encoded.push('%');
    } else if encoded.starts_with('.') {
        encoded.replace_range(..1, "%2E");
    }
    if encoded.len() > LONGEST {
        encoded.truncate(SHORTENED);
        encoded.push('~');
        for byte in &Sha256::digest(name)[..16] {
            let _ = write!(encoded, "{byte:02x}"); // Writing to a string cannot fail.
        }
    }
    encoded
}

/// The name behind a file name. `full_name` is asked when the file name holds only the beginning. `None`: not ours.
pub(super) fn decode(file_name: &str, full_name: impl FnOnce() -> Option<String>) -> Option<String> {
    let name = match file_name {
        "%" => String::new(),
        shortened if shortened.contains('~') => full_name()?,
        encoded => percent_decode_str(encoded).decode_utf8().ok()?.into_owned(),
    };
    (encode(&name) == file_name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_visible_component_and_comes_back() {
        let long = "é/".repeat(300);
        let nearly = "x".repeat(LONGEST);
        let names = [
            ("", "%"),
            (".", "%2E"),
            ("..", "%2E."),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
            (".hidden", "%2Ehidden"),
            ("/aws/batch/job", "%2Faws%2Fbatch%2Fjob"),
            ("a\0b~c%2Fd", "a%00b%7Ec%252Fd"),
            ("train/default/0f3c", "train%2Fdefault%2F0f3c"),
            (&nearly, &nearly),
        ];
        for (name, want) in names {
            assert_eq!(encode(name), want);
            assert_eq!(decode(want, || None).as_deref(), Some(name), "{want}");
        }
        let file_name = encode(&long);
        assert_eq!(file_name.len(), SHORTENED + 1 + 32);
        assert_ne!(file_name, encode(&format!("{long}.")), "shortened names differ in their hash");
        assert_eq!(decode(&file_name, || Some(long.clone())), Some(long));
        assert_eq!(decode(&file_name, || Some("another".to_owned())), None);
        for foreign in ["a b", "%2e", "a%41", "%FF", ".swp", "é"] {
            assert_eq!(decode(foreign, || None), None, "{foreign}");
        }
    }
}
