//! StartLiveTail: new events of some groups as they come, until the client has seen enough or three hours have passed.
//!
//! Updates are made when the client has taken the one before, so a slow reader costs no memory: what it misses is left
//! out, and the next update says that it is a sample.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fornada_core::text::Text;
use fornada_engine::port::log;
use fornada_model::logs::{self as model, ErrorCode};
use hyper::body::Frame;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

use super::filter_pattern::FilterPattern;
use super::live_tail::{Session, Streams};
use super::{event_stream, group_arn, identified, invalid};
use crate::app::Call;
use crate::error::WireError;

/// Between two updates, and how long a session may last. Source: API reference, StartLiveTail.
const UPDATE_EVERY: Duration = Duration::from_secs(1);
const SESSION_MAX: Duration = Duration::from_secs(3 * 60 * 60);

/// Sessions at a time. Each has an inotify instance, of which Linux gives a user 128 unless told otherwise.
const SESSIONS_MAX: usize = 64;
static SESSIONS: Semaphore = Semaphore::const_new(SESSIONS_MAX);

/// Begins a session.
pub(super) async fn start_live_tail(
    call: &Call,
    request: model::StartLiveTailRequest,
) -> Result<Response, WireError> {
    let model::StartLiveTailRequest {
        log_event_filter_pattern,
        log_group_identifiers,
        log_stream_name_prefixes,
        log_stream_names,
    } = request;
    let groups = log_group_identifiers.iter().map(|identifier| identified(&call.scope, identifier));
    let mut groups = groups.collect::<Result<Vec<_>, _>>()?;
    groups.sort_unstable();
    groups.dedup();
    let streams = match (log_stream_names.clone(), log_stream_name_prefixes.clone()) {
        (Some(_), Some(_)) => {
            return Err(invalid("Specify either logStreamNames or logStreamNamePrefixes, not both."));
        }
        (None, None) => Streams::All,
        _ if groups.len() > 1 => {
            return Err(invalid(
                "logStreamNames and logStreamNamePrefixes can be used with a single log group only.",
            ));
        }
        (Some(names), None) => Streams::Named(names),
        (None, Some(prefixes)) => Streams::Prefixed(prefixes),
    };
    let pattern = FilterPattern::parse(log_event_filter_pattern.as_deref().unwrap_or_default())
        .map_err(|error| invalid(format!("Invalid filter pattern: {error}")))?;
    let permit = SESSIONS.try_acquire().map_err(|_| {
        let message = format!("There are {SESSIONS_MAX} Live Tail sessions already: end one of them.");
        WireError::logs(ErrorCode::LimitExceededException, message)
    })?;
    let start = model::LiveTailSessionStart {
        log_event_filter_pattern: Some(log_event_filter_pattern.unwrap_or_default()),
        log_group_identifiers: Some(groups.iter().map(|group| group_arn(&call.scope, group)).collect()),
        log_stream_name_prefixes: Some(log_stream_name_prefixes.unwrap_or_default()),
        log_stream_names: Some(log_stream_names.unwrap_or_default()),
        request_id: None,
        session_id: Some(session_id()),
    };
    let head = [event_stream::initial_response()?, event_stream::event("sessionStart", &start)?].concat();
    let scope = call.scope.clone();
    let groups: Vec<Text> = groups.into_iter().map(Text::from).collect();
    let session = call
        .blocking(move |app| Ok(Session::start(Arc::clone(&app.logs), &scope, &groups, streams, pattern)?))
        .await?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(serve(session, head.into(), sender, permit));
    Ok(([("content-type", event_stream::CONTENT_TYPE)], Body::new(Frames(receiver))).into_response())
}

/// The body of the answer: what the session sends, for as long as it does.
struct Frames(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Sends updates until the client has gone or the session has ended.
async fn serve(session: Session, head: Bytes, to: mpsc::Sender<Bytes>, _permit: SemaphorePermit<'static>) {
    let end = Instant::now() + SESSION_MAX;
    let sent = timeout_at(end, send_updates(session, head, &to)).await;
    let last = match sent {
        // The client has gone.
        Ok(Ok(())) => return,
        Ok(Err(error)) => {
            if let Some(internal) = &error.internal {
                tracing::error!(error = &**internal as &dyn std::error::Error, "a Live Tail session failed");
            }
            event_stream::exception(ErrorCode::SessionStreamingException, &error.message)
        }
        Err(_) => event_stream::exception(
            ErrorCode::SessionTimeoutException,
            "The Live Tail session has timed out after 3 hours.",
        ),
    };
    if let Ok(last) = last {
        // Nobody may be there to take it.
        let _ = to.send(last).await;
    }
}

async fn send_updates(mut session: Session, head: Bytes, to: &mpsc::Sender<Bytes>) -> Result<(), WireError> {
    let mut frame = head;
    let mut next = interval_at(Instant::now() + UPDATE_EVERY, UPDATE_EVERY);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while to.send(frame).await.is_ok() {
        next.tick().await;
        let update = tokio::task::spawn_blocking(move || {
            let update = session.update();
            (session, update)
        });
        let (returned, update) = update.await.map_err(WireError::server)?;
        session = returned;
        frame = event_stream::event("sessionUpdate", &update.map_err(|error: log::Error| error)?)?;
    }
    Ok(())
}

fn session_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness the id is merely not unique.
    let _ = getrandom::fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().as_hyphenated().to_string()
}
