//! What the sequencer is handed: a run of requests of one connection.

use adapter_api::EngineError;

use super::Overlay;

/// A run of requests whose answers go out together. The sequencer calls, on the thread that has its role and in this order:
/// `evaluate` for each request; perhaps `discard`, and `evaluate` or `refuse` again; at last `complete`.
pub trait Submission: Send {
    /// How many requests there are.
    fn requests(&self) -> usize;

    /// How much memory the requests occupy, for the budget of queued bytes.
    fn bytes(&self) -> usize;

    /// Calls `visit` with the engine's keys that the requests will read, as far as that is known beforehand:
    /// they are fetched together before the first `evaluate`. A hint; nothing depends on it.
    fn reads(&self, visit: &mut dyn FnMut(&[u8])) {
        let _ = visit;
    }

    /// Whether the requests write without looking at anything that is stored.
    fn only_writes(&self) -> bool {
        false
    }

    /// Works the request out against what is stored and what the group wrote so far; keeps the answer. Called
    /// in ascending order of `request`.
    fn evaluate(&mut self, request: usize, overlay: &mut Overlay<'_>);

    /// Forgets the answers of this request and all behind it.
    fn discard(&mut self, request: usize);

    /// Answers the request, whose answer was discarded, with an error of the engine.
    fn refuse(&mut self, request: usize, error: &EngineError);

    /// How many bytes the answers so far have: a batch ends when those of its requests have many.
    fn answer_bytes(&self) -> usize {
        0
    }

    /// Everything is decided and durable: hand the answers to the connection.
    fn complete(self: Box<Self>);
}
