//! Pages for customers who follow a link of ours: pay an invoice, save a payment method.
//!
//! Opening a link changes nothing, because programs that check mails open them too; only the button does.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::{Doors, Problem};
use crate::services::ServiceError;
use crate::services::pay_pages::{self, Destination, Shown};

/// What a link names: organization, subject, signature.
type Link = Path<(String, String, String)>;

/// `GET /pay/…`: what is to be paid, with a button.
pub(super) async fn show_invoice(
    State(doors): State<Arc<Doors>>,
    Path((organization, invoice, signature)): Link,
) -> Result<Response, Problem> {
    let _place = doors.place().await?;
    ours(&doors, "pay", &organization, &invoice, &signature).await?;
    Ok(match pay_pages::shown(&doors.app, &organization, &invoice).await? {
        Shown::ToPay { number, amount } => {
            let text = format!("Invoice {number}: {amount} to pay.");
            page(&doors, "Pay your invoice", &text, Some("Pay now"))
        }
        Shown::Text(text) => page(&doors, "Your invoice", text, None),
    })
}

/// `POST /pay/…`: opens the provider's page and leads there.
pub(super) async fn pay_invoice(
    State(doors): State<Arc<Doors>>,
    Path((organization, invoice, signature)): Link,
) -> Result<Response, Problem> {
    let _line = doors.line().await?;
    ours(&doors, "pay", &organization, &invoice, &signature).await?;
    // In a task of its own: a browser that goes away does not leave the work half done.
    let app = doors.app.clone();
    let task = tokio::spawn(async move { pay_pages::open(&app, &organization, &invoice).await });
    let opened = task.await.map_err(|error| ServiceError::Refused(error.to_string()))?;
    Ok(match opened? {
        Destination::Page(url) => Redirect::to(&url).into_response(),
        Destination::Text(text) => page(&doors, "Your invoice", text, None),
    })
}

/// `GET /method/…`: asks before it leads on.
pub(super) async fn show_method(
    State(doors): State<Arc<Doors>>,
    Path((organization, subject, signature)): Link,
) -> Result<Response, Problem> {
    let _place = doors.place().await?;
    ours(&doors, "method", &organization, &subject, &signature).await?;
    let text = "Our payment provider keeps your card; we only keep a reference to it.";
    Ok(page(&doors, "Save a payment method", text, Some("Go on")))
}

/// `POST /method/…`: leads to the provider's page.
pub(super) async fn save_method(
    State(doors): State<Arc<Doors>>,
    Path((organization, subject, signature)): Link,
) -> Result<Response, Problem> {
    let _line = doors.line().await?;
    ours(&doors, "method", &organization, &subject, &signature).await?;
    let url = pay_pages::save_method(&doors.app, &organization).await?;
    Ok(Redirect::to(&url).into_response())
}

/// `GET /thanks`: where the provider sends customers back to.
pub(super) async fn thanks(State(doors): State<Arc<Doors>>) -> Response {
    page(&doors, "Thank you", "You can close this page. A mail tells you when it is done.", None)
}

async fn ours(
    doors: &Doors,
    what: &str,
    organization: &str,
    subject: &str,
    signature: &str,
) -> Result<(), Problem> {
    if pay_pages::is_ours(&doors.app, what, organization, subject, signature).await? {
        Ok(())
    } else {
        Err(Problem::not_found("this link is not valid"))
    }
}

fn page(doors: &Doors, title: &str, text: &str, button: Option<&str>) -> Response {
    let seller = &doors.app.config.seller;
    let form = button.map_or_else(String::new, |label| {
        format!("<form method=\"post\"><button>{}</button></form>", escaped(label))
    });
    let body = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><meta name=\"robots\" content=\"noindex\">\
         <title>{title}</title><style>body{{font-family:Arial,Helvetica,sans-serif;max-width:32rem;\
         margin:4rem auto;padding:0 1rem;line-height:1.5}}button{{font-size:1.1rem;padding:.6rem 1.4rem}}\
         footer{{margin-top:3rem;color:#5b6472;font-size:.9rem}}</style></head><body><h1>{title}</h1>\
         <p>{}</p>{form}<footer>{}<br>Questions? {}</footer></body></html>",
        escaped(text),
        escaped(&seller.name),
        escaped(&seller.support),
        title = escaped(title),
    );
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
