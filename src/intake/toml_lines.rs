//! Where a key stands in a TOML file, for the errors people read.

/// The key of a line `key = value`.
pub(crate) fn key_of(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (!key.is_empty() && key.bytes().all(plain)).then_some(key)
}

/// The line of a dotted key, else of its section, else the first.
pub(crate) fn line_of(text: &str, field: &str) -> usize {
    let (section, key) = field.rsplit_once('.').unwrap_or(("", field));
    let (mut inside, mut found) = (section.is_empty(), 1);
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(name) = line.trim().strip_prefix('[') {
            inside = name.trim_end().trim_end_matches(']').trim() == section;
            if inside {
                found = number;
            }
        } else if inside && key_of(line) == Some(key) {
            return number;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_their_section() {
        let text = "a = 1\n[s]\na = 2\n\n[t]\nb.c = 3\n";
        let line = |field| line_of(text, field);
        assert_eq!([line("a"), line("s.a"), line("s.x"), line("x")], [1, 3, 2, 1]);
        assert_eq!(key_of("b.c = \"x = y\""), Some("b.c"));
        assert_eq!((key_of("no key"), key_of("\"a b\" = 1")), (None, None));
    }
}
