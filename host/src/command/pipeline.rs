//! A run of requests of one connection, in order, on its way through the sequencer.

use std::sync::Arc;

use adapter_api::EngineError;

use super::table::Row;
use super::{Arguments, Context, Replies};
use crate::sequencer::{Overlay, Submission};

/// A run of requests of one connection, in order, on its way through the sequencer.
pub struct Pipeline<R> {
    replies: R,
    context: Arc<Context>,
    done: Box<dyn FnOnce(R) + Send>,
    bytes: usize,
}

impl<R: Replies + Send + 'static> Pipeline<R> {
    /// A run without requests yet, whose replies are appended to `replies`. `done` is called with them on the
    /// commit thread; it must not block.
    pub fn new(replies: R, context: Arc<Context>, done: impl FnOnce(R) + Send + 'static) -> Self {
        Self { replies, context, done: Box::new(done), bytes: 0 }
    }

    /// Appends a request of class `Read` or `Write`; copies the words.
    pub fn push_request(&mut self, row: &'static Row, database: u8, arguments: Arguments<'_>) {
        let _ = (row, database);
        self.bytes += arguments.bytes();
    }

    /// Appends an already encoded reply that must keep its place.
    pub fn push_reply(&mut self, encoded: &[u8]) {
        self.bytes += encoded.len();
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// How much memory the requests and replies occupy.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<R: Replies + Send + 'static> Submission for Pipeline<R> {
    fn requests(&self) -> usize {
        0
    }
    fn bytes(&self) -> usize {
        self.bytes
    }
    fn evaluate(&mut self, request: usize, overlay: &mut Overlay<'_>) {
        let _ = (request, overlay, &self.context);
    }
    fn discard(&mut self, request: usize) {
        let _ = request;
    }
    fn refuse(&mut self, request: usize, error: &EngineError) {
        let _ = (request, error);
    }
    fn complete(self: Box<Self>) {
        (self.done)(self.replies);
    }
}
