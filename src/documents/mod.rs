//! Documents for customers: an invoice as PDF and as CSV.
//!
//! Everything here is a pure function of an issued [`InvoiceDocument`] and of the fonts it is set
//! in: rendered again, by any thread of any process, a document is the same to the byte. Only
//! [`pdf::Renderer::new`] touches the disk: it reads fonts.
//!
//! [`InvoiceDocument`]: crate::domain::invoice::InvoiceDocument

pub mod csv;
mod figures;
pub mod pdf;
pub mod sample;
mod words;

#[cfg(test)]
mod tests;
