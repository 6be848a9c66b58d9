//! Both ends of HTTP on the loopback: a receiver of webhooks, and a client that says what it is told to.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A secret of tests.
pub const SECRET: [u8; 32] = *b"an-endpoint's-secret-of-32-bytes";

/// A secret as it is configured.
pub fn whsec(secret: [u8; 32]) -> String {
    format!("whsec_{}", STANDARD.encode(secret))
}

/// A message as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
}

impl Received {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// Is it signed with a secret? HMAC from its definition, independent of the product's.
    pub fn is_signed_with(&self, secret: [u8; 32]) -> bool {
        let signed = format!("{}.{}.{}", self.id(), self.headers["webhook-timestamp"], self.body);
        let pad = |byte: u8| {
            let mut block = [byte; 64];
            block.iter_mut().zip(secret).for_each(|(block, key)| *block ^= key);
            block
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(signed).finalize();
        let mac = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
        let wanted = format!("v1,{}", STANDARD.encode(mac));
        self.headers["webhook-signature"].split(' ').any(|signature| signature == wanted)
    }
}

#[derive(Default)]
struct Inbox {
    answer: u16,
    got: Vec<Received>,
}

/// An endpoint that keeps what it gets and answers as it is told.
pub struct Receiver {
    /// Its address.
    pub url: String,
    inbox: Arc<Mutex<Inbox>>,
}

impl Receiver {
    /// Listens on a port of its own.
    pub async fn new() -> Self {
        let inbox = Arc::new(Mutex::new(Inbox { answer: 204, got: Vec::new() }));
        let keeps = inbox.clone();
        let router = Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
            let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
            let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value)));
            let body = String::from_utf8(body.to_vec()).unwrap();
            let mut inbox = keeps.lock().unwrap();
            inbox.got.push(Received { headers: headers.collect(), body });
            StatusCode::from_u16(inbox.answer).unwrap()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?token=canary", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inbox }
    }

    /// From now on it answers so.
    pub fn answers(&self, status: u16) {
        self.inbox.lock().unwrap().answer = status;
    }

    /// What arrived since this was last asked.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.inbox.lock().unwrap().got)
    }
}

/// An answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// Its body, as JSON.
    pub body: Value,
}

/// One connection to a server.
pub struct Client(TcpStream);

impl Client {
    /// Connects.
    pub async fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Sends bytes and nothing else.
    pub async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Asks for a path, with a token or none.
    pub async fn get(&mut self, path: &str, token: Option<&str>) -> Answer {
        let authorization =
            token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
        self.say(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{authorization}\r\n")).await;
        self.answer().await.unwrap()
    }

    /// The next answer; none: the server closed the connection.
    pub async fn answer(&mut self) -> Option<Answer> {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = head.to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                if body.len() >= length {
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    let body = serde_json::from_str(body).unwrap_or(Value::Null);
                    return Some(Answer { status, head, body });
                }
            }
            let mut more = [0; 4_096];
            match self.0.read(&mut more).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => bytes.extend_from_slice(&more[..read]),
            }
        }
    }
}
