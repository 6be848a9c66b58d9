//! A folder instead of a mail server: each mail becomes an `.eml` file that any mail program opens.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::compose::Composed;
use super::{Handed, MailError, Mailer};
use crate::domain::ids;
use crate::files::{FileError, store_batch};

/// Longest part of a file name taken from the key; longer keys are clipped and hashed.
const MAX_NAME_BYTES: usize = 100;

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
        self.folder.join(name_of(mail))
    }
}

#[async_trait]
impl Mailer for Outbox {
    fn name(&self) -> &'static str {
        "outbox"
    }

    fn is_local(&self) -> bool {
        true
    }

    /// Needs no turn: a repeat finds its file.
    async fn hand_over(&self, mail: &Composed) -> Result<Handed, MailError> {
        let answers = self.hand_over_all(std::slice::from_ref(mail)).await;
        answers.into_iter().next().unwrap_or_else(|| Err(cut_off()))
    }

    async fn hand_over_all(&self, mails: &[Composed]) -> Vec<Result<Handed, MailError>> {
        let folder = self.folder.clone();
        let files: Vec<(String, Arc<[u8]>)> =
            mails.iter().map(|mail| (name_of(mail), mail.bytes.clone())).collect();
        let written = tokio::task::spawn_blocking(move || write_each(&folder, &files)).await;
        let answers = written.unwrap_or_else(|_| mails.iter().map(|_| Err(cut_off())).collect());
        answers.into_iter().map(|answer| answer.map(|()| Handed::default())).collect()
    }
}

/// Writes mails together; where that fails, each by itself: one that cannot be written stops no other.
fn write_each(folder: &Path, files: &[(String, Arc<[u8]>)]) -> Vec<Result<(), MailError>> {
    match write(folder, files) {
        Ok(()) => files.iter().map(|_| Ok(())).collect(),
        Err(error) if files.len() == 1 => vec![Err(error)],
        Err(_) => files.iter().map(|file| write(folder, std::slice::from_ref(file))).collect(),
    }
}

/// Writes mails, durably; a folder that is gone is not made again: it may be a disk that is not there.
fn write(folder: &Path, files: &[(String, Arc<[u8]>)]) -> Result<(), MailError> {
    fs::metadata(folder).map_err(|error| classify(folder, &error))?;
    store_batch(folder, files).map(drop).map_err(|error| match error {
        FileError::Io { path, source, .. } => classify(&path, &source),
        FileError::Name(_) => MailError::Config(error.to_string()),
    })
}

fn cut_off() -> MailError {
    MailError::Unclear("writing was cut off".to_owned())
}

/// Derived from key and recipient number, so that a repeat finds its file.
fn name_of(mail: &Composed) -> String {
    format!("{}-{}.eml", file_stem(&mail.key), mail.ordinal)
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
    let readable = if readable.is_empty() { "mail" } else { readable.as_str() };
    format!("{readable}.{}", &ids::sha256_hex(key.as_bytes())[..24])
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
        compose(&templates, samples::invoice_by_card()).unwrap().mails
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

    // One name that cannot be written stopped all mails that were written with it.
    #[tokio::test]
    async fn one_that_cannot_be_written_stops_no_other() {
        let home = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(&home.path().join("outbox")).unwrap();
        let keyed = |key: &str| Composed { key: key.to_owned(), ..mails().remove(0) };
        let all = ["a", "b", "c"].map(keyed);
        fs::create_dir(outbox.path_of(&all[1])).unwrap();
        let answers = outbox.hand_over_all(&all).await;
        assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok(), "{answers:?}");
        assert!(outbox.path_of(&all[0]).is_file() && outbox.path_of(&all[2]).is_file());
    }

    #[tokio::test]
    async fn a_folder_that_vanished_is_a_matter_of_settings() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("outbox");
        let outbox = Outbox::open(&folder).unwrap();
        fs::remove_dir(&folder).unwrap();
        let answer = outbox.send(&mails()[0]).await;
        assert!(matches!(answer, Err(MailError::Config(_))), "{answer:?}");
        fs::File::create(&folder).unwrap();
        assert!(matches!(Outbox::open(&folder), Err(MailError::Config(_))));
    }
}
