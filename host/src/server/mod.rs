//! Sockets, connections and the event loops that serve them.
//!
//! The life of a request:
//!
//! ```text
//!  client                event loop (one thread, many connections)             other threads
//!    │  bytes   ┌───────────────────────────────────────────────┐
//!    ├─────────►│ connection: Input → resp::Decoder → words     │
//!    │          │ routing:    command::admit → a row            │
//!    │          │   Local, Read from memory ──► replies         │
//!    │          │   Read from a device, Scan ───────────────────┼──► reader thread ──────────┐
//!    │          │   Write, and what is behind one ──► Pipeline ─┼──► sequencer (its thread*) ┤
//!    │          │                                               │                            │
//!    │  bytes   │ Answers ◄────────────────────── completion ◄──┼──── Ticket::answer ◄───────┘
//!    │◄─────────┤ one write a round                             │
//!    │          └───────────────────────────────────────────────┘
//! ```
//!
//! *) A few lone writes are decided on the event loop while nobody reads (`sequencer::Sequencer::submit_all_inline`).
//!
//! Promises: replies come in the order of the requests; no client can make another wait for long, nor the
//! server keep more than the settings say; every request that arrived before the end of its connection's bytes
//! or before a shutdown is answered, unless the client does not take the replies in time.
//!
//! `cli` binds and runs the server; `command::ShutdownHandle` ends it.

mod completion;
mod connection;
mod connections;
mod event_loop;
mod listener;
mod replies;
mod routing;
mod settings;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;

use mio::Poll;

use self::completion::CompletionQueue;
use self::connection::Shared;
use self::event_loop::{EventLoop, WAKER};
use crate::command::{Context, ShutdownHandle};

pub use listener::{BindError, Listeners};
pub use settings::Settings;

/// A server that listens. Clients can connect as soon as it exists; they are served once it runs.
pub struct Server {
    loops: Vec<EventLoop>,
    listeners: Listeners,
    shutdown: ShutdownHandle,
}

impl Server {
    /// Listens on every address of the settings, or on none, and gets ready to serve.
    ///
    /// # Errors
    /// A sentence for the operator: which address, why, and what to do.
    pub fn bind(settings: Settings, context: Arc<Context>) -> Result<Self, BindError> {
        let listeners = Listeners::bind(&settings)?;
        Self::new(settings, listeners, context)
    }

    /// Gets ready to serve on sockets that listen already.
    ///
    /// # Errors
    /// If the operating system refuses what an event loop needs.
    pub fn new(settings: Settings, listeners: Listeners, context: Arc<Context>) -> Result<Self, BindError> {
        let settings = Arc::new(settings.in_range());
        let mut server = Self { loops: Vec::new(), shutdown: context.shutdown.clone(), listeners };
        let clients = Arc::new(AtomicUsize::new(0));
        context.settings.live.set_clients_max(settings.max_clients);
        context.settings.live.set_idle_timeout(settings.idle_timeout);
        for _ in 0..settings.loops {
            let poll = Poll::new().map_err(BindError::Resources)?;
            let completions = CompletionQueue::new(&poll, WAKER, Arc::clone(&context.observe))
                .map_err(BindError::Resources)?;
            let shared = Shared {
                context: Arc::clone(&context),
                settings: Arc::clone(&settings),
                completions: Arc::new(completions),
                clients: Arc::clone(&clients),
            };
            let completions = Arc::clone(&shared.completions);
            let answered = Arc::clone(&shared.completions);
            context.sequencer.on_completions(move || answered.announce());
            let called = Arc::clone(&shared.completions);
            context.observe.attention.on_call(move || called.wake());
            server
                .loops
                .push(EventLoop::new(poll, server.listeners.all(), shared).map_err(BindError::Resources)?);
            server.shutdown.on_request(move || completions.wake());
        }
        let shutdown = server.shutdown.clone();
        context.sequencer.on_failure(move || shutdown.request());
        server.listeners.leave_to_clones();
        Ok(server)
    }

    /// The TCP addresses that it listens on, with the ports that were chosen for it.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        self.listeners.addresses()
    }

    /// Serves until a shutdown is asked for; then answers what arrived before and returns. The caller ends the
    /// sequencer and the readers afterwards.
    ///
    /// # Errors
    /// What the operating system says when a thread cannot be started or cannot wait for events, and that an event
    /// loop panicked. The other loops have been shut down then.
    pub fn run(mut self) -> io::Result<()> {
        let mut threads = Vec::new();
        let mut result = Ok(());
        for (index, event_loop) in std::mem::take(&mut self.loops).into_iter().enumerate() {
            // One loop less means clients that nobody serves: if one ends, for whatever reason, all do.
            let end = EndOfLoop(self.shutdown.clone());
            let run = move || {
                let _end = end;
                event_loop.run()
            };
            match thread::Builder::new().name(format!("loop-{index}")).spawn(run) {
                Ok(thread) => threads.push(thread),
                Err(error) => result = Err(error),
            }
        }
        for thread in threads {
            let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("an event loop panicked")));
            result = result.and(ended);
        }
        result
    }
}

/// Asks for a shutdown when it is dropped.
struct EndOfLoop(ShutdownHandle);

impl Drop for EndOfLoop {
    fn drop(&mut self) {
        self.0.request();
    }
}

#[cfg(test)]
mod tests;
