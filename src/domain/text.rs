//! Hostile text made harmless before it reaches a page, a mail, a file name or a terminal (F76, F84, F86).

/// Longest name or line of an address that is kept; longer ones are clipped with an ellipsis.
pub const MAX_NAME_CHARS: usize = 300;

/// Text for people: control characters and bidi overrides removed, white space folded.
///
/// Joiners that Arabic, Indic scripts and emoji need (U+200C, U+200D) stay.
#[must_use]
pub fn cleaned(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_whitespace() {
            if !clean.ends_with(' ') && !clean.is_empty() {
                clean.push(' ');
            }
        } else if !is_hostile(c) {
            clean.push(c);
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// One line for a terminal: hostile characters removed, spaces kept as they are.
#[must_use]
pub fn cleaned_line(text: &str) -> String {
    text.chars().filter(|c| !is_hostile(*c)).collect()
}

/// [`cleaned`], clipped to `limit` characters with an ellipsis.
#[must_use]
pub fn clipped(text: &str, limit: usize) -> String {
    let clean = cleaned(text);
    if clean.chars().count() <= limit {
        return clean;
    }
    let mut short: String = clean.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The digits before the point of a plain number in groups of three: `-1234567.5` → `-1,234,567.5`.
#[must_use]
pub fn grouped(plain: &str) -> String {
    let (sign, magnitude) = plain.strip_prefix('-').map_or(("", plain), |rest| ("-", rest));
    let (whole, part) = magnitude.split_once('.').map_or((magnitude, None), |(w, p)| (w, Some(p)));
    let mut text = String::with_capacity(plain.len() + whole.len() / 3 + 1);
    text.push_str(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(part) = part {
        text.push('.');
        text.push_str(part);
    }
    text
}

/// Does the text hold nothing that [`cleaned`] would remove?
#[must_use]
pub fn is_harmless(text: &str) -> bool {
    !text.chars().any(is_hostile)
}

fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{061C}' | '\u{2028}' | '\u{2029}'
            | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}')
}

/// An identifier of an organization: `[a-z0-9][a-z0-9_-]{0,62}`, safe in keys and file names.
#[must_use]
pub fn is_organization_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_overrides_vanish_letters_stay() {
        assert_eq!(cleaned("Acme\u{202E}gpj\r\n\tCorp\0"), "Acmegpj Corp");
        for kept in ["Łódź", "Ελλάδα", "Việt Nam", "العربية", "東京", "👩\u{200D}💻"]
        {
            assert_eq!(cleaned(kept), kept);
        }
        assert_eq!(clipped(&"x".repeat(10_000), 5), "xxxx…");
    }

    #[test]
    fn ids_hold_no_path() {
        for good in ["acme", "a", "0-x_y"] {
            assert!(is_organization_id(good));
        }
        for bad in ["", "-a", "../etc", "a/b", "A", "a.b", "ä", "a b", &"a".repeat(64)] {
            assert!(!is_organization_id(bad), "{bad}");
        }
    }
}
