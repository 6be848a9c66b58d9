//! Takes the hinting programs out of a TrueType font: they are half of its size, and what reads
//! PDFs does not run them.

/// The font without the programs of its simple glyphs. Every glyph keeps its place and length, so
/// no other table changes; the bytes that become free are zero, which packs to nothing. A font that
/// is not as expected stays as it is.
pub fn unhinted(font: &[u8]) -> Vec<u8> {
    let mut bytes = font.to_vec();
    let table = |tag: &[u8; 4]| table(font, *tag);
    if let (Some(glyf), Some(loca), Some(head)) = (table(b"glyf"), table(b"loca"), table(b"head")) {
        let long = number::<2>(font, head + 50) == Some(1);
        let place = |index: usize| {
            let offset = if long {
                number::<4>(font, loca + index * 4)
            } else {
                number::<2>(font, loca + index * 2).map(|half| half * 2)
            };
            Some(glyf + offset?)
        };
        let glyphs = table(b"maxp").and_then(|maxp| number::<2>(font, maxp + 4)).unwrap_or(0);
        for index in 0..glyphs {
            if let (Some(from), Some(to)) = (place(index), place(index + 1))
                && let Some(glyph) = bytes.get_mut(from..to)
            {
                strip(glyph);
            }
        }
    }
    bytes
}

/// A big-endian number.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let part = bytes.get(at..at.checked_add(N)?)?;
    Some(part.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// Where a table begins.
fn table(font: &[u8], tag: [u8; 4]) -> Option<usize> {
    let records = (0..number::<2>(font, 4)?).map(|index| 12 + 16 * index);
    let mut found = records.filter(|at| font.get(*at..at + 4) == Some(&tag));
    number::<4>(font, found.next()? + 8)
}

/// Sets the length of a glyph's program to zero and moves its outline up.
fn strip(glyph: &mut [u8]) -> Option<()> {
    let contours = number::<2>(glyph, 0)?;
    // A negative number: the glyph is made of others.
    if contours == 0 || contours >= 0x8000 {
        return None;
    }
    let at = 10 + 2 * contours;
    let length = number::<2>(glyph, at)?;
    let outline = at + 2 + length;
    if outline > glyph.len() {
        return None;
    }
    glyph.copy_within(outline.., at + 2);
    let end = glyph.len() - length;
    glyph.get_mut(end..)?.fill(0);
    glyph.get_mut(at..at + 2)?.fill(0);
    Some(())
}
