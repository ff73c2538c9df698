//! The HTTP/1.1 server in front of the router: connections, their limits, and a graceful end.
//!
//! What must hold whatever a peer sends: memory and open files stay bounded, a peer that stops sending is dropped,
//! a panic in a handler is that request's `500` and nobody else's, and a request in flight at shutdown gets its
//! answer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::ServiceExt;

use crate::connections::{Connections, RequestBody, ResponseBody, Turn};

/// Largest request body, in bytes. The largest documents that AWS Batch takes are far below it.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Largest body of a PutLogEvents request, in bytes. The batch of 1 MiB that CloudWatch Logs takes is counted without what JSON
/// adds: the rest of each event, and up to six bytes for one.
pub const MAX_LOG_EVENTS_BODY_BYTES: usize = 8 * MAX_BODY_BYTES;

/// Time in which a request body must have arrived whole.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Time in which a peer must take some of its answer.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Request head (request line and headers) that may be buffered before its end must have come, in bytes. One read
/// more may be in the buffer by then, so a head is certain to be refused from twice this size.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Most headers in one request. SDKs send about fifteen.
const MAX_HEADERS: usize = 100;

/// Pause after the listener failed for want of files or memory: long enough not to spin, short enough not to be
/// noticed once a connection has closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest wait for a connection that was closed to be gone.
const CLOSE_PAUSE: Duration = Duration::from_secs(1);

/// What a server allows its peers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections served at once. When one more comes, the one that has waited longest for its peer is closed, if that is for
    /// a second at least; else the new one waits, and those after it in the kernel's queue.
    pub connections: usize,
    /// Time in which a request head must have arrived, and the time a connection may stay idle. Longer than the ten seconds
    /// between the questions of many workflow engines, which would else find their connection just closed.
    pub head_timeout: Duration,
    /// Time that requests in flight have to end after shutdown began.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Serves `router` on `listener` until `shutdown` completes and the requests in flight have been answered.
///
/// Connections that are still open `limits.drain_timeout` after that are dropped.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    let graceful = GracefulShutdown::new();
    let mut connections = Connections::new();
    let mut at_the_door: Option<TcpStream> = None;
    let mut shutdown = pin!(shutdown);

    loop {
        let is_full = connections.len() >= limits.connections;
        if let Some(stream) = at_the_door.take_if(|_| !is_full) {
            configure(&stream);
            let turn = connections.turn();
            let (router, told) = (router.clone(), Arc::clone(&turn));
            let service = service_fn(move |request| respond(router.clone(), request, Arc::clone(&told)));
            let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
            connections.spawn(turn, async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection ended early");
                }
            });
        }
        let look_again = match at_the_door {
            // Closed at once or as soon as its task is dropped, which `ended` tells.
            Some(_) => connections.close_one().err().unwrap_or_else(|| Instant::now() + CLOSE_PAUSE),
            None => Instant::now(),
        };
        tokio::select! {
            () = &mut shutdown => break,
            () = connections.ended() => {}
            (stream, _peer) = accept(|| listener.accept()), if at_the_door.is_none() => at_the_door = Some(stream),
            () = sleep_until(look_again), if at_the_door.is_some() => {}
        }
    }

    drop((listener, at_the_door));
    if timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "dropping connections that did not end in time");
    }
    connections.shutdown().await;
}

/// Accepts the next connection, however often that fails: nothing that goes wrong here is the listener's end.
async fn accept<T, F: Future<Output = io::Result<T>>>(mut accept: impl FnMut() -> F) -> T {
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            // The peer is gone already; the next one may be fine.
            Err(error) if is_of_the_peer(&error) => {}
            // Out of files or memory (EMFILE, ENFILE, ENOBUFS): the same error comes at once until something closes.
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Small answers leave at once, and a peer that takes none of its answer for a while loses its connection. A failure means that
/// the peer has gone, which reading will tell.
fn configure(stream: &TcpStream) {
    let unread = u32::try_from(UNREAD_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    let timeout = rustix::net::sockopt::set_tcp_user_timeout(stream, unread).map_err(io::Error::from);
    if let Err(error) = stream.set_nodelay(true).and(timeout) {
        tracing::debug!(%error, "cannot configure a connection");
    }
}

/// Calls the router. A panic becomes an answer in the form of both AWS JSON protocols.
async fn respond(
    router: Router,
    request: Request<Incoming>,
    turn: Arc<Turn>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (head, body) = request.into_parts();
    let Some(body) = RequestBody::new(body, &turn) else {
        return std::future::pending().await; // until the connection is dropped, which has begun
    };
    let mut response = pin!(router.oneshot(Request::from_parts(head, Body::new(body))));
    // What a panic left half done is dropped with the future and never polled again.
    let caught =
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => std::task::Poll::Ready(None),
        });
    let response = match caught.await {
        Some(Ok(response)) => response,
        None => {
            tracing::error!("a request handler panicked");
            let headers = [("content-type", "application/json"), ("x-amzn-errortype", "ServerException")];
            let body = r#"{"__type":"ServerException","message":"The server failed to handle the request."}"#;
            (StatusCode::INTERNAL_SERVER_ERROR, headers, body).into_response()
        }
    };
    Ok(response.map(|body| ResponseBody::new(body, turn)))
}

/// Why a request body could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the limit.
    #[error("The request body can have at most {limit} bytes.")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// It did not arrive whole in time.
    #[error("The request body did not arrive in time.")]
    TimedOut,
    /// The connection or its framing broke.
    #[error("The request body ended early.")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads the whole of `body`: at most `limit` bytes, within `within`.
///
/// Usual values are [`MAX_BODY_BYTES`] and [`BODY_TIMEOUT`]. A body that announces more than `limit` is refused
/// unread.
///
/// # Errors
/// See [`BodyError`]. After an error, the connection serves no other request.
pub async fn read_body<B>(body: B, limit: usize, within: Duration) -> Result<Bytes, BodyError>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    match timeout(within, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { limit }),
        Ok(Err(error)) => Err(BodyError::Broken(error)),
        Err(_) => Err(BodyError::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn accepting_pauses_when_out_of_files_but_not_for_a_lost_peer() {
        let start = tokio::time::Instant::now();
        let mut results = vec![
            Ok("accepted"),
            Err(io::ErrorKind::ConnectionAborted.into()),
            Err(io::Error::from_raw_os_error(24)), // EMFILE
            Err(io::Error::from_raw_os_error(24)),
        ];
        let accepted = accept(|| std::future::ready(results.pop().unwrap())).await;
        assert_eq!(accepted, "accepted");
        assert_eq!(start.elapsed(), 2 * ACCEPT_PAUSE);
    }

    /// A body of unknown length of which nothing arrives.
    struct Silent;

    impl hyper::body::Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
            std::task::Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_limit_in_time_and_size() {
        let start = tokio::time::Instant::now();
        let error = read_body(Silent, 5, BODY_TIMEOUT).await.unwrap_err();
        assert!(matches!(error, BodyError::TimedOut), "{error}");
        assert_eq!(start.elapsed(), BODY_TIMEOUT);

        assert_eq!(read_body(Body::from("12345"), 5, BODY_TIMEOUT).await.unwrap(), "12345");
        let error = read_body(Body::from("123456"), 5, BODY_TIMEOUT).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { limit: 5 }), "{error}");
    }
}
