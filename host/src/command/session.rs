//! What a connection is to commands: its number, its database, its protocol, what it may do and hears.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use crate::observe::Client;

/// A version of the protocol between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// What every connection begins with.
    #[default]
    Resp2,
    /// What a client asks for with `HELLO 3`: maps, nulls and verbatim texts have forms of their own.
    Resp3,
}

impl Protocol {
    /// The number in HELLO.
    pub const fn version(self) -> u8 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// Which replies a client wants: CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Hears {
    /// All.
    #[default]
    All,
    /// None until it asks for all again.
    Nothing,
    /// None to the next request.
    NotTheNext,
    /// None to the request that runs now.
    NotThis,
}

/// Who asks: what a request keeps of its session on its way to another thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The number of the client.
    pub client: u64,
    /// The database that the request works in.
    pub database: u8,
}

/// The state of one connection. The server owns one for each and hands it to `run_local`.
#[derive(Debug)]
pub struct Session {
    /// The number of the client.
    pub id: u64,
    /// The database that requests work in, 0 … 15.
    pub database: u8,
    /// The protocol that replies are encoded in.
    pub protocol: Protocol,
    /// Set by QUIT and SHUTDOWN: close once the replies so far are sent.
    pub closing: bool,
    /// Set by a wrong password: the replies so far and all requests wait so long. The server takes it.
    pub penalty: Option<Duration>,
    /// Whether the client may do more than say who it is.
    pub(super) authenticated: bool,
    /// Whether it watches every request and does nothing else.
    pub(super) monitoring: bool,
    pub(super) hears: Hears,
    /// Wrong passwords so far.
    pub(super) wrong_passwords: u32,
    client: Arc<Client>,
}

impl Session {
    /// A fresh connection of the client: database 0, RESP2.
    pub fn new(client: Arc<Client>, context: &Context) -> Self {
        Self {
            id: client.id(),
            database: 0,
            protocol: Protocol::Resp2,
            closing: false,
            penalty: None,
            authenticated: context.settings.live.password().is_none(),
            monitoring: false,
            hears: Hears::All,
            wrong_passwords: 0,
            client,
        }
    }

    /// The client as CLIENT LIST shows it.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// What its requests keep of it.
    pub fn caller(&self) -> Caller {
        Caller { client: self.id, database: self.database }
    }

    /// Whether it is one of whom nothing is known: it has not given the password.
    pub fn is_stranger(&self) -> bool {
        !self.authenticated
    }

    /// Called for each request before it is answered in any way; `is_muted` is about this request from then on.
    pub fn begin_request(&mut self) {
        match self.hears {
            Hears::All | Hears::Nothing => {}
            Hears::NotTheNext => self.hears = Hears::NotThis,
            Hears::NotThis => self.hears = Hears::All,
        }
    }

    /// Whether the client does not want the reply to the request that runs now.
    pub fn is_muted(&self) -> bool {
        matches!(self.hears, Hears::Nothing | Hears::NotThis)
    }
}
