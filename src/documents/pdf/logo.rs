//! The seller's logo: a configured PNG, or a square with the seller's initial.

use std::collections::BTreeMap;

use lopdf::{Dictionary, Stream};
use printpdf::{
    DictItem, ExternalStream, ExternalXObject, RawImage, RawImageData, RawImageFormat, XObject,
};

use super::canvas::Canvas;
use super::{PdfError, fonts};

/// Name of the logo in a page's resources.
pub const LOGO_ID: &str = "Logo";
/// Most pixels a logo may have.
const MAX_PIXELS: usize = 4_000_000;

/// A decoded logo, packed once for all documents.
pub struct Logo {
    pub object: XObject,
    width: i64,
    height: i64,
}

impl Logo {
    /// Decodes a PNG; what is transparent becomes white, as the paper is.
    pub fn decode(png: &[u8]) -> Result<Self, PdfError> {
        let (width, height) = declared_size(png)?;
        let image = RawImage::decode_from_bytes(png, &mut Vec::new()).map_err(PdfError::Logo)?;
        if image.width != width || image.height != height {
            return Err(PdfError::Logo("its size is not what its header says".to_owned()));
        }
        let mut stream = Stream::new(Dictionary::new(), opaque(&image)?);
        fonts::pack(&mut stream, 9)?;
        let int = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let name = |name: &str| DictItem::Name(name.as_bytes().to_vec());
        let dict = BTreeMap::from([
            ("Type", name("XObject")),
            ("Subtype", name("Image")),
            ("Width", DictItem::Int(int(width))),
            ("Height", DictItem::Int(int(height))),
            ("ColorSpace", name("DeviceRGB")),
            ("BitsPerComponent", DictItem::Int(8)),
            ("Filter", name("FlateDecode")),
        ]);
        let dict = dict.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let stream = ExternalStream { dict, content: stream.content, compress: false };
        let object =
            XObject::External(ExternalXObject { stream, width: None, height: None, dpi: None });
        Ok(Self { object, width: int(width), height: int(height) })
    }

    /// Draws it as large as fits, at the upper left of the box; returns the width it took.
    pub fn draw(&self, canvas: &mut Canvas<'_>, [x, y, width, height]: [i64; 4]) -> i64 {
        let by_height = height * self.width / self.height;
        let (width, height) = if by_height <= width {
            (by_height, height)
        } else {
            (width, width * self.height / self.width)
        };
        canvas.image(LOGO_ID, [x, y, width, height]);
        width
    }
}

/// Width and height from the PNG's header, before anything of that size is allocated.
fn declared_size(png: &[u8]) -> Result<(usize, usize), PdfError> {
    let field = |from: usize| {
        let bytes: [u8; 4] = png.get(from..from + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    };
    let is_png = png.starts_with(b"\x89PNG\r\n\x1a\n");
    let size = field(16).zip(field(20)).filter(|_| is_png);
    let (width, height) = size.ok_or_else(|| PdfError::Logo("it is not a PNG".to_owned()))?;
    let pixels = width.saturating_mul(height);
    if pixels == 0 || pixels > MAX_PIXELS {
        return Err(PdfError::Logo(format!("it has {width} × {height} pixels")));
    }
    Ok((width, height))
}

fn opaque(image: &RawImage) -> Result<Vec<u8>, PdfError> {
    let bytes: Vec<u8> = match &image.pixels {
        RawImageData::U8(bytes) => bytes.clone(),
        RawImageData::U16(wide) => wide.iter().map(|value| value.to_be_bytes()[0]).collect(),
        RawImageData::F32(_) => return Err(PdfError::Logo("its pixels are floats".to_owned())),
    };
    let over_white = |value: u8, alpha: u8| {
        let mixed = u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha));
        u8::try_from((mixed + 127) / 255).unwrap_or(u8::MAX)
    };
    let channels = match image.data_format {
        RawImageFormat::R8 | RawImageFormat::R16 => 1,
        RawImageFormat::RG8 | RawImageFormat::RG16 => 2,
        RawImageFormat::RGB8 | RawImageFormat::RGB16 => 3,
        RawImageFormat::RGBA8 | RawImageFormat::RGBA16 => 4,
        _ => return Err(PdfError::Logo("its colours are of an unusual kind".to_owned())),
    };
    let pixel = |pixel: &[u8]| match *pixel {
        [grey] => [grey; 3],
        [grey, alpha] => [over_white(grey, alpha); 3],
        [r, g, b, alpha] => [r, g, b].map(|value| over_white(value, alpha)),
        [r, g, b, ..] => [r, g, b],
        [] => [255; 3],
    };
    Ok(bytes.chunks(channels).flat_map(pixel).collect())
}
