//! What the database lets this connection's role do to history.

use super::db::fetch_one;
use super::{StorageError, Tx};

/// A role of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Could it change or remove history, at least after taking triggers away?
    pub may_change_history: bool,
}

/// The role of this connection; none on SQLite, where whoever may write the file may do everything.
pub async fn role(tx: &mut Tx) -> Result<Option<Role>, StorageError> {
    if matches!(tx, Tx::Sqlite(..)) {
        return Ok(None);
    }
    let (name, may_change_history) = fetch_one!(
        tx,
        (String, bool),
        "SELECT CAST(current_user AS TEXT), has_schema_privilege(current_schema(), 'CREATE') OR EXISTS ( \
         SELECT 1 FROM pg_class WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind = 'r' \
         AND (pg_has_role(relowner, 'MEMBER') OR has_table_privilege(oid, 'TRUNCATE, TRIGGER') \
         OR (relname IN ('ledger_transaction', 'ledger_entry', 'credit_grant', 'usage_event', 'catalog_version', \
         'artifact', 'payment', 'audit', 'organization_terms', 'document') \
         AND (has_table_privilege(oid, 'UPDATE, DELETE') OR has_any_column_privilege(oid, 'UPDATE')))))"
    );
    Ok(Some(Role { name, may_change_history }))
}
