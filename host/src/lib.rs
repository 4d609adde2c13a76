//! The Enginebay host: a key–value server that loads its storage engine as a plugin.
//!
//! The layers, top to bottom; each may use the ones below it and never one above:
//!
//! ```text
//! cli        what the operator types; puts the rest together
//! server     sockets, connections, event loops        → resp  the protocol's bytes, no socket
//! command    what a client may ask, one row a command
//! sequencer  the order and atomicity of writes
//! storage    the loaded engine, the stored form of keys and values, lanes, reader threads, backups
//! transfer   dumps, RDB files, digests; no engine, no directory
//! ```
//!
//! `config` (settings) and `observe` (counters, the list of clients) are plain data that any layer may read.

#![forbid(unsafe_code)]

pub mod cli;
pub mod command;
pub mod config;
pub mod observe;
pub mod resp;
pub mod sequencer;
pub mod server;
pub mod storage;
pub mod transfer;
