//! Rows against what other rows say of the same fact: instants of the ledger, frozen texts, derived ids, the
//! audit trail. What a hash or a close that is done again covers is not repeated here.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Timelike as _, Utc};

use super::Check;
use super::books::{Books, Invoice};
use crate::domain::document::Document;
use crate::domain::grant::Grant;
use crate::domain::ids;
use crate::domain::invoice::InvoiceStatus;
use crate::domain::ledger::{Account, LedgerTransaction, Unit};
use crate::services::ServiceError;
use crate::storage::audit::AuditRow;
use crate::storage::invoices::payment_status as status;
use crate::storage::payments::{Payment, transfer_id};
use crate::storage::{Tx, cycles, documents, facts, invoices};

/// Ledger transactions by their keys.
type Chain<'a> = HashMap<&'a str, &'a LedgerTransaction>;

/// What people did, by what they did it to.
pub(super) struct People<'a> {
    /// Grants somebody made: `credits grant …: grt_…`.
    granted: HashMap<&'a str, &'a AuditRow>,
    /// Purchases somebody asked for: `credits buy … (pur_…)`.
    bought: HashSet<&'a str>,
}

impl<'a> People<'a> {
    pub(super) fn new(trail: &'a [AuditRow]) -> Self {
        let (mut granted, mut bought) = (HashMap::new(), HashSet::new());
        for row in trail {
            if row.command.starts_with("credits grant ")
                && let Some((_, name)) = row.command.rsplit_once(": ")
            {
                granted.entry(name).or_insert(row);
            }
            let purchase = row.command.strip_prefix("credits buy ").and_then(|rest| {
                let (_, purchase) = rest.rsplit_once('(')?;
                purchase.strip_suffix(')')
            });
            bought.extend(purchase);
        }
        Self { granted, bought }
    }
}

pub(super) struct Checks {
    rows: Check,
}

impl Checks {
    pub(super) fn new() -> Self {
        Self { rows: Check::new("rows_agree") }
    }

    pub(super) fn organization(
        &mut self,
        books: &Books,
        people: &People<'_>,
    ) -> Result<(), ServiceError> {
        let chain: Chain<'_> = books.chain.iter().map(|t| (t.key.as_str(), t)).collect();
        self.grants(books, people, &chain);
        self.cycles(books, &chain);
        self.purchases(books, people);
        for invoice in books.issued() {
            self.invoice(books.id(), invoice);
        }
        self.documents(books, &chain)?;
        for invoice in books.issued() {
            self.payments(books, &invoice.row.id, &chain);
        }
        Ok(())
    }

    fn grants(&mut self, books: &Books, people: &People<'_>, chain: &Chain<'_>) {
        let id = books.id();
        let zone = books.stored.organization.zone;
        let mut causes: Vec<String> =
            books.purchases.iter().map(|purchase| purchase.id.clone()).collect();
        causes.extend((0..=books.grants.len()).map(|ordinal| ordinal.to_string()));
        for grant in books.grants.iter().map(|open| &open.grant) {
            let name = grant.id.as_str();
            let posted = chain.get(format!("grant:{name}").as_str()).is_some_and(|t| {
                t.kind == "grant" && t.cycle == grant.cycle && t.effective_at == grant.granted_at
            });
            let ends = grant.last_cycle.map(|last| last.bounds(zone).ends_at);
            let ends = match (ends, grant.expires_at) {
                (None, None) => true,
                (Some(rule), Some(at)) => near(rule, at),
                _ => false,
            };
            let asked = people.granted.get(name);
            let why =
                books.reasons.get(name).and_then(Option::as_ref) == asked.map(|row| &row.reason);
            self.rows.count(posted && ends && why && derived(id, grant, &causes), || {
                format!(
                    "organization {id}, grant {name}: its source, cycle, dates or reason are not what was granted"
                )
            });
        }
    }

    fn cycles(&mut self, books: &Books, chain: &Chain<'_>) {
        let id = books.id();
        for row in &books.cycles {
            let label = row.open.cycle;
            let rule = label.bounds(books.stored.organization.zone);
            let bounds = near(rule.starts_at, row.open.bounds.starts_at)
                && near(rule.ends_at, row.open.bounds.ends_at)
                && row.due_at == cycles::due_at(&row.open);
            let posted = chain.get(format!("close:{label}").as_str());
            let closed = posted.is_none_or(|posted| {
                books.closed_at.get(&label.to_string()) == Some(&posted.recorded_at)
            });
            self.rows.count(bounds && closed, || {
                format!(
                    "organization {id}, {label}: its bounds, due or closing instant were altered"
                )
            });
        }
    }

    fn invoice(&mut self, id: &str, invoice: &Invoice) {
        let (row, draft) = (&invoice.filed, &invoice.draft);
        let headed = |number: &str| {
            invoice.header.as_ref().is_some_and(|header| {
                header.number == number && Some(header.issued_on) == row.issued_on
            })
        };
        let number = row.number.as_deref().unwrap_or_default();
        let filed = numbered(&row.series, row.series_number) == number
            && headed(number)
            && draft.cycle.to_string() == row.cycle
            && draft.currency.to_string() == row.currency
            && draft.organization == id
            && invoices::cycle_invoice_id(id, draft.cycle, draft.ends_at) == row.id;
        let words: &[&str] = match row.status.parse() {
            Ok(InvoiceStatus::Settled) => &[status::PAID, status::NOT_REQUIRED, status::CREDITED],
            Ok(_) => &[
                status::DUE,
                status::PROCESSING,
                status::DECLINED,
                status::NEEDS_ACTION,
                status::PENDING,
                status::PAST_DUE,
                status::UNKNOWN,
            ],
            Err(_) => &[],
        };
        let stands = words.contains(&row.payment_status.as_str());
        self.rows.count(filed && stands, || {
            format!("organization {id}, invoice {number}: its row and its document differ")
        });
    }

    fn documents(&mut self, books: &Books, chain: &Chain<'_>) -> Result<(), ServiceError> {
        let id = books.id();
        for row in &books.documents {
            let document = row.document()?;
            let head = document.head();
            let about = match &document {
                Document::Receipt(receipt) => {
                    let derived = ids::derived("rct", row.issued_at, &[id, &receipt.purchase]);
                    row.subject == "purchase"
                        && row.subject_id == receipt.purchase
                        && meaning(&derived) == meaning(&row.id)
                        && same(row, id, &receipt.organization, receipt.cycle)
                        && amounts(row, [receipt.subtotal, receipt.tax, receipt.total])
                }
                Document::CreditNote(note) => {
                    let invoice = books
                        .issued()
                        .find(|invoice| invoice.row.number.as_ref() == Some(&note.corrects));
                    let receipt =
                        books.documents.iter().find(|other| other.number == note.corrects);
                    let subject = invoice
                        .map(|found| ("invoice", &found.row.id))
                        .or(receipt.map(|found| ("purchase", &found.subject_id)));
                    subject == Some((row.subject.as_str(), &row.subject_id))
                        && chain.contains_key(format!("credit_note:{}", row.id).as_str())
                        && same(row, id, &note.organization, note.cycle)
                        && amounts(row, [note.subtotal, note.tax, note.total])
                }
            };
            let filed = numbered(&row.series, row.series_number) == row.number
                && head.number == row.number
                && head.issued_on == row.issued_on
                && document.kind() == row.kind;
            self.rows.count(about && filed, || {
                format!("organization {id}, {}: its row and its document differ", row.number)
            });
        }
        Ok(())
    }

    /// A purchase's id says when it was asked for and which one it was; the audit trail, that a person asked.
    fn purchases(&mut self, books: &Books, people: &People<'_>) {
        let id = books.id();
        let ordinals: Vec<String> = (0..books.purchases.len()).map(|n| n.to_string()).collect();
        for (place, purchase) in books.purchases.iter().enumerate() {
            // They come in the order of their ids: mostly its own place, unless a clock was set back.
            let derived =
                |n: &String| ids::derived("pur", purchase.created_at, &[id, n]) == purchase.id;
            let named = derived(&ordinals[place]) || ordinals.iter().any(derived);
            let by_hand = people.bought.contains(purchase.id.as_str());
            self.rows.count(named && !(purchase.automatic && by_hand), || {
                format!(
                    "organization {id}, purchase {}: when, or by whom, it was asked for was altered",
                    purchase.id
                )
            });
        }
    }

    fn payments(&mut self, books: &Books, invoice: &str, chain: &Chain<'_>) {
        let id = books.id();
        let times = books.payments_of(invoice).count();
        for payment in books.payments_of(invoice) {
            let posted = chain.get(format!("payment:{}", payment.id).as_str());
            let charge = books
                .charges_of(invoice)
                .find(|charge| charge.provider_id.as_deref() == Some(payment.reference.as_str()));
            let agrees = posted.is_some_and(|posted| {
                let cash = posted.entries.iter().any(|entry| {
                    entry.account == Account::Cash
                        && entry.amount == payment.amount
                        && matches!(entry.unit, Unit::Money(unit) if unit.to_string() == payment.currency)
                });
                let at = posted.recorded_at;
                let zone = &books.stored.organization.zone;
                let by = match (payment.method.as_str(), charge) {
                    ("charge", Some(charge)) => {
                        payment.id == ids::derived("pay", at, &[id, &charge.id])
                            && payment.received_on == at.with_timezone(zone).date_naive()
                    }
                    ("transfer", None) => {
                        let reference = payment.reference.as_str();
                        (0..times).any(|n| payment.id == transfer_id(id, invoice, reference, n, at))
                    }
                    _ => false,
                };
                cash && by
            }) && taken_back(payment, chain);
            self.rows.count(agrees, || {
                format!("organization {id}, payment {}: it and the ledger differ", payment.id)
            });
        }
    }

    /// What is about all organizations at once.
    pub(super) async fn finish(
        mut self,
        tx: &mut Tx,
        people: &[AuditRow],
    ) -> Result<Check, ServiceError> {
        for row in facts::versions(tx).await? {
            let command = format!("catalog apply: version {}", row.version);
            let applied =
                people.iter().any(|one| one.command == command && one.at == row.effective_at);
            let intact = ids::sha256_hex(row.content.as_bytes()) == row.content_hash;
            self.rows.count(applied && intact && row.recorded_at == row.effective_at, || {
                format!("catalog version {}: altered after it was applied", row.version)
            });
        }
        for (organization, what) in facts::disagreeing(tx).await? {
            self.rows.problem(format!("organization {organization}: {what}"));
        }
        Ok(self.rows)
    }
}

/// The file itself: a row that an index contradicts is found by no statement.
pub(super) async fn storage(tx: &mut Tx) -> Result<Check, ServiceError> {
    let mut check = Check::new("storage_sound");
    check.checked = 1;
    for found in facts::unsound(tx).await? {
        check.problem(found);
    }
    Ok(check)
}

/// Is a payment that was taken back posted so, and one that was not, not?
fn taken_back(payment: &Payment, chain: &Chain<'_>) -> bool {
    match (payment.reversed_at, chain.get(format!("payment-reversed:{}", payment.id).as_str())) {
        (None, None) => true,
        (Some(at), Some(posted)) => {
            let of = |account: Account, amount: Option<i64>| {
                posted.entries.iter().any(|entry| {
                    entry.account == account
                        && Some(entry.amount) == amount
                        && matches!(entry.unit, Unit::Money(unit) if unit.to_string() == payment.currency)
                })
            };
            posted.recorded_at == at
                && posted.kind == "payment_reversed"
                && of(Account::Cash, payment.amount.checked_neg())
                && of(Account::Receivable, Some(payment.amount))
        }
        _ => false,
    }
}

/// A grant's id is a hash of what it is and why: an allowance, a welcome, a purchase, the n-th by hand.
fn derived(organization: &str, grant: &Grant, causes: &[String]) -> bool {
    let cycle = grant.cycle.to_string();
    let source = grant.source.as_str();
    let id = |parts: &[&str]| ids::derived("grt", grant.granted_at, parts) == grant.id;
    match source {
        "allowance" => id(&[organization, source, &cycle]),
        _ => {
            (source == "promotional" && id(&[organization, "sign-up"]))
                || causes.iter().any(|cause| id(&[organization, source, &cycle, cause]))
        }
    }
}

/// Bounds were computed once; a zone's rules may have changed a little since, by whole minutes.
fn near(rule: DateTime<Utc>, stored: DateTime<Utc>) -> bool {
    (stored - rule).num_minutes().abs() <= 180 && stored.second() == 0 && stored.nanosecond() == 0
}

fn numbered(series: &str, place: i64) -> String {
    format!("{series}-{place:06}")
}

/// The part of a derived id that hashes its meaning.
fn meaning(id: &str) -> Option<&str> {
    id.get(id.len().saturating_sub(16)..)
}

fn same(
    row: &documents::Row,
    id: &str,
    organization: &str,
    cycle: crate::domain::cycle::Cycle,
) -> bool {
    organization == id && row.cycle == cycle.to_string()
}

fn amounts(row: &documents::Row, said: [crate::domain::money::Money; 3]) -> bool {
    said.map(|amount| (amount.minor(), amount.currency().to_string()))
        == [row.subtotal, row.tax, row.total].map(|minor| (minor, row.currency.clone()))
}
