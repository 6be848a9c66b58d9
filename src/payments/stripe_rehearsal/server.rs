//! HTTP: reads requests, writes answers, and breaks connections on purpose.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use axum::{Extension, Router};
use tokio::net::TcpListener;

use super::exchange::{Call, Sent, exchange};
use super::{Shared, control};

/// Longest request that is read.
pub(super) const MAX_REQUEST: usize = 1024 * 1024;
/// Time between two bytes of an answer that drips.
const DRIP: Duration = Duration::from_millis(20);

/// The socket of a connection, to break it below HTTP.
#[derive(Clone)]
struct Socket(Option<Arc<TcpStream>>);

impl Connected<IncomingStream<'_, TcpListener>> for Socket {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        let second = stream.io().as_fd().try_clone_to_owned();
        Self(second.ok().map(|socket| Arc::new(socket.into())))
    }
}

/// Serves until it is aborted.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new()
        .fallback(answer)
        .layer(Extension(shared))
        .into_make_service_with_connect_info::<Socket>();
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the rehearsal stopped listening");
    }
}

async fn answer(
    Extension(shared): Extension<Arc<Shared>>,
    ConnectInfo(socket): ConnectInfo<Socket>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_REQUEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let Ok(body) = String::from_utf8(body.to_vec()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    if !path.starts_with("/v1/") {
        return control::answer(&shared, method, path, &body);
    }
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let call = Call {
        method: method.to_owned(),
        path: path.to_owned(),
        text: if method == "GET" { query } else { body },
        key: text(&parts.headers, "idempotency-key"),
        bearer: text(&parts.headers, "authorization")
            .and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned)),
    };
    let sent = exchange(&shared, &call);
    let _busy = Busy { shared: &shared, key: (sent == Sent::Hang).then_some(call.key).flatten() };
    written(sent, &socket).await
}

/// Frees the key of a request that hangs, once its client has hung up.
struct Busy<'a> {
    shared: &'a Shared,
    key: Option<String>,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.shared.state().busy.remove(key);
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

async fn written(sent: Sent, socket: &Socket) -> Response {
    match sent {
        Sent::Json(answer, is_replay) => {
            let mut response = json(answer.status, answer.body.to_string());
            if is_replay {
                let replayed = header::HeaderValue::from_static("true");
                response.headers_mut().insert("idempotent-replayed", replayed);
            }
            response
        }
        Sent::Text(status, text) => json(status, text),
        Sent::TooMany(seconds) => {
            let mut response =
                json(429, r#"{"error":{"type":"invalid_request_error"}}"#.to_owned());
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Sent::Redirect => {
            let elsewhere = [(header::LOCATION, "https://example.com/v1/elsewhere")];
            (StatusCode::FOUND, elsewhere).into_response()
        }
        Sent::Close => {
            if let Some(socket) = &socket.0 {
                let _ = socket.shutdown(Shutdown::Both);
            }
            std::future::pending().await
        }
        Sent::Drip => drip(socket).await,
        Sent::Hang => std::future::pending().await,
    }
}

/// Writes an endless answer past the HTTP library, until the client hangs up and this is dropped.
async fn drip(socket: &Socket) -> Response {
    let mut bytes: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{";
    while let Some(mut socket) = socket.0.as_deref() {
        if socket.write_all(bytes).is_err() {
            break;
        }
        bytes = b" ";
        tokio::time::sleep(DRIP).await;
    }
    std::future::pending().await
}

fn json(status: u16, text: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], Body::from(text)).into_response()
}
