//! The contacts file: who of an organization is told what, by role.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use csv::{ByteRecord, ReaderBuilder};

use super::organizations::fields::emails;
use super::organizations::{self, FileError, Rejected};
use super::{BYTE_ORDER_MARK, shown};

/// The columns a file has, in any order.
const COLUMNS: [&str; 3] = ["organization", "role", "email"];
/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A contacts file: organizations with all their roles and addresses, and rows that were not taken.
#[derive(Debug, Default)]
pub struct File {
    /// The line an organization is first named on, and its contacts; none: it shall have none.
    pub organizations: BTreeMap<String, (u64, Vec<(String, String)>)>,
    /// Rows that were not taken. An organization with such a row is not among the organizations.
    pub rejected: Vec<Rejected>,
}

/// Reads a contacts file: columns organization, role, email. A row without role and address says that the
/// organization has no contacts.
///
/// # Errors
/// It is not such a file; no row was read then.
pub fn read(reader: impl Read) -> Result<File, FileError> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(FileError::TooLarge);
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = ByteRecord::new();
    let found = reader.read_byte_record(&mut record)?;
    let places = header(&record).filter(|_| found).ok_or_else(|| {
        let needed = COLUMNS.join(", ");
        FileError::Header(format!("a contacts file has the columns {needed}, each once"))
    })?;
    let (mut file, mut wrong) = (File::default(), HashMap::new());
    while reader.read_byte_record(&mut record)? {
        let (_, line) = organizations::place(bytes, &record, reader.position());
        let cell = |column: usize| {
            let text = record.get(places[column]).unwrap_or_default();
            str::from_utf8(text).map_or("\u{FFFD}", str::trim)
        };
        let (organization, role, email) = (cell(0), cell(1), cell(2));
        let address = match check(record.len(), organization, role, email) {
            Ok(address) => address,
            Err((field, reason)) => {
                wrong.entry(organization.to_owned()).or_insert(line);
                file.rejected.push(Rejected { line, field, reason });
                continue;
            }
        };
        let entry = file.organizations.entry(organization.to_owned());
        let (_, contacts) = entry.or_insert_with(|| (line, Vec::new()));
        // As it was read, not as it was written: `a@b.example;` is one address too.
        let contact = address.map(|address| (role.to_owned(), address));
        contacts.extend(contact.filter(|contact| !contacts.contains(contact)));
    }
    for (organization, bad) in wrong {
        if let Some((line, _)) = file.organizations.remove(&organization) {
            let reason = format!(
                "{} keeps the contacts it has: its row on line {bad} is wrong",
                shown(&organization)
            );
            file.rejected.push(Rejected { line, field: None, reason });
        }
    }
    file.rejected.sort_by_key(|rejected| rejected.line);
    Ok(file)
}

/// Where each column is; none: not exactly these columns.
fn header(record: &ByteRecord) -> Option<[usize; 3]> {
    let place = |name: &str| record.iter().position(|cell| cell.trim_ascii() == name.as_bytes());
    let places = [place(COLUMNS[0])?, place(COLUMNS[1])?, place(COLUMNS[2])?];
    (record.len() == COLUMNS.len()).then_some(places)
}

/// The address of a row; none: the organization has no contacts.
fn check(
    cells: usize,
    organization: &str,
    role: &str,
    email: &str,
) -> Result<Option<String>, (Option<&'static str>, String)> {
    if cells != COLUMNS.len() {
        return Err((None, format!("the row has {cells} cells, the header {}", COLUMNS.len())));
    }
    if organization.is_empty() {
        return Err((Some("organization"), "is missing".to_owned()));
    }
    if role.is_empty() && email.is_empty() {
        return Ok(None);
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    if !(1..=63).contains(&role.len()) || !role.bytes().all(plain) {
        let reason = format!("{} is not 1 to 63 letters a-z, digits, _ and -", shown(role));
        return Err((Some("role"), reason));
    }
    if role == "billing" {
        let reason = "billing addresses come with `org import`, column billing_email".to_owned();
        return Err((Some("role"), reason));
    }
    match emails(email) {
        Ok(mut addresses) if addresses.len() == 1 => Ok(addresses.pop()),
        Ok(_) => Err((Some("email"), "must be one address; give each its own row".to_owned())),
        Err(reason) => Err((Some("email"), reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_and_mistakes_keep_an_organization_as_it_was() {
        let text = "role,organization,email\nowner,a,x@a.example\nowner,a,x@a.example\n\
                    tech,a,y@a.example\n,b,\ntech,c,x@c.example\nBoss,c,x@c.example\n\
                    tech,d,no\nbilling,e,x@e.example\ntech,,x@f.example\ntech,g\n\
                    tech,h,x@h.example;y@h.example\n";
        let file = read(text.as_bytes()).unwrap();
        let pair = |role: &str, email: &str| (role.to_owned(), email.to_owned());
        let a = vec![pair("owner", "x@a.example"), pair("tech", "y@a.example")];
        assert_eq!(
            file.organizations,
            BTreeMap::from([("a".to_owned(), (2, a)), ("b".to_owned(), (5, Vec::new()))])
        );
        let rejected: Vec<(u64, Option<&str>)> =
            file.rejected.iter().map(|row| (row.line, row.field)).collect();
        assert_eq!(
            rejected,
            [
                (6, None),
                (7, Some("role")),
                (8, Some("email")),
                (9, Some("role")),
                (10, Some("organization")),
                (11, None),
                (12, Some("email")),
            ]
        );
    }

    // A row after CRLF or blank lines was said to be on a line before it.
    #[test]
    fn rows_are_on_the_lines_people_count() {
        let text = "organization,role,email\r\n\r\n\na,Boss,x@a.example\r\nb,tech,x@b.example\r\n";
        let file = read(text.as_bytes()).unwrap();
        assert_eq!(file.rejected[0].line, 4);
        assert_eq!(file.organizations["b"].0, 5);
    }

    // Such a cell was taken for one address and kept with its semicolon: no mail could be written for it.
    #[test]
    fn one_address_with_a_semicolon_is_kept_without_it() {
        let text = "organization,role,email\na,tech,x@a.example;\nb,tech,x@b.example;x@b.example\n";
        let file = read(text.as_bytes()).unwrap();
        let kept = |id: &str| file.organizations[id].1.clone();
        assert_eq!(kept("a"), [("tech".to_owned(), "x@a.example".to_owned())]);
        assert_eq!(kept("b"), [("tech".to_owned(), "x@b.example".to_owned())]);
    }

    #[test]
    fn other_files_are_refused() {
        for text in ["", "a,b\n", "organization,role\n", "organization,role,email,more\n"] {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
