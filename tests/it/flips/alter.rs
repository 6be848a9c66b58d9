//! What to flip, how, and how to undo it: statements past all the product's doors.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use chrono::{DateTime, Days, Duration, NaiveDate, SecondsFormat, Utc};
use monthend::storage::{Db, StorageError};

use crate::harness::World;
use crate::harness::database::rows;
use crate::simulation::chance::Chance;

/// A chosen flip.
pub struct Flip {
    /// Makes it.
    pub damage: String,
    /// Undoes it.
    pub repair: String,
    /// Words one of which a finding must hold.
    pub names: Vec<String>,
}

type Free = [(&'static str, &'static str, &'static str)];

/// Takes the database's own guards away, as somebody with the administrator's rights could.
pub async fn unguard(world: &World) {
    if world.app().db.engine() == "sqlite" {
        for trigger in
            world.table("SELECT name FROM sqlite_master WHERE type = 'trigger'").await.concat()
        {
            world.execute(&format!("DROP TRIGGER {trigger}")).await.unwrap();
        }
    } else {
        for function in ["refuse_change", "refuse_unsettling", "refuse_reversal_of_charge"] {
            world.execute(&format!("DROP FUNCTION {function}() CASCADE")).await.unwrap();
        }
    }
}

/// Name and type of a table's columns, in lower case.
async fn columns(world: &World, table: &str) -> Vec<Vec<String>> {
    let sql = if world.app().db.engine() == "sqlite" {
        format!("SELECT name, lower(type) FROM pragma_table_info('{table}') ORDER BY cid")
    } else {
        format!(
            "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position"
        )
    };
    world.table(&sql).await
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A row and a column of a table, and another value for it; none where what was drawn holds nothing.
pub async fn choose(
    world: &World,
    random: &mut Chance,
    table: &str,
    keys: &[&str],
    free: &Free,
) -> Option<Flip> {
    let columns = columns(world, table).await;
    let names: Vec<&str> = columns.iter().map(|column| column[0].as_str()).collect();
    let at = usize::try_from(random.below(u32::try_from(columns.len()).unwrap())).unwrap();
    let (column, kind) = (names[at], columns[at][1].as_str());
    if free.iter().any(|(of, name, _)| *of == table && *name == column) {
        return None;
    }
    let list: Vec<String> = names.iter().map(|name| format!("CAST({name} AS TEXT)")).collect();
    let sql = format!("SELECT {} FROM {table} ORDER BY {}", list.join(", "), keys.join(", "));
    let rows = world.table(&sql).await;
    let row = random.pick(&rows)?;
    let value = &row[at];
    if value.is_empty() {
        return None;
    }
    let sqlite = world.app().db.engine() == "sqlite";
    let other = altered(random, kind, value, sqlite)?;
    let place = |name: &str| names.iter().position(|other| *other == name).unwrap();
    let condition = |changed: Option<&str>| {
        let parts: Vec<String> = keys
            .iter()
            .map(|key| {
                let value = if *key == column { changed } else { None };
                let value = value.unwrap_or(&row[place(key)]);
                format!("CAST({key} AS TEXT) = {}", quoted(value))
            })
            .collect();
        parts.join(" AND ")
    };
    let literal = |value: &str| match kind {
        "bigint" | "boolean" => value.to_owned(),
        _ => quoted(value),
    };
    let told = ["organization", "number", "path", "name", "id", "content_hash"];
    let mut found: Vec<String> = told
        .iter()
        .filter_map(|name| names.iter().position(|other| other == name).map(|at| row[at].clone()))
        .filter(|text| !text.is_empty())
        .collect();
    found.extend((table == "audit").then(|| format!("audit row {}", row[place("seq")])));
    found.extend((table == "catalog_version").then(|| "catalog version".to_owned()));
    found.extend((table == "catalog_version").then(|| "catalog_version".to_owned()));
    // What is named by the altered word itself is named.
    if keys.contains(&column) || told.contains(&column) {
        found.push(other.clone());
    }
    Some(Flip {
        damage: format!(
            "UPDATE {table} SET {column} = {} WHERE {}",
            literal(&other),
            condition(None)
        ),
        repair: format!(
            "UPDATE {table} SET {column} = {} WHERE {}",
            literal(value),
            condition(Some(&other))
        ),
        names: found,
    })
}

/// Another value of a column's type: one bit, one character, some microseconds.
fn altered(random: &mut Chance, kind: &str, value: &str, sqlite: bool) -> Option<String> {
    match kind {
        "bigint" => Some((value.parse::<i64>().unwrap() ^ (1 << random.below(62))).to_string()),
        "boolean" => Some(if matches!(value, "1" | "true") { "FALSE" } else { "TRUE" }.to_owned()),
        "date" => {
            let days = Days::new(1 << random.below(9));
            Some(value.parse::<NaiveDate>().unwrap().checked_add_days(days)?.to_string())
        }
        "timestamptz" | "timestamp with time zone" => {
            let at = DateTime::parse_from_rfc3339(value)
                .or_else(|_| DateTime::parse_from_str(value, "%Y-%m-%d %H:%M:%S%.f%#z"))
                .unwrap()
                .with_timezone(&Utc);
            let other = at + Duration::microseconds(1 << random.below(44));
            // As the driver writes it, so that nothing but the instant differs.
            let format = if sqlite { SecondsFormat::AutoSi } else { SecondsFormat::Micros };
            Some(other.to_rfc3339_opts(format, false))
        }
        _ => {
            let mut bytes = value.as_bytes().to_vec();
            let at = usize::try_from(random.below(u32::try_from(bytes.len()).unwrap())).unwrap();
            bytes[at] ^= 1 << random.below(7);
            let fits = bytes[at].is_ascii_graphic() && bytes[at] != b'\'';
            String::from_utf8(bytes).ok().filter(|_| fits)
        }
    }
}

/// Every row of the tables, without the columns that are free.
pub async fn dump(
    db: &Db,
    tables: &[(&str, &[&str])],
    free: &Free,
) -> Result<Vec<String>, StorageError> {
    if db.engine() != "sqlite" {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for (table, _) in tables {
        let sql = format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid");
        let names: Vec<(String,)> = rows(db, &sql).await?;
        let list: Vec<String> = names
            .into_iter()
            .filter(|(name,)| !free.iter().any(|(of, column, _)| of == table && column == name))
            .map(|(name,)| format!("quote({name})"))
            .collect();
        // By the rows' own places, past every index.
        let sql =
            format!("SELECT {} FROM {table} NOT INDEXED ORDER BY 1", list.join(" || ',' || "));
        let sql =
            sql.replacen("SELECT ", "SELECT CAST(", 1).replacen(" FROM ", " AS BLOB) FROM ", 1);
        let found: Vec<(Vec<u8>,)> = rows(db, &sql).await?;
        all.extend(
            found.into_iter().map(|(row,)| format!("{table} {}", String::from_utf8_lossy(&row))),
        );
    }
    Ok(all)
}
