//! What finance does: transfers, voids, credit notes, money that goes back by hand.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::payment::{EventSubject, ProviderEvent};
use monthend::jobs::requests;
use monthend::services::charging::Transfer;
use monthend::services::{credit_notes, notifications};

use super::acts::went;
use super::life::Life;
use super::naive::calendar;
use super::naive::corrections::{Amounts, part};
use super::naive::number::{CREDIT, number};
use super::naive::prices::exponent;

/// What is credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// So much of an invoice or receipt, or all of it.
    Money(Option<i128>),
    /// Credits of an invoice's use.
    Credits(i128),
    /// A purchase, with the credits that are left of it.
    Purchase,
}

impl Life {
    /// The number of one of an organization's invoices.
    async fn invoice(&mut self, name: &str, which: &str) -> Option<String> {
        let sql = format!(
            "SELECT number FROM invoice WHERE organization = '{name}' AND number IS NOT NULL AND {which} \
             ORDER BY number"
        );
        let numbers = self.world.table(&sql).await.concat();
        self.chance.pick(&numbers).cloned()
    }

    pub(super) async fn transfer(&mut self, name: &str) -> Result<(), String> {
        let Some(number) = self.invoice(name, "status <> 'settled'").await else { return Ok(()) };
        let due = format!(
            "SELECT CAST(i.amount_due - COALESCE((SELECT SUM(d.total) FROM document d \
             WHERE d.organization = i.organization AND d.subject_id = i.id \
             AND d.kind = 'credit_note'), 0) AS TEXT) FROM invoice i WHERE i.number = '{number}'"
        );
        let due: i64 = self.world.table(&due).await[0][0].parse().unwrap();
        self.note(format!("transfer of {due} for {number}"));
        let transfer = Transfer {
            number: &number,
            amount: None,
            received_on: calendar::instant(self.world.now()).date_naive(),
            reference: "bank",
            reason: "simulation",
        };
        if went(requests::record_transfer(&self.world.app(), &transfer).await)?.is_some() {
            *self.transferred.entry(number).or_default() += due;
            self.count("transfer", 1);
        }
        Ok(())
    }

    /// A transfer is taken back: the invoice is to be paid again.
    pub(super) async fn take_back(&mut self, name: &str) -> Result<(), String> {
        let settled = "status = 'settled' AND id IN (SELECT invoice_id FROM payment WHERE method = 'transfer')";
        let Some(number) = self.invoice(name, settled).await else { return Ok(()) };
        self.note(format!("the transfer for {number} is taken back"));
        let app = self.world.app();
        if went(requests::reverse_transfer(&app, &number, "simulation").await)?.is_some() {
            if self.transferred.remove(&number).is_none() {
                return Err(format!("{number} was paid by no transfer, and one was taken back"));
            }
            self.count("transfer taken back", 1);
        }
        Ok(())
    }

    pub(super) async fn void(&mut self, name: &str) -> Result<(), String> {
        let purchase = self.open.first().cloned().filter(|_| self.chance.percent(50));
        let number = match purchase {
            Some(id) => Some(id),
            None => self.invoice(name, "status <> 'settled'").await,
        };
        let Some(number) = number else { return Ok(()) };
        self.note(format!("void of {number}"));
        let done = went(requests::void_charge(&self.world.app(), &number, "simulation").await)?;
        self.count("charge voided", u64::from(done.is_some()));
        Ok(())
    }

    pub(super) async fn pay_back(&mut self, name: &str) -> Result<(), String> {
        let sql = format!(
            "SELECT d.number, CAST(r.amount AS TEXT) FROM refund r JOIN document d \
             ON d.organization = r.organization AND d.id = r.document_id \
             WHERE r.organization = '{name}' AND r.method = 'transfer' AND r.state = 'intended' ORDER BY r.id"
        );
        let owed = self.world.table(&sql).await;
        let Some(row) = self.chance.pick(&owed).cloned() else { return Ok(()) };
        self.note(format!("{} is paid back", row[0]));
        let app = self.world.app();
        if went(requests::record_refund(&app, &row[0], "bank", "simulation").await)?.is_some() {
            *self.paid_back.entry(name.to_owned()).or_default() += row[1].parse::<i64>().unwrap();
            self.count("refund recorded", 1);
        }
        Ok(())
    }

    /// A refund that went through comes back, and the provider says so, twice.
    pub(super) async fn come_back(&mut self, name: &str) -> Result<(), String> {
        let sql = format!(
            "SELECT key FROM refund WHERE organization = '{name}' AND method = 'charge' AND state = 'succeeded' \
             AND returned_at IS NULL ORDER BY id"
        );
        let made = self.world.table(&sql).await;
        let Some(row) = self.chance.pick(&made).cloned() else { return Ok(()) };
        let key = row[0].clone();
        if !self.world.provider().send_back(&key) {
            return Err(format!("the provider knows no refund {key}"));
        }
        self.note(format!("the refund {key} of {name} comes back"));
        let event = ProviderEvent {
            id: format!("evt_{key}"),
            kind: "refund.failed".to_owned(),
            about: EventSubject::Refund { key },
        };
        for _ in 0..2 {
            let heard = notifications::hear(&self.world.app(), &event).await;
            heard.map_err(|error| error.to_string())?;
        }
        self.count("refund came back", 1);
        Ok(())
    }

    /// A credit note over something.
    pub(super) async fn credit(&mut self, name: &str) -> Result<(), String> {
        let receipt = self.chance.percent(45);
        let sql = if receipt {
            format!(
                "SELECT number, cycle, subject_id FROM document WHERE organization = '{name}' \
                 AND kind = 'receipt' ORDER BY number"
            )
        } else {
            format!(
                "SELECT number, cycle, id FROM invoice WHERE organization = '{name}' \
                 AND number IS NOT NULL ORDER BY number"
            )
        };
        let rows = self.world.table(&sql).await;
        let Some(row) = self.chance.pick(&rows).cloned() else { return Ok(()) };
        let month = calendar::labelled(&row[1]);
        let whole = self.whole(name, receipt, month, &row[2]);
        let kind = match self.chance.below(3) {
            0 if receipt => Kind::Purchase,
            0 => Kind::Credits(i128::from(self.chance.between(1, 200)) * CREDIT),
            1 if !receipt => Kind::Money(None),
            _ => {
                Kind::Money(Some(1 + i128::from(self.chance.below(2_000)).min(whole.0.max(1) - 1)))
            }
        };
        self.issue(name, &row[0], (month, &row[2]), whole, kind).await
    }

    /// Net and tax that can be credited at most.
    fn whole(&self, name: &str, receipt: bool, month: i64, id: &str) -> Amounts {
        let account = &self.town.accounts[name];
        let bought = account.bought.iter().find(|bought| bought.id == id);
        match bought.filter(|_| receipt) {
            Some(bought) => (bought.net, bought.tax),
            None => account.correctable(month),
        }
    }

    async fn issue(
        &mut self,
        name: &str,
        of: &str,
        (month, subject): (i64, &str),
        whole: Amounts,
        kind: Kind,
    ) -> Result<(), String> {
        let currency = self.town.accounts[name].row.currency;
        let (amount, credits) = match kind {
            Kind::Money(net) => (net.map(|net| number(net, exponent(currency)).to_string()), None),
            Kind::Credits(nano) => (None, Some(number(nano, 9).to_string().parse().unwrap())),
            Kind::Purchase => (None, None),
        };
        self.note(format!("credit note over {of}: {kind:?}"));
        let wanted = credit_notes::Wanted {
            number: of,
            amount: amount.as_deref(),
            credits,
            reason: "simulation",
        };
        let Some((note, _)) = went(requests::credit(&self.world.app(), &wanted).await)? else {
            return Ok(());
        };
        let before = self.credited.get(of).copied().unwrap_or_default();
        let account = self.town.accounts.get_mut(name).unwrap();
        let net = match kind {
            Kind::Money(net) => Some(net.unwrap_or(whole.0 - before.0)),
            Kind::Credits(nano) => {
                account.give_back(month, nano)?;
                None
            }
            Kind::Purchase => {
                let bought = account.bought.iter().find(|bought| bought.id == subject).cloned();
                Some(account.take_back(&bought.ok_or("no such purchase")?, before))
            }
        };
        let said = net.map_or((0, 0), |net| part(whole, before, net));
        self.credited.insert(of.to_owned(), (before.0 + said.0, before.1 + said.1));
        self.count(
            match kind {
                Kind::Money(_) => "credit note: money",
                Kind::Credits(_) => "credit note: credits",
                Kind::Purchase => "credit note: purchase",
            },
            1,
        );
        let sql = format!(
            "SELECT CAST(subtotal AS TEXT), CAST(tax AS TEXT), CAST(total AS TEXT) FROM document \
             WHERE number = '{note}'"
        );
        let stored: Vec<i128> =
            self.world.table(&sql).await[0].iter().map(|text| text.parse().unwrap()).collect();
        if stored == [said.0, said.1, said.0 + said.1] {
            return Ok(());
        }
        Err(format!("{note} over {of} is {stored:?}, the model says {said:?}"))
    }
}
