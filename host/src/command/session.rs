//! What a connection is to commands: its number, its database, its protocol.

use std::sync::Arc;

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
    client: Arc<Client>,
}

impl Session {
    /// A fresh connection of the client: database 0, RESP2.
    pub fn new(client: Arc<Client>) -> Self {
        Self { id: client.id(), database: 0, protocol: Protocol::Resp2, closing: false, client }
    }

    /// The client as CLIENT LIST shows it.
    pub fn client(&self) -> &Client {
        &self.client
    }
}
