//! What names may look like.
//!
//! Source: AWS Batch API reference, the name members of the Create, Register and Submit operations.

/// 1 to 128 letters, digits, hyphens and underscores, the first a letter or digit.
pub(super) fn is_name(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=128).contains(&name.len()) && name.bytes().all(word) && name.as_bytes()[0].is_ascii_alphanumeric()
}

/// 1 to 255 letters, digits, hyphens and underscores.
pub(super) fn is_share_identifier(identifier: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=255).contains(&identifier.len()) && identifier.bytes().all(word)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names() {
        for good in ["a", "0", "A-b_9", &"x".repeat(128)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "_a", "a b", "a/b", "a:1", "é", &"x".repeat(129)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
