//! A server in this process, and a client that reads byte by byte what it expects.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::command::{Context, ServerFacts, ShutdownHandle};
use crate::observe::Observe;
use crate::sequencer::{Limits, Sequencer};
use crate::server::{Server, Settings};
use crate::storage::test_engine::{State, TestEngine, opened};

/// Far longer than anything takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; ends with the value.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) state: Arc<State>,
    pub(super) context: Arc<Context>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

/// Settings with a free port and short times.
pub(super) fn settings() -> Settings {
    Settings {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        drain_timeout: Duration::from_secs(20),
        ..Settings::default()
    }
}

impl Running {
    pub(super) fn start(settings: Settings) -> Self {
        Self::start_with(settings, TestEngine::new(), Limits::default())
    }

    pub(super) fn start_with(settings: Settings, engine: TestEngine, limits: Limits) -> Self {
        Self::start_as(ServerFacts::default(), settings, engine, limits)
    }

    pub(super) fn start_as(
        facts: ServerFacts,
        settings: Settings,
        engine: TestEngine,
        limits: Limits,
    ) -> Self {
        let state = engine.state();
        let storage = Arc::new(opened(engine));
        let sequencer = Sequencer::start(Arc::clone(&storage), limits).expect("the engine is fresh");
        let context = Arc::new(Context::new(
            storage,
            Arc::new(sequencer),
            Arc::new(Observe::new()),
            Arc::new(facts),
            ShutdownHandle::new(),
            Arc::new(Vec::new),
        ));
        Self::serve(settings, state, context)
    }

    /// Another server over the same engine and sequencer, with event loops of its own.
    pub(super) fn start_beside(&self, settings: Settings) -> Self {
        Self::serve(settings, Arc::clone(&self.state), Arc::clone(&self.context))
    }

    fn serve(settings: Settings, state: Arc<State>, context: Arc<Context>) -> Self {
        let server = Server::bind(settings, Arc::clone(&context)).expect("the port is free");
        let address = server.local_addresses()[0];
        let thread = Some(std::thread::spawn(move || server.run()));
        Self { address, state, context, thread }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(TcpStream::connect(self.address).expect("the server listens"))
    }

    /// Returns once the only event loop has looked at everything that was sent before.
    pub(super) fn settle(&self) {
        self.client().ask("PING\r\n", "+PONG\r\n");
    }

    /// Asks for the end, without waiting for it.
    pub(super) fn request_shutdown(&self) {
        self.context.shutdown.request();
    }

    /// Waits for the end.
    pub(super) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no loop panics").expect("no loop fails");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.request_shutdown();
        if !std::thread::panicking() {
            self.join();
            self.context.sequencer.shutdown();
        }
    }
}

/// A client over any stream.
pub(super) struct Client<S = TcpStream>(S);

impl Client {
    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Self(stream)
    }

    /// Sends no more, but still reads.
    pub(super) fn finish(&self) {
        self.0.shutdown(Shutdown::Write).expect("the server is there");
    }

    pub(super) fn clone_stream(&self) -> TcpStream {
        self.0.try_clone().expect("a file is left")
    }

    /// Whether no reply is there now.
    pub(super) fn is_silent(&self) -> bool {
        self.0.set_nonblocking(true).expect("the mode can be set");
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).expect("the mode can be set");
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

impl<S: Read + Write> Client<S> {
    pub(super) fn over(stream: S) -> Self {
        Self(stream)
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Reads as many bytes as are expected and compares.
    #[track_caller]
    pub(super) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut got = Vec::new();
        while got.len() < expected.len() {
            let mut bytes = vec![0; (expected.len() - got.len()).min(64 * 1024)];
            match self.0.read(&mut bytes) {
                Ok(len) if len > 0 => got.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                ended => panic!("{ended:?} after {}", got.escape_ascii()),
            }
        }
        assert!(got == expected, "got {}\nnot {}", got.escape_ascii(), expected.escape_ascii());
    }

    #[track_caller]
    pub(super) fn ask(&mut self, request: &str, expected: &str) {
        self.send(request);
        self.expect(expected);
    }

    /// Reads until the server closes the connection.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut bytes = vec![0; 64 * 1024];
        loop {
            match self.0.read(&mut bytes) {
                Ok(0) => return rest,
                Ok(len) => rest.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The server closed the connection while bytes of ours were under way.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return rest,
                Err(error) => panic!("{error} after {} bytes", rest.len()),
            }
        }
    }
}
