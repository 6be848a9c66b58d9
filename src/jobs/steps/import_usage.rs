//! Imports one file of the inbox, then moves it to `done/`, or leaves it with a `.rejected.csv` beside it.

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::StepError;
use crate::app::App;
use crate::files::write_durably;
use crate::services::ServiceError;
use crate::services::usage::{self, Imported};
use crate::storage::steps::{self, Step};

/// End of the name of the list of rejected rows.
pub const REJECTED: &str = ".rejected.csv";

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let Some(name) = &step.subject else {
        return Err(StepError::Park("this import step names no file".to_owned()));
    };
    let path = app.inbox().join(name);
    let mut set_aside = 0;
    match File::open(&path) {
        Ok(file) => match usage::import(app, name, reader_of(&file)?).await {
            Ok(imported) => {
                set_aside = imported.quarantined.len();
                put_away(&path, &file, &imported)?;
            }
            Err(ServiceError::Input(reason)) => {
                // Not a usage file at all: say so beside it, and leave it.
                if is_still(&path, &file)? {
                    let text = rejected_csv(&[(String::new(), reason.clone(), String::new())])?;
                    write_durably(&rejected_path(&path), &text).map_err(|error| retry(&error))?;
                }
                return Err(StepError::Park(reason));
            }
            Err(error) => return Err(error.into()),
        },
        // Moved by the attempt that crashed right after, or taken away: there is nothing left to do.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(retry(&format!("{}: {error}", path.display()))),
    }
    let mut tx = app.db.write().await?;
    let now = app.clock.now();
    if set_aside == 0 {
        steps::finish(&mut tx, step, now).await?;
    } else {
        let remark =
            format!("{set_aside} rows of {name} were set aside; `usage quarantine list` says why");
        steps::finish_with_remark(&mut tx, step, now, &remark).await?;
    }
    tx.commit().await?;
    Ok(())
}

fn retry(reason: &dyn ToString) -> StepError {
    StepError::Retry { reason: reason.to_string(), after: None }
}

fn rejected_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(REJECTED);
    PathBuf::from(name)
}

/// Reads a file that stays open: as long as it is, no other has its place in the file system.
fn reader_of(file: &File) -> Result<BufReader<File>, StepError> {
    Ok(BufReader::new(file.try_clone().map_err(|error| retry(&error))?))
}

/// Is the file at a path still the one that was read? Its producer may have put the next one of that name there.
fn is_still(path: &Path, read: &File) -> Result<bool, StepError> {
    let failed = |error: std::io::Error| retry(&format!("{}: {error}", path.display()));
    let read = read.metadata().map_err(failed)?;
    let is_same = match std::fs::symlink_metadata(path) {
        Ok(there) => (there.dev(), there.ino()) == (read.dev(), read.ino()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed(error)),
    };
    if !is_same {
        tracing::warn!(
            "{} was replaced while it was imported; what is there now is read next",
            path.display()
        );
    }
    Ok(is_same)
}

fn put_away(path: &Path, read: &File, imported: &Imported) -> Result<(), StepError> {
    tracing::info!(
        accepted = imported.accepted,
        duplicates = imported.duplicates,
        quarantined = imported.quarantined.len(),
        "imported {}",
        path.display()
    );
    if !is_still(path, read)? {
        return Ok(());
    }
    if !imported.quarantined.is_empty() {
        let rows: Vec<_> = imported
            .quarantined
            .iter()
            .map(|row| (row.line.to_string(), row.reason.clone(), row.raw.clone()))
            .collect();
        return write_durably(&rejected_path(path), &rejected_csv(&rows)?)
            .map_err(|error| retry(&error));
    }
    let done = path.parent().unwrap_or(Path::new(".")).join("done");
    let failed = |error: std::io::Error| retry(&format!("{}: {error}", path.display()));
    std::fs::create_dir_all(&done).map_err(failed)?;
    let mut target = done.join(path.file_name().unwrap_or_default());
    // A second file of the same name does not overwrite the first.
    for copy in 2.. {
        if !target.exists() {
            break;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        target = done.join(format!("{copy}-{name}"));
    }
    std::fs::rename(path, target).map_err(failed)
}

fn rejected_csv(rows: &[(String, String, String)]) -> Result<Vec<u8>, StepError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| retry(&error);
    writer.write_record(["line", "reason", "row"]).map_err(failed)?;
    for (line, reason, raw) in rows {
        writer.write_record([line.as_str(), &inert(reason), &inert(raw)]).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| retry(&error))
}

/// A cell that a spreadsheet would run as a formula gets a quote in front (F87).
fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The next file of the same name was put away unread.
    #[test]
    fn a_file_that_was_replaced_meanwhile_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("day.csv");
        write_durably(&path, b"first").unwrap();
        let read = File::open(&path).unwrap();
        assert!(is_still(&path, &read).unwrap());
        write_durably(&path, b"second").unwrap();
        put_away(&path, &read, &Imported::default()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        put_away(&path, &File::open(&path).unwrap(), &Imported::default()).unwrap();
        assert_eq!(std::fs::read(home.path().join("done/day.csv")).unwrap(), b"second");
        assert!(!is_still(&path, &read).unwrap());
    }
}
