//! Comparators on PostgreSQL with plain tables of their own: one set-based transaction for all, and a loop of
//! one organization after the other.

use anyhow::Result;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};

use crate::close::SAMPLE;
use crate::input::{self, Customer};
use crate::measure::{Measured, Meter};
use crate::plain_close::{self, Closed, Grant, Use};

const TABLES: &str = include_str!("plain_tables.sql");
const CLOSE: &str = include_str!("set_based.sql");

/// Makes and loads the plain tables in a copy of the prepared database.
pub async fn load(address: &str, organizations: usize) -> Result<()> {
    let mut connection = PgConnection::connect(address).await?;
    sqlx::raw_sql(TABLES).execute(&mut connection).await?;
    let customers: Vec<Customer> =
        (0..organizations).map(|number| input::customer(number, organizations)).collect();
    for part in customers.chunks(1_000) {
        let mut insert = sqlx::QueryBuilder::new("INSERT INTO plain.organization ");
        insert.push_values(part, |mut row, customer| {
            row.push_bind(customer.id.clone())
                .push_bind(customer.plan)
                .push_bind(customer.joined_day)
                .push_bind(customer.tax_percent)
                .push_bind(customer.fee)
                .push_bind(customer.allowance)
                .push_bind(customer.cap)
                .push_bind(customer.price)
                .push_bind(plain_close::next_last_cycle(customer));
        });
        insert.build().execute(&mut connection).await?;
    }
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// All at once.
pub async fn set_based(address: &str, organizations: usize) -> Result<Measured> {
    let mut connection = PgConnection::connect(address).await?;
    let meter = Meter::start()?;
    let mut tx = connection.begin().await?;
    sqlx::raw_sql(CLOSE).execute(&mut *tx).await?;
    tx.commit().await?;
    let mut measured = meter.stop(organizations)?;
    let sum = "SELECT CAST(SUM(total) AS BIGINT) FROM plain.invoice";
    (measured.total,) = sqlx::query_as(sum).fetch_one(&mut connection).await?;
    Ok(measured)
}

/// One after the other, a sample.
pub async fn naive(address: &str, organizations: usize) -> Result<Measured> {
    let pool = PgPoolOptions::new().max_connections(1).connect(address).await?;
    let mut customers: Vec<Customer> =
        (0..organizations).map(|number| input::customer(number, organizations)).collect();
    customers.sort_by(|a, b| a.id.cmp(&b.id));
    customers.truncate(SAMPLE);
    let meter = Meter::start()?;
    for customer in &customers {
        close_one(&pool, customer).await?;
    }
    let mut measured = meter.stop(customers.len())?;
    let sum = "SELECT CAST(SUM(total) AS BIGINT) FROM plain.invoice";
    (measured.sample,) = sqlx::query_as(sum).fetch_one(&pool).await?;
    Ok(measured)
}

async fn close_one(pool: &PgPool, customer: &Customer) -> Result<()> {
    let id = customer.id.as_str();
    let mut tx = pool.begin().await?;
    let grants: Vec<(String, bool, bool, i64)> = sqlx::query_as(
        "SELECT id, source = 'allowance', COALESCE(last_cycle <= $2, FALSE), remaining FROM plain.credit_grant \
         WHERE organization = $1 AND remaining > 0 ORDER BY last_cycle NULLS LAST, source, id FOR UPDATE",
    )
    .bind(id)
    .bind(input::CYCLE)
    .fetch_all(&mut *tx)
    .await?;
    let usage: Vec<(String, i64)> = sqlx::query_as(
        "SELECT meter, CAST(SUM(credits) AS BIGINT) FROM plain.usage WHERE organization = $1 GROUP BY meter \
         ORDER BY meter",
    )
    .bind(id)
    .fetch_all(&mut *tx)
    .await?;
    let grants: Vec<Grant> = grants
        .into_iter()
        .map(|(id, is_allowance, ends, remaining)| Grant { id, is_allowance, ends, remaining })
        .collect();
    let usage: Vec<Use> =
        usage.into_iter().map(|(meter, credits)| Use { meter, credits }).collect();
    write(&mut tx, customer, &plain_close::close(customer, &grants, &usage)?).await?;
    Ok(tx.commit().await?)
}

async fn write(tx: &mut PgConnection, customer: &Customer, closed: &Closed) -> Result<()> {
    let id = customer.id.as_str();
    for (line, (account, grant, credits)) in (1_i64..).zip(&closed.entries) {
        sqlx::query("INSERT INTO plain.ledger VALUES ($1, $2, $3, $4, $5)")
            .bind(id)
            .bind(line)
            .bind(*account)
            .bind(grant)
            .bind(credits)
            .execute(&mut *tx)
            .await?;
    }
    for (grant, left) in &closed.remaining {
        sqlx::query(
            "UPDATE plain.credit_grant SET remaining = $3 WHERE organization = $1 AND id = $2",
        )
        .bind(id)
        .bind(grant)
        .bind(left)
        .execute(&mut *tx)
        .await?;
    }
    if customer.allowance > 0 {
        sqlx::query("INSERT INTO plain.credit_grant VALUES ($1, $2, 'allowance', $3, $4, $3)")
            .bind(id)
            .bind(plain_close::next_grant(customer))
            .bind(customer.allowance)
            .bind(plain_close::next_last_cycle(customer))
            .execute(&mut *tx)
            .await?;
    }
    sqlx::query(
        "INSERT INTO plain.invoice SELECT COALESCE(MAX(number), 0) + 1, $1, $2, $3, $4 FROM plain.invoice",
    )
    .bind(id)
    .bind(closed.subtotal)
    .bind(closed.tax)
    .bind(closed.subtotal + closed.tax)
    .execute(&mut *tx)
    .await?;
    for (number, line) in (1_i64..).zip(&closed.lines) {
        sqlx::query("INSERT INTO plain.invoice_line VALUES ($1, $2, $3, $4, $5)")
            .bind(id)
            .bind(number)
            .bind(&line.kind)
            .bind(line.quantity)
            .bind(line.amount)
            .execute(&mut *tx)
            .await?;
    }
    let close = "UPDATE plain.cycle SET state = 'closed', deficit = $2 WHERE organization = $1";
    sqlx::query(close).bind(id).bind(closed.deficit).execute(&mut *tx).await?;
    let open = "INSERT INTO plain.cycle VALUES ($1, '2026-02', 'open', 0)";
    sqlx::query(open).bind(id).execute(&mut *tx).await?;
    Ok(())
}
