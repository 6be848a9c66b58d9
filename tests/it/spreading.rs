//! A PostgreSQL schema that can be spread over servers by organization: each key of a table that an organization owns
//! names the organization.

use crate::harness::{Engine, run};

/// Tables every row of which belongs to one organization: they have a column for it that is never empty.
const OWNED: &str = "SELECT c.oid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind IN ('r', 'p') \
    AND c.relnamespace = 'public'::regnamespace AND a.attname = 'organization' AND a.attnotnull";

#[test]
fn every_key_of_an_owned_table_names_the_organization() {
    run(Engine::Postgres, |world| async move {
        let owned = world
            .table(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM ({OWNED}) t"))
            .await
            .concat()
            .concat();
        assert!(owned.parse::<usize>().is_ok_and(|owned| owned >= 20), "{owned} tables are owned");
        let unique = format!(
            "SELECT i.indrelid::regclass || '.' || i.indexrelid::regclass FROM pg_index i WHERE i.indisunique \
             AND i.indrelid IN ({OWNED}) AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = i.indrelid \
             AND a.attnum = ANY(i.indkey) AND a.attname = 'organization') ORDER BY 1"
        );
        assert_eq!(world.table(&unique).await.concat(), Vec::<String>::new());
        let foreign = format!(
            "SELECT k.conrelid::regclass || '.' || k.conname FROM pg_constraint k WHERE k.contype = 'f' \
             AND k.conrelid IN ({OWNED}) AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = k.conrelid \
             AND a.attnum = ANY(k.conkey) AND a.attname = 'organization') ORDER BY 1"
        );
        assert_eq!(world.table(&foreign).await.concat(), Vec::<String>::new());
    });
}
