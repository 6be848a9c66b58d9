//! The end of a history: the clock is right, provider and mail server are calm, and what was begun comes to its end.

use monthend::jobs::requests;

use super::acts::went;
use super::life::Life;
use super::naive::calendar::{DAY, HOUR};

/// Rounds in which everything must have come to its end: half a day each.
const ROUNDS: u32 = 12;

/// Everything that was begun comes to its end.
pub async fn come_to_rest(life: &mut Life) -> Result<(), String> {
    life.wrong = None;
    let now = life.world.now();
    life.pass((life.town.seen - now).max(0) + HOUR);
    for round in 0..ROUNDS {
        let now = life.world.now();
        life.town.seen = life.town.seen.max(now);
        let confirmed = life.town.held(now).and_then(|months| u32::try_from(months).ok());
        life.tick(confirmed).await?;
        life.purchases().await?;
        if waiting(life).await == 0 && round > 0 {
            break;
        }
        let parked = "SELECT DISTINCT run_id FROM step WHERE state = 'parked' ORDER BY 1";
        for run in life.world.table(parked).await.concat() {
            life.note(format!("retry of {run}"));
            went(requests::retry(&life.world.app(), &run, None, "simulation").await)?;
        }
        // What the provider forgot is closed by hand.
        let stuck = "SELECT c.reference FROM step s JOIN charge c ON c.organization = s.organization \
             AND c.id = s.subject WHERE s.state = 'parked' AND s.kind = 'charge' ORDER BY 1";
        for reference in life.world.table(stuck).await.concat() {
            life.note(format!("void of {reference}"));
            went(requests::void_charge(&life.world.app(), &reference, "simulation").await)?;
        }
        life.purchases().await?;
        life.pass(if round < 4 { DAY / 2 } else { 2 * DAY });
    }
    Ok(())
}

/// Steps that still have something to do, dunning aside.
async fn waiting(life: &Life) -> usize {
    let sql = "SELECT id FROM step WHERE state <> 'done'";
    life.world.table(sql).await.len()
}

/// Nothing is left undone: no step, no draft, no mail, no open charge; every mail that went out was accepted, and
/// none was handed over again but after a lost answer.
pub async fn at_rest(life: &Life) -> Result<(), String> {
    for (what, sql) in [
        ("steps", "SELECT id, kind, state, error FROM step WHERE state <> 'done'"),
        ("drafts", "SELECT organization, cycle FROM invoice WHERE number IS NULL"),
        ("mails", "SELECT organization, key FROM mail WHERE state <> 'sent'"),
        (
            "charges",
            "SELECT organization, id, state FROM charge WHERE state NOT IN ('succeeded', 'declined')",
        ),
        ("purchases", "SELECT organization, id FROM purchase WHERE state = 'open'"),
        (
            "documents",
            "SELECT organization, number FROM invoice WHERE id NOT IN (SELECT invoice_id FROM artifact)",
        ),
        ("runs", "SELECT id, job, state FROM run WHERE state = 'open'"),
    ] {
        let left = life.world.table(sql).await;
        if !left.is_empty() {
            return Err(format!("{what} are left: {left:?}"));
        }
    }
    let sent = life.world.table("SELECT message_id FROM mail").await.concat();
    let books = life.world.post().books();
    for id in &sent {
        let handed = books.get(id).cloned().unwrap_or_default();
        if handed.accepted != 1 + handed.lost {
            return Err(format!("mail {id} was accepted {} times: {handed:?}", handed.accepted));
        }
    }
    let every = books.len();
    if every != sent.len() {
        return Err(format!("{every} mails went out, {} are stored", sent.len()));
    }
    Ok(())
}
