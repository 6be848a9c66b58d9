//! What is done stays done: the database refuses to change history, and to be run by an older program.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::jobs::requests;
use monthend::services::purchases::Wanted;
use monthend::storage::migrations;

use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines, events};

/// At least one row in every table of history.
async fn some_history(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
    world.set_clock("2026-01-20T09:00:00Z");
    world.accepted_usage(&events(&[("1", "acme", "2026-01-19T09:00:00Z", "10")])).await;
    requests::buy(&world.app(), "acme", &Wanted::Credits(whole(5))).await.unwrap();
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
}

// F89, L7, V4: raw SQL, past all the product's doors.
both_engines!(history_cannot_be_changed_or_removed, |world| {
    some_history(&world).await;
    let changes = [
        ("ledger_transaction", "cycle = '2026-02'"),
        ("ledger_entry", "amount = amount + 1"),
        ("credit_grant", "granted = granted + 1"),
        ("usage_event", "credits = credits + 1"),
        ("audit", "reason = 'none'"),
        ("artifact", "sha256 = 'x'"),
        ("payment", "amount = amount + 1"),
        ("catalog_version", "content = ''"),
        ("organization_terms", "plan = 'enterprise'"),
        ("invoice", "total = total"),
        ("billing_cycle", "statement = ''"),
    ];
    for (table, change) in changes {
        let rows = world.count(table).await;
        assert!(rows > 0, "{table} has no row to protect");
        let condition = if table == "billing_cycle" { " WHERE state = 'closed'" } else { "" };
        for statement in [
            format!("UPDATE {table} SET {change}{condition}"),
            format!("DELETE FROM {table}{condition}"),
        ] {
            let refused = world.execute(&statement).await.unwrap_err().to_string();
            assert!(
                refused.contains("never") || refused.contains("foreign key"),
                "{statement}: {refused}"
            );
        }
        assert_eq!(world.count(table).await, rows);
    }
});

// Each frozen column of an issued invoice by itself; where it stands may move on, never back.
both_engines!(an_issued_invoice_is_frozen, |world| {
    some_history(&world).await;
    for change in [
        "subtotal = 0, total = tax",
        "tax = 0, total = subtotal",
        "amount_due = 0, prepaid = total",
        "draft = '{}'",
        "header = '{}'",
        "number = 'INV-2026-000009'",
        "series_number = 9",
        "series = 'INV-2027'",
        "issued_on = '2026-02-02'",
        "issued_at = NULL",
        "content_hash = 'x'",
        "currency = 'EUR'",
        "cycle = '2026-02'",
        "organization = 'globex'",
        "id = 'inv_x'",
        "status = 'draft', number = NULL, content_hash = NULL",
        "status = 'draft'",
    ] {
        let refused = world.execute(&format!("UPDATE invoice SET {change}")).await;
        assert!(refused.is_err(), "{change}");
    }
    assert_eq!(world.execute("UPDATE invoice SET payment_status = 'paid'").await.unwrap(), 1);
});

// Numbers and payments are unique by the database itself, whatever a program does (V1, V3, C2).
both_engines!(at_most_one_is_an_index, |world| {
    some_history(&world).await;
    for (copied, columns, values) in [
        (
            "charge",
            "organization, id, key, subject, subject_id, reference, attempt, currency, amount, payment_method, \
             request_hash, state, decline_hard, lookups, created_at",
            "organization, 'chg_x', 'key_x', subject, subject_id, reference, 2, currency, amount, payment_method, \
             request_hash, 'intended', decline_hard, lookups, created_at",
        ),
        (
            "run",
            "id, job, cycle, due_at, state, cause, plans, created_at",
            "'run_x', job, cycle, due_at, state, cause, plans, created_at",
        ),
        (
            "ledger_transaction",
            "organization, seq, kind, key, cycle, effective_at, recorded_at, previous_hash, hash",
            "organization, seq + 100, kind, key, cycle, effective_at, recorded_at, previous_hash, hash",
        ),
        (
            "billing_cycle",
            "organization, cycle, starts_at, ends_at, due_at, terms, fee_billed, deficit_brought, state",
            "organization, '2030-01', starts_at, ends_at, due_at, terms, fee_billed, deficit_brought, 'open'",
        ),
    ] {
        let statement = format!("INSERT INTO {copied} ({columns}) SELECT {values} FROM {copied}");
        let refused = world.execute(&statement).await.unwrap_err().to_string().to_lowercase();
        assert!(refused.contains("unique"), "{copied}: {refused}");
    }
});

// F12, F33: migrating again changes nothing; what a newer program made is left alone.
both_engines!(migrations_run_once_and_never_backwards, |world| {
    some_history(&world).await;
    let applied = "SELECT CAST(version AS TEXT), CAST(installed_on AS TEXT) FROM _sqlx_migrations \
                   ORDER BY version";
    let before = world.table(applied).await;
    assert!(before.len() >= 6, "{before:?}");
    let app = world.app();
    migrations::migrate(&app.db).await.unwrap();
    migrations::migrate(&world.another_app().await.db).await.unwrap();
    assert_eq!(world.table(applied).await, before);

    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 SELECT 9999, 'of the future', TRUE, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
    assert_eq!(world.execute(newer).await.unwrap(), 1);
    let refused = migrations::migrate(&app.db).await.unwrap_err().to_string();
    assert!(refused.contains("9999"), "{refused}");
    world.execute("DELETE FROM _sqlx_migrations WHERE version = 9999").await.unwrap();
    // Changed by hand: refused as well.
    let changed = "UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations \
                   WHERE version = 1) WHERE version = 2";
    world.execute(changed).await.unwrap();
    assert!(migrations::migrate(&app.db).await.is_err());
});

// F72: a copy of a test database is not a live one.
both_engines!(another_mode_is_refused, |world| {
    let mut config = world.app().config.clone();
    config.mode = monthend::config::Mode::Live;
    let options = world.options();
    let refused =
        monthend::app::App::with_database(options, config, world.app().db.clone()).await.err();
    assert!(refused.unwrap().to_string().contains("database of its own"));
});
