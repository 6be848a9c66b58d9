//! Runs a program and kills it, or fails its system calls, at the n-th call that changes the world
//! outside it: one count over all its threads.
//!
//! `monthend-tracer REPORT FAULT AT SECONDS PROGRAM ARGUMENT…`. FAULT is `log`, `kill`, `eio`, `enospc` or
//! `reset`; AT counts from 1 the calls that the fault can hit. The report says how many calls were met, at
//! which one the fault fired, and how the program ended. Exit 0: a report was written.

mod calls;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use calls::{Call, Class};

type Failure = Box<dyn std::error::Error>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Log,
    Kill,
    Eio,
    Enospc,
    Reset,
}

impl Fault {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "log" => Self::Log,
            "kill" => Self::Kill,
            "eio" => Self::Eio,
            "enospc" => Self::Enospc,
            "reset" => Self::Reset,
            _ => return None,
        })
    }

    /// Can it happen at this call?
    fn fits(self, call: &Call) -> bool {
        match self {
            Self::Log | Self::Kill => true,
            Self::Eio => call.class.is_file() || call.class == Class::Output,
            Self::Enospc => call.needs_room || call.class == Class::Output,
            Self::Reset => call.class == Class::Socket,
        }
    }

    /// Does it go on until the program ends?
    const fn stays(self) -> bool {
        matches!(self, Self::Enospc)
    }

    fn errno(self, call: &Call) -> Errno {
        match self {
            Self::Enospc => Errno::ENOSPC,
            Self::Reset if call.name == "connect" => Errno::ECONNREFUSED,
            Self::Reset => Errno::ECONNRESET,
            _ => Errno::EIO,
        }
    }
}

/// What is known of a traced process.
struct Trace {
    fault: Fault,
    at: u64,
    /// Calls met that the fault can hit.
    met: u64,
    by_class: BTreeMap<Class, u64>,
    fired: Option<Call>,
    times: u64,
    log: String,
    /// Threads in a call, with the error it is to come back with.
    inside: HashMap<Pid, Option<Errno>>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("monthend-tracer: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [report, fault, at, seconds, program @ ..] = arguments.as_slice() else {
        return Err("give REPORT FAULT AT SECONDS PROGRAM ARGUMENT…".into());
    };
    let fault = Fault::read(fault).ok_or("FAULT: log, kill, eio, enospc or reset")?;
    let mut trace = Trace {
        fault,
        at: at.parse()?,
        met: 0,
        by_class: BTreeMap::new(),
        fired: None,
        times: 0,
        log: String::new(),
        inside: HashMap::new(),
    };
    let limit = Duration::from_secs(seconds.parse()?);
    let end = trace.follow(program, limit)?;
    std::fs::File::create(report)?.write_all(trace.report(&end).as_bytes())?;
    Ok(())
}

impl Trace {
    /// Starts the program, and follows it to its end.
    fn follow(&mut self, program: &[String], limit: Duration) -> Result<String, Failure> {
        // The shell waits for a line; by then it is traced, and what it becomes is, too.
        let mut child = Command::new("sh")
            .args(["-c", "read -r _ && exec \"$0\" \"$@\" </dev/null"])
            .args(program)
            .stdin(Stdio::piped())
            .spawn()?;
        let leader = Pid::from_raw(i32::try_from(child.id())?);
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(leader, options)?;
        child.stdin.take().ok_or("no way to the shell")?.write_all(b"\n")?;
        let (ended, is_over) = mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            let late = is_over.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                let _ = kill(leader, Signal::SIGKILL);
            }
            late
        });
        let end = self.wait_for(leader)?;
        drop(ended);
        let hung = watch.join().map_err(|_| "the watch failed")?;
        Ok(if hung { "hung 0".to_owned() } else { end })
    }

    fn wait_for(&mut self, leader: Pid) -> Result<String, Failure> {
        loop {
            match waitpid(None::<Pid>, Some(WaitPidFlag::__WALL))? {
                WaitStatus::Exited(pid, code) if pid == leader => {
                    return Ok(format!("exit {code}"));
                }
                WaitStatus::Signaled(pid, signal, _) if pid == leader => {
                    return Ok(format!("signal {}", signal as i32));
                }
                WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => {
                    self.inside.remove(&pid);
                }
                WaitStatus::PtraceSyscall(pid) => {
                    alive(self.at_call(pid, leader))?;
                    alive(ptrace::syscall(pid, None))?;
                }
                WaitStatus::PtraceEvent(pid, _, event) => {
                    if event == libc::PTRACE_EVENT_EXEC {
                        // What follows is the end of the call that began this program.
                        self.inside.insert(pid, None);
                    }
                    alive(ptrace::syscall(pid, None))?;
                }
                WaitStatus::Stopped(pid, signal) => alive(ptrace::syscall(pid, signal))?,
                _ => {}
            }
        }
    }

    /// A thread stands at the entry or the end of a call.
    fn at_call(&mut self, pid: Pid, leader: Pid) -> Result<(), Errno> {
        if let Some(failing) = self.inside.remove(&pid) {
            if let Some(errno) = failing {
                let mut registers = ptrace::getregs(pid)?;
                // The kernel was told to skip the call, and says that it knows no such call.
                if registers.rax.cast_signed() != -i64::from(libc::ENOSYS) {
                    return Err(Errno::EPROTO);
                }
                registers.rax = (-i64::from(errno as i32)).cast_unsigned();
                ptrace::setregs(pid, registers)?;
                self.times += 1;
            }
            return Ok(());
        }
        let mut registers = ptrace::getregs(pid)?;
        let r = &registers;
        let arguments = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9];
        let call = calls::of(pid, r.orig_rax.cast_signed(), &arguments);
        let Some(call) = call.filter(|call| self.fault.fits(call)) else {
            self.inside.insert(pid, None);
            return Ok(());
        };
        self.met += 1;
        *self.by_class.entry(call.class).or_default() += 1;
        if self.fault == Fault::Log {
            let _ = writeln!(
                self.log,
                "log {} {} {} {}",
                self.met,
                call.name,
                call.class.name(),
                call.target.replace('\n', " ")
            );
        }
        let is_due = self.met == self.at || (self.fault.stays() && self.fired.is_some());
        if self.fault == Fault::Log || !is_due {
            self.inside.insert(pid, None);
            return Ok(());
        }
        // A call of no number: the kernel carries nothing out.
        registers.orig_rax = u64::MAX;
        ptrace::setregs(pid, registers)?;
        if self.fault == Fault::Kill {
            self.times += 1;
            kill(leader, Signal::SIGKILL)?;
            self.fired = Some(call);
        } else {
            self.inside.insert(pid, Some(self.fault.errno(&call)));
            self.fired.get_or_insert(call);
        }
        Ok(())
    }

    fn report(&self, end: &str) -> String {
        let mut text = format!("end {end}\nmet {}\n", self.met);
        for (class, count) in &self.by_class {
            let _ = writeln!(text, "class {} {count}", class.name());
        }
        if let Some(call) = &self.fired {
            let target = call.target.replace('\n', " ");
            let class = call.class.name();
            let _ = writeln!(text, "fired {} {} {class} {target}", self.times, call.name);
        }
        text.push_str(&self.log);
        text
    }
}

/// A thread that was killed meanwhile needs nothing more.
fn alive(done: Result<(), Errno>) -> Result<(), Errno> {
    match done {
        Err(Errno::ESRCH) => Ok(()),
        other => other,
    }
}
