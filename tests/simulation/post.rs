//! A mail server with bad days, and paper that costs nothing: what a history puts in place of SMTP and fonts.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use monthend::documents::pdf::{Draws, PdfError, RenderedPdf};
use monthend::domain::document::Document;
use monthend::domain::invoice::InvoiceDocument;
use monthend::mail::{Composed, MailError, Mailer};

use super::chance::Chance;

/// What became of the attempts to hand over one mail.
#[derive(Debug, Default, Clone)]
pub struct Handed {
    pub tries: u32,
    pub accepted: u32,
    /// It was accepted, and the answer was lost.
    pub lost: u32,
    pub refused: u32,
    pub later: u32,
}

/// The mail server.
#[derive(Debug)]
pub struct Post {
    seed: u64,
    calm: AtomicBool,
    books: Mutex<BTreeMap<String, Handed>>,
}

impl Post {
    /// A server whose moods follow a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, calm: AtomicBool::new(false), books: Mutex::default() }
    }

    /// From here on everything is accepted.
    pub fn be_calm(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    /// Every mail that was tried, by Message-ID.
    pub fn books(&self) -> BTreeMap<String, Handed> {
        self.books.lock().unwrap().clone()
    }
}

#[async_trait]
impl Mailer for Post {
    fn name(&self) -> &'static str {
        "outbox"
    }

    async fn hand_over(&self, mail: &Composed) -> Result<monthend::mail::Handed, MailError> {
        let mut books = self.books.lock().unwrap();
        let handed = books.entry(mail.message_id.clone()).or_default();
        handed.tries += 1;
        let mut chance = Chance::of(self.seed, &["mail", &mail.message_id]);
        let (mood, times) = (chance.below(100), 1 + chance.below(3));
        let bad = handed.tries <= times && !self.calm.load(Ordering::SeqCst);
        match mood {
            0..6 if bad => {
                handed.later += 1;
                Err(MailError::Transient("try again later".to_owned()))
            }
            6..9 if bad => {
                handed.accepted += 1;
                handed.lost += 1;
                Err(MailError::Unclear("the line broke".to_owned()))
            }
            9..11 if bad => {
                handed.refused += 1;
                Err(MailError::Refused("no such mailbox".to_owned()))
            }
            _ => {
                handed.accepted += 1;
                Ok(monthend::mail::Handed::default())
            }
        }
    }
}

/// Paper without a drawing: the document's own text, so that other content is other bytes.
#[derive(Debug)]
pub struct Plain;

fn plain<T: serde::Serialize>(document: &T) -> RenderedPdf {
    let bytes = serde_json::to_vec(document).unwrap();
    RenderedPdf { bytes, missing: Vec::new(), pages: 1 }
}

impl Draws for Plain {
    fn invoice(&self, document: &InvoiceDocument) -> Result<RenderedPdf, PdfError> {
        Ok(plain(document))
    }

    fn document(&self, document: &Document) -> Result<RenderedPdf, PdfError> {
        Ok(plain(document))
    }
}
