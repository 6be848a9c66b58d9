//! A small generator (splitmix64): the same seed, the same history.

/// A stream of numbers.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Of a seed and some words: each list of words has a stream of its own.
    pub fn of(seed: u64, words: &[&str]) -> Self {
        let mut stream = Self(seed);
        for byte in words.iter().flat_map(|word| word.bytes().chain([0])) {
            stream.0 ^= u64::from(byte);
            stream.next();
        }
        stream
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below a limit.
    pub fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.next() % u64::from(limit)).unwrap_or_default()
    }

    /// From one number to another, both included.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        let width = u64::try_from(to - from + 1).unwrap_or(1);
        from + i64::try_from(self.next() % width).unwrap_or_default()
    }

    /// So often in a hundred.
    pub fn percent(&mut self, chance: u32) -> bool {
        self.below(100) < chance
    }

    /// One of some.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let limit = u32::try_from(of.len()).ok().filter(|limit| *limit > 0)?;
        of.get(usize::try_from(self.below(limit)).ok()?)
    }
}
