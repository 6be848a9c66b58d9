//! The rehearsal itself: its address, its pages, its notifications.

use axum::Router;
use axum::http::HeaderMap;
use tokio::sync::mpsc;

use super::exchange::{Call, Sent, exchange};
use super::*;
use crate::payments::stripe::webhook::{TOLERANCE, verify_and_read};
use crate::payments::{PaymentGateway, Stripe, StripeSettings, contract};

fn noon() -> DateTime<Utc> {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

async fn start(listen: &str, webhook: Option<WebhookTarget>) -> Result<Rehearsal, RehearsalError> {
    let listen = listen.parse().unwrap();
    Rehearsal::start(RehearsalOptions { listen, now: Arc::new(noon), webhook }).await
}

fn gateway(rehearsal: &Rehearsal) -> Stripe {
    let live = StripeSettings::live(Secret::new("sk_test_x"));
    Stripe::new(StripeSettings { base_url: rehearsal.base_url(), ..live }).unwrap()
}

#[tokio::test]
async fn it_stays_on_this_machine() {
    let secret = Secret::new("whsec_x");
    for listen in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let error = start(listen, None).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, RehearsalError::NotLoopback(_)), "{listen}");
    }
    for url in ["http://192.0.2.1/", "https://127.0.0.1/", "http://example.com/", "nowhere"] {
        let target = WebhookTarget { url: url.to_owned(), secret: secret.clone() };
        assert!(start("127.0.0.1:0", Some(target)).await.is_err(), "{url}");
    }
    let first = start("127.0.0.1:0", None).await.unwrap();
    let taken = start(&first.address().to_string(), None).await.map(|_| ()).unwrap_err();
    assert!(matches!(taken, RehearsalError::Listen { .. }));
}

/// An endpoint that passes on what it gets.
async fn endpoint() -> (String, mpsc::UnboundedReceiver<(String, String)>) {
    let (pass, got) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhook", listener.local_addr().unwrap());
    let router = Router::new().fallback(move |headers: HeaderMap, body: String| async move {
        let header = headers["stripe-signature"].to_str().unwrap().to_owned();
        pass.send((header, body)).unwrap();
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, got)
}

#[tokio::test]
async fn notifications_come_signed_late_and_twice() {
    let (url, mut got) = endpoint().await;
    let secret = Secret::new("whsec_x");
    let target = WebhookTarget { url, secret: secret.clone() };
    let rehearsal = start("127.0.0.1:0", Some(target)).await.unwrap();
    let gateway = gateway(&rehearsal);
    for (key, fault) in [
        ("late-1", Some(Fault::LateWebhook)),
        ("late-2", Some(Fault::LateWebhook)),
        ("never", Some(Fault::NoWebhook)),
        ("twice", Some(Fault::DuplicateWebhook)),
        ("once", None),
    ] {
        assert!(fault.is_none_or(|fault| rehearsal.script(Script::on_key(key, fault))));
        let request = contract::request(key, "cus_acme/pm_card_visa", 100);
        gateway.charge(&request).await.unwrap();
    }
    rehearsal.deliver_held();
    let mut keys = Vec::new();
    for _ in 0..5 {
        let (header, body) = got.recv().await.unwrap();
        let secrets = std::slice::from_ref(&secret);
        let event = verify_and_read(secrets, &header, body.as_bytes(), noon(), TOLERANCE).unwrap();
        keys.push((event.id, format!("{:?}", event.about)));
    }
    let told: Vec<&str> = keys.iter().map(|(_, about)| about.split('"').nth(1).unwrap()).collect();
    assert_eq!(told, ["twice", "twice", "once", "late-2", "late-1"]);
    assert_eq!(keys[0].0, keys[1].0, "the same notification");
}

#[tokio::test]
async fn people_pay_on_a_page_and_read_the_books() {
    let rehearsal = start("127.0.0.1:0", None).await.unwrap();
    let (gateway, http) = (gateway(&rehearsal), delivery::plain_http().unwrap());
    let base = rehearsal.base_url();
    let request = contract::request("k", "hosted", 100);
    let payer = contract::payer(&[]);
    let page = gateway.pay_page(&request, &payer, "https://portal.example/").await.unwrap();
    let text = http.get(&page.url).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("Pay 100 units of usd") && text.contains("no money moves"), "{text}");
    let declined = http.post(&page.url).body("card=pm_card_declined").send().await.unwrap();
    assert_eq!(declined.headers()["location"].to_str().unwrap(), page.url.replace(&base, ""));
    let paid = http.post(&page.url).body("card=pm_card_visa").send().await.unwrap();
    assert_eq!(paid.headers()["location"], "https://portal.example/");
    let over = http.get(&page.url).send().await.unwrap().text().await.unwrap();
    assert!(over.contains("complete"), "{over}");
    let books = http.get(format!("{base}/_rehearsal/journal")).send().await.unwrap();
    let books: serde_json::Value = serde_json::from_str(&books.text().await.unwrap()).unwrap();
    assert_eq!(books["payments"][0]["key"], "k");
    assert_eq!(books["payments"][0]["status"], "succeeded");
    for (body, status) in [(r#"{"key":"x","fault":"hang_after"}"#, 200), (r#"{"fault":"?"}"#, 400)]
    {
        let answer =
            http.post(format!("{base}/_rehearsal/script")).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{body}");
    }
    let settled = http.post(format!("{base}/_rehearsal/settle")).body(r#"{"key":"k"}"#);
    assert_eq!(settled.send().await.unwrap().status().as_u16(), 409, "nothing waits");
}

#[tokio::test]
async fn after_the_end_nothing_is_answered() {
    let rehearsal = start("127.0.0.1:0", None).await.unwrap();
    let gateway = gateway(&rehearsal);
    let request = contract::request("k", "cus_acme/pm_card_visa", 100);
    gateway.charge(&request).await.unwrap();
    rehearsal.shutdown();
    assert!(gateway.lookup(&request).await.is_err());
    assert_eq!(rehearsal.taken("k"), 1, "its books can still be read");
}

fn call(key: &str, text: &str) -> Call {
    Call {
        method: "POST".to_owned(),
        path: "/v1/payment_intents".to_owned(),
        text: text.to_owned(),
        key: Some(key.to_owned()),
        bearer: Some("sk_test_x".to_owned()),
    }
}

/// The status of an answer, and whether it was kept from before.
fn status(sent: &Sent) -> Option<(u16, bool)> {
    match sent {
        Sent::Json(answer, is_replay) => Some((answer.status, *is_replay)),
        _ => None,
    }
}

#[test]
fn keys_are_kept_with_their_answers() {
    let state = State::new("http://127.0.0.1:1".to_owned(), Arc::new(noon));
    let shared = Shared { state: Mutex::new(state), delivery: None };
    let card = |card: &str| {
        format!(
            "amount=100&currency=usd&customer=cus_a&payment_method={card}&off_session=true\
             &confirm=true&automatic_payment_methods[enabled]=true\
             &automatic_payment_methods[allow_redirects]=never"
        )
    };
    let (visa, declined) = (card("pm_card_visa"), card("pm_card_declined"));
    let misspelt = format!("{visa}&ammount=1");
    let redirects = visa.replace("=never", "=always");
    for (key, text, expected) in [
        ("a", &visa, (200, false)),
        ("a", &visa, (200, true)),
        ("a", &declined, (400, false)),
        ("b", &declined, (402, false)),
        ("b", &declined, (402, true)),
        // What was never begun is not kept.
        ("c", &misspelt, (400, false)),
        ("c", &visa, (200, false)),
        // Where a customer may be led elsewhere, it must be said where he comes back.
        ("f", &redirects, (400, false)),
        ("g", &format!("{redirects}&return_url=https://example.com"), (200, false)),
    ] {
        let sent = exchange(&shared, &call(key, text));
        assert_eq!(status(&sent), Some(expected), "{key} {text}: {sent:?}");
    }
    assert!(shared.state().faults.add(Script::on_key("d", Fault::HangBefore)));
    assert_eq!(exchange(&shared, &call("d", &visa)), Sent::Hang);
    assert_eq!(status(&exchange(&shared, &call("d", &visa))), Some((409, false)), "at work");
    let stranger = Call { bearer: Some("sk_live_x".to_owned()), ..call("e", &visa) };
    assert_eq!(status(&exchange(&shared, &stranger)), Some((401, false)));
    assert_eq!(journal::payments(&shared.state()).len(), 4);
}
