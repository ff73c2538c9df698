//! What may be in the works at once, so that memory is bounded and answers stay quick however much is asked.
//!
//! - **Calls.** [`CALLS_MAX`] requests are worked on at once, and [`READS_MAX`] that read the disk, which so keep no others waiting.
//!   More wait, in order, and are refused when they have waited for [`CALL_WAIT`]: clients of AWS try again later by themselves.
//! - **Bodies and answers.** Each connection has [`FREE_BYTES`] for its request and as many for its answer. What is longer draws
//!   on a common account for as long as it is in memory, by what has really arrived, so that somebody who announces much
//!   and sends little takes nothing from others. When an account is empty, requests that need it are refused.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Requests that are worked on at once. The engine takes them all in one turn, so more at once would only be in memory.
const CALLS_MAX: usize = 512;

/// Requests that read the disk, logs or the index of jobs, at once. Each may hold some MiB, and more would not be faster.
const READS_MAX: usize = 32;

/// How long a request may wait to be worked on: less than clients wait for an answer (60 s as a rule), so that a server that has
/// fallen behind answers what it takes on.
const CALL_WAIT: Duration = Duration::from_secs(5);

/// What each request and each answer may have for itself, in bytes: nearly all are shorter. With the most connections that
/// there can be it makes 128 MiB.
const FREE_BYTES: u64 = 32 << 10;

/// Bodies of requests beyond that, all together, in KiB.
const BODIES_KIB: usize = 128 << 10;

/// Answers beyond that, all together, in KiB.
const ANSWERS_KIB: usize = 256 << 10;

/// What there is not enough of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Refused {
    #[error("too many calls at once")]
    Calls,
    #[error("too many reads of logs or lists of jobs at once")]
    Reads,
    #[error("too many long request bodies at once")]
    Bodies,
    #[error("too many long answers that were not taken")]
    Answers,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// The accounts.
pub(crate) struct Admission {
    calls: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    refused: Family<Reason, Counter>,
}

impl Admission {
    pub(crate) fn new() -> Admission {
        Admission {
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            bodies: Arc::new(Semaphore::new(BODIES_KIB)),
            answers: Arc::new(Semaphore::new(ANSWERS_KIB)),
            refused: Family::default(),
        }
    }

    /// Waits until a request may be worked on; it may for as long as the permit lives.
    pub(crate) async fn call(&self, reads_disk: bool) -> Result<OwnedSemaphorePermit, Refused> {
        let (slots, refused) = match reads_disk {
            true => (&self.reads, Refused::Reads),
            false => (&self.calls, Refused::Calls),
        };
        match timeout(CALL_WAIT, Arc::clone(slots).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(refused),
        }
    }

    /// For the body of one request; to be kept as long as the body.
    pub(crate) fn body(&self) -> Charge {
        Charge { account: Arc::clone(&self.bodies), bytes: 0, paid: None }
    }

    /// An answer that is charged until it has been written to its connection. One of unknown length goes on while its client
    /// reads and has a bound of its own.
    pub(crate) async fn answer(&self, response: Response) -> Result<Response, Refused> {
        let beyond = response.body().size_hint().exact().unwrap_or(0).saturating_sub(FREE_BYTES);
        if beyond == 0 {
            return Ok(response);
        }
        let paid = Arc::clone(&self.answers).try_acquire_many_owned(kib(beyond));
        let paid = paid.map_err(|_| Refused::Answers)?;
        let (head, body) = response.into_parts();
        // It is there already: its length was known.
        let bytes = body.collect().await.map_err(|_| Refused::Answers)?.to_bytes();
        Ok(Response::from_parts(head, Body::from(Bytes::from_owner(Answer { bytes, _paid: paid }))))
    }

    /// Counts a refusal.
    pub(crate) fn count(&self, refused: Refused) {
        let reason = match refused {
            Refused::Calls => "calls",
            Refused::Reads => "reads",
            Refused::Bodies => "bodies",
            Refused::Answers => "answers",
        };
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// Shows refusals by reason, and how many requests are worked on.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("requests_refused", "API requests refused by overload", self.refused.clone());
        let free = self.calls.available_permits() + self.reads.available_permits();
        let in_work = CALLS_MAX + READS_MAX - free;
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(in_work).unwrap_or(i64::MAX));
        registry.register("requests_in_work", "API requests that are worked on", gauge);
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

struct Answer {
    bytes: Bytes,
    _paid: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What the body of one request is charged.
pub(crate) struct Charge {
    account: Arc<Semaphore>,
    bytes: u64,
    paid: Option<OwnedSemaphorePermit>,
}

impl Charge {
    fn add(&mut self, bytes: usize) -> Result<(), Refused> {
        self.bytes += bytes as u64;
        let paid = self.paid.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let due = kib(self.bytes.saturating_sub(FREE_BYTES)) as usize - paid;
        if due == 0 {
            return Ok(());
        }
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.account).try_acquire_many_owned(due).map_err(|_| Refused::Bodies)?;
        match &mut self.paid {
            Some(paid) => paid.merge(more),
            None => self.paid = Some(more),
        }
        Ok(())
    }
}

/// A body that is charged as it arrives.
pub(crate) struct Charged<'a> {
    pub(crate) body: Body,
    pub(crate) charge: &'a mut Charge,
}

impl hyper::body::Body for Charged<'_> {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            let frame = frame?;
            self.charge.add(frame.data_ref().map_or(0, Bytes::len))?;
            Ok(frame)
        }))
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
    async fn calls_wait_for_a_while_and_are_then_refused() {
        let admission = Admission::new();
        let mut permits = Vec::new();
        for _ in 0..CALLS_MAX {
            permits.push(admission.call(false).await.unwrap());
        }
        assert_eq!(admission.call(false).await.err(), Some(Refused::Calls));
        assert!(admission.call(true).await.is_ok(), "those that read the disk have slots of their own");
        let (next, ()) = tokio::join!(admission.call(false), async { drop(permits.pop()) });
        assert!(next.is_ok());
    }

    const FREE: usize = 32 << 10;

    #[test]
    fn bodies_are_charged_for_what_has_arrived_beyond_the_free_part() {
        assert_eq!(FREE as u64, FREE_BYTES);
        let admission = Admission::new();
        let left = || admission.bodies.available_permits();
        let mut short = admission.body();
        for _ in 0..4 {
            short.add(FREE / 4).unwrap();
        }
        assert_eq!(left(), BODIES_KIB);
        short.add(1).unwrap();
        short.add(1023).unwrap();
        assert_eq!(left(), BODIES_KIB - 1);

        let mut rest = admission.body();
        rest.add(FREE + (BODIES_KIB - 1) * 1024).unwrap();
        assert_eq!(short.add(1), Err(Refused::Bodies));
        assert_eq!(admission.body().add(FREE), Ok(()), "short ones are always taken");
        drop(rest);
        assert_eq!(short.add(1), Ok(()));
        drop(short);
        assert_eq!(left(), BODIES_KIB);
    }

    #[tokio::test]
    async fn answers_are_charged_until_they_are_written() {
        let admission = Admission::new();
        let long = || Response::new(Body::from(vec![0; FREE + ANSWERS_KIB * 512]));
        let mut answers = Vec::new();
        for _ in 0..2 {
            answers.push(
                admission.answer(long()).await.unwrap().into_body().collect().await.unwrap().to_bytes(),
            );
        }
        assert_eq!(admission.answer(long()).await.err(), Some(Refused::Answers));
        assert!(admission.answer(Response::new(Body::from("short"))).await.is_ok());
        drop(answers);
        assert!(admission.answer(long()).await.is_ok());
    }
}
