//! What must not depend on the engine: everything but random names.

use super::deployment::Deployment;

const FACTS: [&str; 12] = [
    "SELECT organization, CAST(seq AS TEXT), hash FROM ledger_head ORDER BY 1",
    "SELECT organization, cycle, number, status, payment_status, content_hash FROM invoice ORDER BY 1, 2",
    "SELECT organization, id, number, content_hash FROM document ORDER BY 1, 2",
    "SELECT organization, CAST(seq AS TEXT), kind, key, cycle, hash FROM ledger_transaction ORDER BY 1, CAST(seq AS BIGINT)",
    "SELECT organization, cycle, state, outcome, terms, statement FROM billing_cycle ORDER BY 1, 2",
    "SELECT organization, grant_id, CAST(remaining AS TEXT) FROM credit_balance ORDER BY 1, 2",
    "SELECT path, sha256 FROM artifact ORDER BY 1",
    "SELECT organization, id, state, cycle, CAST(tax AS TEXT) FROM purchase ORDER BY 1, 2",
    "SELECT organization, id, CAST(attempt AS TEXT), state, decline_code FROM charge ORDER BY 1, 2",
    "SELECT organization, id, state, method, CAST(amount AS TEXT) FROM refund ORDER BY 1, 2",
    "SELECT organization, key, kind, state, recipient FROM mail ORDER BY 1, 2",
    "SELECT id, kind, state, subject FROM step ORDER BY 1",
];

/// All facts of a deployment, a line each.
pub async fn of(world: &Deployment) -> Vec<String> {
    let mut lines = Vec::new();
    for facts in FACTS {
        lines.extend(world.table(facts).await.into_iter().map(|row| row.join(" | ")));
    }
    lines
}
