//! The application's role on PostgreSQL, and statements that would alter history, refused on both engines.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::jobs::requests;
use monthend::services::charging::Transfer;
use monthend::services::credit_notes;
use monthend::services::doctor::examine;
use monthend::services::purchases::Wanted;
use monthend::storage::Db;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::harness::world::whole;
use crate::harness::{Engine, Org, World, both_engines, events, run};

/// A role for the application, made as OPERATIONS.md tells; its name.
async fn make_role(world: &World) -> String {
    let database = world.table("SELECT CAST(current_database() AS TEXT)").await.concat().concat();
    let role = format!("app_{database}");
    for statement in [
        format!("DROP ROLE IF EXISTS {role}"),
        format!("CREATE ROLE {role} LOGIN PASSWORD 'app'"),
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC".to_owned(),
        format!("SELECT grant_application('{role}')"),
    ] {
        world.execute(&statement).await.unwrap();
    }
    role
}

/// Roles belong to the whole server: they do not go with the database.
async fn drop_role(world: &World, role: &str) {
    for statement in [format!("DROP OWNED BY {role}"), format!("DROP ROLE {role}")] {
        world.execute(&statement).await.unwrap();
    }
}

/// January of three organizations, with everything a program does at run time.
async fn a_month(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    world
        .organizations(&[
            Org::new("acme", "professional", "2026-01-01").pays("ok").with("tax_percent", "19"),
            Org::new("bolt", "standard", "2026-01-01").pays("declined"),
            Org::new("cora", "standard", "2026-01-01"),
        ])
        .await;
    world.set_clock("2026-01-20T09:00:00Z");
    world
        .accepted_usage(&events(&[
            ("1", "acme", "2026-01-19T09:00:00Z", "10"),
            ("1", "cora", "2026-01-19T09:00:00Z", "1100"),
        ]))
        .await;
    requests::buy(&world.app(), "acme", &Wanted::Credits(whole(5))).await.unwrap();
    world.set_clock("2026-02-01T02:10:00Z");
    world.tick(None).await.unwrap();
    let number = world.invoice("acme").await.number.unwrap();
    let wanted = credit_notes::Wanted {
        number: &number,
        amount: Some("1.00"),
        credits: None,
        reason: "test",
    };
    requests::credit(&world.app(), &wanted).await.unwrap();
    world.set_clock("2026-02-05T02:10:00Z");
    world.tick(None).await.unwrap();
}

// Import, purchase, close, numbers, documents, charges, mails, a credit note with its refund, dunning, and all
// of it again: no step needs a right the application's role has not.
#[test]
fn a_month_is_worked_as_the_application() {
    run(Engine::Postgres, async |world| {
        let role = make_role(&world).await;
        let owner = world.app();
        world.work_as(&role).await;
        a_month(&world).await;
        let number = world.invoice("cora").await.number.unwrap();
        let transfer = Transfer {
            number: &number,
            amount: None,
            received_on: "2026-02-05".parse().unwrap(),
            reference: "bank 1",
            reason: "test",
        };
        requests::record_transfer(&world.app(), &transfer).await.unwrap();
        requests::reverse_transfer(&world.app(), &number, "test").await.unwrap();
        let before = world.count("ledger_entry").await;
        world.tick(None).await.unwrap();
        assert_eq!(world.count("ledger_entry").await, before);
        for (table, least) in [
            ("invoice WHERE number IS NOT NULL", 3),
            ("document WHERE kind = 'receipt'", 1),
            ("document WHERE kind = 'credit_note'", 1),
            ("refund WHERE state = 'succeeded'", 1),
            ("charge WHERE state = 'declined'", 1),
            ("payment", 1),
            ("payment_reversal", 1),
            ("dunning", 1),
            ("mail WHERE state = 'sent'", 4),
        ] {
            assert!(world.count(table).await >= least, "{table}");
        }
        world.verify_ok().await;
        let rights = |findings: Vec<monthend::services::doctor::Finding>| {
            let found = findings.into_iter().find(|finding| finding.name == "rights").unwrap();
            assert!(found.ok, "{found:?}");
            found.detail
        };
        let mut options = world.options();
        let said = rights(examine(options).await);
        assert!(said.contains("could change history"), "{said}");
        options = world.options();
        options.database = Some(world.address_as(&role));
        let said = rights(examine(options).await);
        assert!(said.contains(&role) && said.contains("not change it"), "{said}");
        // Rights to one column, to tables that came later, and to what never changes beside what does.
        let Db::Postgres(as_owner) = &owner.db else { unreachable!() };
        for (right, table) in [
            ("UPDATE (reason)", "audit"),
            ("UPDATE", "alert"),
            ("UPDATE (figures)", "brake"),
            ("DELETE", "charge"),
        ] {
            let grant = format!("GRANT {right} ON {table} TO {role}");
            as_owner.execute(AssertSqlSafe(grant)).await.unwrap();
            options = world.options();
            options.database = Some(world.address_as(&role));
            let said = rights(examine(options).await);
            assert!(said.contains("could change history"), "{right} {table}: {said}");
            let revoke = format!("REVOKE {right} ON {table} FROM {role}");
            as_owner.execute(AssertSqlSafe(revoke)).await.unwrap();
        }
        let renew = AssertSqlSafe("SELECT renew_application_grants()".to_owned());
        as_owner.execute(renew).await.unwrap();
        forbidden_to_the_role(&world).await;
        past_tables_of_ones_own(&world, &role).await;
        world.restart(&[]).await;
        owner.db.close().await;
        drop_role(&world, &role).await;
    });
}

/// A trigger that looks at other tables means those of the schema, not temporary ones of the same name.
async fn past_tables_of_ones_own(world: &World, role: &str) {
    let mut session = PgConnection::connect(&world.address_as(role)).await.unwrap();
    let paid = "SELECT * FROM public.payment WHERE method = 'charge'";
    for prepared in [
        format!("CREATE TEMP TABLE payment AS {paid}"),
        format!(
            "CREATE TEMP TABLE payment_reversal AS SELECT organization, id AS payment_id, recorded_at FROM ({paid}) p"
        ),
    ] {
        session.execute(AssertSqlSafe(prepared)).await.unwrap();
    }
    let settled = session.fetch_all("SELECT 1 FROM public.invoice WHERE status = 'settled'").await;
    assert!(!settled.unwrap().is_empty());
    for (walked_around, why) in [
        (
            "UPDATE public.invoice SET status = 'issued' WHERE status = 'settled'",
            "settled stays so",
        ),
        (
            "INSERT INTO public.payment_reversal SELECT organization, id, recorded_at FROM public.payment WHERE method = 'charge'",
            "only a recorded transfer",
        ),
    ] {
        let refused = session.execute(walked_around).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{walked_around}: {refused}");
    }
    session.close().await.unwrap();
}

/// Whatever has to do with history or the schema, by right and not by trigger.
async fn forbidden_to_the_role(world: &World) {
    let mut refused = 0;
    for statement in HISTORY
        .iter()
        .filter(|statement| !statement.contains("OR REPLACE"))
        .copied()
        .chain(POSTGRES)
        .chain(SCHEMA)
    {
        let error = world.execute(statement).await.unwrap_err().to_string();
        let by_right = error.contains("permission denied") || error.contains("must be owner");
        // Columns that move on may be written; there the triggers stay the guard.
        assert!(by_right || error.contains("history"), "{statement}: {error}");
        refused += usize::from(by_right);
    }
    assert!(refused >= 40, "{refused}");
}

/// Statements against the schema itself: of the application's role alone, an owner may do them.
const SCHEMA: [&str; 12] = [
    "ALTER TABLE ledger_entry DISABLE TRIGGER ALL",
    "ALTER TABLE ledger_entry ADD COLUMN note TEXT",
    "ALTER TABLE ledger_entry RENAME TO ledger_lines",
    "DROP TRIGGER ledger_entry_no_change ON ledger_entry",
    "CREATE TRIGGER mine BEFORE INSERT ON ledger_entry FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "DROP TABLE audit CASCADE",
    "DROP FUNCTION refuse_change() CASCADE",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    "CREATE TABLE mine (id TEXT)",
    "SET session_replication_role = replica",
    "UPDATE _sqlx_migrations SET checksum = ''",
    "SELECT grant_application('monthend')",
];

/// On PostgreSQL alone.
const POSTGRES: [&str; 16] = [
    "TRUNCATE ledger_transaction",
    "TRUNCATE ledger_entry",
    "TRUNCATE credit_grant",
    "TRUNCATE usage_event",
    "TRUNCATE audit",
    "TRUNCATE payment",
    "TRUNCATE artifact",
    "TRUNCATE catalog_version",
    "TRUNCATE organization_terms",
    "TRUNCATE document",
    "TRUNCATE invoice",
    "TRUNCATE billing_cycle CASCADE",
    "TRUNCATE charge",
    "TRUNCATE purchase",
    "TRUNCATE series",
    "TRUNCATE ledger_head",
];

/// On both engines; each touches at least one row of [`a_month`].
const HISTORY: [&str; 50] = [
    "UPDATE charge SET state = 'declined' WHERE state = 'succeeded'",
    "UPDATE refund SET state = 'failed' WHERE state = 'succeeded'",
    "UPDATE invoice SET status = 'issued' WHERE status = 'settled'",
    "UPDATE ledger_transaction SET kind = 'gift'",
    "UPDATE ledger_transaction SET seq = seq + 100",
    "DELETE FROM ledger_transaction",
    "UPDATE ledger_entry SET amount = amount + 1",
    "UPDATE ledger_entry SET organization = 'bolt' WHERE organization = 'acme'",
    "DELETE FROM ledger_entry WHERE seq = 1",
    "DELETE FROM ledger_head",
    "UPDATE ledger_head SET seq = seq - 1",
    "UPDATE ledger_head SET hash = 'x'",
    "UPDATE credit_grant SET granted = granted + 1",
    "UPDATE credit_grant SET last_cycle = NULL",
    "DELETE FROM credit_grant",
    "DELETE FROM credit_balance",
    "UPDATE usage_event SET credits = 0",
    "DELETE FROM usage_event",
    "DELETE FROM usage_rollup",
    "UPDATE catalog_version SET content = ''",
    "DELETE FROM catalog_version",
    "UPDATE artifact SET sha256 = 'x'",
    "DELETE FROM artifact",
    "UPDATE payment SET amount = amount - 1",
    "DELETE FROM payment",
    "UPDATE audit SET reason = 'none'",
    "DELETE FROM audit",
    "UPDATE organization_terms SET plan = 'enterprise'",
    "DELETE FROM organization_terms",
    "UPDATE billing_cycle SET statement = '{}' WHERE state = 'closed'",
    "UPDATE billing_cycle SET state = 'open', closed_at = NULL WHERE state = 'closed' AND organization = 'acme'",
    "DELETE FROM billing_cycle",
    "UPDATE invoice SET subtotal = 0, total = tax",
    "UPDATE invoice SET number = NULL, status = 'draft', content_hash = NULL",
    "DELETE FROM invoice",
    "UPDATE document SET total = 0, subtotal = 0, tax = 0",
    "DELETE FROM document",
    "UPDATE charge SET amount = 1",
    "DELETE FROM charge",
    "UPDATE purchase SET credits = credits * 2",
    "UPDATE purchase SET state = 'open', paid_at = NULL",
    "DELETE FROM purchase",
    "UPDATE refund SET amount = 1",
    "DELETE FROM refund",
    "UPDATE series SET last = last - 1",
    "DELETE FROM series",
    "DELETE FROM mail",
    "INSERT INTO payment (organization, id, invoice_id, currency, amount, method, reference, received_on, recorded_at) \
     SELECT organization, id, invoice_id, currency, 1, method, reference, received_on, recorded_at FROM payment \
     WHERE TRUE ON CONFLICT (organization, id) DO UPDATE SET amount = excluded.amount",
    "INSERT INTO payment_reversal (organization, payment_id, reversed_at) \
     SELECT organization, id, recorded_at FROM payment WHERE method = 'charge'",
    "INSERT INTO ledger_head (organization, seq, hash) SELECT organization, 0, 'x' FROM ledger_head WHERE TRUE \
     ON CONFLICT (organization) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
];

/// On SQLite alone: what REPLACE would remove without a word.
const SQLITE: [&str; 16] = [
    "INSERT OR REPLACE INTO ledger_transaction SELECT * FROM ledger_transaction",
    "REPLACE INTO ledger_entry SELECT * FROM ledger_entry",
    "INSERT OR REPLACE INTO credit_grant SELECT * FROM credit_grant",
    "INSERT OR REPLACE INTO usage_event SELECT * FROM usage_event",
    "INSERT OR REPLACE INTO catalog_version SELECT * FROM catalog_version",
    "INSERT OR REPLACE INTO artifact SELECT * FROM artifact",
    "INSERT OR REPLACE INTO payment SELECT * FROM payment",
    "INSERT OR REPLACE INTO audit SELECT * FROM audit",
    "INSERT OR REPLACE INTO organization_terms SELECT * FROM organization_terms",
    "INSERT OR REPLACE INTO billing_cycle SELECT * FROM billing_cycle WHERE state = 'closed'",
    "INSERT OR REPLACE INTO invoice SELECT * FROM invoice",
    "INSERT OR REPLACE INTO document SELECT * FROM document",
    "INSERT OR REPLACE INTO charge SELECT * FROM charge",
    "INSERT OR REPLACE INTO purchase SELECT * FROM purchase",
    "INSERT OR REPLACE INTO refund SELECT * FROM refund",
    "UPDATE OR REPLACE ledger_transaction SET seq = 1",
];

// F89: by triggers alone, as the owner.
both_engines!(statements_that_alter_history_are_refused, |world| {
    a_month(&world).await;
    let sqlite = world.app().db.engine() == "sqlite";
    let own = if sqlite { SQLITE } else { POSTGRES };
    for statement in HISTORY.into_iter().chain(own) {
        let refused = world.execute(statement).await.unwrap_err().to_string();
        let by_trigger = ["never", "is history", "foreign key"];
        assert!(by_trigger.iter().any(|words| refused.contains(words)), "{statement}: {refused}");
    }
    world.verify_ok().await;
});

// A deletion through REPLACE asked no trigger: the program's connections had recursive_triggers off, and no
// trigger looked at insertions.
#[test]
fn replace_asked_no_trigger_on_sqlite() {
    run(Engine::Sqlite, async |world| {
        a_month(&world).await;
        world.execute("PRAGMA recursive_triggers = OFF").await.unwrap();
        for statement in SQLITE.into_iter().filter(|statement| {
            // These two take duplicates in silence: there the setting is the guard.
            !statement.contains("usage_event") && !statement.contains("artifact")
        }) {
            let refused = world.execute(statement).await.unwrap_err().to_string();
            assert!(refused.contains("never"), "{statement}: {refused}");
        }
    });
}

/// Tables the application may not change at all.
const APPEND_ONLY: [&str; 17] = [
    "alert",
    "artifact",
    "audit",
    "catalog_version",
    "credit_correction",
    "credit_grant",
    "document",
    "expiry_notice",
    "feed_confirmation",
    "ledger_entry",
    "ledger_transaction",
    "notice",
    "organization_terms",
    "payment",
    "payment_reversal",
    "provider_event",
    "usage_event",
];

// A migration that adds a table must say at it what the application may do.
#[test]
fn every_table_says_what_the_application_may_do() {
    run(Engine::Postgres, async |world| {
        let role = make_role(&world).await;
        let tables = world
            .table(
                "SELECT CAST(relname AS TEXT), COALESCE(obj_description(oid, 'pg_class'), '') FROM pg_class \
                 WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1",
            )
            .await;
        assert!(tables.len() > 30);
        for table in &tables {
            assert!(
                table[1].starts_with("application: SELECT"),
                "{}: its migration for PostgreSQL lacks COMMENT ON TABLE … IS 'application: …'",
                table[0]
            );
        }
        let unchangeable = world
            .table(&format!(
                "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                 AND relkind = 'r' AND has_table_privilege('{role}', oid, 'INSERT') \
                 AND NOT has_table_privilege('{role}', oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER') \
                 AND NOT has_any_column_privilege('{role}', oid, 'UPDATE') ORDER BY 1"
            ))
            .await
            .concat();
        for table in APPEND_ONLY {
            assert!(unchangeable.iter().any(|name| name == table), "{table} in {unchangeable:?}");
        }
        // A role that could help itself is refused.
        world.execute(&format!("ALTER ROLE {role} CREATEROLE")).await.unwrap();
        let grant = format!("SELECT grant_application('{role}')");
        let refused = world.execute(&grant).await.unwrap_err().to_string();
        assert!(refused.contains("NOCREATEROLE"), "{refused}");
        world.execute(&format!("ALTER ROLE {role} NOCREATEROLE")).await.unwrap();
        world.execute(&format!("GRANT DELETE ON audit TO {role}")).await.unwrap();
        world.execute("SELECT renew_application_grants()").await.unwrap();
        assert!(world.execute(&grant).await.is_ok());
        world.execute("GRANT DELETE ON audit TO PUBLIC").await.unwrap();
        let refused = world.execute(&grant).await.unwrap_err().to_string();
        assert!(refused.contains("audit"), "{refused}");
        drop_role(&world, &role).await;
    });
}

// What is missing is the owner's to apply; the application says so and touches nothing.
#[test]
fn a_pending_migration_is_not_the_applications() {
    run(Engine::Postgres, async |world| {
        let role = make_role(&world).await;
        world.execute("DELETE FROM _sqlx_migrations WHERE version = 8").await.unwrap();
        let refused = monthend::app::open_database(&world.address_as(&role)).await.unwrap_err();
        let said = format!("{refused:#}");
        assert!(said.contains("migration 8") && said.contains(&role), "{said}");
        assert!(said.contains("owner"), "{said}");
        world.execute(&format!("DROP OWNED BY {role}")).await.unwrap();
        world.execute(&format!("DROP ROLE {role}")).await.unwrap();
    });
}
