//! Credit notes: what goes back in money and in credits.

use super::account::{Account, Bought, burn};
use super::invoice::Billed;
use super::number::half_even;

/// Net and tax of a document or of a part of it.
pub type Amounts = (i128, i128);

/// A part of a document: the tax that goes with it, so that the taxes of all parts are the whole tax.
pub fn part(whole: Amounts, before: Amounts, net: i128) -> Amounts {
    (net, half_even(whole.1 * (before.0 + net), whole.0) - before.1)
}

impl Account {
    /// Net and tax of a month's invoice without its purchases, which have receipts of their own.
    pub fn correctable(&self, month: i64) -> Amounts {
        let Some(bill) = self.closed.get(&month).and_then(|closed| closed.bill.as_ref()) else {
            return (0, 0);
        };
        let own = bill.lines.iter().filter(|line| line.0 != Billed::Purchase);
        let net = own.map(|line| line.3).sum();
        (net, bill.totals[4] - net)
    }

    /// Credits of a closed month's use go back to the lots they came from, the last burned first.
    pub fn give_back(&mut self, month: i64, wanted: i128) -> Result<(), String> {
        let used: Vec<(String, i128)> = self.closed.get(&month).map_or_else(Vec::new, |closed| {
            closed.lots.iter().rev().map(|lot| (lot.id.clone(), lot.used)).collect()
        });
        let mut left = wanted;
        for (id, used) in used {
            let open = self.month;
            let Some(lot) = self.lots.iter_mut().find(|lot| lot.id == id) else { continue };
            let before = self.returned.entry((month, id)).or_default();
            let back = left.min(used - *before);
            if lot.last >= open && back > 0 {
                lot.granted += back;
                *before += back;
                left -= back;
            }
        }
        if left == 0 { Ok(()) } else { Err(format!("{left} of {wanted} cannot go back")) }
    }

    /// What the use so far leaves of a lot.
    pub fn left_now(&self, id: &str) -> i128 {
        let mut lots = self.lots.clone();
        let demand: i128 = self.demand().values().sum();
        burn(&mut lots, self.month, self.deficit + demand);
        lots.iter().find(|lot| lot.id == id).map_or(0, super::account::Lot::left)
    }

    /// Credits of a purchase are taken back with their money: all that is left. Gives the net amount.
    pub fn take_back(&mut self, bought: &Bought, before: Amounts) -> i128 {
        let id = bought.lot.as_deref().unwrap_or_default();
        let left = self.left_now(id);
        if let Some(lot) = self.lots.iter_mut().find(|lot| lot.id == id) {
            lot.granted -= left;
        }
        half_even(bought.net * left, bought.credits).min(bought.net - before.0)
    }
}
