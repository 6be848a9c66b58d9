//! Bearer tokens: several while one is being replaced, compared in constant time.

use std::fmt;

use axum::http::{HeaderMap, header};

use super::Problem;
use crate::domain::ids::sha256_hex;

/// The tokens that open the doors, as hashes: all of one length, whatever was sent.
#[derive(Clone)]
pub struct Tokens(Vec<String>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Tokens {
    /// These tokens.
    #[must_use]
    pub fn new(tokens: &[String]) -> Self {
        Self(tokens.iter().map(|token| sha256_hex(token.as_bytes())).collect())
    }

    /// Lets a request pass that carries one of them.
    ///
    /// # Errors
    /// 401, whatever is wrong.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut sent = headers.get_all(header::AUTHORIZATION).into_iter();
        let (Some(value), None) = (sent.next(), sent.next()) else {
            return Err(Problem::unauthorized());
        };
        let token = value.to_str().ok().and_then(|text| text.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let hash = sha256_hex(token.map_or("", |(_, token)| token.trim()).as_bytes());
        // Every token is compared to its end: how long it takes tells nothing.
        let known = self.0.iter().fold(false, |known, token| known | same(token, &hash));
        if known && token.is_some() { Ok(()) } else { Err(Problem::unauthorized()) }
    }
}

fn same(a: &str, b: &str) -> bool {
    let differing = a.bytes().zip(b.bytes()).fold(0, |bits, (a, b)| bits | (a ^ b));
    std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(values: &[&str]) -> bool {
        let tokens = Tokens::new(&["first-token".to_owned(), "second-token".to_owned()]);
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        tokens.check(&headers).is_ok()
    }

    #[test]
    fn one_known_token_passes_and_nothing_else() {
        assert!(passes(&["Bearer first-token"]) && passes(&["bearer second-token"]));
        for wrong in [
            &[][..],
            &["Bearer "],
            &["Bearer"],
            &["first-token"],
            &["Basic first-token"],
            &["Bearer first-toke"],
            &["Bearer first-tokens"],
            &["Bearer first-token", "Bearer first-token"],
        ] {
            assert!(!passes(wrong), "{wrong:?}");
        }
        assert_eq!(format!("{:?}", Tokens::new(&["secret".to_owned()])), "***");
    }
}
