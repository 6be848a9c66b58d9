//! Contacts: imported from a file, listed.

use std::io::Read;

use super::ServiceError;
use crate::app::App;
use crate::intake::contacts as intake;
use crate::intake::organizations::Rejected;
use crate::storage::contacts::{self, Contact};
use crate::storage::{audit, one_or_all, organizations};

/// What became of a contacts file.
#[derive(Debug, Default)]
pub struct Imported {
    /// Organizations whose contacts are now those of the file.
    pub organizations: usize,
    /// Their contacts.
    pub contacts: usize,
    /// Rows that were not taken.
    pub rejected: Vec<Rejected>,
}

/// Gives each organization of the file the contacts it names there, in place of those it had.
///
/// # Errors
/// The file as a whole cannot be read; nothing is applied then.
pub async fn import(app: &App, reader: impl Read) -> Result<Imported, ServiceError> {
    let file = intake::read(reader).map_err(|error| ServiceError::Input(error.to_string()))?;
    let now = app.clock.now();
    let mut imported = Imported { rejected: file.rejected, ..Imported::default() };
    let mut tx = app.db.write().await?;
    let known = organizations::ids(&mut tx).await?;
    for (organization, (line, named)) in file.organizations {
        if known.binary_search(&organization).is_err() {
            let reason = "there is no such organization".to_owned();
            imported.rejected.push(Rejected { line, field: Some("organization"), reason });
            continue;
        }
        let rows: Vec<Contact> = named
            .into_iter()
            .map(|(role, email)| Contact { organization: organization.clone(), role, email })
            .collect();
        contacts::replace(&mut tx, &organization, &rows, now).await?;
        imported.organizations += 1;
        imported.contacts += rows.len();
    }
    let command = format!("contact import: {} organizations", imported.organizations);
    audit::append(&mut tx, now, &app.actor, &command, "contacts file").await?;
    tx.commit().await?;
    imported.rejected.sort_by_key(|rejected| rejected.line);
    Ok(imported)
}

/// Contacts of one organization, or of all.
///
/// # Errors
/// The database fails.
pub async fn list(app: &App, organization: Option<&str>) -> Result<Vec<Contact>, ServiceError> {
    let mut tx = app.db.read().await?;
    let (first, last) = one_or_all(organization);
    Ok(contacts::range(&mut tx, first, last).await?)
}
