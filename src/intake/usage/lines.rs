//! Lines of a file with a bound on memory: what exceeds it is skipped, not kept.

use std::io::BufRead;

use super::{FileError, MAX_LINE_BYTES};
use crate::intake::BYTE_ORDER_MARK;

/// What was found; the bytes themselves are in [`Lines::bytes`].
#[derive(Debug)]
pub(super) struct Line {
    /// From 1.
    pub number: u64,
    /// Longer than the bound; only its beginning was kept.
    pub too_long: bool,
}

/// Reads line by line into one buffer.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), number: 0 }
    }

    /// The line found last, without its end.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The next line that is not blank; none at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Line>, FileError> {
        loop {
            let Some(too_long) = self.fill()? else { return Ok(None) };
            self.number += 1;
            if self.number == 1 && self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.buffer.drain(..BYTE_ORDER_MARK.len());
            }
            if self.buffer.last() == Some(&b'\r') {
                self.buffer.pop();
            }
            if too_long || !self.buffer.trim_ascii().is_empty() {
                return Ok(Some(Line { number: self.number, too_long }));
            }
        }
    }

    /// Fills the buffer with one line; says whether it was too long, or none at the end.
    fn fill(&mut self) -> Result<Option<bool>, FileError> {
        self.buffer.clear();
        let mut too_long = false;
        let mut any = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(FileError::Read { line: self.number, source }),
            };
            if available.is_empty() {
                return Ok(any.then_some(too_long));
            }
            any = true;
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            let room = MAX_LINE_BYTES - self.buffer.len();
            too_long |= part.len() > room;
            self.buffer.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(too_long));
            }
        }
    }
}
