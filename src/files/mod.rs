//! Durable storage of documents: a file is there whole or not at all, whatever crashes when.
//!
//! Files are written under a temporary name in their folder, synced once for the whole batch,
//! renamed, and the folder is synced. Folders are made with mode 0700, files with 0600. Below the
//! given folder no symbolic link is followed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use rustix::fs::{self as unix, AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// How temporary names begin; no document's name begins with a dot.
const TEMPORARY: &str = ".monthend-tmp-";
/// Longest part of a name between slashes, in bytes.
const MAX_PART: usize = 200;
/// Most folders below the given one.
const MAX_DEPTH: usize = 8;

/// Makes temporary names of this process differ.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Why a file is not stored.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A name that could leave the folder or hide in it.
    #[error(
        "{0:?} is not a file name for documents (letters, digits, `.`, `_`, `-`; parts between \
         slashes of at most 200 bytes that do not begin with a dot)"
    )]
    Name(String),
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}; {advice}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> FileError {
    let path = path.to_owned();
    move |errno| {
        let advice = match errno {
            Errno::NOSPC | Errno::DQUOT => "free disk space, then run again",
            Errno::ACCESS | Errno::PERM | Errno::ROFS => {
                "give the user that runs this write access to the folder, then run again"
            }
            Errno::LOOP | Errno::NOTDIR => "remove the link or file that stands in the way",
            _ => "check the disk, then run again",
        };
        FileError::Io { action, path, source: errno.into(), advice }
    }
}

fn failed_io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FileError {
    let failed = failed(action, path);
    move |error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// An open folder.
struct Folder {
    path: PathBuf,
    fd: OwnedFd,
}

/// A file written under its temporary name.
struct Pending {
    folder: String,
    temporary: String,
    name: String,
}

/// Stores a batch of files below a folder and returns how many were new or changed.
///
/// A file that is already there with the same content is left as it is. When this returns `Ok`,
/// every file survives a power cut. After an error some files may be stored; storing again is safe.
///
/// # Errors
/// A name that is not safe (nothing is written then), or the file system refuses.
pub fn store_batch<N, B>(dir: &Path, files: &[(N, B)]) -> Result<usize, FileError>
where
    N: AsRef<str>,
    B: AsRef<[u8]>,
{
    let mut split = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        split.push((split_name(name.as_ref())?, bytes.as_ref()));
    }
    let root = open_root(dir)?;
    let mut folders = BTreeMap::new();
    for ((folder, _), _) in &split {
        if !folders.contains_key(*folder) {
            folders.insert((*folder).to_owned(), open_below(&root, folder)?);
        }
    }
    put_in_place(&folders, &split, |pending| sync_data(&root, &folders, pending))
}

/// Writes under temporary names, syncs, renames, syncs the folders. Gives how many files were new or changed.
fn put_in_place(
    folders: &BTreeMap<String, Folder>,
    files: &[Split<'_>],
    sync: impl FnOnce(&[Pending]) -> Result<(), FileError>,
) -> Result<usize, FileError> {
    let mut pending = Vec::new();
    let result = write_all(folders, files, &mut pending)
        .and_then(|()| sync(&pending))
        .and_then(|()| rename_all(folders, &pending));
    if result.is_err() {
        discard(folders, &pending);
    }
    result?;
    for folder in folders.values() {
        unix::fsync(&folder.fd).map_err(failed("sync", &folder.path))?;
    }
    Ok(pending.len())
}

/// Writes one file durably, in place of what stands there; its folder is made if need be.
///
/// # Errors
/// The path has no file name, or the file system refuses.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| FileError::Name(path.display().to_string()))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folders = BTreeMap::from([(String::new(), open_root(dir)?)]);
    put_in_place(&folders, &[(("", name), bytes)], |pending| sync_each(&folders, pending))?;
    Ok(())
}

/// Removes temporary files that a crash left below a folder, if they were last written before an
/// instant (choose one before any running batch began). Returns how many.
///
/// # Errors
/// The file system refuses.
pub fn sweep_temporaries(dir: &Path, older_than: DateTime<Utc>) -> Result<usize, FileError> {
    sweep(dir, SystemTime::from(older_than), MAX_DEPTH)
}

/// The same in a folder itself, and nowhere below it.
///
/// # Errors
/// The file system refuses.
pub fn sweep_temporaries_in(dir: &Path, older_than: DateTime<Utc>) -> Result<usize, FileError> {
    sweep(dir, SystemTime::from(older_than), 0)
}

fn sweep(dir: &Path, older_than: SystemTime, depth: usize) -> Result<usize, FileError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed_io("list", dir)(error)),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(failed_io("list", dir))?;
        let path = entry.path();
        // Not of the target: a link is neither followed nor removed.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let is_temporary =
            || kind.is_file() && entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        // Only what may be removed is looked at closer: an outbox holds very many files.
        let is_old = || {
            let metadata = path.symlink_metadata().and_then(|metadata| metadata.modified());
            metadata.is_ok_and(|at| at < older_than)
        };
        if kind.is_dir() && depth > 0 {
            removed += sweep(&path, older_than, depth - 1)?;
        } else if is_temporary() && is_old() {
            match std::fs::remove_file(&path) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed_io("remove", &path)(error)),
            }
        }
    }
    Ok(removed)
}

/// Splits a relative name into folder and file name, if every part is safe.
fn split_name(name: &str) -> Result<(&str, &str), FileError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let safe = |part: &str| {
        !part.is_empty()
            && part.len() <= MAX_PART
            && !part.starts_with('.')
            && part.bytes().all(plain)
    };
    if !name.split('/').all(safe) || name.split('/').count() > MAX_DEPTH {
        return Err(FileError::Name(name.chars().take(MAX_PART).collect()));
    }
    Ok(name.rsplit_once('/').unwrap_or(("", name)))
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn open_root(dir: &Path) -> Result<Folder, FileError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir).map_err(failed_io("make the folder", dir))?;
    let fd = unix::open(dir, DIRECTORY, Mode::empty()).map_err(failed("open the folder", dir))?;
    Ok(Folder { path: dir.to_owned(), fd })
}

/// Opens a folder below the root, part by part, making what is missing.
fn open_below(root: &Folder, name: &str) -> Result<Folder, FileError> {
    let fd = root.fd.try_clone().map_err(failed_io("open the folder", &root.path))?;
    let mut folder = Folder { path: root.path.clone(), fd };
    for part in name.split('/').filter(|part| !part.is_empty()) {
        let path = folder.path.join(part);
        match unix::mkdirat(&folder.fd, part, Mode::RWXU) {
            Ok(()) => unix::fsync(&folder.fd).map_err(failed("sync", &folder.path))?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make the folder", &path)(errno)),
        }
        let fd = unix::openat(&folder.fd, part, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
            .map_err(failed("open the folder", &path))?;
        folder = Folder { path, fd };
    }
    Ok(folder)
}

type Split<'a> = ((&'a str, &'a str), &'a [u8]);

fn write_all(
    folders: &BTreeMap<String, Folder>,
    files: &[Split<'_>],
    pending: &mut Vec<Pending>,
) -> Result<(), FileError> {
    for ((folder_name, name), bytes) in files {
        let Some(folder) = folders.get(*folder_name) else {
            continue;
        };
        if holds(folder, name, bytes) {
            continue;
        }
        let (temporary, fd) = create(folder)?;
        let path = folder.path.join(&temporary);
        pending.push(Pending {
            folder: (*folder_name).to_owned(),
            temporary,
            name: (*name).to_owned(),
        });
        File::from(fd).write_all(bytes).map_err(failed_io("write", &path))?;
    }
    Ok(())
}

/// Does an ordinary file of that name already hold these bytes?
fn holds(folder: &Folder, name: &str, bytes: &[u8]) -> bool {
    // A pipe of that name must not keep us waiting.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(fd) = unix::openat(&folder.fd, name, flags, Mode::empty()) else {
        return false;
    };
    let file = File::from(fd);
    let same_length = file.metadata().is_ok_and(|metadata| {
        metadata.is_file() && metadata.len() == u64::try_from(bytes.len()).unwrap_or(u64::MAX)
    });
    let mut present = Vec::new();
    same_length
        && file.take(length_limit(bytes)).read_to_end(&mut present).is_ok()
        && present == bytes
}

/// One byte more than expected, so that a file that grew differs.
fn length_limit(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX).saturating_add(1)
}

fn create(folder: &Folder) -> Result<(String, OwnedFd), FileError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("{TEMPORARY}{}-{count}", std::process::id());
        match unix::openat(&folder.fd, &temporary, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => return Ok((temporary, fd)),
            // Left by an earlier process with the same number.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("write to the folder", &folder.path)(errno)),
        }
    }
}

/// One sync of the file system is far cheaper than one for each of thousands of files.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn sync_data(
    root: &Folder,
    folders: &BTreeMap<String, Folder>,
    pending: &[Pending],
) -> Result<(), FileError> {
    const WORTH_A_SYNCFS: usize = 4;
    if pending.len() < WORTH_A_SYNCFS {
        return sync_each(folders, pending);
    }
    unix::syncfs(&root.fd).map_err(failed("sync", &root.path))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn sync_data(
    _root: &Folder,
    folders: &BTreeMap<String, Folder>,
    pending: &[Pending],
) -> Result<(), FileError> {
    sync_each(folders, pending)
}

fn sync_each(folders: &BTreeMap<String, Folder>, pending: &[Pending]) -> Result<(), FileError> {
    for file in pending {
        let Some(folder) = folders.get(&file.folder) else {
            continue;
        };
        let path = folder.path.join(&file.temporary);
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = unix::openat(&folder.fd, &file.temporary, flags, Mode::empty())
            .map_err(failed("open", &path))?;
        unix::fsync(&fd).map_err(failed("sync", &path))?;
    }
    Ok(())
}

fn rename_all(folders: &BTreeMap<String, Folder>, pending: &[Pending]) -> Result<(), FileError> {
    for file in pending {
        if let Some(folder) = folders.get(&file.folder) {
            unix::renameat(&folder.fd, &file.temporary, &folder.fd, &file.name)
                .map_err(failed("put in place", &folder.path.join(&file.name)))?;
        }
    }
    Ok(())
}

/// Removes temporary files after an error; what cannot be removed is swept later.
fn discard(folders: &BTreeMap<String, Folder>, pending: &[Pending]) {
    for file in pending {
        if let Some(folder) = folders.get(&file.folder) {
            let _ = unix::unlinkat(&folder.fd, &file.temporary, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests;
