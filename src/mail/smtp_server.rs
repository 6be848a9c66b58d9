//! A mail server for tests: speaks just enough SMTP on loopback, and misbehaves on command.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the server does instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misbehaviour {
    /// Answers with this line.
    Says(&'static str),
    /// Closes the connection without an answer.
    Drops,
}

/// When it misbehaves: at a verb (`GREETING`, `EHLO`, `AUTH`, `MAIL`, `RCPT`, `DATA`, `CONTENT`,
/// `RSET`), and only if the line holds a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) verb: &'static str,
    pub(crate) only_with: &'static str,
    pub(crate) what: Misbehaviour,
    /// How many times; then it behaves.
    pub(crate) times: usize,
}

impl Fault {
    pub(crate) fn always(verb: &'static str, what: Misbehaviour) -> Self {
        Self { verb, only_with: "", what, times: usize::MAX }
    }
}

/// What the server saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    /// Recipient and content of each accepted mail, with the dots unstuffed.
    pub(crate) mails: Vec<(String, Vec<u8>)>,
    pub(crate) commands: Vec<String>,
    faults: Vec<Fault>,
}

impl Seen {
    /// From now on, drops the connection once at this verb.
    pub(crate) fn break_next(&mut self, verb: &'static str) {
        let fault = Fault::always(verb, Misbehaviour::Drops);
        self.faults.push(Fault { times: 1, ..fault });
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(faults: &[Fault]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen { faults: faults.to_vec(), ..Seen::default() }));
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                tokio::spawn(
                    Session { stream: BufReader::new(stream), seen: shared.clone() }.run(),
                );
            }
        });
        Self { port, seen, task }
    }

    pub(crate) fn recipients(&self) -> Vec<String> {
        self.seen.lock().unwrap().mails.iter().map(|(recipient, _)| recipient.clone()).collect()
    }
}

struct Session {
    stream: BufReader<TcpStream>,
    seen: Arc<Mutex<Seen>>,
}

impl Session {
    async fn run(mut self) -> Option<()> {
        self.answer("GREETING", "", "220 test ESMTP").await?;
        let mut recipient = String::new();
        loop {
            let line = String::from_utf8_lossy(&self.line().await?).trim_end().to_owned();
            self.seen.lock().unwrap().commands.push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_owned();
            let usual = match verb.as_str() {
                "EHLO" => "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN",
                "AUTH" => "235 welcome",
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            let is_accepted = self.answer(&verb, &line, usual).await?;
            match verb.as_str() {
                "RCPT" if is_accepted => recipient = line,
                "DATA" if is_accepted => self.content(&recipient).await?,
                "QUIT" => return None,
                _ => {}
            }
        }
    }

    /// `None` ends the session; else whether the usual answer was given.
    async fn answer(&mut self, verb: &str, line: &str, usual: &str) -> Option<bool> {
        let fault = {
            let mut seen = self.seen.lock().unwrap();
            let fault = seen.faults.iter_mut().find(|fault| {
                fault.verb == verb && fault.times > 0 && line.contains(fault.only_with)
            });
            fault.map(|fault| {
                fault.times -= 1;
                fault.what
            })
        };
        let reply = match fault {
            Some(Misbehaviour::Drops) => return None,
            Some(Misbehaviour::Says(reply)) => reply,
            None => usual,
        };
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        Some(fault.is_none())
    }

    async fn content(&mut self, recipient: &str) -> Option<()> {
        let mut content = Vec::new();
        loop {
            let line = self.line().await?;
            if line == b".\r\n" {
                break;
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        // Taken before it is answered: a dropped answer is a mail that arrived.
        let mail = (recipient.to_owned(), content);
        self.seen.lock().unwrap().mails.push(mail);
        if self.answer("CONTENT", "", "250 queued").await? {
            return Some(());
        }
        self.seen.lock().unwrap().mails.pop();
        Some(())
    }

    async fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let length = self.stream.read_until(b'\n', &mut line).await.ok()?;
        (length > 0).then_some(line)
    }
}
