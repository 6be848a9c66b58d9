//! What must be true in the end, in plain integers: the provider's books and what finance did with its own
//! hands on one side, what is stored on the other.

use std::collections::{BTreeMap, BTreeSet};

use super::acts::Town;
use crate::harness::World;
use crate::harness::scripted::Moved;

/// Most failed attempts of one method in thirty days, as shipped.
const BUDGET: usize = 8;

type ByOrganization = BTreeMap<String, Vec<Vec<String>>>;

/// Rows of a query whose first column is the organization.
async fn rows(world: &World, sql: &str) -> ByOrganization {
    let mut by = ByOrganization::new();
    for mut row in world.table(sql).await {
        by.entry(row.remove(0)).or_default().push(row);
    }
    by
}

fn int(text: &str) -> i64 {
    text.parse().unwrap_or_default()
}

struct Stored {
    invoices: ByOrganization,
    purchases: ByOrganization,
    credited: ByOrganization,
    grants: ByOrganization,
    books: ByOrganization,
}

impl Stored {
    async fn read(world: &World) -> Self {
        let invoices = "SELECT organization, id, number, status, CAST(amount_due AS TEXT) FROM invoice \
             WHERE number IS NOT NULL";
        let purchases =
            "SELECT organization, id, state, CAST(net + tax AS TEXT), grant_id FROM purchase";
        let credited = "SELECT organization, subject_id, CAST(total AS TEXT) FROM document \
             WHERE kind = 'credit_note'";
        let grants = "SELECT organization, id FROM credit_grant WHERE source = 'purchase'";
        let books = "SELECT organization, account, CAST(SUM(amount) AS TEXT) FROM ledger_entry \
             WHERE account IN ('cash', 'receivable') GROUP BY organization, account";
        Self {
            invoices: rows(world, invoices).await,
            purchases: rows(world, purchases).await,
            credited: rows(world, credited).await,
            grants: rows(world, grants).await,
            books: rows(world, books).await,
        }
    }
}

/// One organization's side of everything.
struct Account<'a> {
    town: &'a Town,
    name: &'a str,
    stored: &'a Stored,
    moved: Vec<Moved>,
    wrong: Vec<String>,
}

impl Account<'_> {
    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            let told = format!("{}: {}", self.name, what());
            self.wrong.push(told);
        }
    }

    fn rows<'s>(&self, of: &'s ByOrganization) -> &'s [Vec<String>] {
        of.get(self.name).map_or(&[], Vec::as_slice)
    }

    /// What the provider took for a reference, each time.
    fn captures(&self, reference: &str) -> Vec<i64> {
        let of = |moved: &&Moved| moved.reference == reference && moved.minor > 0;
        self.moved.iter().filter(of).map(|moved| moved.minor).collect()
    }

    fn credited(&self, stored: &Stored, subject: &str) -> i64 {
        let of = |row: &&Vec<String>| row[0] == subject;
        self.rows(&stored.credited).iter().filter(of).map(|row| int(&row[1])).sum()
    }

    fn book(&self, stored: &Stored, account: &str) -> i64 {
        let of = |row: &&Vec<String>| row[0] == account;
        self.rows(&stored.books).iter().filter(of).map(|row| int(&row[1])).sum()
    }

    fn check(&mut self) {
        let stored = self.stored;
        let owed = self.invoices(stored) + self.purchases(stored);
        let there: i64 = self.moved.iter().map(|moved| moved.minor).sum();
        let numbers: BTreeSet<String> =
            self.rows(&stored.invoices).iter().map(|row| row[1].clone()).collect();
        let transferred: i64 = self
            .town
            .transferred
            .iter()
            .filter(|(number, _)| numbers.contains(*number))
            .map(|(_, minor)| minor)
            .sum();
        let paid_back = self.town.paid_back.get(self.name).copied().unwrap_or_default();
        let (cash, must) = (self.book(stored, "cash"), there + transferred - paid_back);
        self.must(cash == must, || {
            format!("{cash} in cash, but {there} there, {transferred} came, {paid_back} went back")
        });
        let back: i64 = self.moved.iter().map(|moved| moved.minor.min(0)).sum();
        let owed = owed - back + paid_back;
        let receivable = self.book(stored, "receivable");
        self.must(receivable == owed, || format!("{receivable} receivable, but {owed} is owed"));
        self.budget();
    }

    /// What invoices leave unpaid.
    fn invoices(&mut self, stored: &Stored) -> i64 {
        let mut owed = 0;
        for row in self.rows(&stored.invoices) {
            let (number, status, due) = (&row[1], &row[2], int(&row[3]));
            let captures = self.captures(number);
            let transferred = self.town.transferred.get(number).copied();
            let credited = self.credited(stored, &row[0]);
            self.must(captures.len() + usize::from(transferred.is_some()) <= 1, || {
                format!("{number} was paid by {captures:?} and {transferred:?}")
            });
            let paid = !captures.is_empty() || transferred.is_some();
            let settled = paid || credited >= due;
            self.must((status == "settled") == settled, || {
                format!("{number} is {status}: {captures:?}, {transferred:?}, {credited} of {due}")
            });
            let taken: i64 = captures.iter().sum();
            owed += due - credited - taken - transferred.unwrap_or_default();
        }
        owed
    }

    /// What corrections of purchases leave to be given back, below zero.
    fn purchases(&mut self, stored: &Stored) -> i64 {
        let mut owed = 0;
        let mut granted = Vec::new();
        for row in self.rows(&stored.purchases) {
            let (id, state, gross) = (&row[0], row[1].as_str(), int(&row[2]));
            let captures = self.captures(id);
            let must: &[i64] = if state == "paid" { &[gross] } else { &[] };
            self.must(captures == must, || {
                format!("{id} is {state}, the provider took {captures:?}")
            });
            if state == "paid" {
                granted.push(row[3].clone());
            }
            owed -= self.credited(stored, id);
        }
        let mut grants: Vec<String> =
            self.rows(&stored.grants).iter().map(|row| row[0].clone()).collect();
        grants.sort();
        granted.sort();
        self.must(grants == granted, || format!("granted {grants:?}, paid for {granted:?}"));
        owed
    }

    /// No method was declined too often in thirty days, as the provider counts.
    fn budget(&mut self) {
        let month = chrono::Duration::days(30);
        for (method, at) in self.town.provider.declines(self.name) {
            let burst = at.windows(BUDGET + 1).any(|run| run[BUDGET] - run[0] < month);
            self.must(!burst, || format!("{method} was declined {} times: {at:?}", at.len()));
        }
    }
}

/// Everything that is not as it must be.
pub async fn disagreements(town: &Town) -> Vec<String> {
    let stored = Stored::read(&town.world).await;
    let mut wrong = Vec::new();
    for name in &town.names {
        let moved = town.provider.moved(name);
        let mut account = Account { town, name, stored: &stored, moved, wrong: Vec::new() };
        account.check();
        wrong.extend(account.wrong);
    }
    for key in town.provider.misused() {
        wrong.push(format!("{key} was used again with other parameters"));
    }
    wrong
}
