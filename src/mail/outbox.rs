//! A folder instead of a mail server: each mail becomes an `.eml` file that any mail program opens.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::compose::Composed;
use super::{Handed, MailError, Mailer};
use crate::domain::ids;

/// Longest part of a file name taken from the key; longer keys are clipped and hashed.
const MAX_NAME_BYTES: usize = 100;

/// Tells apart the temporary files of one process.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// A folder mails are written into, durably; one file per key and recipient.
#[derive(Debug, Clone)]
pub struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// Opens the folder, creating it (for its owner only) where there is none.
    ///
    /// # Errors
    /// [`MailError::Config`]: it cannot be created or is no folder.
    pub fn open(folder: &Path) -> Result<Self, MailError> {
        let failed = |e: io::Error| MailError::Config(format!("{}: {e}", folder.display()));
        create_private_folder(folder).map_err(failed)?;
        if !fs::metadata(folder).map_err(failed)?.is_dir() {
            return Err(MailError::Config(format!("{} is not a folder", folder.display())));
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where a mail is written: derived from key and recipient number, so a repeat finds its file.
    #[must_use]
    pub fn path_of(&self, mail: &Composed) -> PathBuf {
        self.folder.join(format!("{}-{}.eml", file_stem(&mail.key), mail.ordinal))
    }

    /// Writes under a temporary name, syncs, renames, syncs the folder: a crash leaves no half
    /// mail.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if fs::read(path).is_ok_and(|existing| existing == bytes) {
            // Perhaps renamed just before a crash: make sure that the name is on disk, too.
            return File::open(&self.folder)?.sync_all();
        }
        let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!(".{}-{number}.tmp", std::process::id()));
        let written = write_private(&temporary, bytes)
            .and_then(|()| fs::rename(&temporary, path))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if written.is_err() {
            // Nothing depends on the remains; the first error is the one to report.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

#[async_trait]
impl Mailer for Outbox {
    fn name(&self) -> &'static str {
        "outbox"
    }

    /// Needs no turn: a repeat finds its file.
    async fn hand_over(&self, mail: &Composed) -> Result<Handed, MailError> {
        let (outbox, path, bytes) = (self.clone(), self.path_of(mail), mail.bytes.clone());
        tokio::task::spawn_blocking(move || {
            outbox.write(&path, &bytes).map(|()| Handed::default()).map_err(|e| classify(&path, &e))
        })
        .await
        .unwrap_or_else(|_| Err(MailError::Unclear("writing was cut off".to_owned())))
    }
}

fn classify(path: &Path, error: &io::Error) -> MailError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::ReadOnlyFilesystem => MailError::Config(text),
        // A full disk, mostly: may have room again later.
        _ => MailError::Transient(text),
    }
}

/// The key as a file name: plain keys as they are, all others clipped and with a hash that keeps
/// two keys apart. Never empty, never hidden, never a path (F76).
fn file_stem(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.len() <= MAX_NAME_BYTES && key.chars().all(plain) {
        return key.to_owned();
    }
    let readable: String = key.chars().take(40).map(|c| if plain(c) { c } else { '_' }).collect();
    format!("{readable}.{}", &ids::sha256_hex(key.as_bytes())[..24])
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Templates, compose, samples};

    fn mails() -> Vec<Composed> {
        let templates = Templates::load(None).unwrap();
        compose(&templates, &samples::invoice_by_card()).unwrap().mails
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn one_file_per_recipient_and_a_repeat_adds_none() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("outbox");
        let outbox = Outbox::open(&folder).unwrap();
        for _ in 0..2 {
            for mail in mails() {
                outbox.send(&mail).await.unwrap();
            }
        }
        assert_eq!(names(&folder), ["mail-invoice-1-1.eml", "mail-invoice-1-2.eml"]);
        let mail = &mails()[0];
        assert_eq!(fs::read(outbox.path_of(mail)).unwrap(), &*mail.bytes);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_else_can_read_the_mails() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("outbox");
        let outbox = Outbox::open(&folder).unwrap();
        let mail = &mails()[0];
        outbox.send(mail).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&outbox.path_of(mail))), (0o700, 0o600));
    }

    // F76
    #[tokio::test]
    async fn no_key_leaves_the_folder() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("outbox");
        let outbox = Outbox::open(&folder).unwrap();
        let hostile = ["", "../../etc/passwd", "a/b", "a_b", ".", "\0", "ü", &"x".repeat(5_000)];
        for key in hostile {
            let mail = Composed { key: key.to_owned(), ..mails().remove(0) };
            outbox.send(&mail).await.unwrap();
        }
        assert_eq!(names(&folder).len(), hostile.len());
        assert_eq!(names(home.path()), ["outbox"]);
    }

    #[tokio::test]
    async fn a_folder_that_vanished_is_a_matter_of_settings() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("outbox");
        let outbox = Outbox::open(&folder).unwrap();
        fs::remove_dir(&folder).unwrap();
        let answer = outbox.send(&mails()[0]).await;
        assert!(matches!(answer, Err(MailError::Config(_))), "{answer:?}");
        File::create(&folder).unwrap();
        assert!(matches!(Outbox::open(&folder), Err(MailError::Config(_))));
    }
}
