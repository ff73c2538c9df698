//! Where events go.

use std::sync::Arc;

use fornada_core::event::Event;

/// Whoever wants to know what becomes of jobs.
pub trait EventSink: Send {
    /// Takes events, in order, which are durable and stay so until they are acknowledged with
    /// [`crate::Handle::delivered`]. Must return at once: commits wait for it. Whatever was not acknowledged is handed over
    /// again, in order, when the engine starts; with it may come what was.
    fn deliver(&mut self, events: Vec<Arc<Event>>);
}
