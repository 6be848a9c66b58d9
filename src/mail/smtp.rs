//! A mail server, spoken to step by step, so that it is always known whether a mail was handed
//! over.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lettre::address::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::compose::{Composed, address};
use super::smtp_fault::{Fault, Stage};
use super::{Handed, MailError, Mailer, Secret};
use crate::domain::text;
use crate::pace::Pace;

/// Connections at once. Enough to hide round trips, few enough for every provider.
const CONNECTIONS: usize = 8;

/// Port on which TLS begins with the first byte; on all others by STARTTLS.
const IMPLICIT_TLS_PORT: u16 = 465;

/// Is the connection encrypted?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// Always, with a valid certificate; a server that cannot is refused (F79).
    #[default]
    Required,
    /// Never; only allowed to a loopback address.
    None,
}

/// How to reach the mail server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Host name or address.
    pub host: String,
    /// Port; 465 means TLS from the first byte, any other STARTTLS.
    #[serde(default = "default_port")]
    pub port: u16,
    /// User name, where the server wants one.
    #[serde(default)]
    pub username: Option<String>,
    /// The password that goes with it.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Encryption.
    #[serde(default)]
    pub tls: SmtpTls,
    /// Longest wait for one answer of the server, in seconds.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
    /// Most mails in a second; none: as many as the server takes.
    #[serde(default)]
    pub messages_per_second: Option<u32>,
    /// Name this program gives itself; none: the machine's.
    #[serde(default)]
    pub helo_name: Option<String>,
}

const fn default_port() -> u16 {
    587
}

const fn default_timeout_s() -> u64 {
    60
}

/// A mail server.
pub struct Smtp {
    config: SmtpConfig,
    hello: ClientId,
    timeout: Duration,
    permits: Semaphore,
    pace: Option<Pace>,
    /// Whose mail may be accepted now: one at a time, from the first byte of its content until its caller
    /// has committed it.
    turn: Arc<tokio::sync::Mutex<()>>,
    idle: Mutex<Vec<AsyncSmtpConnection>>,
}

impl Smtp {
    /// Checks the settings; no connection is made yet.
    ///
    /// # Errors
    /// [`MailError::Config`]: no encryption to a host that is not this machine (F79), half a login, an
    /// empty host, a zero time-out.
    pub fn new(config: SmtpConfig) -> Result<Self, MailError> {
        let refuse = |why: &str| Err(MailError::Config(why.to_owned()));
        if config.host.is_empty() || !text::is_harmless(&config.host) {
            return refuse("the mail server's host is missing");
        }
        if config.tls == SmtpTls::None && !is_loopback(&config.host) {
            return refuse("mail to another machine needs TLS; set tls = \"required\"");
        }
        if config.username.is_some() != config.password.is_some() {
            return refuse("user name and password of the mail server belong together");
        }
        if config.timeout_s == 0 {
            return refuse("timeout_s must be above zero");
        }
        let hello = config.helo_name.as_deref().map_or_else(ClientId::default, client_id);
        Ok(Self {
            hello,
            timeout: Duration::from_secs(config.timeout_s),
            permits: Semaphore::new(CONNECTIONS),
            pace: config.messages_per_second.map(Pace::new),
            turn: Arc::default(),
            idle: Mutex::new(Vec::new()),
            config,
        })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, MailError> {
        let opening = async {
            let mut connection = self.open().await?;
            if let (Some(user), Some(password)) = (&self.config.username, &self.config.password) {
                let login = Credentials::new(user.clone(), password.expose().to_owned());
                connection.auth(DEFAULT_MECHANISMS, &login).await?;
            }
            Ok(connection)
        };
        let fault = match tokio::time::timeout(self.timeout, opening).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(Opening::Io(error))) => {
                return Err(MailError::Transient(format!("cannot reach the server: {error}")));
            }
            Ok(Err(Opening::Smtp(error))) => Some(error),
            Err(_) => None,
        };
        Err(Fault { stage: Stage::Connect, error: fault }.classified())
    }

    /// Opened here rather than by the library: without `TCP_NODELAY` each mail waits for a delayed
    /// acknowledgement, some 45 ms.
    async fn open(&self) -> Result<AsyncSmtpConnection, Opening> {
        let target = (bare(&self.config.host), self.config.port);
        let tls = || TlsParameters::new(bare(&self.config.host).to_owned());
        if self.config.tls == SmtpTls::Required && self.config.port == IMPLICIT_TLS_PORT {
            let timeout = Some(self.timeout);
            let opening = AsyncSmtpConnection::connect_tokio1(
                target,
                timeout,
                &self.hello,
                Some(tls()?),
                None,
            );
            return Ok(opening.await?);
        }
        let stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        let mut connection =
            AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello).await?;
        if self.config.tls == SmtpTls::Required {
            connection.starttls(tls()?, &self.hello).await?;
        }
        Ok(connection)
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, connection: AsyncSmtpConnection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    async fn step<T>(
        &self,
        stage: Stage,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.map_err(|error| Fault { stage, error: Some(error) }),
            Err(_) => Err(Fault { stage, error: None }),
        }
    }

    async fn deliver(
        &self,
        connection: &mut AsyncSmtpConnection,
        letter: &Letter<'_>,
    ) -> Result<Handed, Fault> {
        let stage = Stage::Envelope;
        let mail = Mail::new(Some(letter.from.clone()), letter.options());
        self.step(stage, connection.command(mail)).await?;
        self.step(stage, connection.command(Rcpt::new(letter.to.clone(), Vec::new()))).await?;
        // Everything up to here goes side by side. Servers wait less long for the content than for a command.
        let turn = self.turn.clone().lock_owned().await;
        self.step(stage, connection.command(Data)).await?;
        self.step(Stage::Content, connection.message(letter.bytes)).await?;
        Ok(Handed { _turn: Some(turn) })
    }
}

#[async_trait]
impl Mailer for Smtp {
    fn name(&self) -> &'static str {
        "smtp"
    }

    fn messages_per_second(&self) -> Option<u32> {
        self.pace.as_ref().map(Pace::per_second)
    }

    async fn check(&self) -> Result<(), MailError> {
        let connection = self.connect().await?;
        self.put_back(connection);
        Ok(())
    }

    async fn hand_over(&self, mail: &Composed) -> Result<Handed, MailError> {
        let letter = Letter::of(mail)?;
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| MailError::Transient("the program is stopping".to_owned()))?;
        if let Some(pace) = &self.pace {
            pace.turn().await;
        }
        loop {
            let idle = self.take_idle();
            let is_reused = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            if letter.is_international()
                && !connection.server_info().supports_feature(Extension::SmtpUtfEight)
            {
                self.put_back(connection);
                return Err(MailError::Refused(
                    "the mail server does not take international addresses".to_owned(),
                ));
            }
            let fault = match self.deliver(&mut connection, &letter).await {
                Ok(handed) => {
                    self.put_back(connection);
                    return Ok(handed);
                }
                Err(fault) => fault,
            };
            // Servers close idle connections. The mail was not handed over, so a fresh one is tried
            // at once; the loop ends because idle connections run out.
            if is_reused && fault.is_lost() && fault.stage == Stage::Envelope {
                continue;
            }
            // A refusal leaves the connection usable for the next mail.
            if !fault.is_lost()
                && self.step(Stage::Envelope, connection.command(Rset)).await.is_ok()
            {
                self.put_back(connection);
            }
            return Err(fault.classified());
        }
    }
}

/// A mail with its addresses read.
struct Letter<'a> {
    from: Address,
    to: Address,
    bytes: &'a [u8],
}

impl<'a> Letter<'a> {
    fn of(mail: &'a Composed) -> Result<Self, MailError> {
        Ok(Self {
            from: address(&mail.envelope_from).map_err(MailError::Config)?,
            to: address(&mail.recipient).map_err(MailError::Refused)?,
            bytes: &mail.bytes,
        })
    }

    fn is_international(&self) -> bool {
        [&self.from, &self.to].iter().any(|address| !AsRef::<str>::as_ref(*address).is_ascii())
            || !self.bytes.is_ascii()
    }

    fn options(&self) -> Vec<MailParameter> {
        if self.is_international() { vec![MailParameter::SmtpUtfEight] } else { Vec::new() }
    }
}

/// What can go wrong on the way to a connection.
enum Opening {
    Io(std::io::Error),
    Smtp(Error),
}

impl From<std::io::Error> for Opening {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Error> for Opening {
    fn from(error: Error) -> Self {
        Self::Smtp(error)
    }
}

/// Does this host name certainly mean this machine?
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || bare(host).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn client_id(name: &str) -> ClientId {
    match bare(name).parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ClientId::Ipv4(ip),
        Ok(IpAddr::V6(ip)) => ClientId::Ipv6(ip),
        Err(_) => ClientId::Domain(text::cleaned(name).replace(' ', "-")),
    }
}
