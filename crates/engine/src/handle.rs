//! The way to the loop for everyone outside it.

use std::sync::Arc;

use fornada_core::attempt::Observation;
use fornada_core::state::State;
use fornada_core::turn::Turn;
use tokio::sync::{mpsc, oneshot};

use crate::Metrics;
use crate::step::{self, Input};

/// Why the engine gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// As many inputs wait as may; try again later. Nothing was changed.
    #[error("the engine is busy")]
    Busy,
    /// The engine stopped; whether a change was made is not known.
    #[error("the engine has stopped")]
    Stopped,
}

/// Sends commands, reads and observations into the loop. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Handle {
    /// Applies a command, and answers once what it changed is durable.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn decide<R: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Turn<'_>) -> R + Send + 'static,
    ) -> Result<R, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let input = step::command(command, move |result| drop(reply.send(result)));
        self.inputs.try_send(input).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Unavailable::Busy,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Stopped,
        })?;
        answer.await.map_err(|_| Unavailable::Stopped)
    }

    /// Reads the state. The answer is given once everything it may show is durable.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn read<R: Send + 'static>(
        &self,
        query: impl FnOnce(&State) -> R + Send + 'static,
    ) -> Result<R, Unavailable> {
        self.decide(move |turn| query(turn.state())).await
    }

    /// Reports what a backend saw. Waits while the queue is full: reports are never dropped here.
    pub async fn observe(&self, observation: Observation) {
        drop(self.inputs.send(step::observation(observation)).await); // a stopped engine needs no reports: it asks for all of them when it starts
    }

    /// Reports that events up to this number have arrived where they were to go. Waits while the queue is full.
    pub async fn delivered(&self, up_to: u64) {
        drop(self.inputs.send(step::acknowledgement(up_to)).await); // a stopped engine hands them out again when it starts
    }

    /// Counters of the loop.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
