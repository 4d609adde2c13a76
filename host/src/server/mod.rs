//! Sockets, connections and the event loops that serve them.
//!
//! The life of a request:
//!
//! ```text
//!  client                event loop (one thread, many connections)             other threads
//!    │  bytes   ┌───────────────────────────────────────────────┐
//!    ├─────────►│ connection: Input → resp::Decoder → words     │
//!    │          │ routing:    command::resolve → a row          │
//!    │          │   Local, Read from memory ──► replies         │
//!    │          │   Read from a device, Scan ───────────────────┼──► reader thread ──────────┐
//!    │          │   Write, and what is behind one ──► Pipeline ─┼──► sequencer (its thread) ─┤
//!    │          │                                               │                            │
//!    │  bytes   │ Answers ◄────────────────────── completion ◄──┼──── Ticket::answer ◄───────┘
//!    │◄─────────┤ one write a round                             │
//!    │          └───────────────────────────────────────────────┘
//! ```
//!
//! Promises: replies come in the order of the requests; no client can make another wait for long, nor the
//! server keep more than the settings say; every request that arrived before the end of its connection's bytes
//! or before a shutdown is answered, unless the client does not take the replies in time.
//!
//! `cli` binds and runs the server; `command::ShutdownHandle` ends it.

mod completion;
mod connection;
mod event_loop;
mod listener;
mod replies;
mod routing;
mod settings;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;

use mio::Poll;

use self::completion::CompletionQueue;
use self::connection::Shared;
use self::event_loop::{EventLoop, WAKER};
use self::listener::Listener;
use crate::command::{Context, ShutdownHandle};

pub use listener::BindError;
pub use settings::Settings;

/// A server that listens. Clients can connect as soon as it exists; they are served once it runs.
pub struct Server {
    loops: Vec<EventLoop>,
    addresses: Vec<SocketAddr>,
    unix_socket: Option<PathBuf>,
    shutdown: ShutdownHandle,
}

impl Server {
    /// Listens on every address of the settings, or on none.
    ///
    /// # Errors
    /// A sentence for the operator: which address, why, and what to do.
    pub fn bind(settings: Settings, context: Arc<Context>) -> Result<Self, BindError> {
        let settings = Arc::new(settings.in_range());
        if settings.listen.is_empty() && settings.unix_socket.is_none() {
            return Err(BindError::Nowhere);
        }
        let addresses = settings.listen.iter().map(|address| Listener::bind_tcp(*address));
        let mut listeners = addresses.collect::<Result<Vec<_>, _>>()?;
        if let Some(path) = &settings.unix_socket {
            listeners.push(Listener::bind_unix(path)?);
        }
        let mut server = Self {
            loops: Vec::new(),
            addresses: listeners.iter().filter_map(Listener::address).collect(),
            unix_socket: settings.unix_socket.clone(),
            shutdown: context.shutdown.clone(),
        };
        let clients = Arc::new(AtomicUsize::new(0));
        let input_bytes = Arc::new(AtomicUsize::new(0));
        for _ in 0..settings.loops {
            let poll = Poll::new().map_err(BindError::Resources)?;
            let completions = CompletionQueue::new(&poll, WAKER).map_err(BindError::Resources)?;
            let shared = Shared {
                context: Arc::clone(&context),
                settings: Arc::clone(&settings),
                completions: Arc::new(completions),
                clients: Arc::clone(&clients),
                input_bytes: Arc::clone(&input_bytes),
            };
            let completions = Arc::clone(&shared.completions);
            server.loops.push(EventLoop::new(poll, &listeners, shared).map_err(BindError::Resources)?);
            server.shutdown.on_request(move || completions.wake());
        }
        Ok(server)
    }

    /// The TCP addresses that it listens on, with the ports that were chosen for it.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
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

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(path) = &self.unix_socket {
            // A path that is already gone is what is wanted.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Asks for a shutdown when it is dropped.
struct EndOfLoop(ShutdownHandle);

impl Drop for EndOfLoop {
    fn drop(&mut self) {
        self.0.request();
    }
}
