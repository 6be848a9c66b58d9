//! Documents as PDF.
//!
//! `printpdf` makes the pages; what it lacks is here: shaping, line breaks, tables over several
//! pages, small fonts and the same bytes every time. Layout is computed in whole milli-points, so
//! that no rounding of the machine's can move a line.

mod assemble;
mod canvas;
mod cover;
mod credit_note;
mod flow;
mod fonts;
mod head;
mod hints;
mod invoice;
mod logo;
mod receipt;
mod sections;
mod shaping;
mod table;
mod wrap;

use std::path::PathBuf;

use crate::domain::document::Document;
use crate::domain::invoice::InvoiceDocument;
use assemble::Frame;
use cover::Cover;
use flow::Flow;
use fonts::FontSet;
use logo::Logo;
use shaping::Shaping;

/// Size of the paper.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Paper {
    /// 210 × 297 mm.
    #[default]
    A4,
    /// 8.5 × 11 in.
    Letter,
}

impl Paper {
    /// Width and height in milli-points.
    const fn size(self) -> (i64, i64) {
        match self {
            Self::A4 => (595_276, 841_890),
            Self::Letter => (612_000, 792_000),
        }
    }
}

/// How documents look. The default needs nothing configured.
#[derive(Debug, Clone)]
pub struct DocumentStyle {
    /// The seller's logo, a PNG of at most 4 megapixels; none: a square with the seller's initial.
    pub logo_png: Option<Vec<u8>>,
    /// TrueType or OpenType fonts for characters the bundled fonts lack, in this order.
    pub extra_fonts: Vec<PathBuf>,
    /// Also look for such fonts where systems usually keep them, after `extra_fonts`.
    pub system_fonts: bool,
    /// Red, green and blue of the headings' colour.
    pub accent: [u8; 3],
    /// Size of the paper.
    pub paper: Paper,
}

impl Default for DocumentStyle {
    fn default() -> Self {
        Self {
            logo_png: None,
            extra_fonts: Vec::new(),
            system_fonts: true,
            accent: [0x1F, 0x4B, 0x8E],
            paper: Paper::A4,
        }
    }
}

/// Why no PDF could be made.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// A font cannot be used.
    #[error("cannot use the font {path}: {reason}", path = path.display())]
    Font {
        /// Its path, or the name of a bundled font.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The logo cannot be used.
    #[error("cannot use the logo: {0} (give a PNG of at most 4 megapixels)")]
    Logo(String),
    /// A stream could not be packed.
    #[error("cannot pack a part of a PDF: {0}")]
    Pack(std::io::Error),
    /// The finished document could not be written to memory.
    #[error("cannot put a PDF together: {0}")]
    Write(std::io::Error),
}

/// A finished PDF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedPdf {
    /// The file.
    pub bytes: Vec<u8>,
    /// Characters no font has, sorted, each once; they are drawn as `U+FFFD`. Worth a warning.
    pub missing: Vec<char>,
    /// Number of pages.
    pub pages: u32,
}

/// Draws documents: a [`Renderer`], or what a rehearsal of very many months puts in its place.
pub trait Draws: Send + Sync {
    /// One invoice.
    ///
    /// # Errors
    /// It cannot be drawn.
    fn invoice(&self, document: &InvoiceDocument) -> Result<RenderedPdf, PdfError>;

    /// One receipt or credit note.
    ///
    /// # Errors
    /// It cannot be drawn.
    fn document(&self, document: &Document) -> Result<RenderedPdf, PdfError>;
}

impl Draws for Renderer {
    fn invoice(&self, document: &InvoiceDocument) -> Result<RenderedPdf, PdfError> {
        self.render(document)
    }

    fn document(&self, document: &Document) -> Result<RenderedPdf, PdfError> {
        self.render_document(document)
    }
}

/// Renders documents. Made once for a batch; many threads can use it.
pub struct Renderer {
    /// What documents in the shared fonts have in common.
    frame: Frame,
    shaping: Shaping,
    logo: Option<Logo>,
    accent: [u8; 3],
    paper: Paper,
}

impl Renderer {
    /// Reads fonts and logo.
    ///
    /// # Errors
    /// A configured font or the logo cannot be used.
    pub fn new(style: &DocumentStyle) -> Result<Self, PdfError> {
        let fonts = FontSet::new(&style.extra_fonts, style.system_fonts)?;
        let logo = style.logo_png.as_deref().map(Logo::decode).transpose()?;
        Ok(Self {
            frame: Frame::shared(&fonts, logo.as_ref(), style.paper)?,
            shaping: Shaping::new(fonts),
            logo,
            accent: style.accent,
            paper: style.paper,
        })
    }

    /// One invoice. The bytes depend on the document, the style and the fonts alone: not on the
    /// clock, the thread or what was rendered before.
    ///
    /// # Errors
    /// A font cannot be cut down to the glyphs used.
    pub fn render(&self, document: &InvoiceDocument) -> Result<RenderedPdf, PdfError> {
        self.typeset(&invoice::cover(document), |flow| invoice::draw(flow, document))
    }

    /// One receipt or credit note; as with an invoice, the bytes depend on it and the style alone.
    ///
    /// # Errors
    /// A font cannot be cut down to the glyphs used.
    pub fn render_document(&self, document: &Document) -> Result<RenderedPdf, PdfError> {
        match document {
            Document::Receipt(receipt) => {
                self.typeset(&receipt::cover(receipt), |flow| receipt::draw(flow, receipt))
            }
            Document::CreditNote(note) => {
                self.typeset(&credit_note::cover(note), |flow| credit_note::draw(flow, note))
            }
        }
    }

    /// A document with this frame; `body` draws what follows the head.
    fn typeset(
        &self,
        cover: &Cover<'_>,
        body: impl FnOnce(&mut Flow<'_>),
    ) -> Result<RenderedPdf, PdfError> {
        let mut flow = Flow::new(&self.shaping, self.paper, self.accent, cover);
        head::draw(&mut flow, self.logo.as_ref());
        body(&mut flow);
        let drawn = flow.finish();
        let parts = (&self.shaping.fonts, self.logo.as_ref(), self.paper);
        assemble::assemble(drawn, &self.frame, parts, cover)
    }
}
