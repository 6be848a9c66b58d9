//! Contacts: people of an organization by role, beside those who get its invoices.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, insert};
use super::{StorageError, Tx};

/// A person with a role.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Contact {
    /// Whose.
    pub organization: String,
    /// What for: `engineering`, `owner` …
    pub role: String,
    /// The address.
    pub email: String,
}

/// Gives an organization these contacts in place of those it had.
pub async fn replace(
    tx: &mut Tx,
    organization: &str,
    contacts: &[Contact],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    execute!(tx, "DELETE FROM contact WHERE organization = $1", organization);
    insert!(
        tx,
        "INSERT INTO contact (organization, role, email, added_at)",
        " ON CONFLICT (organization, role, email) DO NOTHING",
        contacts,
        row => [&row.organization, &row.role, &row.email, now]
    );
    Ok(())
}

/// Contacts of a range of organizations, in order.
pub async fn range(tx: &mut Tx, first: &str, last: &str) -> Result<Vec<Contact>, StorageError> {
    Ok(fetch_all!(
        tx,
        Contact,
        "SELECT organization, role, email FROM contact WHERE organization BETWEEN $1 AND $2 \
         ORDER BY organization, role, email",
        first,
        last
    ))
}

/// Addresses by organization and role.
pub type ByRole = HashMap<(String, String), Vec<String>>;

/// Addresses of a range of organizations by organization and role.
pub async fn by_role(tx: &mut Tx, first: &str, last: &str) -> Result<ByRole, StorageError> {
    let mut by_role = ByRole::new();
    for contact in range(tx, first, last).await? {
        by_role.entry((contact.organization, contact.role)).or_default().push(contact.email);
    }
    Ok(by_role)
}
