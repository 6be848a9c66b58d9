//! What the head of a first page, the running head and the foot say, whatever the document is.

use crate::domain::invoice::Party;

/// The frame of a document.
pub struct Cover<'a> {
    /// What it is: `Invoice`.
    pub title: &'static str,
    /// Its number.
    pub number: &'a str,
    /// The date in the file's properties.
    pub issued_on: chrono::NaiveDate,
    /// What the file's properties say it is about.
    pub subject: String,
    /// Who sells.
    pub seller: &'a Party,
    /// Who buys.
    pub buyer: &'a Party,
    /// Where a customer finds help.
    pub support: &'a str,
    /// Number, dates and so on: labels and values.
    pub facts: Vec<(&'static str, String)>,
    /// The panel below.
    pub panel: Panel,
}

/// The figure a reader looks for first, and what is said beside it.
pub struct Panel {
    /// What the figure is.
    pub label: &'static str,
    /// The figure with its unit.
    pub figure: String,
    /// What the sentences are about.
    pub about: String,
    /// The first sentence.
    pub sentence: String,
    /// What follows it, line by line.
    pub details: Vec<String>,
}
