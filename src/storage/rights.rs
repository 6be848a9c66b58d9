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

/// The role of this connection, held against what each table's comment says that the application may do with it; none
/// on SQLite, where whoever may write the file may do everything.
pub async fn role(tx: &mut Tx) -> Result<Option<Role>, StorageError> {
    if matches!(tx, Tx::Sqlite(..)) {
        return Ok(None);
    }
    let (name, may_change_history) = fetch_one!(
        tx,
        (String, bool),
        "SELECT CAST(current_user AS TEXT), has_schema_privilege(current_schema(), 'CREATE') OR EXISTS ( \
         SELECT 1 FROM (SELECT oid, relowner, obj_description(oid, 'pg_class') AS rights FROM pg_class \
         WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind IN ('r', 'p')) AS owned \
         WHERE pg_has_role(relowner, 'MEMBER') OR has_table_privilege(oid, 'TRUNCATE, TRIGGER') \
         OR (rights LIKE 'application: %' AND ((rights NOT LIKE '%DELETE%' AND has_table_privilege(oid, 'DELETE')) \
         OR (rights !~ 'UPDATE($|,)' AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = owned.oid \
         AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege(owned.oid, a.attnum, 'UPDATE') \
         AND NOT COALESCE(CAST(a.attname AS TEXT) = ANY (regexp_split_to_array( \
         substring(rights FROM 'UPDATE [(]([^)]*)[)]'), '[, \n]+')), FALSE))))))"
    );
    Ok(Some(Role { name, may_change_history }))
}
