//! Quoting for shells.

/// One word for a POSIX shell, always in single quotes.
pub(crate) fn posix(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// One word for fish, whose single quotes know two escapes.
pub(crate) fn fish(word: &str) -> String {
    format!("'{}'", word.replace('\\', r"\\").replace('\'', r"\'"))
}

/// A command line as one would type it: quotes only where they are needed.
pub(crate) fn command_line<S: AsRef<str>>(words: &[S]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%^".contains(c);
    let word = |word: &S| {
        let word = word.as_ref();
        if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { posix(word) }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_whole() {
        let cases = [
            ("", "''", "''"),
            ("plain", "'plain'", "'plain'"),
            ("it's", r"'it'\''s'", r"'it\'s'"),
            ("$HOME `x` \"q\"", "'$HOME `x` \"q\"'", "'$HOME `x` \"q\"'"),
            (r"back\slash", r"'back\slash'", r"'back\\slash'"),
        ];
        for (word, want_posix, want_fish) in cases {
            assert_eq!(posix(word), want_posix);
            assert_eq!(fish(word), want_fish);
        }
    }

    #[test]
    fn a_real_shell_reads_the_word_back() {
        for word in ["", "it's", "a  b", "$(echo no)", "new\nline", "\\'\"", "!!"] {
            let script = format!("printf %s {}", posix(word));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("sh runs");
            assert_eq!(String::from_utf8_lossy(&output.stdout), word);
        }
    }

    #[test]
    fn command_lines_quote_only_what_needs_it() {
        assert_eq!(command_line(&["sh", "-c", "exit 3"]), "sh -c 'exit 3'");
        assert_eq!(command_line(&["cp", "a.txt", "", "b/c=1"]), "cp a.txt '' b/c=1");
    }
}
