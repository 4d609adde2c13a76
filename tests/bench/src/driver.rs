//! The driver: many connections on one thread, in a closed or an open loop.
//!
//! Promises: every reply is checked, and the first wrong one, error or closed connection ends the run without
//! a figure. In an open loop requests are sent by the clock whatever the server does, and the time of a
//! request counts from the moment at which it was meant to be sent, however late it was: a server that rests
//! cannot hide it (no coordinated omission). In a closed loop a connection sends its next requests when the
//! last ones are answered, so throughput is what it measures; its times are those of its own requests.
//!
//! ```text
//! start ── warm up ──▶ window ── what counts ──▶ end ── wait for what was sent ──▶ Outcome
//! ```

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::latency::Latency;
use crate::load::{self, Expected, Requests};
use crate::resp::parse;

/// How long the server may take for what was sent before the end.
const PATIENCE: Duration = Duration::from_secs(60);
/// The poll of the operating system is no finer than a millisecond: what is due sooner is waited for awake.
const SLEEP_AT_LEAST: Duration = Duration::from_millis(2);
/// How much is read from a socket at once.
const READ_BYTES: usize = 64 * 1024;

/// Connections that send the same kind of requests.
pub struct Group {
    /// What they are called in the outcome.
    pub name: &'static str,
    /// How many there are.
    pub connections: usize,
    /// Makes the requests of one connection, given its number among all.
    pub requests: Box<dyn Fn(u64) -> Box<dyn Requests>>,
}

/// When a connection sends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// When its last requests are answered.
    Closed,
    /// By the clock, this many requests a second over all connections in turns.
    Open {
        /// Requests a second.
        per_second: f64,
    },
}

/// A load.
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// Who sends what.
    pub groups: Vec<Group>,
    /// How many requests a connection sends at once.
    pub pipeline: usize,
    /// When it sends.
    pub pace: Pace,
    /// How long load runs before anything counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub window: Duration,
}

/// What a group of connections saw.
#[derive(Debug)]
pub struct GroupOutcome {
    /// The group.
    pub name: &'static str,
    /// Requests a second within the window.
    pub per_second: f64,
    /// How long they took.
    pub latency: Latency,
    /// Requests answered in all, outside the window too.
    pub answered: u64,
}

/// Puts the load on the server. Blocks until all of it is answered.
///
/// # Errors
/// If a connection cannot be made or is closed, a reply is wrong, or replies stay out.
pub fn run(load: &Load) -> Result<Vec<GroupOutcome>> {
    ensure!(load.pipeline > 0 && !load.window.is_zero(), "a load sends something for some time");
    let mut driver = Driver::connect(load)?;
    match load.pace {
        Pace::Closed => driver.closed()?,
        Pace::Open { per_second } => driver.open(per_second)?,
    }
    driver.outcome()
}

/// The stretch of time that counts.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: Instant,
    to: Instant,
}

impl Window {
    fn holds(self, moment: Instant) -> bool {
        self.from <= moment && moment < self.to
    }
}

/// When each batch of an open loop is due: evenly, whatever became of those before it.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    start: Instant,
    interval: Duration,
}

impl Schedule {
    fn due(self, batch: u64) -> Instant {
        self.start + Duration::from_nanos((self.interval.as_nanos() * u128::from(batch)) as u64)
    }
}

struct Driver<'a> {
    load: &'a Load,
    poll: Poll,
    connections: Vec<Connection>,
    /// For each group.
    histograms: Vec<Latency>,
    /// For each group, outside the window too.
    answered: Vec<u64>,
    start: Instant,
    window: Window,
    /// Connections with requests on their way.
    unanswered: usize,
}

/// A request on its way.
struct Sent {
    expected: Expected,
    /// When it was sent in a closed loop, or was meant to be sent in an open one.
    since: Instant,
}

struct Connection {
    stream: TcpStream,
    group: usize,
    requests: Box<dyn Requests>,
    sent: VecDeque<Sent>,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How much of the output is written.
    written: usize,
}

impl<'a> Driver<'a> {
    fn connect(load: &'a Load) -> Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for (group, of) in load.groups.iter().enumerate() {
            for _ in 0..of.connections {
                let number = connections.len();
                let stream = std::net::TcpStream::connect_timeout(&load.address, PATIENCE)
                    .with_context(|| format!("connection {number} of the load was refused"))?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                let mut stream = TcpStream::from_std(stream);
                let both = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut stream, Token(number), both)?;
                connections.push(Connection::new(stream, group, (of.requests)(number as u64)));
            }
        }
        ensure!(!connections.is_empty(), "a load has connections");
        let histograms = load.groups.iter().map(|_| Latency::new()).collect();
        let start = Instant::now();
        let from = start + load.warm_up;
        let window = Window { from, to: from + load.window };
        let answered = vec![0; load.groups.len()];
        Ok(Self { load, poll, connections, histograms, answered, start, window, unanswered: 0 })
    }

    fn closed(&mut self) -> Result<()> {
        for number in 0..self.connections.len() {
            self.send(number, Instant::now())?;
        }
        let mut events = Events::with_capacity(1024);
        while self.unanswered > 0 {
            self.poll(&mut events, Some(PATIENCE))?;
            ensure!(!events.is_empty(), "the server answers nothing for {PATIENCE:?}");
            for event in &events {
                if self.serve(event)? {
                    let now = Instant::now();
                    if now < self.window.to {
                        self.send(event.token().0, now)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, per_second: f64) -> Result<()> {
        ensure!(per_second.is_finite() && per_second > 0.0, "{per_second} requests a second are no pace");
        let interval = Duration::from_secs_f64(self.load.pipeline as f64 / per_second);
        let schedule = Schedule { start: self.start, interval };
        let mut events = Events::with_capacity(1024);
        let mut batch = 0;
        loop {
            let mut due = schedule.due(batch);
            // One batch a connection at most: a driver that is behind must read answers too.
            for _ in 0..self.connections.len() {
                if due >= self.window.to || due > Instant::now() {
                    break;
                }
                self.send((batch % self.connections.len() as u64) as usize, due)?;
                batch += 1;
                due = schedule.due(batch);
            }
            if due >= self.window.to && self.unanswered == 0 {
                return Ok(());
            }
            let wait = if due < self.window.to {
                let wait = due.saturating_duration_since(Instant::now());
                if wait < SLEEP_AT_LEAST { Duration::ZERO } else { wait - SLEEP_AT_LEAST }
            } else {
                SLEEP_AT_LEAST
            };
            self.poll(&mut events, Some(wait))?;
            for event in &events {
                self.serve(event)?;
            }
            let late = Instant::now().saturating_duration_since(self.window.to);
            ensure!(late < PATIENCE, "{} connections are unanswered {late:?} after the end", self.unanswered);
        }
    }

    fn poll(&mut self, events: &mut Events, wait: Option<Duration>) -> Result<()> {
        match self.poll.poll(events, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn send(&mut self, number: usize, since: Instant) -> Result<()> {
        let connection = &mut self.connections[number];
        if connection.sent.is_empty() {
            self.unanswered += 1;
        }
        for _ in 0..self.load.pipeline {
            let expected = connection.requests.next(&mut connection.output);
            connection.sent.push_back(Sent { expected, since });
        }
        connection.write()
    }

    /// Does what a connection is ready for; answers whether its last unanswered request was answered.
    fn serve(&mut self, event: &Event) -> Result<bool> {
        let Self { connections, histograms, answered, window, load, .. } = self;
        let connection = &mut connections[event.token().0];
        let was_awaited = !connection.sent.is_empty();
        connection.write()?;
        let (open, latency) = (load.pace != Pace::Closed, &mut histograms[connection.group]);
        let answered = &mut answered[connection.group];
        connection.read(event.is_read_closed(), |sent, now| {
            *answered += 1;
            // In an open loop every request of the window counts, when ever its answer comes.
            if window.holds(if open { sent.since } else { now }) {
                latency.record(now.saturating_duration_since(sent.since));
            }
        })?;
        let done = was_awaited && connection.sent.is_empty();
        if done {
            self.unanswered -= 1;
        }
        Ok(done)
    }

    fn outcome(self) -> Result<Vec<GroupOutcome>> {
        let groups = self.load.groups.iter().zip(self.histograms.into_iter().zip(self.answered));
        let outcomes = groups.map(|(group, (latency, answered))| {
            ensure!(latency.count() > 0, "not one request of {} was answered within the window", group.name);
            let per_second = latency.count() as f64 / self.load.window.as_secs_f64();
            Ok(GroupOutcome { name: group.name, per_second, latency, answered })
        });
        outcomes.collect()
    }
}

impl Connection {
    fn new(stream: TcpStream, group: usize, requests: Box<dyn Requests>) -> Self {
        Self {
            stream,
            group,
            requests,
            sent: VecDeque::new(),
            input: Vec::with_capacity(READ_BYTES),
            output: Vec::new(),
            written: 0,
        }
    }

    /// Writes as much of the output as the socket takes.
    fn write(&mut self) -> Result<()> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(0) => bail!("the server takes no more requests"),
                Ok(some) => self.written += some,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("a connection broke while requests were sent"),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads what has arrived and calls `answered` with each request and the moment of its answer. One that
    /// `is_closed` is read to its end.
    fn read(&mut self, is_closed: bool, mut answered: impl FnMut(&Sent, Instant)) -> Result<()> {
        loop {
            let start = self.input.len();
            self.input.resize(start + READ_BYTES, 0);
            let read = self.stream.read(&mut self.input[start..]);
            self.input.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => bail!("the server closed a connection of the load"),
                Ok(some) => {
                    self.take_replies(&mut answered)?;
                    // An open socket that gave less than was asked for is empty; it will tell when it is not.
                    if some < READ_BYTES && !is_closed {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("a connection broke while replies were read"),
            }
        }
    }

    fn take_replies(&mut self, answered: &mut impl FnMut(&Sent, Instant)) -> Result<()> {
        let now = Instant::now();
        let mut at = 0;
        while let Some((reply, len)) = parse(&self.input[at..])? {
            let sent = self.sent.pop_front().context("the server answered what nobody asked")?;
            load::check(sent.expected, reply)?;
            answered(&sent, now);
            at += len;
        }
        self.input.drain(..at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Kind, RandomKeys};
    use crate::stand_in::{Manners, StandIn};

    const KEYS: u64 = 100;

    fn group(name: &'static str, connections: usize, kind: Kind) -> Group {
        Group {
            name,
            connections,
            requests: Box::new(move |seed| Box::new(RandomKeys::new(kind, KEYS, seed))),
        }
    }

    fn load(server: &StandIn, groups: Vec<Group>, pipeline: usize, pace: Pace) -> Load {
        let window = Duration::from_millis(300);
        Load { address: server.address(), groups, pipeline, pace, warm_up: Duration::ZERO, window }
    }

    fn filled(manners: Manners) -> StandIn {
        let server = StandIn::start(manners);
        crate::client::Client::connect(server.address()).unwrap().fill(KEYS).unwrap();
        server
    }

    #[test]
    fn both_paces_and_all_kinds_end_with_figures_for_each_group() {
        let server = filled(Manners::Right);
        for pace in [Pace::Closed, Pace::Open { per_second: 2000.0 }] {
            let groups = vec![
                group("set", 2, Kind::Set),
                group("get", 3, Kind::Get),
                group("mix", 1, Kind::Alternating),
            ];
            let outcome = run(&load(&server, groups, 4, pace)).unwrap();
            assert_eq!(outcome.iter().map(|it| it.name).collect::<Vec<_>>(), ["set", "get", "mix"]);
            assert!(outcome.iter().all(|it| it.per_second > 0.0 && it.latency.percentile_us(50.0) > 0.0));
        }
    }

    #[test]
    fn an_open_loop_sends_what_was_asked_for() {
        let server = filled(Manners::Right);
        let outcome =
            run(&load(&server, vec![group("get", 3, Kind::Get)], 1, Pace::Open { per_second: 1000.0 }));
        // 300 ms at one a millisecond; every request counts, however late its answer is.
        let outcome = outcome.unwrap();
        assert_eq!((outcome[0].latency.count(), outcome[0].answered), (300, 300));
    }

    #[test]
    fn an_open_loop_sees_the_rest_of_a_server_in_every_request_meant_for_it() {
        let server = filled(Manners::Rest(Duration::from_millis(200)));
        let outcome =
            run(&load(&server, vec![group("get", 1, Kind::Get)], 1, Pace::Open { per_second: 1000.0 }));
        let outcome = outcome.unwrap();
        // 100 of the 300 requests were meant for the first 100 ms, so they waited 100 ms at least. A driver
        // that omits what it could not send would have seen one of them.
        assert!(outcome[0].latency.percentile_us(70.0) > 99_000.0, "{:?}", outcome[0].latency.summary());
    }

    #[test]
    fn a_run_with_wrong_replies_has_no_figure() {
        let wrong = [
            (Manners::ErrorAfter(150), "refused by the stand-in"),
            (Manners::WrongValueAfter(150), "was expected"),
            (Manners::CloseAfter(150), "closed a connection"),
        ];
        for (manners, message) in wrong {
            let server = filled(manners);
            for pace in [Pace::Closed, Pace::Open { per_second: 20_000.0 }] {
                let error = run(&load(&server, vec![group("get", 2, Kind::Get)], 8, pace)).unwrap_err();
                let is_broken = error.chain().any(|it| it.to_string().contains("broke"));
                assert!(format!("{error:#}").contains(message) || is_broken, "{manners:?}: {error:#}");
            }
        }
    }

    #[test]
    fn a_close_that_comes_with_the_last_reply_is_noticed() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let groups = vec![group("set", 1, Kind::Set)];
        let address = server.local_addr().unwrap();
        let (warm_up, window) = (Duration::ZERO, Duration::from_millis(1));
        let load = Load { address, groups, pipeline: 2, pace: Pace::Closed, warm_up, window };
        let mut driver = Driver::connect(&load).unwrap();
        driver.send(0, Instant::now()).unwrap();
        let (mut peer, _) = server.accept().unwrap();
        // Requests that are not read would turn the close into a reset.
        let mut request = Vec::new();
        load::set(0, &mut request);
        peer.read_exact(&mut request.repeat(2)).unwrap();
        peer.write_all(b"+OK\r\n").unwrap();
        drop(peer);
        let mut events = Events::with_capacity(8);
        loop {
            driver.poll(&mut events, Some(PATIENCE)).unwrap();
            let event = events.iter().next().expect("the close is an event");
            let served = driver.serve(event);
            if event.is_read_closed() {
                assert!(served.unwrap_err().to_string().contains("closed a connection"));
                return;
            }
        }
    }

    #[test]
    fn batches_are_due_evenly_whatever_became_of_earlier_ones() {
        let start = Instant::now();
        let schedule = Schedule { start, interval: Duration::from_micros(250) };
        assert_eq!(schedule.due(0), start);
        assert_eq!(schedule.due(4001) - start, Duration::from_micros(1_000_250));
    }
}
