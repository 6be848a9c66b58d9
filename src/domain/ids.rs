//! Prefixed, time-ordered ids that a rerun, a second worker or a restored backup derives again.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// Crockford's base 32, as in ULIDs: sorts as text in the order of the bits.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// `prefix_` and a ULID whose time is `at` and whose other 80 bits are a hash of `parts`.
///
/// The same meaning gives the same id, so an "at most one" survives a crash before the commit.
#[must_use]
pub fn derived(prefix: &str, at: DateTime<Utc>, parts: &[&str]) -> String {
    let millis = u128::from(at.timestamp_millis().max(0).unsigned_abs());
    let hash = digest(parts);
    let tail = hash[..10].iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    let bits = ((millis & 0xFFFF_FFFF_FFFF) << 80) | tail;
    let mut text = String::with_capacity(prefix.len() + 27);
    text.push_str(prefix);
    text.push('_');
    for place in (0..26).rev() {
        let index = usize::try_from((bits >> (place * 5)) & 31).unwrap_or(0);
        text.push(char::from(ALPHABET[index]));
    }
    text
}

/// An idempotency key: readable parts joined, with a hash that keeps it unambiguous.
#[must_use]
pub fn key(kind: &str, parts: &[&str]) -> String {
    format!("{kind}-{}", &hex(&digest(parts))[..40])
}

/// SHA-256 as lower-case hexadecimal text.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes).into())
}

/// SHA-256 over length-prefixed parts, so that ("ab", "c") and ("a", "bc") differ.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

pub(super) fn hex(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_derived_time_ordered_and_unambiguous() {
        let at = |s: &str| s.parse::<DateTime<Utc>>().unwrap();
        let early = derived("grt", at("2026-01-01T00:00:00Z"), &["acme", "1"]);
        let late = derived("grt", at("2026-01-01T00:00:01Z"), &["acme", "1"]);
        assert!(early < late);
        assert_eq!(early, derived("grt", at("2026-01-01T00:00:00Z"), &["acme", "1"]));
        assert_ne!(early, derived("grt", at("2026-01-01T00:00:00Z"), &["acme1", ""]));
        assert_eq!(early.len(), 30);
    }

    #[test]
    fn hashes_are_sha256() {
        assert_eq!(
            sha256_hex(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
