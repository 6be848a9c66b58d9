//! Mail servers whose encryption is not what it should be (F79).

use std::sync::{Arc, Mutex};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::super::{MailError, Mailer, Secret, Smtp, SmtpConfig, SmtpTls, samples};
use super::composed;

/// What a server heard, in order; the end of its handshake is a word of its own.
type Heard = Arc<Mutex<Vec<String>>>;

/// A key of nobody's, and two certificates of an authority nobody knows: for 127.0.0.1, and for another host.
const KEY: &[u8] = include_bytes!("../../../tests/data/nobody.key.der");
const CERTIFICATES: [&[u8]; 2] = [
    include_bytes!("../../../tests/data/nobody-127.0.0.1.crt.der"),
    include_bytes!("../../../tests/data/nobody-mail.example.crt.der"),
];

/// A server that offers STARTTLS and shows a certificate.
async fn start(certificate: &'static [u8]) -> (u16, Heard) {
    let key = PrivateKeyDer::try_from(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate)], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let shared = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, heard) = (acceptor.clone(), Arc::clone(&shared));
            tokio::spawn(async move { talk(stream, acceptor, heard).await });
        }
    });
    (port, heard)
}

async fn talk(mut stream: TcpStream, acceptor: TlsAcceptor, heard: Heard) -> Option<()> {
    stream.write_all(b"220 test ESMTP\r\n").await.ok()?;
    loop {
        let line = line(&mut stream).await?;
        heard.lock().unwrap().push(line.clone());
        let answer: &[u8] = match line.as_str() {
            "STARTTLS" => b"220 go on\r\n",
            _ if line.starts_with("EHLO") => b"250-test\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).await.ok()?;
        if line == "STARTTLS" {
            break;
        }
    }
    match acceptor.accept(stream).await {
        Err(error) => heard.lock().unwrap().push(format!("refused: {error}")),
        Ok(mut stream) => {
            heard.lock().unwrap().push("accepted".to_owned());
            while let Some(line) = line(&mut stream).await {
                heard.lock().unwrap().push(line);
            }
        }
    }
    Some(())
}

/// One line, byte by byte: nothing of the handshake after it is read.
async fn line(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut line = Vec::new();
    let read = BufReader::with_capacity(1, stream).read_until(b'\n', &mut line).await.ok()?;
    (read > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
}

// F79: with STARTTLS and a certificate of an unknown authority, whether it names this host or another one, neither
// the login nor a mail is said, and it is told as a matter of settings.
#[tokio::test]
async fn a_wrong_certificate_is_told_nothing() {
    for (place, certificate) in CERTIFICATES.into_iter().enumerate() {
        let (port, heard) = start(certificate).await;
        let smtp = Smtp::new(SmtpConfig {
            host: "127.0.0.1".to_owned(),
            port,
            username: Some("user".to_owned()),
            password: Some(Secret::new("CANARY")),
            tls: SmtpTls::Required,
            timeout_s: 30,
            messages_per_second: None,
            helo_name: Some("test.example".to_owned()),
        });
        let answer = smtp.unwrap().send(&composed(&samples::invoice_by_card())).await;
        assert!(matches!(answer, Err(MailError::Config(_))), "{place}: {answer:?}");
        let heard = heard.lock().unwrap().clone();
        assert_eq!(heard[..2], ["EHLO test.example", "STARTTLS"], "{place}: {heard:?}");
        assert!(heard[2..].iter().all(|word| word.starts_with("refused: ")), "{place}: {heard:?}");
    }
}
