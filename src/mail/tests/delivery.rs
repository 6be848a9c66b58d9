//! Mails on their way to a server that misbehaves (F75, F77, F79).

use std::sync::Arc;

use super::super::smtp_server::Misbehaviour::{self, Drops, Says};
use super::super::smtp_server::{Fault, Server};
use super::super::{
    Composed, MailError, Mailer, Secret, Smtp, SmtpConfig, SmtpTls, Templates, compose, samples,
};
use super::composed;

fn config(port: u16) -> SmtpConfig {
    SmtpConfig {
        host: "127.0.0.1".to_owned(),
        port,
        username: None,
        password: None,
        tls: SmtpTls::None,
        timeout_s: 30,
        messages_per_second: None,
        helo_name: Some("test.example".to_owned()),
    }
}

fn with_login(port: u16) -> SmtpConfig {
    SmtpConfig {
        username: Some("user".to_owned()),
        password: Some(Secret::new("CANARY")),
        ..config(port)
    }
}

fn mail() -> Composed {
    composed(&samples::invoice_by_card())
}

fn word(answer: &Result<(), MailError>) -> &'static str {
    match answer {
        Ok(()) => "ok",
        Err(MailError::Refused(_)) => "refused",
        Err(MailError::Transient(_)) => "transient",
        Err(MailError::Unclear(_)) => "unclear",
        Err(MailError::Config(_)) => "config",
    }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_composed() {
    let server = Server::start(&[]).await;
    let smtp = Smtp::new(with_login(server.port)).unwrap();
    let mut dotted = mail();
    let body = [&dotted.bytes[..], b"\r\n.\r\n..x\r\n"].concat();
    dotted.bytes = body.clone().into();
    smtp.send(&dotted).await.unwrap();
    smtp.send(&mail()).await.unwrap();
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.connections, 1, "the connection is kept");
    assert_eq!(seen.mails.len(), 2);
    assert!(seen.mails[0].1.starts_with(&body), "dots are not lost");
    assert_eq!(seen.mails[0].0, "RCPT TO:<finance@acme.example>");
}

// F11: eight mails go side by side, but a kill must not find two that were accepted and not committed.
#[tokio::test]
async fn no_mail_is_accepted_while_another_waits_for_its_commit() {
    let server = Server::start(&[]).await;
    let smtp = Arc::new(Smtp::new(config(server.port)).unwrap());
    let handed = smtp.hand_over(&mail()).await.unwrap();
    let second = tokio::spawn({
        let smtp = smtp.clone();
        async move { smtp.hand_over(&mail()).await }
    });
    // The second gets as far as its recipient, and waits there.
    let recipients = |seen: &[String]| seen.iter().filter(|it| it.starts_with("RCPT")).count();
    while recipients(&server.seen.lock().unwrap().commands) < 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.recipients().len(), 1, "accepted before the first was committed");
    drop(handed);
    second.await.unwrap().unwrap();
    assert_eq!(server.recipients().len(), 2);
}

// F75: each verb × each fault, on a first connection.
#[tokio::test]
async fn each_verb_may_fail_in_each_way() {
    let faults: [(Misbehaviour, [&str; 7]); 4] = [
        // GREETING, EHLO, AUTH, MAIL, RCPT, DATA, CONTENT
        (Says("451 later"), ["transient"; 7]),
        (
            Says("550 no"),
            ["config", "config", "config", "refused", "refused", "refused", "refused"],
        ),
        (
            Drops,
            [
                "transient",
                "transient",
                "transient",
                "transient",
                "transient",
                "transient",
                "unclear",
            ],
        ),
        (
            Says("what?"),
            [
                "transient",
                "transient",
                "transient",
                "transient",
                "transient",
                "transient",
                "unclear",
            ],
        ),
    ];
    let verbs = ["GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "CONTENT"];
    for (what, expected) in faults {
        for (verb, expected) in verbs.into_iter().zip(expected) {
            let server = Server::start(&[Fault::always(verb, what)]).await;
            let smtp = Smtp::new(with_login(server.port)).unwrap();
            let answer = smtp.send(&mail()).await;
            assert_eq!(word(&answer), expected, "{verb} {what:?}: {answer:?}");
            let text = format!("{answer:?}");
            assert!(!text.contains("CANARY") && !text.contains('@'), "{text}");
        }
    }
}

// F75: the same bytes again, so the receiver can tell.
#[tokio::test]
async fn after_an_unclear_answer_the_same_message_id_is_sent() {
    let once = Fault { times: 1, ..Fault::always("CONTENT", Drops) };
    let server = Server::start(&[once]).await;
    let smtp = Smtp::new(config(server.port)).unwrap();
    assert_eq!(word(&smtp.send(&mail()).await), "unclear");
    assert_eq!(word(&smtp.send(&mail()).await), "ok");
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.mails.len(), 2);
    assert_eq!(seen.mails[0].1, seen.mails[1].1);
    let line = format!("Message-ID: {}", mail().message_id);
    assert!(String::from_utf8_lossy(&seen.mails[0].1).contains(&line));
}

#[tokio::test]
async fn a_connection_that_went_stale_is_replaced() {
    let server = Server::start(&[]).await;
    let smtp = Smtp::new(config(server.port)).unwrap();
    smtp.send(&mail()).await.unwrap();
    server.seen.lock().unwrap().break_next("MAIL");
    smtp.send(&mail()).await.unwrap();
    let seen = server.seen.lock().unwrap();
    assert_eq!((seen.connections, seen.mails.len()), (2, 2));
}

// F77
#[tokio::test]
async fn one_refused_recipient_stops_no_other() {
    let refused = Fault {
        only_with: "finance@acme.example",
        ..Fault::always("RCPT", Says("550 5.1.1 <finance@acme.example> unknown"))
    };
    let server = Server::start(&[refused]).await;
    let smtp = Smtp::new(config(server.port)).unwrap();
    let templates = Templates::load(None).unwrap();
    let mut answers = Vec::new();
    for mail in compose(&templates, samples::invoice_by_card()).unwrap().mails {
        answers.push(smtp.send(&mail).await);
    }
    assert_eq!(answers.iter().map(word).collect::<Vec<_>>(), ["refused", "ok"]);
    assert!(!format!("{answers:?}").contains("acme.example"), "{answers:?}");
    assert_eq!(server.recipients(), ["RCPT TO:<cfo@acme.example>"]);
    assert_eq!(server.seen.lock().unwrap().connections, 1, "a refusal keeps the connection");
}

#[tokio::test]
async fn a_refusal_that_cannot_be_reset_drops_the_connection() {
    let faults = [
        Fault { times: 1, ..Fault::always("RCPT", Says("450 busy")) },
        Fault { times: 1, ..Fault::always("RSET", Drops) },
    ];
    let server = Server::start(&faults).await;
    let smtp = Smtp::new(config(server.port)).unwrap();
    assert_eq!(word(&smtp.send(&mail()).await), "transient");
    assert_eq!(word(&smtp.send(&mail()).await), "ok");
    assert_eq!(server.seen.lock().unwrap().connections, 2);
}

#[tokio::test]
async fn many_mails_share_few_connections() {
    let server = Server::start(&[]).await;
    let smtp = Arc::new(Smtp::new(config(server.port)).unwrap());
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let smtp = Arc::clone(&smtp);
        sends.spawn(async move { smtp.send(&mail()).await });
    }
    assert!(sends.join_all().await.iter().all(Result::is_ok));
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.mails.len(), 100);
    assert!(seen.connections <= 8, "{} connections", seen.connections);
}

// The library calls a refused connection neither permanent nor transient.
#[tokio::test]
async fn nobody_listening_is_transient() {
    let port = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let smtp = Smtp::new(config(port)).unwrap();
    assert_eq!(word(&smtp.send(&mail()).await), "transient");
    assert_eq!(word(&smtp.check().await), "transient");
}

// F79
#[tokio::test]
async fn without_tls_nothing_is_said_but_hello() {
    let server = Server::start(&[]).await;
    let required = SmtpConfig { tls: SmtpTls::Required, ..with_login(server.port) };
    let smtp = Smtp::new(required).unwrap();
    assert_eq!(word(&smtp.send(&mail()).await), "config");
    let seen = server.seen.lock().unwrap();
    assert!(seen.commands.iter().all(|c| c.starts_with("EHLO")), "{:?}", seen.commands);
}

// F79
#[test]
fn plain_text_is_for_this_machine_only() {
    let host = |host: &str| Smtp::new(SmtpConfig { host: host.to_owned(), ..config(25) });
    for near in ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LOCALHOST"] {
        assert!(host(near).is_ok(), "{near}");
    }
    for far in
        ["", "mail.example", "10.0.0.1", "0.0.0.0", "localhost.evil.example", "127.0.0.1.evil"]
    {
        assert!(matches!(host(far), Err(MailError::Config(_))), "{far}");
    }
    let half = SmtpConfig { username: Some("u".to_owned()), ..config(25) };
    assert!(Smtp::new(half).is_err());
}

// F76: addresses are checked again at the door, whoever made them.
#[tokio::test]
async fn a_forged_envelope_says_nothing_to_the_server() {
    let server = Server::start(&[]).await;
    let smtp = Smtp::new(config(server.port)).unwrap();
    let forged = Composed { recipient: "a@b.example>\r\nRCPT TO:<c@d.example".into(), ..mail() };
    assert_eq!(word(&smtp.send(&forged).await), "refused");
    let foreign = Composed { recipient: "jürgen@b.example".into(), ..mail() };
    assert_eq!(word(&smtp.send(&foreign).await), "refused");
    assert!(server.recipients().is_empty());
}

// F88
#[test]
fn settings_show_no_password() {
    let text = format!("{:?}", with_login(25));
    assert!(text.contains("***") && !text.contains("CANARY"), "{text}");
}
