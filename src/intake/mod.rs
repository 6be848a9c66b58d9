//! Files become domain values: the catalog, published prices, organizations and usage.
//!
//! Architecture invariant: nothing in here knows a database, a clock or another edge. A file is either
//! refused as a whole with its reason (not this format), or read row by row, and then every row ends
//! accepted or rejected with a line, a field and a reason. Nothing is dropped and nothing panics.

pub mod catalog_file;
pub mod contacts;
pub mod organizations;
pub mod prices;
pub(crate) mod toml_lines;
pub mod usage;
mod values;

/// Byte-order mark that spreadsheets put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Longest part of a foreign text that is shown in a reason.
const SHOWN_CHARS: usize = 60;

/// A foreign text as a reason may show it: clean, short, in quotation marks.
fn shown(text: &str) -> String {
    format!("{:?}", crate::domain::text::clipped(text, SHOWN_CHARS))
}

/// The line an offset into a text lies on, from 1.
fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.split(|byte| *byte == b'\n').count()
}

/// Are all quotation marks of a CSV record where they belong (RFC 4180)?
///
/// The CSV reader takes anything: a mark that is not closed swallows the rows after it without a word. So
/// a quoted cell must end before a comma or the record's end.
fn is_well_quoted(record: &[u8]) -> bool {
    let mut rest = record;
    loop {
        let end = if let [b'"', quoted @ ..] = rest {
            let Some(end) = end_of_quoted(quoted) else { return false };
            end + 1
        } else {
            rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len())
        };
        match rest.get(end..) {
            Some([b',', next @ ..]) => rest = next,
            Some(tail) => return tail.trim_ascii().is_empty(),
            None => return true,
        }
    }
}

/// Where a quoted cell ends, just after its closing mark; a doubled mark is a mark inside it.
fn end_of_quoted(text: &[u8]) -> Option<usize> {
    let mut index = 0;
    while let Some(byte) = text.get(index) {
        match (byte, text.get(index + 1)) {
            (b'"', Some(b'"')) => index += 2,
            (b'"', _) => return Some(index + 1),
            _ => index += 1,
        }
    }
    None
}

/// Is it an identifier of the catalog: `[a-z0-9][a-z0-9_.-]{0,62}`?
fn is_catalog_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || matches!(b, b'_' | b'.' | b'-'))
}

/// Is it the name of a dimension: `[a-z][a-z0-9_]{0,62}`?
fn is_dimension(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotation_marks_must_be_closed_before_a_comma_or_the_end() {
        for good in
            ["", "a,b", "\"a\",\"b\"", "\"a,\"\"b\"\"\",c", "5\" pipe,b", "a,\"b\nc\"\r\n", "\"\""]
        {
            assert!(is_well_quoted(good.as_bytes()), "{good:?}");
        }
        for bad in ["\"", "a,\"b", "\"a\"b,c", "a,\"b\"\"", "\"a\nb,\"c\",d"] {
            assert!(!is_well_quoted(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn lines_count_from_one() {
        assert_eq!([0, 1, 2, 9].map(|offset| line_at("a\nb", offset)), [1, 1, 2, 2]);
    }
}
