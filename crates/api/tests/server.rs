//! The server against peers that behave, misbehave and disappear, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use fornada_api::server::{BODY_TIMEOUT, BodyError, Limits, read_body, serve};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(20);

struct Server {
    address: std::net::SocketAddr,
    shutdown: oneshot::Sender<()>,
    served: JoinHandle<()>,
    /// Told when the handler of `/held` has begun.
    entered: Arc<Notify>,
    /// Lets the handler of `/held` end.
    release: Arc<Notify>,
}

async fn start(limits: Limits) -> Server {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gates = (entered.clone(), release.clone());
    let held = move || async move {
        gates.0.notify_one();
        gates.1.notified().await;
        "held"
    };
    let panics = || async {
        if true {
            panic!("on purpose")
        }
    };
    let router = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/echo", post(echo))
        .route("/panic", get(panics))
        .route("/held", get(held));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, router, limits, async {
        let _ = stopped.await;
    }));
    Server { address, shutdown, served, entered, release }
}

/// Answers with the body, at most eight bytes.
async fn echo(request: Request) -> Result<Response, Infallible> {
    Ok(match read_body(request.into_body(), 8, BODY_TIMEOUT).await {
        Ok(body) => body.into_response(),
        Err(BodyError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(BodyError::TimedOut) => StatusCode::REQUEST_TIMEOUT.into_response(),
        Err(BodyError::Broken(_)) => StatusCode::BAD_REQUEST.into_response(),
    })
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `bytes` on a new connection and gives all that comes back until the server closes it.
    async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        read_to_end(&mut stream).await
    }

    async fn assert_alive(&self) {
        let answer = self.exchange("GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is an end, too.
    let _ =
        timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let byte = timeout(DEADLINE, stream.read_u8()).await.expect("an answer").expect("an open connection");
        answer.push(byte);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn bad_requests_get_their_status_and_harm_nobody() {
    let server = start(Limits::default()).await;
    let head = "GET /hello HTTP/1.1\r\nhost: x\r\n";
    let post = "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    for (name, request, want) in [
        ("a header too large", format!("{head}a: {}\r\n\r\n", "a".repeat(2 * 64 * 1024)), "HTTP/1.1 431"),
        ("too many headers", format!("{head}{}\r\n", "a: b\r\n".repeat(101)), "HTTP/1.1 431"),
        ("garbage", "\x16\x03\x01\x02\0\u{1}\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        (
            "a panicking handler",
            "GET /panic HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(),
            "HTTP/1.1 500",
        ),
        ("a body as announced", format!("{post}content-length: 8\r\n\r\n12345678"), "HTTP/1.1 200"),
        ("a body announced too large", format!("{post}content-length: 9\r\n\r\n"), "HTTP/1.1 413"),
        (
            "a body that grows too large",
            format!("{post}transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n5\r\n12345\r\n0\r\n\r\n"),
            "HTTP/1.1 413",
        ),
        ("a broken chunk", format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n"), "HTTP/1.1 400"),
    ] {
        let answer = server.exchange(request).await;
        assert!(answer.starts_with(want), "{name}: {answer}");
        server.assert_alive().await;
    }
}

#[tokio::test]
async fn a_connection_outlives_a_panic_and_pipelined_requests_are_answered_in_order() {
    let server = start(Limits::default()).await;
    let answer = server
        .exchange(
            "GET /panic HTTP/1.1\r\n\r\n\
             POST /echo HTTP/1.1\r\ncontent-length: 5\r\n\r\nfirst\
             POST /echo HTTP/1.1\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecond",
        )
        .await;
    let places: Vec<_> = ["500 Internal", "ServerException", "first", "second"]
        .iter()
        .map(|part| answer.find(part).unwrap_or_else(|| panic!("{part} in {answer}")))
        .collect();
    assert!(places.is_sorted(), "{answer}");
}

#[tokio::test]
async fn a_peer_that_stops_sending_is_dropped() {
    let server = start(Limits { head_timeout: Duration::from_millis(50), ..Limits::default() }).await;
    for (sent, want) in [
        ("", ""),
        ("GET /hello HTTP/1.1\r\nhost:", ""),
        // Idle after a request.
        ("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n", "hello"),
    ] {
        let answer = server.exchange(sent).await;
        assert_eq!(answer.rsplit('\n').next(), Some(want), "{answer}");
    }
    server.assert_alive().await;
}

#[tokio::test]
async fn a_peer_that_leaves_in_the_middle_of_a_body_is_forgotten() {
    let server = start(Limits { connections: 1, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /echo HTTP/1.1\r\ncontent-length: 8\r\n\r\n123").await.unwrap();
    drop(stream);
    // The only slot is free again.
    server.assert_alive().await;
}

#[tokio::test]
async fn connections_past_the_limit_wait_for_their_turn() {
    let server = start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /held HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    let mut second = server.connect().await;
    second.write_all(b"GET /hello HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();

    let early = timeout(Duration::from_millis(100), second.read_u8()).await;
    assert!(early.is_err(), "answered while the only slot was taken");
    server.release.notify_one();
    assert!(read_to_end(&mut first).await.ends_with("held"));
    assert!(read_to_end(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn shutdown_answers_what_is_in_flight_and_accepts_nothing_more() {
    let server = start(Limits::default()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /hello HTTP/1.1\r\n\r\n").await.unwrap();
    read_until(&mut idle, "hello").await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /held HTTP/1.1\r\n\r\n").await.unwrap();
    timeout(DEADLINE, server.entered.notified()).await.unwrap();

    server.shutdown.send(()).unwrap();
    assert_eq!(read_to_end(&mut idle).await, "", "an idle connection is closed at once");
    assert!(TcpStream::connect(server.address).await.is_err(), "nothing listens any more");
    assert!(!server.served.is_finished());
    server.release.notify_one();
    let answer = read_to_end(&mut busy).await;
    assert!(answer.contains("connection: close") && answer.ends_with("held"), "{answer}");
    timeout(DEADLINE, server.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let server = start(Limits { drain_timeout: Duration::from_millis(50), ..Limits::default() }).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /held HTTP/1.1\r\n\r\n").await.unwrap();
    timeout(DEADLINE, server.entered.notified()).await.unwrap();
    server.shutdown.send(()).unwrap();
    timeout(DEADLINE, server.served).await.unwrap().unwrap();
    assert_eq!(read_to_end(&mut busy).await, "");
}

/// Waits until the server closes this connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn who_keeps_the_server_waiting_gives_way_to_new_connections() {
    let server = start(Limits { connections: 4, ..Limits::default() }).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /held HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
    timeout(DEADLINE, server.entered.notified()).await.unwrap();
    let mut idle = Vec::new();
    for sent in ["", "GET /hello HTTP/1.1\r\nhost:", "POST /echo HTTP/1.1\r\ncontent-length: 8\r\n\r\n123"] {
        let mut stream = server.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        idle.push(stream);
    }
    // Each of these finds all slots taken, by whom the server waits for or by those that came before.
    let mut served = Vec::new();
    for _ in 0..6 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_until(&mut stream, "hello").await;
        served.push(stream);
    }
    for stream in idle.iter_mut().chain(&mut served[..3]) {
        assert!(is_closed(stream).await);
    }
    server.release.notify_one();
    assert!(read_to_end(&mut busy).await.ends_with("held"), "a call in flight is never given up");
}

#[tokio::test]
async fn a_crowd_that_says_nothing_locks_nobody_out() {
    let server = start(Limits { connections: 64, ..Limits::default() }).await;
    let address = server.address;
    let crowd = tokio::spawn(async move {
        let mut silent = std::collections::VecDeque::new();
        loop {
            silent.extend(TcpStream::connect(address).await);
            silent.truncate(500);
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..3 {
        server.assert_alive().await;
    }
    crowd.abort();
}
