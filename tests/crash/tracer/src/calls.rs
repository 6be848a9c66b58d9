//! Which system calls change the world outside the process, and what they touch.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use nix::libc;
use nix::unistd::Pid;

/// Where a call's target is named.
#[derive(Clone, Copy)]
enum Target {
    /// A file descriptor in an argument.
    Fd(usize),
    /// A path in an argument, from the folder it works in.
    Path(usize),
    /// A folder's descriptor, and a path from there in the next argument.
    At(usize),
    /// The whole machine.
    Machine,
}

/// What is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Database,
    Wal,
    Shm,
    Document,
    Outbox,
    Journal,
    Home,
    Socket,
    Output,
    Elsewhere,
}

impl Class {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Database => "db",
            Self::Wal => "wal",
            Self::Shm => "shm",
            Self::Document => "document",
            Self::Outbox => "outbox",
            Self::Journal => "journal",
            Self::Home => "home",
            Self::Socket => "socket",
            Self::Output => "output",
            Self::Elsewhere => "elsewhere",
        }
    }

    pub const fn is_file(self) -> bool {
        !matches!(self, Self::Socket | Self::Output)
    }
}

/// One call at its entry.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: &'static str,
    pub class: Class,
    pub target: String,
    /// Can a full disk make it fail?
    pub needs_room: bool,
}

/// Flags of `open` that make or cut a file.
const CHANGES: i32 = libc::O_CREAT | libc::O_TRUNC;

/// The call of a stopped thread, if it is one that changes the world outside the process.
/// `number` and `arguments` are its registers.
pub fn of(pid: Pid, number: i64, arguments: &[u64; 6]) -> Option<Call> {
    let flags = |index: usize| (arguments[index] & 0xffff_ffff) as i32 & CHANGES != 0;
    let (name, target, needs_room) = match number {
        libc::SYS_write => ("write", Target::Fd(0), true),
        libc::SYS_pwrite64 => ("pwrite64", Target::Fd(0), true),
        libc::SYS_writev => ("writev", Target::Fd(0), true),
        libc::SYS_pwritev => ("pwritev", Target::Fd(0), true),
        libc::SYS_pwritev2 => ("pwritev2", Target::Fd(0), true),
        libc::SYS_fsync => ("fsync", Target::Fd(0), true),
        libc::SYS_fdatasync => ("fdatasync", Target::Fd(0), true),
        libc::SYS_syncfs => ("syncfs", Target::Fd(0), true),
        libc::SYS_sync_file_range => ("sync_file_range", Target::Fd(0), true),
        libc::SYS_sync => ("sync", Target::Machine, false),
        libc::SYS_ftruncate => ("ftruncate", Target::Fd(0), true),
        libc::SYS_truncate => ("truncate", Target::Path(0), true),
        libc::SYS_fallocate => ("fallocate", Target::Fd(0), true),
        libc::SYS_sendfile => ("sendfile", Target::Fd(0), true),
        libc::SYS_copy_file_range => ("copy_file_range", Target::Fd(2), true),
        libc::SYS_fchmod => ("fchmod", Target::Fd(0), false),
        libc::SYS_chmod => ("chmod", Target::Path(0), false),
        libc::SYS_fchmodat => ("fchmodat", Target::At(0), false),
        libc::SYS_open if flags(1) => ("open", Target::Path(0), true),
        libc::SYS_creat => ("creat", Target::Path(0), true),
        libc::SYS_openat if flags(2) => ("openat", Target::At(0), true),
        libc::SYS_mkdir => ("mkdir", Target::Path(0), true),
        libc::SYS_mkdirat => ("mkdirat", Target::At(0), true),
        libc::SYS_rename => ("rename", Target::Path(1), true),
        libc::SYS_renameat => ("renameat", Target::At(2), true),
        libc::SYS_renameat2 => ("renameat2", Target::At(2), true),
        libc::SYS_link => ("link", Target::Path(1), true),
        libc::SYS_linkat => ("linkat", Target::At(2), true),
        libc::SYS_symlink => ("symlink", Target::Path(1), true),
        libc::SYS_symlinkat => ("symlinkat", Target::At(1), true),
        libc::SYS_unlink => ("unlink", Target::Path(0), false),
        libc::SYS_unlinkat => ("unlinkat", Target::At(0), false),
        libc::SYS_rmdir => ("rmdir", Target::Path(0), false),
        libc::SYS_connect => ("connect", Target::Fd(0), false),
        libc::SYS_sendto => ("sendto", Target::Fd(0), false),
        libc::SYS_sendmsg => ("sendmsg", Target::Fd(0), false),
        libc::SYS_sendmmsg => ("sendmmsg", Target::Fd(0), false),
        libc::SYS_shutdown => ("shutdown", Target::Fd(0), false),
        _ => return None,
    };
    let (class, target) = match target {
        Target::Machine => (Class::Elsewhere, String::new()),
        Target::Fd(index) => descriptor(pid, arguments[index])?,
        Target::Path(index) => {
            let path = text(pid, arguments[index]);
            (class_of(&path), path)
        }
        Target::At(index) => {
            let mut path = text(pid, arguments[index + 1]);
            if !path.starts_with('/') {
                let folder = (arguments[index] & 0xffff_ffff) as i32;
                path = format!("{}/{path}", link(pid, folder));
            }
            (class_of(&path), path)
        }
    };
    Some(Call { name, class, target, needs_room: needs_room && class.is_file() })
}

/// What a descriptor leads to; none: nothing outside the process, such as a thread's alarm clock.
fn descriptor(pid: Pid, fd: u64) -> Option<(Class, String)> {
    let fd = (fd & 0xffff_ffff) as i32;
    let target = link(pid, fd);
    if matches!(fd, 1 | 2) {
        return Some((Class::Output, target));
    }
    if target.starts_with("socket:") {
        return Some((Class::Socket, target));
    }
    if target.starts_with("anon_inode:") || target.starts_with("pipe:") {
        return None;
    }
    Some((class_of(&target), target))
}

fn link(pid: Pid, fd: i32) -> String {
    let place = match fd {
        libc::AT_FDCWD => format!("/proc/{pid}/cwd"),
        _ => format!("/proc/{pid}/fd/{fd}"),
    };
    std::fs::read_link(place).map(|to| to.display().to_string()).unwrap_or_default()
}

fn class_of(path: &str) -> Class {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name.strip_prefix("monthend.db") {
        Some("-wal") => return Class::Wal,
        Some("-shm") => return Class::Shm,
        Some(_) => return Class::Database,
        None => {}
    }
    if path.contains("/home/documents") {
        Class::Document
    } else if path.contains("/home/outbox") {
        Class::Outbox
    } else if name == "sandbox-journal.jsonl" {
        Class::Journal
    } else if path.contains("/home") {
        Class::Home
    } else {
        Class::Elsewhere
    }
}

/// The text at an address of the stopped process.
fn text(pid: Pid, address: u64) -> String {
    let mut bytes = vec![0; 512];
    let read = File::open(format!("/proc/{pid}/mem"))
        .and_then(|memory| memory.read_at(&mut bytes, address))
        .unwrap_or_default();
    bytes.truncate(read);
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
