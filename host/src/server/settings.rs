//! What an operator can choose about sockets and connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The settings of the server. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The TCP addresses to listen on; port 0 takes any free one.
    pub listen: Vec<SocketAddr>,
    /// The path of the unix socket to listen on, if any.
    pub unix_socket: Option<PathBuf>,
    /// How many event loops share the connections, 1 … 64. Each is a thread.
    pub loops: usize,
    /// How many clients may be connected at once; one more gets an error and is closed. CONFIG SET changes it.
    pub max_clients: usize,
    /// The longest request; a longer one ends its connection. At most 2 GiB counts.
    pub request_bytes_max: usize,
    /// The longest value, and so the longest word that commands take. Replies have room for one of them.
    pub value_bytes_max: usize,
    /// The bytes of unfinished requests that all clients together may have here. Above it, a client with a large
    /// unfinished request is closed as soon as it sends more.
    pub input_bytes_max: usize,
    /// The unsent replies with which a connection's further requests wait until the client reads.
    pub output_bytes_max: usize,
    /// The unsent replies of all clients together, above which the client that owes most is closed.
    pub unsent_bytes_max: usize,
    /// The replies that one run of requests may produce. A value that would exceed it is replaced by an error.
    pub reply_bytes_max: usize,
    /// A client that sends nothing for so long is closed; `None` lets it stay. CONFIG SET changes it.
    pub idle_timeout: Option<Duration>,
    /// A client that reads none of its unsent replies, or leaves a request unfinished, for so long is closed.
    pub slow_client_timeout: Duration,
    /// After so long a silence the operating system asks whether a TCP client's machine is still there.
    pub keepalive: Option<Duration>,
    /// How long a shutdown waits for requests in progress and for clients to take their replies.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 6379))],
            unix_socket: None,
            loops: 1,
            max_clients: 10_000,
            request_bytes_max: 256 << 20,
            value_bytes_max: 64 << 20,
            input_bytes_max: 1 << 30,
            output_bytes_max: 1 << 20,
            unsent_bytes_max: 1 << 30,
            reply_bytes_max: 256 << 20,
            idle_timeout: None,
            slow_client_timeout: Duration::from_secs(60),
            keepalive: Some(Duration::from_secs(300)),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// The same settings with every number in its range.
    pub(super) fn in_range(mut self) -> Self {
        /// Room for the framing and for errors besides the largest value.
        const BESIDE_A_VALUE: usize = 64 * 1024;
        self.loops = self.loops.clamp(1, 64);
        let largest = self.value_bytes_max.saturating_add(self.output_bytes_max.saturating_mul(2));
        self.reply_bytes_max = self.reply_bytes_max.max(largest.saturating_add(BESIDE_A_VALUE));
        self
    }
}
