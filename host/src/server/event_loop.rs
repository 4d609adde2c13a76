//! One thread that serves many connections as they get ready.
//!
//! ```text
//! round:  wait ─► note what is ready, accept ─► take completions ─► a turn each ─► submit, send, close
//! ```
//!
//! Promises: a turn is bounded, and a connection with more to do stands in line again, so that nobody starves the
//! others; runs of writes are handed to the sequencer once a round, so that clients share its groups, or decided here
//! and now if they are few and nobody reads; the thread sleeps unless somebody can make progress.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Token};

use super::completion::Completion;
use super::connection::{Connection, Filled, PIPELINE_BYTES_MAX, Shared};
use super::connections::Connections;
use super::listener::{Accepted, Acceptor, Listener};
use super::routing::Step;
use crate::command::Ahead;
use crate::observe::ClientFlag;
use crate::sequencer::Submission;

/// The token of the completion queue's waker. Connections have their client's number, which counts from 1.
pub(super) const WAKER: Token = Token(usize::MAX);

/// The requests of one connection in one turn.
pub(super) const TURN_REQUESTS: usize = 1024;

/// The bytes of values that the requests of one turn may have copied before it ends.
const TURN_VALUE_BYTES: usize = 256 * 1024;

/// How often one connection's socket is read in one turn.
const TURN_READS: usize = 4;

/// The bytes that one read takes at most.
const READ_BYTES: usize = 64 * 1024;

/// The clients that one listener lets in in one round.
const ROUND_ACCEPTS: usize = 128;

/// How long a listener rests when the operating system has no more files or memory.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The bytes of requests in this round's pipelines, above which they are handed on before the round ends: the
/// sequencer's budget counts only what it was handed.
const ROUND_BYTES: usize = 8 * 1024 * 1024;

/// After so many rounds of writes alone nobody seems to read, and they may be decided on the loop's thread: a read that
/// comes then waits for one group, and those behind it for none.
const WRITE_ROUNDS: u32 = 64;

/// How soon it is looked again whether the sequencer has room. Its completions wake the loop sooner, but those of
/// other loops' connections do not.
const ROOM_POLL: Duration = Duration::from_millis(2);

/// A listener's clone and what it has to do.
struct Door {
    token: Token,
    acceptor: Acceptor,
    /// Clients may be waiting.
    pending: bool,
    /// It rests until then.
    rests_until: Option<Instant>,
}

/// One event loop.
pub(super) struct EventLoop {
    poll: Poll,
    shared: Shared,
    doors: Vec<Door>,
    connections: Connections,
    /// Connections with something to do.
    queue: VecDeque<Token>,
    /// Connections that wait for the sequencer to have room.
    stalled: Vec<Token>,
    /// Connections that wait until then: for the end of a pause, or after a wrong password.
    paused: Vec<(Instant, Token)>,
    /// The calls for attention that were followed.
    calls_seen: u64,
    /// Connections that had a turn in this round.
    touched: Vec<Token>,
    /// Empty between rounds.
    completions: Vec<Completion>,
    submissions: Vec<Box<dyn Submission>>,
    round_bytes: usize,
    /// Rounds with writes since one that answered anything else.
    write_rounds: u32,
    scratch: Vec<u8>,
    /// Of the connection that has its turn.
    ahead: Ahead,
    now: Instant,
    next_sweep: Instant,
    /// Whether a connection may become overdue: one that does not take its replies, or any if idle ones must go.
    sweeps: bool,
    /// Set by a shutdown: when the loop gives up on what is left.
    deadline: Option<Instant>,
}

impl EventLoop {
    /// A loop that serves the listeners' clients, but does not run yet.
    pub(super) fn new(poll: Poll, listeners: &[Listener], shared: Shared) -> io::Result<Self> {
        let door = |(index, listener): (usize, &Listener)| {
            let token = Token(WAKER.0 - 1 - index);
            let acceptor = listener.register(poll.registry(), token)?;
            Ok(Door { token, acceptor, pending: true, rests_until: None })
        };
        let doors = listeners.iter().enumerate().map(door).collect::<io::Result<_>>()?;
        let now = Instant::now();
        Ok(Self {
            poll,
            shared,
            doors,
            connections: Connections::default(),
            queue: VecDeque::new(),
            stalled: Vec::new(),
            paused: Vec::new(),
            calls_seen: 0,
            touched: Vec::new(),
            completions: Vec::new(),
            submissions: Vec::new(),
            round_bytes: 0,
            write_rounds: 0,
            scratch: vec![0; READ_BYTES],
            ahead: Ahead::default(),
            now,
            next_sweep: now,
            sweeps: false,
            deadline: None,
        })
    }

    /// Serves until a shutdown was asked for and everything is answered, or the time for that is over.
    ///
    /// # Errors
    /// What the operating system says when it cannot wait for events.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => self.now = Instant::now(),
            }
            if self.shared.context.shutdown.is_requested() && self.deadline.is_none() {
                self.begin_shutdown();
            }
            for event in &events {
                self.note(event);
            }
            self.accept();
            self.take_completions();
            self.resume_stalled();
            self.resume_paused();
            for _ in 0..self.queue.len() {
                self.turn();
            }
            self.attend();
            self.end_round();
            self.sweep();
            if self.is_over() {
                return Ok(());
            }
        }
    }

    /// How long the loop may sleep; `None` until somebody wakes it.
    fn timeout(&self) -> Option<Duration> {
        let accepting = |door: &Door| door.pending && door.rests_until.is_none();
        if !self.queue.is_empty() || self.doors.iter().any(accepting) {
            return Some(Duration::ZERO);
        }
        let rests = self.doors.iter().filter_map(|door| door.rests_until);
        let room = (!self.stalled.is_empty()).then(|| self.now + ROOM_POLL);
        let pauses = self.paused.iter().map(|(until, _)| *until);
        let sweep = self.sweeps.then_some(self.next_sweep);
        let wake = rests.chain(pauses).chain(room).chain(sweep).chain(self.deadline).min();
        if !self.shared.completions.may_sleep() {
            return Some(Duration::ZERO);
        }
        wake.map(|wake| wake.saturating_duration_since(Instant::now()))
    }

    fn note(&mut self, event: &Event) {
        let token = event.token();
        if let Some(door) = self.doors.iter_mut().find(|door| door.token == token) {
            door.pending = true;
        } else if let Some(connection) = self.connections.get_mut(&token) {
            if event.is_error() {
                // Both halves are gone: there is nobody to answer.
                self.close(token);
                return;
            }
            if event.is_readable() || event.is_read_closed() {
                connection.note_readable(event.is_read_closed());
            }
            self.enqueue(token);
        }
    }

    fn enqueue(&mut self, token: Token) {
        if let Some(connection) = self.connections.get_mut(&token)
            && !mem::replace(&mut connection.queued, true)
        {
            self.queue.push_back(token);
        }
    }

    fn take_completions(&mut self) {
        let mut completions = mem::take(&mut self.completions);
        self.shared.completions.take(&mut completions);
        completions.drain(..).for_each(|completion| self.complete(completion));
        // Keeps the allocation for the next round.
        self.completions = completions;
    }

    fn complete(&mut self, completion: Completion) {
        let token = completion.connection;
        let Some(connection) = self.connections.get_mut(&token) else { return };
        match connection.complete(completion) {
            Ok(()) => {
                connection.count_bytes(&self.shared);
                // At the end of the round it is looked after anyway.
                if !connection.touched {
                    self.enqueue(token);
                }
            }
            Err(()) => {
                log::error!("closed client {}: its requests ended without an answer", connection.session.id);
                self.close(token);
            }
        }
    }

    fn resume_stalled(&mut self) {
        if !self.stalled.is_empty() && self.shared.context.sequencer.has_room() {
            for token in mem::take(&mut self.stalled) {
                if let Some(connection) = self.connections.get_mut(&token) {
                    connection.stalled = false;
                    self.enqueue(token);
                }
            }
        }
    }

    fn resume_paused(&mut self) {
        if self.paused.is_empty() {
            return;
        }
        let now = self.now;
        let due: Vec<_> = self.paused.extract_if(.., |(until, _)| *until <= now).collect();
        for (_, token) in due {
            self.resume(token);
        }
    }

    fn resume(&mut self, token: Token) {
        if let Some(connection) = self.connections.get_mut(&token) {
            connection.stalled = false;
            connection.punished_until.take_if(|until| *until <= self.now);
            self.enqueue(token);
        }
    }

    /// Follows a call for attention: clients that have to go go, those that were paused try again, those that
    /// monitor get their lines.
    fn attend(&mut self) {
        let calls = self.shared.context.observe.attention.calls();
        if mem::replace(&mut self.calls_seen, calls) == calls {
            return;
        }
        let observe = Arc::clone(&self.shared.context.observe);
        for (_, token) in mem::take(&mut self.paused) {
            self.resume(token);
        }
        for client in observe.monitors.with_lines() {
            if let Some(connection) = self.connections.get_mut(&Token(client as usize))
                && connection.take_lines(&self.shared)
                && !mem::replace(&mut connection.touched, true)
            {
                self.touched.push(connection.token);
            }
        }
        let dismissed = |connection: &Connection| {
            connection.session.client().dismissal().map(|reason| (connection.token, reason))
        };
        for (token, reason) in self.connections.values().filter_map(dismissed).collect::<Vec<_>>() {
            log::info!("closed client {}: {reason}", token.0);
            self.close(token);
        }
        self.sweeps |= self.shared.context.settings.live.idle_timeout().is_some();
    }

    /// Gives the connection at the front of the queue its turn.
    fn turn(&mut self) {
        let Some(token) = self.queue.pop_front() else { return };
        let Some(connection) = self.connections.get_mut(&token) else { return };
        connection.queued = false;
        if !mem::replace(&mut connection.touched, true) {
            self.touched.push(token);
        }
        if connection.stalled {
            return;
        }
        let before = connection.pipeline.as_ref().map_or(0, |pipeline| pipeline.bytes());
        let work = || work(connection, &self.shared, &mut self.scratch, &mut self.ahead, self.now);
        // A panic is a defect of a command; it costs the client that came upon it its connection, no more.
        let kept = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            log::error!("a request of client {} ended in a panic, which is a defect", token.0);
            Turn::Broken
        });
        if let Some(command) = connection.last_command.take() {
            connection.session.client().active(command);
            if connection.pipeline.is_none() {
                self.write_rounds = 0;
            }
        }
        connection.count_bytes(&self.shared);
        match kept {
            Turn::NoRoom => self.stalled.push(token),
            Turn::PausedUntil(until) => self.paused.push((until, token)),
            Turn::Ended | Turn::Broken => {}
        }
        let after = connection.pipeline.as_ref().map_or(0, |pipeline| pipeline.bytes());
        self.round_bytes += after.saturating_sub(before);
        if kept == Turn::Broken {
            self.close(token);
        } else if self.round_bytes > ROUND_BYTES || self.shared.owes_too_much() {
            self.end_round();
        }
    }

    /// Hands on the pipelines, sends the replies, and closes what is finished.
    fn end_round(&mut self) {
        self.round_bytes = 0;
        let touched = mem::take(&mut self.touched);
        let idle_timeout = self.shared.context.settings.live.idle_timeout();
        for token in &touched {
            if let Some(connection) = self.connections.get_mut(token) {
                self.submissions.extend(connection.take_pipeline());
            }
        }
        self.submit();
        for token in &touched {
            let Some(connection) = self.connections.get_mut(token) else { continue };
            connection.touched = false;
            let mut gone = connection.flush(&self.shared, self.now).is_err();
            if connection.take_lines(&self.shared) {
                gone |= connection.flush(&self.shared, self.now).is_err();
            }
            connection.count_bytes(&self.shared);
            self.sweeps |= connection.may_become_overdue(idle_timeout);
            if gone || connection.is_finished() {
                self.close(*token);
            } else if connection.has_work(&self.shared) {
                self.enqueue(*token);
            }
        }
        // Keeps the allocation for the next round.
        self.touched = touched;
        self.touched.clear();
        self.collect_debts();
    }

    /// Hands the round's pipelines to the sequencer, or has them decided here and now.
    fn submit(&mut self) {
        if self.submissions.is_empty() {
            return;
        }
        let sequencer = &self.shared.context.sequencer;
        self.write_rounds = self.write_rounds.saturating_add(1);
        let nobody_reads = self.write_rounds > WRITE_ROUNDS || self.connections.len() == 1;
        if !nobody_reads {
            sequencer.submit_all(&mut self.submissions);
        } else if sequencer.submit_all_inline(&mut self.submissions) {
            self.take_completions();
        }
    }

    /// Closes those that owe most while the clients of all loops leave too many replies untaken.
    fn collect_debts(&mut self) {
        while self.shared.owes_too_much() {
            let debts = self.connections.values().filter_map(|it| Some((it.debt()?, it.token)));
            // Another loop's clients may be those who owe.
            let Some((bytes, token)) = debts.max() else { return };
            let most = self.shared.settings.unsent_bytes_max;
            log::warn!(
                "closed client {}: the replies that it does not take hold {bytes} bytes, those of all clients more than \
                 limits.unsent_bytes_max = {most}",
                token.0
            );
            self.close(token);
        }
    }

    fn close(&mut self, token: Token) {
        if let Some(mut connection) = self.connections.remove(&token) {
            connection.uncount_bytes(&self.shared);
            if connection.stalled {
                self.paused.retain(|(_, paused)| *paused != token);
            }
            let observe = &self.shared.context.observe;
            if connection.session.client().has(ClientFlag::Monitors) {
                observe.monitors.remove(connection.session.id);
            }
            observe.clients.disconnected(connection.session.id);
            self.shared.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn accept(&mut self) {
        let now = self.now;
        for index in 0..self.doors.len() {
            let door = &mut self.doors[index];
            if door.rests_until.is_some_and(|until| until > now) || !door.pending {
                continue;
            }
            for _ in 0..ROUND_ACCEPTS {
                let door = &mut self.doors[index];
                match door.acceptor.accept(self.shared.settings.keepalive) {
                    Ok(accepted) => {
                        door.rests_until = None;
                        self.admit(accepted);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        door.pending = false;
                        door.rests_until = None;
                        break;
                    }
                    // These end one connection that was about to be made, not the listener.
                    Err(error) if is_about_the_client(&error) => {}
                    Err(error) => {
                        if door.rests_until.is_none() {
                            log::error!(
                                "cannot accept clients: {error}; trying again until it works. Raise the \
                                 limit of open files or lower the number of clients"
                            );
                        }
                        door.rests_until = Some(now + ACCEPT_REST);
                        break;
                    }
                }
            }
        }
    }

    fn admit(&mut self, accepted: Accepted) {
        let Accepted { mut socket, address, local_address } = accepted;
        let observe = &self.shared.context.observe;
        observe.counters.connections_received.add(1);
        if self.shared.clients.fetch_add(1, Ordering::Relaxed)
            >= self.shared.context.settings.live.clients_max()
        {
            self.shared.clients.fetch_sub(1, Ordering::Relaxed);
            observe.counters.connections_rejected.add(1);
            // A fresh socket has room for a line; should the client be gone already, nobody misses it.
            let _ = socket.write(b"-ERR max number of clients reached\r\n");
            return;
        }
        let client = observe.clients.connected(&address, &local_address);
        let token = Token(client.id() as usize);
        let mut connection = Connection::new(token, socket, client, &self.shared, self.now);
        let registered = connection.socket_mut().register(self.poll.registry(), token);
        self.connections.insert(token, connection);
        match registered {
            Ok(()) => self.enqueue(token),
            Err(error) => {
                log::error!("cannot serve a client from {address}: {error}");
                self.close(token);
            }
        }
    }

    /// Closes the connections whose time is over.
    fn sweep(&mut self) {
        if !self.sweeps || self.now < self.next_sweep {
            return;
        }
        let settings = &self.shared.settings;
        let idle_timeout = self.shared.context.settings.live.idle_timeout();
        let shortest = idle_timeout.unwrap_or(Duration::MAX).min(settings.slow_client_timeout);
        let interval = (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1));
        self.next_sweep = self.now + interval;
        let overdue = |(token, connection): (&Token, &Connection)| {
            connection.overdue(settings, idle_timeout, self.now).map(|reason| (*token, reason))
        };
        for (token, reason) in self.connections.iter().filter_map(overdue).collect::<Vec<_>>() {
            log::warn!("closed client {}: {reason}", token.0);
            self.close(token);
        }
        self.sweeps = self.connections.values().any(|connection| connection.may_become_overdue(idle_timeout));
    }

    /// Stops accepting and reading; what has arrived is still answered.
    fn begin_shutdown(&mut self) {
        self.deadline = Some(self.now + self.shared.settings.drain_timeout);
        self.doors.clear();
        self.shared.context.observe.pause.end();
        for (_, token) in mem::take(&mut self.paused) {
            self.resume(token);
        }
        let tokens: Vec<_> = self.connections.keys().copied().collect();
        for token in tokens {
            if let Some(connection) = self.connections.get_mut(&token) {
                connection.stop_reading();
                self.enqueue(token);
            }
        }
    }

    fn is_over(&self) -> bool {
        let Some(deadline) = self.deadline else { return false };
        if self.now >= deadline && !self.connections.is_empty() {
            log::warn!("closed {} clients that did not take their replies in time", self.connections.len());
            return true;
        }
        self.connections.is_empty()
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        let tokens: Vec<_> = self.connections.keys().copied().collect();
        for token in tokens {
            self.close(token);
        }
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There is nothing more to do now, or others are next.
    Ended,
    /// The next request waits for the sequencer to have room.
    NoRoom,
    /// The next request waits until then.
    PausedUntil(Instant),
    /// The connection cannot live on.
    Broken,
}

/// Looks at requests and reads more until there is nothing to do or the turn is over.
fn work(
    connection: &mut Connection,
    shared: &Shared,
    scratch: &mut [u8],
    ahead: &mut Ahead,
    now: Instant,
) -> Turn {
    ahead.begin_turn();
    let mut reads = 0;
    let mut turn = Turn::Ended;
    for _ in 0..TURN_REQUESTS {
        match connection.step(shared, ahead) {
            Step::Ran => {}
            Step::Waits => break,
            Step::NoRoom => {
                turn = Turn::NoRoom;
                break;
            }
            Step::WaitsUntil(end) => {
                turn = Turn::PausedUntil(end);
                break;
            }
            Step::NeedsBytes if reads == TURN_READS => break,
            Step::NeedsBytes => match connection.fill(shared, scratch, now) {
                Filled::Bytes => reads += 1,
                Filled::Nothing => break,
                Filled::Broken => return Turn::Broken,
            },
        }
        let is_long =
            connection.pipeline.as_ref().is_some_and(|pipeline| pipeline.bytes() > PIPELINE_BYTES_MAX);
        if is_long || ahead.copied() > TURN_VALUE_BYTES {
            break;
        }
    }
    if let Some(until) = connection.punished_until {
        // Also if the wrong password was the last request of the turn.
        turn = Turn::PausedUntil(until);
    }
    connection.stalled = turn != Turn::Ended;
    turn
}

fn is_about_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
