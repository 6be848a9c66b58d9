//! Tests of the room as a whole: the words of mails, their bytes, and their way to a server.

mod delivery;
mod encryption;
mod hostile;
mod letters;
mod notices;

use super::{Composed, MailFacts, Templates, compose};

fn composed(facts: &MailFacts) -> Composed {
    compose(&Templates::load(None).unwrap(), facts.clone()).unwrap().mails.remove(0)
}

/// The header lines of a message, unfolded.
fn headers(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let head = text.split("\r\n\r\n").next().unwrap();
    assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "a bare CR or LF: {head:?}");
    head.replace("\r\n ", " ").replace("\r\n\t", " ").lines().map(str::to_owned).collect()
}

/// Names of the headers, in order.
fn header_names(bytes: &[u8]) -> Vec<String> {
    headers(bytes).iter().map(|line| line.split(':').next().unwrap().to_owned()).collect()
}
