//! The fuzz targets on stable Rust: every file of their corpora, and changed copies of each.
//!
//! `MONTHEND_FUZZ_SEED` makes other copies; a failure names target, file and seed.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Most bytes of all corpora together, and most files.
const MOST_BYTES: usize = 300 * 1024;
const MOST_FILES: usize = 200;

/// What turns up in files that break things.
const TOKENS: &[&str] = &[
    "\"",
    "\"\"",
    "\n",
    "\r",
    "\r\n",
    "\0",
    ",",
    ";",
    "|",
    "=",
    "-",
    "+",
    "@",
    "'",
    "{",
    "}",
    "[",
    "]",
    "\u{FEFF}",
    "\u{202E}",
    "\u{200D}",
    "\u{FFFD}",
    "\u{2028}",
    "\u{1F3FB}",
    "ﷺ",
    "e308",
    "1e-30",
    "-0",
    "0.0000000001",
    "99999999999999999999999999999",
    "18446744073709551616",
    "null",
    "NaN",
    ":60",
    "2500-12-31",
    "+23:59",
    "a@b.example",
    "<x@y.example>",
    "Bcc: x@y.example",
    "\\u0000",
    "{{ 1 }}",
    "CANARY TEXT",
    "4242 4242 4242 4242",
];

/// A corpus: names and contents, in order.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.collect();
    files.sort();
    let read = |path: PathBuf| (path.display().to_string(), fs::read(&path).unwrap());
    files.into_iter().map(read).collect()
}

/// Marsaglia's xorshift: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit = u64::try_from(limit.max(1)).unwrap();
        usize::try_from((self.0 >> 11) % limit).unwrap()
    }

    /// One to four changes of a text.
    fn changed(&mut self, original: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..=self.below(4) {
            let (at, length) = (self.below(bytes.len() + 1), self.below(24));
            let end = (at + length).min(bytes.len());
            match self.below(8) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let part = bytes[at..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, part);
                }
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                4 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                5 => {
                    let from = self.below(other.len() + 1);
                    bytes.splice(at..end, other[from..].iter().copied().take(200));
                }
                _ => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    bytes.splice(at..at, token.bytes());
                }
            }
        }
        bytes
    }
}

/// Replays a corpus and so many changed copies of its files, all together.
fn replay(name: &str, copies: usize) {
    let (_, target) = targets::ALL.into_iter().find(|(known, _)| *known == name).unwrap();
    let files = corpus(name);
    assert!(files.len() >= 5, "the corpus of {name} has {} files", files.len());
    for (path, bytes) in &files {
        assert!(catch_unwind(|| target(bytes)).is_ok(), "{path} breaks {name}");
    }
    let seed = std::env::var("MONTHEND_FUZZ_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut dice = Dice::new(seed);
    for copy in 0..copies {
        let (path, original) = &files[copy % files.len()];
        let (_, other) = &files[dice.below(files.len())];
        let bytes = dice.changed(original, other);
        let held = catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_ok();
        assert!(
            held,
            "copy {copy} of {path} breaks {name}; MONTHEND_FUZZ_SEED={seed} makes it again: {:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

macro_rules! replayed {
    ($($target:ident: $copies:literal),* $(,)?) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target), $copies);
        })*

        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
    };
}

// Mails take milliseconds and pages tenths of a second; all together some ten seconds.
replayed! {
    usage: 10_000,
    cloudevents: 8_000,
    organizations: 8_000,
    prices: 1_500,
    catalog: 400,
    config: 800,
    values: 10_000,
    answers: 8_000,
    notifications: 3_000,
    mail: 80,
    tables: 800,
    pages: 12,
}

#[test]
fn every_target_has_a_small_corpus_and_is_replayed() {
    let names: Vec<&str> = targets::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, REPLAYED);
    let all: Vec<(String, Vec<u8>)> = names.into_iter().flat_map(corpus).collect();
    let bytes: usize = all.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(all.len() <= MOST_FILES && bytes <= MOST_BYTES, "{} files, {bytes} bytes", all.len());
}
