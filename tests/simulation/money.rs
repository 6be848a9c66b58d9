//! The provider's books and what finance did by hand on one side, what is stored on the other.

use std::collections::BTreeMap;

use super::life::Life;
use crate::harness::scripted::{Moved, SENT_BACK};

type ByOrganization = BTreeMap<String, Vec<Vec<String>>>;

async fn rows(life: &Life, sql: &str) -> ByOrganization {
    let mut by = ByOrganization::new();
    for mut row in life.world.table(sql).await {
        by.entry(row.remove(0)).or_default().push(row);
    }
    by
}

fn int(text: &str) -> i64 {
    text.parse().unwrap_or_default()
}

/// One organization's rows.
struct Books<'a> {
    invoices: &'a [Vec<String>],
    purchases: &'a [Vec<String>],
    credited: BTreeMap<String, i64>,
    moved: Vec<Moved>,
}

impl Books<'_> {
    /// What the provider took for a reference, each time.
    fn captures(&self, reference: &str) -> Vec<i64> {
        let of = |moved: &&Moved| moved.reference == reference && moved.minor > 0;
        self.moved.iter().filter(of).map(|moved| moved.minor).collect()
    }

    fn credited(&self, subject: &str) -> i64 {
        self.credited.get(subject).copied().unwrap_or_default()
    }
}

/// Money is where it belongs, for everybody.
pub async fn all(life: &Life) -> Result<(), String> {
    let invoices = "SELECT organization, id, number, status, CAST(amount_due AS TEXT) FROM invoice \
         WHERE number IS NOT NULL";
    let purchases = "SELECT organization, id, state, CAST(net + tax AS TEXT) FROM purchase";
    let credited = "SELECT organization, subject_id, CAST(total AS TEXT) FROM document WHERE kind = 'credit_note'";
    let ledger = "SELECT organization, account, CAST(SUM(amount) AS TEXT) FROM ledger_entry \
         WHERE account IN ('cash', 'receivable') GROUP BY organization, account";
    let (invoices, purchases) = (rows(life, invoices).await, rows(life, purchases).await);
    let (credited, ledger) = (rows(life, credited).await, rows(life, ledger).await);
    let of = |by: &ByOrganization, name: &str| by.get(name).cloned().unwrap_or_default();
    for name in life.town.accounts.keys() {
        let mut notes: BTreeMap<String, i64> = BTreeMap::new();
        for row in of(&credited, name) {
            *notes.entry(row[0].clone()).or_default() += int(&row[1]);
        }
        let (invoices, purchases) = (of(&invoices, name), of(&purchases, name));
        let books = Books {
            invoices: &invoices,
            purchases: &purchases,
            credited: notes,
            moved: life.world.provider().moved(name),
        };
        let wrong = |what: String| format!("{name}: {what}");
        let (owed, transferred) = invoices_of(life, &books).map_err(wrong)?;
        let owed = owed - purchases_of(&books).map_err(wrong)?;
        let paid_back = life.paid_back.get(name).copied().unwrap_or_default();
        let there: i64 = books.moved.iter().map(|moved| moved.minor).sum();
        let is_back = |moved: &&Moved| moved.minor < 0 || moved.reference == SENT_BACK;
        let back: i64 = books.moved.iter().filter(is_back).map(|moved| moved.minor).sum();
        let book = |account: &str| -> i64 {
            let of = of(&ledger, name);
            of.iter().filter(|row| row[0] == account).map(|row| int(&row[1])).sum()
        };
        let cash = there + transferred - paid_back;
        if book("cash") != cash {
            return Err(wrong(format!("{} in cash, but {cash} is there", book("cash"))));
        }
        let owed = owed - back + paid_back;
        if book("receivable") != owed {
            return Err(wrong(format!("{} receivable, but {owed} is owed", book("receivable"))));
        }
    }
    let misused = life.world.provider().misused();
    if misused.is_empty() {
        Ok(())
    } else {
        Err(format!("keys used for other things: {misused:?}"))
    }
}

/// What invoices leave unpaid, and what was transferred for them.
fn invoices_of(life: &Life, books: &Books<'_>) -> Result<(i64, i64), String> {
    let (mut owed, mut came) = (0, 0);
    for row in books.invoices {
        let (number, status, due) = (&row[1], &row[2], int(&row[3]));
        let captures = books.captures(number);
        let transferred = life.transferred.get(number).copied();
        let credited = books.credited(&row[0]);
        let times = captures.len() + usize::from(transferred.is_some());
        if times > 1 {
            return Err(format!("{number} was paid by {captures:?} and {transferred:?}"));
        }
        if (status == "settled") != (times == 1 || credited >= due) {
            return Err(format!(
                "{number} is {status}: {captures:?}, {transferred:?}, {credited} of {due}"
            ));
        }
        let taken: i64 = captures.iter().sum();
        came += transferred.unwrap_or_default();
        owed += due - credited - taken - transferred.unwrap_or_default();
    }
    Ok((owed, came))
}

/// What credit notes gave back of purchases.
fn purchases_of(books: &Books<'_>) -> Result<i64, String> {
    let mut back = 0;
    for row in books.purchases {
        let (id, state, gross) = (&row[0], row[1].as_str(), int(&row[2]));
        let captures = books.captures(id);
        let paid: &[i64] = if state == "paid" { &[gross] } else { &[] };
        if captures != paid {
            return Err(format!("{id} is {state}, the provider took {captures:?}"));
        }
        back += books.credited(id);
    }
    Ok(back)
}
