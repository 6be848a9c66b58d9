//! Feeds of usage that look incomplete: nobody they serve is closed on a silence that is not theirs.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::ServiceError;
use crate::app::App;
use crate::domain::{feed, text};
use crate::storage::{Tx, audit, feeds};

/// A source and the days on which nothing came from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    /// The events' source; may be empty.
    pub source: String,
    /// Days (UTC), in order.
    pub days: Vec<NaiveDate>,
}

impl Silent {
    /// For people: what is missing, and what to do.
    #[must_use]
    pub fn told(&self) -> String {
        let days: Vec<String> = self.days.iter().map(|day| feed::named(*day)).collect();
        text::cleaned(&format!(
            "no usage at all from source {:?} on {}, which always had some; import it, or if there was none: \
             `monthend feed confirm {} --day {} --reason …`",
            self.source,
            days.join(", "),
            quoted(&self.source),
            self.days.first().map(ToString::to_string).unwrap_or_default()
        ))
    }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Silent feeds, and the organizations each serves.
#[derive(Debug, Default)]
pub struct Held {
    by_source: Vec<(Silent, BTreeSet<String>)>,
}

impl Held {
    /// The silent feeds that serve an organization, by their places.
    #[must_use]
    pub fn of(&self, organization: &str) -> Vec<usize> {
        let serves = |at: &usize| {
            self.by_source.get(*at).is_some_and(|(_, served)| served.contains(organization))
        };
        (0..self.by_source.len()).filter(serves).collect()
    }

    /// The feeds at some places.
    #[must_use]
    pub fn named(&self, places: &[usize]) -> Vec<Silent> {
        let silent = |at: &usize| self.by_source.get(*at).map(|(silent, _)| silent.clone());
        places.iter().filter_map(silent).collect()
    }
}

/// Looks at all feeds over a cycle's bounds. Days that the cycle covers at its beginning in part count; at its end
/// only days that are over.
///
/// # Errors
/// The database fails.
pub async fn look(
    app: &App,
    tx: &mut Tx,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
) -> Result<Held, ServiceError> {
    let rule = app.config.brakes.feed_rule();
    let (first, Some(last)) = (starts_at.date_naive(), ends_at.date_naive().pred_opt()) else {
        return Ok(Held::default());
    };
    let Some(since) = first.checked_sub_days(Days::new(u64::from(rule.history_days))) else {
        return Ok(Held::default());
    };
    if rule.history_days == 0 {
        return Ok(Held::default());
    }
    let confirmed = feeds::confirmed(tx, first, last).await?;
    let mut by_source = Vec::new();
    for (source, events) in feeds::days(tx, since, last).await? {
        let mut days = feed::missing(rule, &events, first, last);
        days.retain(|day| !confirmed.contains(&(source.clone(), *day)));
        if !days.is_empty() {
            let served = feeds::served(tx, &source, since, last).await?;
            by_source.push((Silent { source, days }, served));
        }
    }
    Ok(Held { by_source })
}

/// Says that a silent day of a source is complete: there was no use.
///
/// # Errors
/// A source nothing ever came from, a day that is not over or has use, or that was confirmed before.
pub async fn confirm(
    app: &App,
    source: &str,
    day: NaiveDate,
    reason: &str,
) -> Result<(), ServiceError> {
    let now = app.clock.now();
    let refused = |why: String| Err(ServiceError::Refused(why));
    let mut tx = app.db.write().await?;
    if !feeds::is_known(&mut tx, source).await? {
        return Err(ServiceError::NotFound(format!("nothing ever came from source {source:?}")));
    }
    if day >= now.date_naive() {
        return refused(format!("{day} is not over (UTC)"));
    }
    let events = feeds::events_on(&mut tx, source, day).await?;
    if events > 0 {
        return refused(format!(
            "{events} events of {day} came from source {source:?}: nothing waits for it"
        ));
    }
    if !feeds::confirm(&mut tx, source, day, now).await? {
        return refused(format!("{day} of source {source:?} was confirmed before"));
    }
    let command = format!("feed confirm {source:?} --day {day}");
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    tx.commit().await?;
    Ok(())
}
