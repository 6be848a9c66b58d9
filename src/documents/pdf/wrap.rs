//! Line breaks: between words, and within a word only where it is wider than its column.

use std::sync::Arc;

use super::fonts::Weight;
use super::shaping::{Run, Shaping, clings};
use crate::domain::text;

const ELLIPSIS: char = '…';

/// The lines of a text, none wider than `width` milli-points at `size`, at most `most` lines; what
/// does not fit ends in an ellipsis. Hostile characters are removed first.
pub fn wrapped(
    shaping: &Shaping,
    foreign: &str,
    (weight, size): (Weight, i64),
    width: i64,
    most: usize,
) -> Vec<Arc<Run>> {
    let clean = text::clipped(foreign, text::MAX_NAME_CHARS);
    let whole = shaping.run(&clean, weight);
    if whole.width_at(size) <= width {
        return vec![whole];
    }
    let mut breaker = Breaker { shaping, weight, limit: width * 1000 / size, lines: Vec::new() };
    breaker.start();
    for word in clean.split(' ') {
        breaker.word(word);
    }
    let mut lines: Vec<String> = breaker.lines.into_iter().map(|(line, _)| line).collect();
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            last.push(ELLIPSIS);
        }
    }
    let lines = lines.iter().map(|line| line.trim_end());
    lines.map(|line| shortened(shaping, line, (weight, size), width)).collect()
}

/// One line, cut before the end of the column if need be.
fn shortened(shaping: &Shaping, line: &str, (weight, size): (Weight, i64), width: i64) -> Arc<Run> {
    let mut run = shaping.run(line, weight);
    let mut kept: Vec<char> = line.trim_end_matches(ELLIPSIS).chars().collect();
    while run.width_at(size) > width && kept.pop().is_some() {
        let cut: String = kept.iter().copied().chain([ELLIPSIS]).collect();
        run = shaping.run(&cut, weight);
    }
    run
}

struct Breaker<'a> {
    shaping: &'a Shaping,
    weight: Weight,
    /// Width of the column in thousandths of an em.
    limit: i64,
    /// Lines and their widths; the last one is still open.
    lines: Vec<(String, i64)>,
}

impl Breaker<'_> {
    fn start(&mut self) {
        self.lines.push((String::new(), 0));
    }

    fn measure(&self, piece: &str) -> i64 {
        self.shaping.run(piece, self.weight).width
    }

    fn room(&self) -> i64 {
        self.limit - self.lines.last().map_or(0, |(_, width)| *width)
    }

    fn push(&mut self, piece: &str, width: i64) {
        if let Some((line, used)) = self.lines.last_mut() {
            line.push_str(piece);
            *used += width;
        }
    }

    fn word(&mut self, word: &str) {
        let width = self.measure(word);
        let space = self.measure(" ");
        let fresh = self.lines.last().is_none_or(|(line, _)| line.is_empty());
        if width > self.limit {
            if !fresh {
                self.push(" ", space);
            }
            self.letters(word);
        } else if fresh {
            self.push(word, width);
        } else if space + width <= self.room() {
            self.push(" ", space);
            self.push(word, width);
        } else {
            self.start();
            self.push(word, width);
        }
    }

    /// Breaks a word anywhere but before marks and joiners.
    fn letters(&mut self, word: &str) {
        let mut chars = word.chars().peekable();
        let mut letter = String::new();
        while let Some(c) = chars.next() {
            letter.push(c);
            if letter.len() < 64 && (c == '\u{200D}' || chars.peek().is_some_and(|c| clings(*c))) {
                continue;
            }
            let width = self.measure(&letter);
            if width > self.room() {
                self.start();
            }
            self.push(&letter, width);
            letter.clear();
        }
        let width = self.measure(&letter);
        self.push(&letter, width);
    }
}
