//! A line to PostgreSQL that breaks at a commit: before the server hears of it, or before the client hears back.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The end of `COMMIT` both as a simple query and as the server's answer to it.
const COMMIT: &[u8] = b"COMMIT\0";

/// When the line breaks.
#[derive(Default)]
pub struct Cutter {
    commits: AtomicUsize,
    cut_at: AtomicUsize,
    after: AtomicBool,
    cuts: AtomicUsize,
}

impl Cutter {
    /// Listens, and gives the address of a database behind it.
    pub async fn listen(self: &Arc<Self>, address: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (before, rest) = address.rsplit_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let (server, cutter) = (server.to_owned(), self.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let cutter = cutter.clone();
                tokio::spawn(async move { cutter.relay(client, server).await });
            }
        });
        format!("{before}@127.0.0.1:{port}/{name}")
    }

    /// Breaks the line once, at the `nth` commit from now, counted from 1.
    pub fn arm(&self, nth: usize, after: bool) {
        self.after.store(after, Ordering::SeqCst);
        self.commits.store(0, Ordering::SeqCst);
        self.cut_at.store(nth, Ordering::SeqCst);
    }

    /// How often it broke.
    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }

    /// Bytes both ways, until one side ends or the line breaks.
    async fn relay(&self, mut client: TcpStream, mut server: TcpStream) -> Option<()> {
        let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let said = &asked[..read.ok().filter(|read| *read > 0)?];
                    if holds_commit(said) && self.is_due() {
                        if self.after.load(Ordering::SeqCst) {
                            server.write_all(said).await.ok()?;
                            let mut heard = Vec::new();
                            while !holds_commit(&heard) {
                                let read = server.read(&mut answered).await.ok()?;
                                heard.extend_from_slice(&answered[..Some(read).filter(|read| *read > 0)?]);
                            }
                        }
                        return None;
                    }
                    server.write_all(said).await.ok()?;
                }
                read = server.read(&mut answered) => {
                    let read = read.ok().filter(|read| *read > 0)?;
                    client.write_all(&answered[..read]).await.ok()?;
                }
            }
        }
    }

    fn is_due(&self) -> bool {
        let nth = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let due = nth == self.cut_at.load(Ordering::SeqCst);
        self.cuts.fetch_add(usize::from(due), Ordering::SeqCst);
        due
    }
}

fn holds_commit(bytes: &[u8]) -> bool {
    bytes.windows(COMMIT.len()).any(|window| window == COMMIT)
}
