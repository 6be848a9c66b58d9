//! What was told about use: each thing once, and only what was so.

use std::collections::{HashMap, HashSet};

use super::Check;
use crate::domain::alert::{Measure, percent};
use crate::domain::credits::Credits;
use crate::services::ServiceError;
use crate::storage::alerts::{self, Alert};
use crate::storage::{Tx, parsed};

/// Nobody is told twice of the same rule, scope, cycle, arming and threshold, nor of a lesser threshold after
/// a worse one; each told figure crosses its threshold, and has its notice.
pub(super) async fn once(tx: &mut Tx) -> Result<Check, ServiceError> {
    let mut check = Check::new("alerts_once");
    let mut told = HashSet::new();
    let mut worst: HashMap<Told, i64> = HashMap::new();
    for row in alerts::list(tx, None, None).await? {
        let measure: Measure = parsed("alert", "measure", &row.id, &row.measure)?;
        let name = format!("organization {}, {}: alert {}", row.organization, row.cycle, row.rule);
        if row.kind != "told" {
            let back = !measure.crosses(row.figure, row.threshold);
            check.count(back, || format!("{name} was armed again, but is still crossed"));
            continue;
        }
        let of = key(&row);
        check.count(told.insert((of.clone(), row.threshold)), || format!("{name} was told twice"));
        if let Some(before) = worst.insert(of, row.threshold)
            && !measure.more_severe(row.threshold, before)
        {
            check.problem(format!("{name} told {} after {before}", row.threshold));
        }
        let read = match measure {
            Measure::AllowanceUsed => {
                percent(Credits::from_nano(row.used), Credits::from_nano(row.allowance))
            }
            Measure::CreditsLeft => Some(row.available),
            Measure::Spend | Measure::DaysLeft => Some(row.figure),
        };
        let so = measure.crosses(row.figure, row.threshold) && read == Some(row.figure);
        check.count(so, || format!("{name} told {}, but it was not so", row.threshold));
    }
    for name in alerts::without_notice(tx).await? {
        check.problem(format!("alert {name} has no notice"));
    }
    Ok(check)
}

/// Organization, cycle, rule, measure, scope, arming.
type Told = (String, String, String, String, String, i64);

fn key(row: &Alert) -> Told {
    (
        row.organization.clone(),
        row.cycle.clone(),
        row.rule.clone(),
        row.measure.clone(),
        row.scope.clone(),
        row.arming,
    )
}
