//! Saved payment methods: tokens and what may be shown of them; never card data (S61).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_keyed, fetch_optional, insert};
use super::{Key, StorageError, Tx};
use crate::domain::payment::MethodDetails;

/// A saved method.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Method {
    /// Whose.
    pub organization: String,
    /// The provider's token.
    pub token: String,
    /// Which provider; empty: not asked yet.
    pub provider: String,
    /// `visa`, `sepa_debit` …
    pub brand: Option<String>,
    /// Last four digits.
    pub last4: Option<String>,
    /// Last month it is valid in.
    pub expires: Option<String>,
    /// `usable`, `refused` (declined for good) or `removed`.
    pub state: String,
    /// Since when it is known.
    pub added_at: DateTime<Utc>,
    /// When the provider was last asked about it.
    pub checked_at: Option<DateTime<Utc>>,
}

/// A method declined for good.
pub const REFUSED: &str = "refused";
/// A method that may be charged.
pub const USABLE: &str = "usable";
/// A method that was replaced or taken away.
pub const REMOVED: &str = "removed";

impl Method {
    /// How it is shown, where the provider told: `visa ending 4242`.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        let brand = self.brand.as_deref()?;
        Some(match &self.last4 {
            Some(last4) => format!("{brand} ending {last4}"),
            None => brand.to_owned(),
        })
    }
}

/// Columns of a method.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT organization, token, provider, brand, last4, expires, state, added_at, checked_at ",
            "FROM payment_method ",
            $condition
        )
    };
}

/// Records methods by organization and token; one that was taken away may be charged again.
pub async fn save(
    tx: &mut Tx,
    methods: &[(String, String)],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO payment_method (organization, token, provider, state, added_at)",
        " ON CONFLICT (organization, token) DO UPDATE SET \
         state = CASE WHEN payment_method.state = 'removed' THEN 'usable' ELSE payment_method.state END",
        methods,
        row => [&row.0, &row.1, "", USABLE, now]
    );
    Ok(())
}

/// What may be shown of a method, as its provider says.
pub async fn set_details(
    tx: &mut Tx,
    (organization, token): (&str, &str),
    provider: &str,
    details: &MethodDetails,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE payment_method SET provider = $3, brand = $4, last4 = $5, expires = $6, checked_at = $7 \
         WHERE organization = $1 AND token = $2",
        organization,
        token,
        provider,
        details.brand.clone(),
        details.last4.clone(),
        details.expires.map(|cycle| cycle.to_string()),
        now
    );
    Ok(())
}

/// Sets where a method stands. False: there is none.
pub async fn set_state(
    tx: &mut Tx,
    organization: &str,
    token: &str,
    state: &str,
) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "UPDATE payment_method SET state = $3 WHERE organization = $1 AND token = $2",
        organization,
        token,
        state
    );
    Ok(touched == 1)
}

/// A method was declined for good. One that was taken away meanwhile stays away.
pub async fn refuse(tx: &mut Tx, organization: &str, token: &str) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE payment_method SET state = 'refused' \
         WHERE organization = $1 AND token = $2 AND state <> 'removed'",
        organization,
        token
    );
    Ok(())
}

/// A method that was declined for good was renewed. One that was taken away meanwhile stays away.
pub async fn renew(tx: &mut Tx, organization: &str, token: &str) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE payment_method SET state = 'usable' \
         WHERE organization = $1 AND token = $2 AND state = 'refused'",
        organization,
        token
    );
    Ok(())
}

/// One method.
pub async fn get(
    tx: &mut Tx,
    organization: &str,
    token: &str,
) -> Result<Option<Method>, StorageError> {
    Ok(fetch_optional!(
        tx,
        Method,
        select!("WHERE organization = $1 AND token = $2"),
        organization,
        token
    ))
}

/// Methods by their organizations and tokens.
pub async fn these(tx: &mut Tx, keys: &[Key]) -> Result<HashMap<Key, Method>, StorageError> {
    let rows = fetch_keyed!(tx, Method, select!("WHERE (organization, token)"), keys);
    Ok(rows
        .into_iter()
        .map(|method| ((method.organization.clone(), method.token.clone()), method))
        .collect())
}

/// Methods of a range of organizations that were not taken away, oldest first.
pub async fn in_range(tx: &mut Tx, first: &str, last: &str) -> Result<Vec<Method>, StorageError> {
    Ok(fetch_all!(
        tx,
        Method,
        select!(
            "WHERE organization BETWEEN $1 AND $2 AND state <> 'removed' \
             ORDER BY organization, added_at, token"
        ),
        first,
        last
    ))
}

/// Has an organization ever had a method?
pub async fn ever_had(tx: &mut Tx, organization: &str) -> Result<bool, StorageError> {
    let row = fetch_optional!(
        tx,
        (i64,),
        "SELECT CAST(COUNT(*) AS BIGINT) FROM payment_method WHERE organization = $1",
        organization
    );
    Ok(row.is_some_and(|(count,)| count > 0))
}

/// Methods whose token ends in the provider's part: a token may name its customer before it.
pub async fn by_token(tx: &mut Tx, token: &str) -> Result<Vec<Method>, StorageError> {
    let bare = token.rsplit('/').next().unwrap_or(token);
    let with_customer = format!("%/{bare}");
    Ok(fetch_all!(
        tx,
        Method,
        select!("WHERE token = $1 OR token = $2 OR token LIKE $3 ORDER BY organization, token"),
        token,
        bare,
        with_customer
    ))
}
