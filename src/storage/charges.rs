//! Charges: what was asked of the provider, and what it answered.
//!
//! `state <> 'succeeded'` is written where it follows from the rest: SQLite takes a partial index (`charge_not_taken`)
//! for its own words only.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{
    Record, Statement, execute, execute_keyed, fetch_all, fetch_keyed, fetch_one, fetch_optional,
    insert, record_with,
};
use super::{Key, StorageError, Tx, by_organization, one_or_all, parsed};
use crate::domain::money::{Currency, Money};
use crate::domain::payment::{ChargeOutcome, ChargeRequest, ChargeState, MISMATCH};

/// What a charge pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// An invoice.
    Invoice,
    /// A purchase of credits.
    Purchase,
}

impl Subject {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::Purchase => "purchase",
        }
    }
}

/// A stored charge.
#[derive(Debug, Clone)]
pub struct Charge {
    /// Its id.
    pub id: String,
    /// What it pays for.
    pub subject: Subject,
    /// Which invoice or purchase.
    pub subject_id: String,
    /// 1, 2, 3 …
    pub attempt: i64,
    /// What is, or would be, sent.
    pub request: ChargeRequest,
    /// Where it stands.
    pub state: ChargeState,
    /// The provider's id.
    pub provider_id: Option<String>,
    /// Why it was declined, or what is unclear.
    pub message: Option<String>,
    /// The provider's code of a decline, or a word of ours: see [`crate::domain::payment::VOIDED`].
    pub decline_code: Option<String>,
    /// A hard decline: never again with this method.
    pub decline_hard: bool,
    /// Look-ups made of an unknown outcome.
    pub lookups: i64,
    /// When it was first sent.
    pub first_sent_at: Option<DateTime<Utc>>,
}

#[derive(Record!)]
struct Row {
    organization: String,
    id: String,
    key: String,
    subject: String,
    subject_id: String,
    reference: String,
    attempt: i64,
    currency: String,
    amount: i64,
    payment_method: String,
    state: String,
    provider_id: Option<String>,
    decline_code: Option<String>,
    decline_hard: bool,
    message: Option<String>,
    lookups: i64,
    first_sent_at: Option<DateTime<Utc>>,
}

impl Charge {
    /// Which row it is.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.request.organization.clone(), self.id.clone())
    }
}

impl Row {
    fn into_domain(self) -> Result<Charge, StorageError> {
        let currency: Currency = parsed("charge", "currency", &self.id, &self.currency)?;
        let state: ChargeState = parsed("charge", "state", &self.id, &self.state)?;
        Ok(Charge {
            subject: if self.subject == "invoice" { Subject::Invoice } else { Subject::Purchase },
            subject_id: self.subject_id,
            attempt: self.attempt,
            request: ChargeRequest {
                key: self.key,
                amount: Money::from_minor(self.amount, currency),
                payment_method: self.payment_method,
                organization: self.organization,
                reference: self.reference,
            },
            state,
            provider_id: self.provider_id,
            message: self.message,
            decline_code: self.decline_code,
            decline_hard: self.decline_hard,
            lookups: self.lookups,
            first_sent_at: self.first_sent_at,
            id: self.id,
        })
    }
}

/// Columns of a charge.
macro_rules! select {
    ($condition:literal) => {
        select!("", $condition)
    };
    ($more:literal, $condition:literal) => {
        concat!(
            "SELECT organization, id, key, subject, subject_id, reference, attempt, currency, amount, payment_method, ",
            "state, provider_id, decline_code, decline_hard, message, lookups, first_sent_at",
            $more,
            " FROM charge ",
            $condition
        )
    };
}

/// All attempts for an invoice or purchase, in order.
pub async fn of_subject(
    tx: &mut Tx,
    organization: &str,
    subject_id: &str,
) -> Result<Vec<Charge>, StorageError> {
    fetch_all!(
        tx,
        Row,
        select!("WHERE organization = $1 AND subject_id = $2 ORDER BY attempt"),
        organization,
        subject_id
    )
    .into_iter()
    .map(Row::into_domain)
    .collect()
}

/// Which of these invoices or purchases have attempts, by their organizations and ids.
pub async fn of_subjects(tx: &mut Tx, keys: &[Key]) -> Result<HashSet<Key>, StorageError> {
    let head = "SELECT organization, subject_id FROM charge WHERE (organization, subject_id)";
    Ok(fetch_keyed!(tx, Key, head, keys).into_iter().collect())
}

/// The charge of a key.
pub async fn by_key(tx: &mut Tx, key: &str) -> Result<Option<Charge>, StorageError> {
    fetch_optional!(tx, Row, select!("WHERE key = $1"), key).map(Row::into_domain).transpose()
}

/// All charges of an organization, oldest first.
pub async fn of_organization(tx: &mut Tx, organization: &str) -> Result<Vec<Charge>, StorageError> {
    let mut charges = in_range(tx, organization, organization).await?;
    Ok(charges.remove(organization).unwrap_or_default())
}

/// All charges of a range of organizations, oldest first.
pub async fn in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<Charge>>, StorageError> {
    let rows = fetch_all!(
        tx,
        Row,
        select!("WHERE organization BETWEEN $1 AND $2 ORDER BY organization, id"),
        first,
        last
    );
    by_organization(rows.into_iter().map(|row| {
        let charge = row.into_domain()?;
        Ok((charge.request.organization.clone(), charge))
    }))
}

/// A charge with when it was begun.
#[derive(Debug, Clone)]
pub struct Attempted {
    /// The charge.
    pub charge: Charge,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
}

/// The same as it is stored.
struct AttemptedRow {
    row: Row,
    created_at: DateTime<Utc>,
}

record_with!(AttemptedRow { row: Row, created_at });

/// Charges of one organization or of all, latest first, at most so many.
pub async fn history(
    tx: &mut Tx,
    organization: Option<&str>,
    limit: i64,
) -> Result<Vec<Attempted>, StorageError> {
    let (first, last) = one_or_all(organization);
    let rows = fetch_all!(
        tx,
        AttemptedRow,
        select!(", created_at", "WHERE organization BETWEEN $1 AND $2 ORDER BY id DESC LIMIT $3"),
        first,
        last,
        limit
    );
    let attempted = rows.into_iter().map(|AttemptedRow { row, created_at }| {
        Ok(Attempted { charge: row.into_domain()?, created_at })
    });
    attempted.collect()
}

/// Attempts that did not take money, or are not known to have, by organization and method: what counts
/// against a method's budget, those included that are decided and not sent yet: several may be decided in one
/// transaction. What a person voided or we called off is nobody's decline.
pub async fn failed_by_method(
    tx: &mut Tx,
    first: &str,
    last: &str,
    since: DateTime<Utc>,
) -> Result<HashMap<(String, String), i64>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, String, i64),
        "SELECT organization, payment_method, CAST(COUNT(*) AS BIGINT) FROM charge \
         WHERE organization BETWEEN $1 AND $2 AND (first_sent_at >= $3 OR state = 'intended') AND state <> 'succeeded' \
         AND (decline_code IS NULL OR decline_code NOT IN ('voided', 'canceled')) \
         GROUP BY organization, payment_method",
        first,
        last,
        since
    );
    Ok(rows.into_iter().map(|(id, method, count)| ((id, method), count)).collect())
}

/// Organizations of a range and methods whose last charge was declined.
pub async fn last_declined(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashSet<(String, String)>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, String),
        "SELECT c.organization, c.payment_method FROM charge c WHERE c.organization BETWEEN $1 AND $2 \
         AND c.state <> 'succeeded' AND c.state = 'declined' \
         AND (c.decline_code IS NULL OR c.decline_code NOT IN ('voided', 'canceled')) \
         AND NOT EXISTS (SELECT 1 FROM charge d WHERE d.organization = c.organization \
         AND d.payment_method = c.payment_method AND d.id > c.id AND d.state IN ('succeeded', 'declined'))",
        first,
        last
    );
    Ok(rows.into_iter().collect())
}

/// Records intents to charge.
///
/// # Errors
/// Another attempt may still take money (the unique index refuses).
pub async fn intend(
    tx: &mut Tx,
    charges: &[Charge],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO charge (organization, id, key, subject, subject_id, reference, attempt, currency, amount, \
         payment_method, request_hash, state, decline_hard, lookups, created_at)",
        "",
        charges,
        charge => [
            &charge.request.organization,
            &charge.id,
            &charge.request.key,
            charge.subject.as_str(),
            &charge.subject_id,
            &charge.request.reference,
            charge.attempt,
            charge.request.amount.currency().to_string(),
            charge.request.amount.minor(),
            &charge.request.payment_method,
            charge.request.request_hash(),
            ChargeState::Intended.as_str(),
            false,
            0_i64,
            now,
        ]
    );
    Ok(())
}

/// One charge.
pub async fn get(
    tx: &mut Tx,
    organization: &str,
    id: &str,
) -> Result<Option<Charge>, StorageError> {
    fetch_optional!(tx, Row, select!("WHERE organization = $1 AND id = $2"), organization, id)
        .map(Row::into_domain)
        .transpose()
}

/// Charges by their organizations and ids.
pub async fn these(tx: &mut Tx, keys: &[Key]) -> Result<HashMap<Key, Charge>, StorageError> {
    let rows = fetch_keyed!(tx, Row, select!("WHERE (organization, id)"), keys);
    rows.into_iter()
        .map(|row| Ok(((row.organization.clone(), row.id.clone()), row.into_domain()?)))
        .collect()
}

/// Records that charges are about to be sent; committed before a socket opens.
pub async fn mark_sent(tx: &mut Tx, keys: &[Key], now: DateTime<Utc>) -> Result<(), StorageError> {
    let unsettled = match tx {
        Tx::Sqlite(..) => ") WHERE state IN ('intended', 'sent', 'unknown') AND (organization, id)",
        // By their keys, not by an index of all that are open (as `steps::leased`).
        Tx::Postgres(_) => {
            ") WHERE state || '' IN ('intended', 'sent', 'unknown') AND (organization, id)"
        }
    };
    execute_keyed!(
        tx,
        "UPDATE charge SET state = 'sent', first_sent_at = COALESCE(first_sent_at, ",
        now,
        unsettled,
        keys
    );
    Ok(())
}

/// Records that nothing left after all: the first send is still to come.
pub async fn mark_not_sent(tx: &mut Tx, charge: &Charge) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE charge SET state = 'intended', first_sent_at = NULL \
         WHERE organization = $1 AND id = $2 AND state = 'sent'",
        charge.request.organization.clone(),
        charge.id.clone()
    );
    Ok(())
}

/// Records that the provider's answer is not known; one that is known to be open stays so.
pub async fn mark_unknown(tx: &mut Tx, charge: &Charge, message: &str) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE charge SET state = CASE WHEN state IN ('pending', 'needs_action') THEN state ELSE 'unknown' END, \
         message = $3, lookups = lookups + 1 \
         WHERE organization = $1 AND id = $2 AND state NOT IN ('succeeded', 'declined')",
        charge.request.organization.clone(),
        charge.id.clone(),
        message.to_owned()
    );
    Ok(())
}

/// Open charges that no step looks after: none, ever.
pub async fn unattended(tx: &mut Tx) -> Result<Vec<(String, String)>, StorageError> {
    Ok(fetch_all!(
        tx,
        (String, String),
        "SELECT c.organization, c.id FROM charge c WHERE c.state <> 'succeeded' \
         AND c.state <> 'declined' AND NOT EXISTS (SELECT 1 FROM step s WHERE s.organization = c.organization \
         AND s.subject = c.id AND s.state IN ('ready', 'leased', 'parked')) ORDER BY c.organization, c.id"
    ))
}

/// Records that the provider's answer did not fit what was asked.
pub async fn mark_mismatch(tx: &mut Tx, charge: &Charge) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE charge SET decline_code = $3 WHERE organization = $1 AND id = $2 \
         AND state NOT IN ('succeeded', 'declined')",
        charge.request.organization.clone(),
        charge.id.clone(),
        MISMATCH
    );
    Ok(())
}

/// Organizations of a range with a charge whose answer did not fit and that nobody has closed.
pub async fn mismatched(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashSet<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT DISTINCT organization FROM charge WHERE organization BETWEEN $1 AND $2 \
         AND state <> 'succeeded' AND state <> 'declined' AND decline_code = $3",
        first,
        last,
        MISMATCH
    );
    Ok(rows.into_iter().map(|(organization,)| organization).collect())
}

/// Records the provider's words. Gives the charges that had no final state yet.
pub async fn settle(
    tx: &mut Tx,
    answers: &[(&Charge, &ChargeOutcome)],
    now: DateTime<Utc>,
) -> Result<HashSet<Key>, StorageError> {
    let mut settled = HashSet::with_capacity(answers.len());
    for chunk in answers.chunks(super::db::rows_per_statement(7)) {
        let mut statement = Statement::new(
            "WITH answer (organization, id, state, provider_id, code, message, hard) AS (",
        );
        statement
            .values(chunk, |row, (charge, outcome)| {
                let decline = match outcome {
                    ChargeOutcome::Declined { decline, .. } => Some(decline),
                    _ => None,
                };
                row.bind(charge.request.organization.clone())
                    .bind(charge.id.clone())
                    .bind(outcome.state().as_str())
                    .bind(outcome.provider_id().map(str::to_owned))
                    .bind(decline.map(|decline| decline.code.clone()))
                    .bind(decline.map(|decline| decline.message.clone()))
                    .bind(decline.is_some_and(|decline| decline.hard));
            })
            .push(
                ") UPDATE charge SET state = answer.state, provider_id = answer.provider_id, \
                 decline_code = answer.code, message = answer.message, decline_hard = answer.hard, settled_at = ",
            )
            .bind(now)
            .push(
                " FROM answer WHERE charge.organization = answer.organization AND charge.id = answer.id \
                 AND charge.state NOT IN ('succeeded', 'declined') RETURNING charge.organization, charge.id",
            );
        let rows: Vec<Key> = statement.fetch_all(tx).await?;
        settled.extend(rows);
    }
    Ok(settled)
}

/// How many charges and refunds a provider has been asked for that have not ended.
pub async fn under_way(tx: &mut Tx) -> Result<i64, StorageError> {
    let (count,) = fetch_one!(
        tx,
        (i64,),
        "SELECT (SELECT CAST(COUNT(*) AS BIGINT) FROM charge \
         WHERE state <> 'succeeded' AND state IN ('sent', 'unknown', 'pending', 'needs_action')) + (SELECT CAST(COUNT(*) AS BIGINT) FROM refund \
         WHERE method = 'charge' AND state IN ('sent', 'unknown', 'pending'))"
    );
    Ok(count)
}
