//! The sockets that clients connect to.
//!
//! Promises: a path is taken over only from a socket that nobody answers; a running server is never robbed of
//! its socket, and no other file is removed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::{Interest, Registry, Token};

use super::settings::Settings;
use super::socket::Socket;

/// Why the server cannot listen.
#[derive(Debug)]
pub enum BindError {
    /// Something listens on the address already.
    AddressInUse(SocketAddr),
    /// The address cannot be listened on.
    Address(SocketAddr, io::Error),
    /// A running server answers on the path.
    PathInUse(PathBuf),
    /// The path holds something that is not a socket.
    NotASocket(PathBuf),
    /// The path cannot be listened on.
    Path(PathBuf, io::Error),
    /// Neither an address nor a path was given.
    Nowhere,
    /// The operating system refused what an event loop needs.
    Resources(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse(address) => write!(
                out,
                "cannot listen on {address}: the address is in use. Another server may be running; stop it or \
                 choose another address"
            ),
            Self::Address(address, error) => {
                write!(out, "cannot listen on {address}: {error}. Choose an address of this machine")
            }
            Self::PathInUse(path) => write!(
                out,
                "cannot listen on the unix socket {}: a running server answers there. Stop it or choose another path",
                path.display()
            ),
            Self::NotASocket(path) => write!(
                out,
                "cannot listen on the unix socket {}: a file that is not a socket is there. Remove it or choose \
                 another path",
                path.display()
            ),
            Self::Path(path, error) => write!(
                out,
                "cannot listen on the unix socket {}: {error}. Check that the directory exists and may be \
                 written to",
                path.display()
            ),
            Self::Nowhere => out.write_str(
                "there is nothing to listen on. Give at least one address or the path of a unix socket",
            ),
            Self::Resources(error) => {
                write!(out, "cannot prepare the event loops: {error}. Raise the limit of open files")
            }
        }
    }
}

impl std::error::Error for BindError {}

/// A socket that clients connect to; each event loop has a clone.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// Every socket of a server. Clients can connect as soon as it exists, and are served once the server runs. So
/// a port that is taken is known before anything else happens, such as the creation of the data directory.
#[derive(Debug)]
pub struct Listeners {
    all: Vec<Listener>,
    addresses: Vec<SocketAddr>,
    unix_socket: Option<PathBuf>,
}

impl Listeners {
    /// Listens on every address of the settings, or on none.
    ///
    /// # Errors
    /// A sentence for the operator: which address, why, and what to do.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        let tcp = settings.listen.iter().map(|address| Listener::bind_tcp(*address));
        let mut all = tcp.collect::<Result<Vec<_>, _>>()?;
        let addresses = all.iter().filter_map(Listener::address).collect();
        if let Some(path) = &settings.unix_socket {
            all.push(Listener::bind_unix(path)?);
        }
        if all.is_empty() {
            return Err(BindError::Nowhere);
        }
        Ok(Self { all, addresses, unix_socket: settings.unix_socket.clone() })
    }

    /// The TCP addresses, with the ports that the operating system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The path of the unix socket, if there is one.
    pub fn unix_socket(&self) -> Option<&Path> {
        self.unix_socket.as_deref()
    }

    /// The sockets.
    pub(super) fn all(&self) -> &[Listener] {
        &self.all
    }

    /// Leaves the sockets to the clones that event loops have: when those end, nobody listens.
    pub(super) fn leave_to_clones(&mut self) {
        self.all.clear();
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        if let Some(path) = &self.unix_socket {
            // A path that is already gone is what is wanted.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Listener {
    /// Listens on a TCP address.
    pub(super) fn bind_tcp(address: SocketAddr) -> Result<Self, BindError> {
        let listener = std::net::TcpListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        listener.map(Self::Tcp).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::AddressInUse(address),
            _ => BindError::Address(address, error),
        })
    }

    /// Listens on a unix socket; replaces one that a server left behind.
    pub(super) fn bind_unix(path: &Path) -> Result<Self, BindError> {
        let failed = |error| BindError::Path(path.to_path_buf(), error);
        remove_stale(path)?;
        let listener = std::os::unix::net::UnixListener::bind(path).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self::Unix(listener))
    }

    /// Where it listens, for TCP.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// A clone for an event loop, reported to it by `token`.
    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<Acceptor> {
        match self {
            Self::Tcp(listener) => {
                let mut clone = mio::net::TcpListener::from_std(listener.try_clone()?);
                registry.register(&mut clone, token, Interest::READABLE)?;
                Ok(Acceptor::Tcp(clone))
            }
            Self::Unix(listener) => {
                let mut clone = mio::net::UnixListener::from_std(listener.try_clone()?);
                registry.register(&mut clone, token, Interest::READABLE)?;
                Ok(Acceptor::Unix(clone))
            }
        }
    }
}

/// An event loop's clone of a listener.
#[derive(Debug)]
pub(super) enum Acceptor {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

/// A client that has just connected.
pub(super) struct Accepted {
    pub(super) socket: Socket,
    /// Where the client is.
    pub(super) address: String,
    /// Where it connected to.
    pub(super) local_address: String,
}

impl Acceptor {
    /// The next client that connected. `keepalive` is after how long a silence it is asked whether it is there.
    pub(super) fn accept(&self, keepalive: Option<Duration>) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (socket, address) = listener.accept()?;
                // Replies go out in whole runs already; waiting for more would only delay them. Should the
                // client be gone, the first read says so.
                let _ = socket.set_nodelay(true);
                if let Some(silence) = keepalive {
                    // Without it a machine that vanished is noticed later, if ever; the client is served the same.
                    let _ = ask_for_life(&socket, silence);
                }
                let local_address =
                    socket.local_addr().map_or_else(|_| String::new(), |local| local.to_string());
                Ok(Accepted { socket: Socket::Tcp(socket), address: address.to_string(), local_address })
            }
            Self::Unix(listener) => {
                let (socket, _) = listener.accept()?;
                let path =
                    listener.local_addr().ok().and_then(|local| local.as_pathname().map(Path::to_path_buf));
                let path = path.map_or_else(String::new, |path| path.display().to_string());
                let address = format!("{path}:0");
                Ok(Accepted {
                    socket: Socket::Unix(socket),
                    address: address.clone(),
                    local_address: address,
                })
            }
        }
    }
}

/// Has the operating system ask after so long a silence whether the client's machine is there, and end the
/// connection after three questions without an answer.
fn ask_for_life(socket: &mio::net::TcpStream, silence: Duration) -> rustix::io::Result<()> {
    use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl};
    set_socket_keepalive(socket, true)?;
    set_tcp_keepidle(socket, silence)?;
    set_tcp_keepintvl(socket, (silence / 3).max(Duration::from_secs(1)))?;
    set_tcp_keepcnt(socket, 3)
}

/// Removes the socket at `path` if nobody answers there.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let failed = |error| BindError::Path(path.to_path_buf(), error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_path_buf()));
        }
        Ok(_) => {}
    }
    // This connect never waits: a server with a full queue says so, and is a running one.
    match mio::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(failed(error)),
        _ => Err(BindError::PathInUse(path.to_path_buf())),
    }
}

#[cfg(test)]
mod tests {
    use super::{BindError, Listener};

    #[test]
    fn a_socket_that_nobody_answers_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("socket");
        drop(Listener::bind_unix(&path).expect("a fresh path"));
        assert!(path.exists(), "the file outlives its listener");
        let live = Listener::bind_unix(&path).expect("a socket left behind is replaced");
        assert!(matches!(Listener::bind_unix(&path), Err(BindError::PathInUse(_))));
        drop(live);
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("precious");
        std::fs::write(&path, "data").expect("a writable directory");
        assert!(matches!(Listener::bind_unix(&path), Err(BindError::NotASocket(_))));
        assert_eq!(std::fs::read(&path).expect("the file is still there"), b"data");
    }

    #[test]
    fn an_address_in_use_is_named() {
        let first = Listener::bind_tcp("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = first.address().expect("a TCP listener has an address");
        let error = Listener::bind_tcp(address).expect_err("the port is taken");
        assert!(matches!(error, BindError::AddressInUse(taken) if taken == address));
        assert!(error.to_string().contains(&address.to_string()));
    }
}
