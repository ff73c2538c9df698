//! The open connections, and which of them gives way when all slots are taken: the one that has waited longest for its peer.
//!
//! On each connection it is either the peer's turn (to send a request, or the rest of one) or the server's (to answer a
//! request that is there whole). A connection whose turn is the server's is never closed here. Its turn ends when the answer has
//! been handed on: a peer that does not take it within [`PATIENCE`] may lose the rest when others want its place.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::task::{self, AbortHandle, JoinSet};
use tokio::time::Instant;

/// A peer has so much time to go on before its connection may give way: far more than a request takes on its way, and the longest
/// that somebody who opens connections and says nothing can keep others waiting.
const PATIENCE: Duration = Duration::from_secs(1);

/// The connections that are served.
pub(crate) struct Connections {
    began: Instant,
    tasks: JoinSet<()>,
    open: HashMap<task::Id, (Arc<Turn>, AbortHandle)>,
}

impl Connections {
    pub(crate) fn new() -> Connections {
        Connections { began: Instant::now(), tasks: JoinSet::new(), open: HashMap::new() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// For a connection that has just been accepted.
    pub(crate) fn turn(&self) -> Arc<Turn> {
        let turn = Turn { began: self.began, state: AtomicU64::new(0) };
        turn.peer();
        Arc::new(turn)
    }

    /// Serves a connection whose requests and answers tell `turn`.
    pub(crate) fn spawn(&mut self, turn: Arc<Turn>, connection: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(connection);
        self.open.insert(handle.id(), (turn, handle));
    }

    /// Waits until one has ended; for ever if there are none.
    pub(crate) async fn ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => drop(self.open.remove(&id)),
            Some(Err(error)) => drop(self.open.remove(&error.id())),
            None => std::future::pending().await,
        }
    }

    /// Closes the connection that has waited longest for its peer. If none has for long enough, tells when to try again.
    pub(crate) fn close_one(&self) -> Result<(), Instant> {
        let waiting = self.open.values().filter_map(|(turn, task)| Some((turn.peer_since()?, turn, task)));
        let now = Instant::now();
        match waiting.min_by_key(|(since, ..)| *since) {
            Some((since, turn, task)) if since + PATIENCE <= now => {
                if turn.close() {
                    task.abort();
                }
                Ok(())
            }
            Some((since, ..)) => Err(since + PATIENCE),
            None => Err(now + PATIENCE),
        }
    }

    /// Drops all.
    pub(crate) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Whose turn it is on one connection: milliseconds after `began` since when it is the peer's, or one of the constants.
pub(crate) struct Turn {
    began: Instant,
    state: AtomicU64,
}

/// A request is being answered.
const SERVER: u64 = u64::MAX;
/// The connection is being closed: a request that comes now is not looked at.
const CLOSED: u64 = u64::MAX - 1;

impl Turn {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0)
    }

    fn peer_since(&self) -> Option<Instant> {
        let state = self.state.load(Ordering::Acquire);
        (state < CLOSED).then(|| self.began + Duration::from_millis(state))
    }

    /// Changes whose turn it is, unless the connection is being closed; whether it was not.
    fn set(&self, next: u64) -> bool {
        let change = |state| (state != CLOSED).then_some(next);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }

    /// From now on it is the peer's turn.
    fn peer(&self) {
        self.set(self.now());
    }

    /// A request is there; `false` if it must not be looked at.
    fn server(&self) -> bool {
        self.set(SERVER)
    }

    /// Whether it was the peer's turn until now; then the connection may be dropped.
    fn close(&self) -> bool {
        let change = |state| (state < CLOSED).then_some(CLOSED);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }
}

/// A request's body; with its end, it is the server's turn.
pub(crate) struct RequestBody {
    body: Incoming,
    turn: Arc<Turn>,
}

impl RequestBody {
    /// `None` if the connection is being closed.
    pub(crate) fn new(body: Incoming, turn: &Arc<Turn>) -> Option<RequestBody> {
        let is_open = if body.is_end_stream() { turn.server() } else { turn.set(turn.now()) };
        is_open.then(|| RequestBody { body, turn: Arc::clone(turn) })
    }
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match frame {
            // The task is about to be dropped.
            None if !self.turn.server() => Poll::Pending,
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.turn.state.load(Ordering::Acquire) == SERVER
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body; when it has been handed on to the connection, it is the peer's turn to take it and to ask again.
pub(crate) struct ResponseBody {
    body: Body,
    turn: Arc<Turn>,
}

impl ResponseBody {
    pub(crate) fn new(body: Body, turn: Arc<Turn>) -> ResponseBody {
        ResponseBody { body, turn }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.turn.peer();
    }
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_waited_longest_for_its_peer_gives_way() {
        let mut connections = Connections::new();
        let mut turns = Vec::new();
        for _ in 0..3 {
            let turn = connections.turn();
            connections.spawn(turn.clone(), std::future::pending());
            turns.push(turn);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!(turns[0].server(), "a request has come on the oldest");
        let patient_until = connections.close_one().unwrap_err();
        assert_eq!(patient_until - connections.began, PATIENCE + Duration::from_millis(100));

        tokio::time::advance(PATIENCE).await;
        connections.close_one().unwrap();
        assert!(!turns[1].server(), "what comes now is not looked at");
        connections.ended().await;
        connections.close_one().unwrap();
        connections.ended().await;
        assert_eq!(connections.len(), 1);
        assert!(connections.close_one().is_err(), "a call in flight is not given up");

        turns[0].peer();
        assert!(connections.close_one().is_err(), "its answer has just gone out");
        tokio::time::advance(PATIENCE).await;
        connections.close_one().unwrap();
        connections.ended().await;
        assert_eq!(connections.len(), 0);
    }
}
