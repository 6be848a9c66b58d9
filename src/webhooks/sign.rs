//! Signatures: HMAC-SHA256 over `id.timestamp.body`, with a secret written as `whsec_` and base64.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// A secret that signs. `Debug` shows `***`, there is no `Display` (F88).
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Fewest and most bytes of a secret, as the specification has them.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

impl Key {
    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// What a secret must look like; the secret itself is not repeated.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "a secret is whsec_ and the base64 of 24 to 64 random bytes".to_owned();
        let encoded = text.trim().strip_prefix("whsec_").ok_or_else(wrong)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| wrong())?;
        if BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(wrong()) }
    }
}

/// The header `webhook-signature`: one signature for each key, so that a receiver that still has the old
/// secret, or has the new one already, finds one that fits.
#[must_use]
pub fn signature(keys: &[Key], id: &str, timestamp: i64, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let one = |key: &Key| {
        // A key of any length is taken.
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).ok()?;
        mac.update(signed.as_bytes());
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    keys.iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    // The example that Standard Webhooks libraries check themselves against.
    #[test]
    fn a_known_message_has_its_known_signature() {
        let key = Key::parse(SECRET).unwrap();
        let body = "{\"test\": 2432232314}";
        let signed = signature(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_key_signs_and_none_is_shown() {
        let other = format!("whsec_{}", STANDARD.encode([7_u8; 32]));
        let keys = [Key::parse(SECRET).unwrap(), Key::parse(&other).unwrap()];
        let signed = signature(&keys, "msg_1", 1, "{}");
        assert_eq!(signed.split(' ').filter(|part| part.starts_with("v1,")).count(), 2);
        assert_eq!(format!("{keys:?}"), "[***, ***]");
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_repeated() {
        for text in ["", "canary", "whsec_", "whsec_canary!", "whsec_Y2FuYXJ5"] {
            let error = Key::parse(text).unwrap_err();
            assert!(!error.contains("canary") && !error.contains("Y2Fu"), "{error}");
        }
    }
}
